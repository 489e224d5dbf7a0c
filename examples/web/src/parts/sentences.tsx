import { Fragment, type ReactNode } from 'react';
import type { Message, Person } from '../types.ts';
import { nameOf } from '../words.ts';

/*
 * Sentences that contain names of users. Each name is isolated (`<bdi>`), so that its direction does not reorder the words
 * around it (Unicode Bidirectional Algorithm, UAX #9).
 */

/** Maximum number of names in a sentence. A longer tip would cover the message. */
const MAX_NAMES = 20;

function Name({ person }: { person: Pick<Person, 'nickname'> | null | undefined }) {
  return <bdi>{nameOf(person)}</bdi>;
}

/** Returns the text of a SYSTEM message. */
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
      // A newer server may send event types that this page does not know.
      return 'Something changed in this room';
  }
}

/** Returns the names of users, followed by the number of users who are not named. */
export function nameList(people: readonly Pick<Person, 'id' | 'nickname'>[], total = people.length): ReactNode {
  const named = people.slice(0, MAX_NAMES);
  const others = total - named.length;
  return (
    <>
      {named.map((person, i) => (
        <Fragment key={person.id}>
          {i > 0 && (i === named.length - 1 && others === 0 ? ' and ' : ', ')}
          <Name person={person} />
        </Fragment>
      ))}
      {others > 0 && ` and ${others.toLocaleString('en')} ${others === 1 ? 'other' : 'others'}`}
    </>
  );
}

/** Returns a sentence that names the typing users, or null if nobody is typing. */
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
