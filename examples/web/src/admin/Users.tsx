import { useApolloClient, useQuery } from '@apollo/client/react';
import { useState } from 'react';
import {
  AdminCreateUserDocument,
  AdminDeleteUserDocument,
  AdminEndSessionsDocument,
  AdminRestoreUserDocument,
  AdminSuspendUserDocument,
  type AdminUserFieldsFragment,
  AdminUsersDocument,
} from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Field } from '../parts/Field.tsx';
import { optionalTextOf, textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { useSession } from '../session.ts';
import { wordWhen } from '../words.ts';
import { appendTo } from './appendTo.ts';
import { MoreButton } from './MoreButton.tsx';
import { ReasonDialog } from './ReasonDialog.tsx';
import { SearchField } from './SearchField.tsx';
import { UserSessions } from './UserSessions.tsx';

/** Actions on a user: the name of the button, the consequences and the mutation. */
const ACTIONS = {
  suspend: {
    label: 'Suspend',
    consequences: 'Nobody can sign in, and all sessions end within a second. The messages stay.',
    mutation: AdminSuspendUserDocument,
  },
  restore: { label: 'Restore', consequences: 'The user can sign in again.', mutation: AdminRestoreUserDocument },
  endSessions: {
    label: 'Sign out',
    consequences: 'All sessions end within a second. The user can sign in again.',
    mutation: AdminEndSessionsDocument,
  },
  delete: {
    label: 'Delete',
    consequences: 'The account is deleted. Its messages stay without a sender. This cannot be undone.',
    mutation: AdminDeleteUserDocument,
  },
} as const;

type Pending = { action: keyof typeof ACTIONS; user: AdminUserFieldsFragment['user'] };

/** All users, with actions on each. */
export function Users() {
  const apollo = useApolloClient();
  const { viewerId } = useSession();
  const [search, setSearch] = useState('');
  const [pending, setPending] = useState<Pending | 'create' | null>(null);
  const [shown, setShown] = useState<string | null>(null);
  const [password, setPassword] = useState<{ username: string; password: string } | null>(null);
  const { data, error, loading, refetch, fetchMore } = useQuery(AdminUsersDocument, {
    variables: { search: search || null },
    fetchPolicy: 'no-cache',
  });
  const page = data?.admin?.users;
  return (
    <>
      <SearchField label="Find users" hint="Beginning of a name, or a whole external id." onSearch={setSearch} />
      <button type="button" onClick={() => setPending('create')}>
        Create a user
      </button>
      {password && (
        <p role="status" className="admin-secret">
          The password of {password.username} is not shown again: <code>{password.password}</code>
        </p>
      )}
      <Problem text={error && wordError(error)} />
      {loading && !page && <p role="status">Loading…</p>}
      <ul className="people admin-list">
        {page?.nodes.map(({ user, suspendedAt, isAdmin, hasPassword }) => (
          <li key={user.id}>
            <span className="person">
              <strong>
                <bdi>{user.nickname}</bdi>
              </strong>
              <small className="quiet">
                {[
                  `@${user.username}`,
                  user.externalId && `external id ${user.externalId}`,
                  user.isBot && 'bot',
                  isAdmin && 'admin',
                  !hasPassword && 'no password',
                  suspendedAt && `suspended ${wordWhen(suspendedAt)}`,
                ]
                  .filter(Boolean)
                  .join(' · ')}
              </small>
            </span>
            <span className="person-actions" role="group" aria-label={user.username}>
              <button
                type="button"
                aria-expanded={shown === user.id}
                onClick={() => setShown(shown === user.id ? null : user.id)}
              >
                Sessions
              </button>
              {(Object.keys(ACTIONS) as (keyof typeof ACTIONS)[])
                .filter((action) => action !== (suspendedAt ? 'suspend' : 'restore'))
                .filter((action) => user.id !== viewerId || (action !== 'suspend' && action !== 'delete'))
                .map((action) => (
                  // One key for suspending and restoring, so that the button stays and keeps the focus.
                  <button
                    key={action === 'restore' ? 'suspend' : action}
                    type="button"
                    onClick={() => setPending({ action, user })}
                  >
                    {ACTIONS[action].label}
                  </button>
                ))}
            </span>
            {shown === user.id && <UserSessions userId={user.id} />}
          </li>
        ))}
      </ul>
      {page?.nodes.length === 0 && <p>Nobody was found.</p>}
      <MoreButton
        pageInfo={page?.pageInfo}
        load={(after) => fetchMore({ variables: { after }, updateQuery: appendTo('users') })}
      />
      {pending === 'create' && (
        <ReasonDialog
          title="Create a user"
          onClose={() => setPending(null)}
          fields={
            <>
              <Field label="Username" name="username" required autoCapitalize="none" />
              <Field label="E-mail address" name="email" type="email" hint="Optional." />
            </>
          }
          act={async (reason, form) => {
            const input = { username: textOf(form, 'username'), email: optionalTextOf(form, 'email'), reason };
            const { data: made } = await apollo.mutate({ mutation: AdminCreateUserDocument, variables: { input } });
            if (made?.adminCreateUser)
              setPassword({ username: input.username, password: made.adminCreateUser.password });
            await refetch();
          }}
        >
          The server generates a password and shows it once.
        </ReasonDialog>
      )}
      {pending && pending !== 'create' && (
        <ReasonDialog
          title={`${ACTIONS[pending.action].label} ${pending.user.username}`}
          onClose={() => setPending(null)}
          act={async (reason) => {
            const variables = { input: { userId: pending.user.id, reason } };
            await apollo.mutate({ mutation: ACTIONS[pending.action].mutation, variables });
            await refetch();
          }}
        >
          {ACTIONS[pending.action].consequences}
        </ReasonDialog>
      )}
    </>
  );
}
