import { useApolloClient } from '@apollo/client/react';
import { AcceptFriendDocument, DeclineFriendDocument, FriendsDocument } from '../../generated/graphql.ts';
import { Avatar } from '../parts/Avatar.tsx';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import type { Friend } from '../types.ts';
import { nameOf } from '../words.ts';

/** Friend requests to the viewer. */
export function FriendRequests({ requests }: { requests: readonly { id: string; from: Friend }[] }) {
  const apollo = useApolloClient();
  const answer = useAction(async (id: string, accept: boolean) => {
    const options = { variables: { id }, refetchQueries: [FriendsDocument] };
    await (accept
      ? apollo.mutate({ mutation: AcceptFriendDocument, ...options })
      : apollo.mutate({ mutation: DeclineFriendDocument, ...options }));
  });
  if (requests.length === 0) return null;
  return (
    <section>
      <h3>Friend requests</h3>
      <ul className="people">
        {requests.map(({ id, from }) => (
          <li key={id}>
            <Avatar name={nameOf(from)} seed={from.username} image={from.avatar} />
            <span className="person">
              <strong>
                <bdi>{nameOf(from)}</bdi>
              </strong>
            </span>
            <span className="person-actions" role="group" aria-label={nameOf(from)}>
              <button type="button" aria-disabled={answer.busy} onClick={() => void answer.run(from.id, true)}>
                Accept
              </button>
              <button type="button" aria-disabled={answer.busy} onClick={() => void answer.run(from.id, false)}>
                Decline
              </button>
            </span>
          </li>
        ))}
      </ul>
      <Problem text={answer.problem} />
    </section>
  );
}
