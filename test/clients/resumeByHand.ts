import { createClient } from 'graphql-ws';
import { onTestFinished } from 'vitest';
import WebSocket from 'ws';
import type { Person } from '../support/client.ts';

/**
 * Subscribes with the graphql-ws client and resumes by hand. The client sends the same payload object again after it
 * reconnects, and each event writes its cursor into that payload.
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
    // A server that is still starting refuses the connection, which graphql-ws does not retry by default.
    shouldRetry: () => true,
    retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, Math.min(100 * 2 ** retries, 2_000))),
  });
  onTestFinished(() => {
    // The server may have stopped already, so that a reconnection is refused.
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
