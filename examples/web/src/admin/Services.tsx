import { useApolloClient, useQuery } from '@apollo/client/react';
import { useState } from 'react';
import { readingScopes, scopes } from '../../../../src/core/scopes.ts';
import {
  AdminCreateServiceTokenDocument,
  AdminRevokeServiceTokenDocument,
  AdminServicesDocument,
} from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Field } from '../parts/Field.tsx';
import { textOf } from '../parts/form.ts';
import { Problem } from '../parts/Problem.tsx';
import { wordWhen } from '../words.ts';
import { ReasonDialog } from './ReasonDialog.tsx';

/** The services of the server, and their tokens. */
export function Services() {
  const apollo = useApolloClient();
  const [pending, setPending] = useState<{ revoke: string } | 'create' | null>(null);
  const [token, setToken] = useState<string | null>(null);
  const { data, error, refetch } = useQuery(AdminServicesDocument, { fetchPolicy: 'no-cache' });
  const tokens = data?.admin?.serviceTokens;
  return (
    <>
      <button type="button" onClick={() => setPending('create')}>
        Create a token
      </button>
      {token !== null && (
        <p role="status" className="admin-secret">
          The token is not shown again: <code>{token}</code>
        </p>
      )}
      <Problem text={error && wordError(error)} />
      {tokens?.length === 0 && <p>No service has a token.</p>}
      <ul className="people admin-list">
        {tokens?.map(({ name, scopes: granted, createdAt }) => (
          <li key={name}>
            <span className="person">
              <strong>{name}</strong>
              <small className="quiet">{`${granted.join(', ')} · created ${wordWhen(createdAt)}`}</small>
            </span>
            <span className="person-actions">
              <button type="button" onClick={() => setPending({ revoke: name })}>
                Revoke
              </button>
            </span>
          </li>
        ))}
      </ul>
      {pending === 'create' && (
        <ReasonDialog
          title="Create a token"
          onClose={() => setPending(null)}
          fields={
            <>
              <Field label="Name of the service" name="name" pattern="[\w.\-]{1,64}" required />
              <fieldset className="admin-scopes">
                <legend>Scopes</legend>
                {Object.entries(scopes)
                  .filter(([scope]) => !readingScopes.some((reading) => reading === scope))
                  .map(([scope, right]) => (
                    <label key={scope}>
                      <input type="checkbox" name="scope" value={scope} />
                      <span>
                        <code>{scope}</code> <small className="quiet">{right}</small>
                      </span>
                    </label>
                  ))}
              </fieldset>
            </>
          }
          act={async (reason, form) => {
            const input = { name: textOf(form, 'name'), scopes: form.getAll('scope').map(String), reason };
            const { data: made } = await apollo.mutate({
              mutation: AdminCreateServiceTokenDocument,
              variables: { input },
            });
            setToken(made?.adminCreateServiceToken?.token ?? null);
            await refetch();
          }}
        >
          The service can do what its scopes say and nothing else. Scopes with which a service reads messages are given
          on the command line only.
        </ReasonDialog>
      )}
      {pending && pending !== 'create' && (
        <ReasonDialog
          title={`Revoke the token of ${pending.revoke}`}
          onClose={() => setPending(null)}
          act={async (reason) => {
            const input = { name: pending.revoke, reason };
            await apollo.mutate({ mutation: AdminRevokeServiceTokenDocument, variables: { input } });
            await refetch();
          }}
        >
          Requests with the token fail at once.
        </ReasonDialog>
      )}
    </>
  );
}
