import { useApolloClient, useQuery } from '@apollo/client/react';
import { useState } from 'react';
import { RevokeSessionDocument, SessionsDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';
import { useAction } from '../parts/useAction.ts';
import { wordDevice, wordWhen } from '../words.ts';

/** The viewer's sessions, with buttons to end them. They are loaded when the section is opened. */
export function Sessions() {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Where you are signed in</summary>
      {open && <SessionList />}
    </details>
  );
}

function SessionList() {
  const apollo = useApolloClient();
  const { data, error, refetch } = useQuery(SessionsDocument, { fetchPolicy: 'network-only' });
  const end = useAction(async (id: string) => {
    await apollo.mutate({ mutation: RevokeSessionDocument, variables: { id } });
    await refetch();
  });
  const sessions = (data?.viewer?.sessions.nodes ?? []).filter(({ endedAt }) => endedAt === null);
  return (
    <>
      <ul className="people">
        {sessions.map(({ id, userAgent, ipAddress, lastSeenAt, current }) => (
          <li key={id}>
            <span className="person">
              <strong>{wordDevice(userAgent)}</strong>
              <small className="quiet">
                {current ? 'This browser' : `Last used ${wordWhen(lastSeenAt)}`}
                {ipAddress && ` · ${ipAddress}`}
              </small>
            </span>
            {!current && (
              <button
                type="button"
                aria-label={`Sign out ${wordDevice(userAgent)}`}
                aria-disabled={end.busy}
                onClick={() => void end.run(id)}
              >
                Sign out
              </button>
            )}
          </li>
        ))}
      </ul>
      <Problem text={end.problem ?? (error && wordError(error))} />
    </>
  );
}
