import { useApolloClient } from '@apollo/client/react';
import type { ReactNode } from 'react';
import { CreateRoomDocument } from '../../generated/graphql.ts';
import { Avatar } from '../parts/Avatar.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { openRoom } from '../route.ts';
import { useSession } from '../session.ts';
import type { Friend } from '../types.ts';
import { nameOf, wordPresence } from '../words.ts';
import { useRelations } from './useRelations.ts';

interface Props {
  person: Friend;
  /** Additional text, such as the person's role. */
  note?: string | undefined;
  onOpened: () => void;
  children?: ReactNode;
}

/** A person, with buttons to message, befriend or block them. */
export function PersonRow({ person, note, onOpened, children }: Props) {
  const session = useSession();
  const apollo = useApolloClient();
  const relations = useRelations(person.id);
  const talk = useAction(async () => {
    const { data } = await apollo.mutate({
      mutation: CreateRoomDocument,
      variables: { input: { kind: 'DIRECT', memberIds: [person.id] } },
    });
    if (!data?.createChatroom) return;
    openRoom(data.createChatroom.chatroom.id);
    onOpened();
  });
  const { viewerHasBlocked: blocked, viewerIsFriend: friend } = person;
  const about = [note, wordPresence(person), blocked && 'Blocked'].filter(Boolean).join(' · ');
  return (
    <li>
      <Avatar
        name={nameOf(person)}
        seed={person.username}
        image={person.avatar}
        online={person.presence?.status === 'ONLINE'}
      />
      <span className="person">
        <strong>
          <bdi>{nameOf(person)}</bdi>
        </strong>
        <small className="quiet">{about || `@${person.username}`}</small>
      </span>
      {person.id !== session.viewerId && (
        <span className="person-actions" role="group" aria-label={nameOf(person)}>
          {children}
          {!blocked && (
            <button type="button" aria-disabled={talk.busy} onClick={() => void talk.run()}>
              Message
            </button>
          )}
          {!blocked && (
            <button
              type="button"
              className={friend ? 'subtle' : undefined}
              onClick={() => void relations.run(friend ? 'unfriend' : 'befriend')}
            >
              {friend ? 'Unfriend' : 'Add friend'}
            </button>
          )}
          <button
            type="button"
            className={blocked ? undefined : 'subtle'}
            onClick={() => void relations.run(blocked ? 'unblock' : 'block')}
          >
            {blocked ? 'Unblock' : 'Block'}
          </button>
        </span>
      )}
      {relations.note && (
        <p className="quiet" role="status">
          {relations.note}
        </p>
      )}
      <Problem text={talk.problem ?? relations.problem} />
    </li>
  );
}
