import { useQuery } from '@apollo/client/react';
import { AdminWebhooksDocument } from '../../generated/graphql.ts';
import { wordError } from '../errors.ts';
import { Problem } from '../parts/Problem.tsx';
import { wordWhen } from '../words.ts';

/** The webhooks of all services, with their failures. Services manage their own webhooks. */
export function Webhooks() {
  const { data, error, loading, refetch } = useQuery(AdminWebhooksDocument, { fetchPolicy: 'no-cache' });
  const webhooks = data?.admin?.webhooks;
  return (
    <>
      <button type="button" aria-disabled={loading} onClick={() => void refetch()}>
        Load again
      </button>
      <Problem text={error && wordError(error)} />
      {webhooks?.length === 0 && <p>No service has a webhook.</p>}
      <ul className="people admin-list">
        {webhooks?.map((webhook) => (
          <li key={webhook.id}>
            <span className="person">
              <strong>{`${webhook.service}: ${webhook.name}`}</strong>
              <small className="quiet">
                {[
                  webhook.state === 'ACTIVE' ? 'active' : `failed: ${webhook.error ?? 'unknown reason'}`,
                  `${webhook.lag.toLocaleString('en')} events wait`,
                  webhook.lastSuccessAt && `last success ${wordWhen(webhook.lastSuccessAt)}`,
                  webhook.events.join(', '),
                  webhook.url,
                ]
                  .filter(Boolean)
                  .join(' · ')}
              </small>
            </span>
            {webhook.failingChatrooms.length > 0 && (
              <ul className="admin-sessions" aria-label="Rooms that fail">
                {webhook.failingChatrooms.map(({ chatroomId, attempts, lastError, nextAttemptAt }) => (
                  <li key={chatroomId}>
                    <small>
                      {`${chatroomId}: ${attempts} failed attempts, ${lastError ?? 'no response'}, `}
                      {nextAttemptAt ? `next attempt ${new Date(nextAttemptAt).toLocaleTimeString()}` : 'given up'}
                    </small>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}
