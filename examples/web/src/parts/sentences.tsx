import type { ReactNode } from 'react';
import type { Message, Person } from '../types.ts';
import { nameOf } from '../words.ts';

/*
 * Sentences with names of people in them. Each name is isolated (`<bdi>`), so that its direction does not reorder the words
 * around it (Unicode Bidirectional Algorithm, UAX #9).
 */

function Name({ person }: { person: Pick<Person, 'nickname'> | null | undefined }) {
  return <bdi>{nameOf(person)}</bdi>;
}

/** What a SYSTEM message says. */
export function systemSentence({
  systemEvent,
  subject,
  body,
}: Pick<Message, 'systemEvent' | 'subject' | 'body'>): ReactNode {
  const name = <Name person={subject} />;
  switch (systemEvent) {
    case 'MEMBER_JOINED':
      return <>{name} joined</>;
    case 'MEMBER_LEFT':
      return <>{name} left</>;
    case 'RENAMED':
      return <>{name} renamed the room</>;
    case 'NOTICE':
      return <bdi>{body}</bdi>;
    default:
      // A server that is newer than this page.
      return 'Something happened here';
  }
}

/** Who is typing; null for nobody. */
export function typingSentence([first, second, ...others]: readonly Person[]): ReactNode {
  if (!first) return null;
  if (others.length > 0) return 'Several people are typing…';
  if (!second)
    return (
      <>
        <Name person={first} /> is typing…
      </>
    );
  return (
    <>
      <Name person={first} /> and <Name person={second} /> are typing…
    </>
  );
}
