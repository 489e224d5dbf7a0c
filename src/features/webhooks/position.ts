import type { Context } from '../../core/context.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { decodeRoomCursor, resyncRequired } from '../../delivery/cursor.ts';
import { resumePosition } from '../../delivery/roomLog.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { faultOfScan } from './deliveryStore.ts';
import { requireWebhook, type Webhook } from './webhooks.ts';

/** Position from which a webhook resumes. At most one field is set; by default, the position where it stopped. */
export interface ResumeFrom {
  /** Room cursor. The next event is the one after it. */
  cursor?: string | null | undefined;
  /** The next events are those that were stored at or after this time. */
  time?: Date | null | undefined;
  /** The next events are those that are committed after the call. */
  now?: boolean | null | undefined;
}

/**
 * Continues a webhook that has failed, or moves its position. Ends the lease, so that a worker reads the cursors again.
 * Each attempt is then due at once.
 *
 * @param chatroomId room to resume; undefined for all rooms; null for an id that names no room
 * @throws ChatError `NOT_FOUND` for an unknown webhook or room; `BAD_USER_INPUT` for an invalid position; `CONFLICT` for
 *   one room of a webhook that has failed as a whole; `RESYNC_REQUIRED` if the log no longer has the events
 */
export async function resumeWebhook(
  context: Context,
  id: string | null,
  chatroomId: string | null | undefined,
  from: ResumeFrom,
): Promise<Webhook> {
  const webhook = await requireWebhook(context, id);
  checkFrom(context, from, chatroomId);
  if (chatroomId === undefined) await resumeAll(context, webhook, from);
  else {
    if (chatroomId === null || (webhook.chatroomId !== null && webhook.chatroomId !== chatroomId))
      throw notFound('chatroom');
    if (webhook.state === 'FAILED')
      throw new ChatError('CONFLICT', 'The webhook has failed in all chatrooms. Resume it without chatroomId.');
    await resumeRoom(context, webhook, chatroomId, from);
  }
  context.webhooks.notifyChanged();
  return requireWebhook(context, id);
}

function checkFrom(context: Context, { cursor, time, now }: ResumeFrom, chatroomId: string | null | undefined): void {
  if (now === false) throw badInput('input.from.now', 'Set now to true, or leave out `from`.');
  if (cursor != null && chatroomId === undefined)
    throw badInput('input.from.cursor', 'A cursor is a position in one chatroom. Set chatroomId, too.');
  if (time && time.getTime() < Date.now() - context.logDays * 24 * 3_600_000)
    throw badInput(
      'input.from.time',
      `The logs contain events of the last ${context.logDays} days. Send a later time.`,
    );
}

async function resumeAll(context: Context, webhook: Webhook, { time, now }: ResumeFrom): Promise<void> {
  const { database, databaseId, logDays } = context;
  await database.transaction(async (query) => {
    await endLease(query, webhook.id);
    if (!time && !now) {
      const fault = await faultOfScan({ query }, webhook.id, databaseId, logDays);
      if (fault !== null) throw new ChatError('RESYNC_REQUIRED', fault);
      await query(sql`
        UPDATE webhook_cursors
          SET attempts = 0, next_attempt_at = NULL, failing_since = NULL, last_error = NULL, failed = false
          WHERE webhook_id = ${webhook.id}::uuid AND (attempts > 0 OR failed)`);
    } else {
      // Without a cursor, a room begins with the first event that `scanned` does not see.
      await query(sql`
        UPDATE webhooks SET scanned = flushed_snapshot(), scanned_at = now(), database_id = ${databaseId}
          WHERE id = ${webhook.id}::uuid`);
      await query(sql`DELETE FROM webhook_cursors WHERE webhook_id = ${webhook.id}::uuid`);
      if (time)
        await query(sql`
          INSERT INTO webhook_cursors (webhook_id, chatroom_id, seq)
            SELECT ${webhook.id}::uuid, e.chatroom_id, min(e.seq) - 1 FROM events e
              WHERE e.created_at >= ${time}::timestamptz
                AND (${webhook.chatroomId}::uuid IS NULL OR e.chatroom_id = ${webhook.chatroomId}::uuid)
              GROUP BY e.chatroom_id`);
    }
    await query(sql`
      UPDATE webhooks SET state = 'ACTIVE', error = NULL, failed_at = NULL WHERE id = ${webhook.id}::uuid`);
  });
}

async function resumeRoom(context: Context, { id }: Webhook, chatroomId: string, from: ResumeFrom): Promise<void> {
  const { database } = context;
  const [room] = await database.query<{ lastSeq: number; seq: number | null; since: number | null }>(sql`
    SELECT c.last_seq AS "lastSeq", k.seq, (SELECT min(e.seq) FROM events e
        WHERE e.chatroom_id = c.id AND e.created_at >= ${from.time ?? null}::timestamptz) AS since
      FROM chatrooms c LEFT JOIN webhook_cursors k ON k.chatroom_id = c.id AND k.webhook_id = ${id}::uuid
      WHERE c.id = ${chatroomId}::uuid`);
  if (!room) throw notFound('chatroom');
  const seq = await seqOf(context, chatroomId, room, from);
  // The room has had no events yet.
  if (seq === null) return;
  await database.transaction(async (query) => {
    await endLease(query, id);
    await query(sql`
      INSERT INTO webhook_cursors (webhook_id, chatroom_id, seq) VALUES (${id}::uuid, ${chatroomId}::uuid, ${seq}::int)
        ON CONFLICT (webhook_id, chatroom_id) DO UPDATE
          SET seq = excluded.seq, attempts = 0, next_attempt_at = NULL, failing_since = NULL, last_error = NULL,
              failed = false`);
  });
}

async function seqOf(
  context: Context,
  chatroomId: string,
  room: { lastSeq: number; seq: number | null; since: number | null },
  { cursor, time, now }: ResumeFrom,
): Promise<number | null> {
  if (cursor != null) {
    const decoded = decodeRoomCursor(context.databaseId, chatroomId, cursor, 'input.from.cursor');
    return (await resumePosition(context, decoded, room.lastSeq)).seq;
  }
  if (now) return room.lastSeq;
  if (time) return room.since === null ? room.lastSeq : room.since - 1;
  if (room.seq !== null && room.seq < room.lastSeq) {
    const [next] = await context.database.query(sql`
      SELECT 1 AS found FROM events WHERE chatroom_id = ${chatroomId}::uuid AND seq = ${room.seq + 1}::int`);
    if (!next) throw resyncRequired('Events after the cursor of the webhook have been deleted.');
  }
  return room.seq;
}

/** Ends the lease of a webhook. Locks the row first, so that no worker moves a cursor with an older scan. */
async function endLease(query: Database['query'], id: string): Promise<void> {
  await query(sql`UPDATE webhooks SET lease_id = NULL, lease_until = NULL WHERE id = ${id}::uuid`);
}
