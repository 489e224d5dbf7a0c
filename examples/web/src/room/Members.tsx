import { useApolloClient, useQuery } from '@apollo/client/react';
import type { MemberRole } from '../../generated/graphql.ts';
import { MembersDocument, RemoveMemberDocument, SetRoleDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { PersonRow } from '../people/PersonRow.tsx';

const ROLES: Record<MemberRole, string> = { OWNER: 'Owner', ADMIN: 'Admin', MEMBER: '' };

interface Props {
  roomId: string;
  /** The viewer's role; undefined in a direct room, which has no roles. */
  role: MemberRole | undefined;
  onClose: () => void;
}

export function Members({ roomId, role, onClose }: Props) {
  const apollo = useApolloClient();
  const { data, error, fetchMore } = useQuery(MembersDocument, {
    variables: { id: roomId },
    fetchPolicy: 'cache-and-network',
  });
  const refetchQueries = [MembersDocument];
  const remove = useAction((userId: string) =>
    apollo.mutate({ mutation: RemoveMemberDocument, variables: { id: roomId, userId }, refetchQueries }),
  );
  const setRole = useAction((userId: string, next: MemberRole) =>
    apollo.mutate({ mutation: SetRoleDocument, variables: { id: roomId, userId, role: next }, refetchQueries }),
  );
  const members = data?.chatroom?.members;
  const after = members?.pageInfo.hasNextPage ? members.pageInfo.endCursor : null;
  return (
    <section>
      <h3>Members</h3>
      <ul className="people">
        {members?.edges.map(({ node: { id, role: theirs, user } }) => (
          <PersonRow key={id} person={user} note={role && ROLES[theirs]} onOpened={onClose}>
            {role === 'OWNER' && (
              <button type="button" onClick={() => void setRole.run(user.id, theirs === 'ADMIN' ? 'MEMBER' : 'ADMIN')}>
                {theirs === 'ADMIN' ? 'Make member' : 'Make admin'}
              </button>
            )}
            {(role === 'OWNER' || (role === 'ADMIN' && theirs === 'MEMBER')) && (
              <button type="button" onClick={() => void remove.run(user.id)}>
                Remove
              </button>
            )}
          </PersonRow>
        ))}
      </ul>
      {after && (
        <button type="button" className="link" onClick={() => void fetchMore({ variables: { after } })}>
          More members
        </button>
      )}
      <Problem text={remove.problem ?? setRole.problem ?? (error && wordError(error))} />
    </section>
  );
}
