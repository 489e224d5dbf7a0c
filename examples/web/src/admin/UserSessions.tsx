import { useApolloClient, useQuery } from '@apollo/client/react';
import { useState } from 'react';
import { AdminEndSessionDocument, AdminSessionsDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';
import { wordDevice, wordWhen } from '../words.ts';
import { ReasonDialog } from './ReasonDialog.tsx';

/** The active sessions of a user, with buttons to end them. */
export function UserSessions({ userId }: { userId: string }) {
  const apollo = useApolloClient();
  const [ending, setEnding] = useState<string | null>(null);
  const { data, error, refetch } = useQuery(AdminSessionsDocument, {
    variables: { id: userId },
    fetchPolicy: 'no-cache',
  });
  const sessions = data?.admin?.user?.sessions;
  return (
    <div className="admin-sessions">
      <Problem text={error && wordError(error)} />
      {sessions?.length === 0 && <p className="quiet">There are no active sessions.</p>}
      <ul>
        {sessions?.map(({ id, userAgent, ipAddress, lastSeenAt }) => (
          <li key={id}>
            <span className="person">
              {wordDevice(userAgent)}
              <small className="quiet">
                {[`Last used ${wordWhen(lastSeenAt)}`, ipAddress].filter(Boolean).join(' · ')}
              </small>
            </span>
            <button
              type="button"
              aria-label={`End the session of ${wordDevice(userAgent)}`}
              onClick={() => setEnding(id)}
            >
              End
            </button>
          </li>
        ))}
      </ul>
      {ending !== null && (
        <ReasonDialog
          title="End the session"
          onClose={() => setEnding(null)}
          act={async (reason) => {
            const input = { sessionId: ending, reason };
            await apollo.mutate({ mutation: AdminEndSessionDocument, variables: { input } });
            await refetch();
          }}
        >
          Its sockets close within a second. The user can sign in again.
        </ReasonDialog>
      )}
    </div>
  );
}
