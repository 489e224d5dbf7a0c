import { sql } from '../../platform/database/database.ts';
import type { Command } from './command.ts';
import { printable } from './printable.ts';

interface ListedWebhook {
  service: string;
  name: string;
  url: string;
  state: string;
  error: string | null;
  hasToken: boolean;
  failing: number;
  failed: number;
  lag: number;
}

/** Commands for the webhooks of services. */
export const webhookCommands: Record<string, Command> = {
  'list-webhooks': {
    parameters: [],
    help: 'Lists the webhooks of all services: state, events that wait in known rooms, rooms that fail, service, name and URL.',
    async run({ open }) {
      const { query } = await open();
      const webhooks = await query<ListedWebhook>(sql`
        SELECT w.service, w.name, w.url, w.state, w.error,
            EXISTS (SELECT FROM service_tokens t WHERE t.name = w.service AND 'webhooks:write' = ANY (t.scopes)) AS "hasToken",
            count(k.*) FILTER (WHERE k.attempts > 0 AND NOT k.failed)::int AS failing,
            count(k.*) FILTER (WHERE k.failed)::int AS failed,
            coalesce(sum(c.last_seq - k.seq), 0)::int AS lag
          FROM webhooks w LEFT JOIN webhook_cursors k ON k.webhook_id = w.id LEFT JOIN chatrooms c ON c.id = k.chatroom_id
          GROUP BY w.id ORDER BY w.service, w.name`);
      return webhooks.map(lineOf).join('\n') || 'There are no webhooks.';
    },
  },
};

function lineOf({ service, name, url, state, error, hasToken, failing, failed, lag }: ListedWebhook): string {
  const shown = state === 'ACTIVE' && !hasToken ? 'WAITS' : state;
  const counts = `${lag} waiting, ${failing} rooms failing, ${failed} rooms failed`;
  const reason = shown === 'WAITS' ? 'the service has no token with the scope webhooks:write' : (error ?? '');
  return [shown.padEnd(6), counts, service, printable(name), printable(url), printable(reason)]
    .filter(Boolean)
    .join('  ');
}
