import { createClient } from 'graphql-ws';
import { onTestFinished } from 'vitest';
import WebSocket from 'ws';
import type { Person } from '../support/client.ts';

/**
 * How graphql-ws's own client resumes: it sends the same payload again when it comes back, and the cursor in it is that of
 * the last event.
 */
export function resumeByHand(
  person: Person,
  query: string,
  variables: Record<string, unknown>,
  onEvent: (event: any) => void,
): void {
  const client = createClient({
    url: `${person.url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: () => ({ authorization: `Bearer ${person.accessToken}` }),
    retryAttempts: Infinity,
    // A server that is not there yet refuses the connection, which is no close event.
    shouldRetry: () => true,
    retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** retries, 2_000))),
  });
  onTestFinished(() => {
    // The server may have gone first, and whoever comes back to it then is refused.
    void Promise.resolve(client.dispose()).catch(() => undefined);
  });
  const resuming = { ...variables };
  client.subscribe<Record<string, { cursor: string }>>(
    { query, variables: resuming },
    {
      next({ data }) {
        for (const event of Object.values(data ?? {})) {
          resuming['after'] = event.cursor;
          onEvent(event);
        }
      },
      error: () => undefined,
      complete: () => undefined,
    },
  );
}
