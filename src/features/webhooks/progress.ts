import type { Context } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import { createLoader } from '../../platform/database/loader.ts';

/** A room in which a webhook has failed. */
export interface FailingRoom {
  webhookId: string;
  chatroomId: string;
  /** Position of the event that failed. */
  seq: number;
  attempts: number;
  lastError: string | null;
  failingSince: Date | null;
  nextAttemptAt: Date | null;
  /** Whether the webhook has given up on the room. */
  failed: boolean;
  /** Number of events that wait. */
  lag: number;
}

/** Maximum number of failing rooms that are listed. */
export const MAX_FAILING_ROOMS = 100;
/** Maximum number of events in rooms without a cursor that are counted. */
const MAX_COUNTED = 10_000;

const lagByWebhook = createLoader<{ id: string; lag: number }>(
  ({ database }, ids) =>
    database.query(sql`
      SELECT w.id, (
          coalesce((SELECT sum(c.last_seq - k.seq) FROM webhook_cursors k JOIN chatrooms c ON c.id = k.chatroom_id
            WHERE k.webhook_id = w.id), 0)
          + (SELECT count(*) FROM (SELECT FROM events e
              WHERE e.xid >= pg_snapshot_xmin(w.scanned) AND NOT pg_visible_in_snapshot(e.xid, w.scanned)
                AND (w.chatroom_id IS NULL OR w.chatroom_id = e.chatroom_id)
                AND NOT EXISTS (SELECT FROM webhook_cursors k WHERE k.webhook_id = w.id AND k.chatroom_id = e.chatroom_id)
              LIMIT ${MAX_COUNTED}::int) unscanned)
        )::int AS lag
        FROM webhooks w WHERE w.id = ANY (${ids}::uuid[])`),
  ({ id }) => id,
);

/** Returns the number of events, of all kinds, that a webhook has not delivered or left out yet. */
export async function lagOf(context: Context, webhookId: string): Promise<number> {
  return (await lagByWebhook(context, webhookId))?.lag ?? 0;
}

const failingByWebhook = createLoader<{ id: string; rooms: FailingRoom[] }>(
  async ({ database }, ids) => {
    const rows = await database.query<FailingRoom>(sql`
      SELECT k.* FROM unnest(${ids}::uuid[]) w (id) CROSS JOIN LATERAL (
        SELECT k.webhook_id AS "webhookId", k.chatroom_id AS "chatroomId", k.seq + 1 AS seq, k.attempts, k.failed,
            k.last_error AS "lastError", k.failing_since AS "failingSince", k.next_attempt_at AS "nextAttemptAt",
            c.last_seq - k.seq AS lag
          FROM webhook_cursors k JOIN chatrooms c ON c.id = k.chatroom_id
          WHERE k.webhook_id = w.id AND (k.attempts > 0 OR k.failed)
          ORDER BY k.failing_since, k.chatroom_id LIMIT ${MAX_FAILING_ROOMS}::int
      ) k`);
    return ids.map((id) => ({ id, rooms: rows.filter(({ webhookId }) => webhookId === id) }));
  },
  ({ id }) => id,
);

/** Lists the rooms in which a webhook has failed, those that fail for the longest time first. */
export async function failingRoomsOf(context: Context, webhookId: string): Promise<FailingRoom[]> {
  return (await failingByWebhook(context, webhookId))?.rooms ?? [];
}
