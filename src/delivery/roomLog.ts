import type { Context } from '../core/context.ts';
import { type Database, raw, type Sql, sql } from '../platform/database/database.ts';
import { createLoader } from '../platform/database/loader.ts';
import type { EventKind } from '../platform/database/generated/enums.ts';
import { type RoomCursor, resyncRequired } from './cursor.ts';

/** An event of a room. Its `seq` is its position in the order that all members see: 1, 2, 3 … without gaps. */
export interface LogEvent {
  chatroomId: string;
  seq: number;
  kind: EventKind | 'ATTACHMENTS_CHANGED';
  /** Number of the message that the event concerns. Null if the event concerns no message. */
  number: number | null;
  /** User that the event concerns. Null if the event concerns no user. */
  userId: string | null;
  /** User who caused the event. Null if the operator caused it, and for events that earlier releases wrote. */
  actorId: string | null;
}

/**
 * An event with the data that subscribers receive. A node reads each event once, and all streams deliver the same
 * object. Each feature adds its data to this interface with `declare module`.
 */
export interface RoomEvent extends LogEvent {
  /**
   * Marks an event that all subscribers receive as the same object. Such an event can be executed once for all of them.
   */
  isShared: true;
  /** Cursor of the position after the event. */
  cursor: string;
}

/** Names of the fields of `LogEvent`, for SQL column lists. */
export const eventFields = [
  'chatroomId',
  'seq',
  'kind',
  'number',
  'userId',
  'actorId',
] as const satisfies (keyof LogEvent)[];

/** Result of a database function that changes a room or a message. */
export interface Change {
  outcome: string;
  /** The `seq` of the new last event in the room's log. Null if the log has not grown. */
  seq: number | null;
}

/** Maximum number of events that one query reads. */
export const LOG_PAGE_SIZE = 200;
/**
 * A literal instead of a parameter. With a LIMIT parameter, PostgreSQL would plan as if the query returned a tenth of
 * the log.
 */
const limit = raw(String(LOG_PAGE_SIZE));

/**
 * Returns a subquery for the rows of `events` after `seq`, at most {@link LOG_PAGE_SIZE}.
 *
 * The page has no gaps. A transaction that writes an event locks the room until the commit, so events commit in the
 * order of their `seq`.
 */
export function pageAfter(chatroomId: string, seq: number): Sql {
  return sql`(SELECT * FROM events WHERE chatroom_id = ${chatroomId}::uuid AND seq > ${seq}::int ORDER BY seq LIMIT ${limit})`;
}

/**
 * Maximum number of events between a cursor's `asOf` snapshot and its `seq`. A cursor with more events in between is
 * refused with `RESYNC_REQUIRED`. One operation creates both. It lasts at most 10 s, and a room can have about 1,000
 * events per second.
 */
const MAX_EVENTS_SINCE_AS_OF = 10_000;

/**
 * Returns the start position of a stream that resumes from `cursor`. The stream begins after event `seq` and leaves out
 * `MESSAGE_ADDED` events of messages up to `number`.
 *
 * A cursor comes from a client and may be forged. Its age is checked with two index lookups before the log is read.
 *
 * @param lastSeq the current last event of the room
 * @throws ChatError `RESYNC_REQUIRED` if the event after the cursor has been deleted or is older than LOG_DAYS, or if
 *   more than {@link MAX_EVENTS_SINCE_AS_OF} events lie between the cursor's `asOf` snapshot and its `seq`. Also if the
 *   database was restored from a backup older than the cursor.
 */
export async function resumePosition(
  context: Context,
  cursor: RoomCursor,
  lastSeq: number,
): Promise<{ seq: number; number: number }> {
  if (cursor.seq > lastSeq) throw resyncRequired('This database is older than the cursor.');
  const seq = cursor.asOf === undefined ? cursor.seq : await lastSeenBy(context, cursor, cursor.asOf);
  if (seq < lastSeq) await requireRecent(context.database, cursor.chatroomId, seq + 1, context.logDays);
  return { seq, number: cursor.kind === 'message' ? cursor.number : 0 };
}

/** `key` has the room, the `seq` and the snapshot, separated by spaces. */
const firstUnseen = createLoader<{ key: string; unseen: number | null; known: boolean }>(
  ({ database }, keys) => {
    const [rooms, seqs, snapshots] = [0, 1, 2].map((part) => keys.map((key) => key.split(' ')[part]));
    return database.prepared(sql`
      SELECT k.key, pg_snapshot_xmax(k.snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
        (SELECT e.seq FROM events e WHERE e.chatroom_id = k.chatroom_id AND e.seq <= k.seq
            AND e.seq > coalesce(last_seen_seq(k.chatroom_id, k.snapshot, k.seq), 0)
          ORDER BY e.seq LIMIT 1) AS unseen
        FROM unnest(${keys}::text[], ${rooms}::uuid[], ${seqs}::int[], ${snapshots}::pg_snapshot[])
          k (key, chatroom_id, seq, snapshot)`);
  },
  ({ key }) => key,
);

/**
 * Returns the `seq` of the last event that the cursor's snapshot sees, at most `cursor.seq`. The snapshot also sees all
 * earlier events of the room, because they committed in order.
 */
async function lastSeenBy(context: Context, { chatroomId, seq }: RoomCursor, asOf: string): Promise<number> {
  const found = await firstUnseen(context, `${chatroomId} ${seq} ${asOf}`);
  if (!found?.known) throw resyncRequired('This database is older than the cursor.');
  if (found.unseen === null) return seq;
  if (seq - found.unseen >= MAX_EVENTS_SINCE_AS_OF)
    throw resyncRequired('Too many events have been added since this cursor.');
  return found.unseen - 1;
}

async function requireRecent(database: Database, chatroomId: string, seq: number, days: number): Promise<void> {
  const [next] = await database.prepared<{ recent: boolean }>(sql`
    SELECT created_at >= now() - make_interval(days => ${days}::int) AS recent FROM events
      WHERE chatroom_id = ${chatroomId}::uuid AND seq = ${seq}::int`);
  if (!next?.recent) throw resyncRequired('Events after this cursor have been deleted.');
}

/** Maximum number of events that one statement deletes. */
const PRUNE_BATCH_SIZE = 10_000;

/**
 * Deletes log events, membership changes and endings that are too old to be delivered.
 *
 * The last event of each room stays, so that a current cursor can be distinguished from a cursor that is too old.
 * Events are deleted in log order, so that the rest of a room's log never has a gap.
 *
 * @param days age in days from which events and membership changes are deleted; endings are deleted after one day
 */
export async function pruneLog(database: Database, days: number): Promise<void> {
  const prune = sql`
    DELETE FROM events e USING (
      SELECT o.chatroom_id, o.seq FROM events o JOIN chatrooms c ON c.id = o.chatroom_id
        WHERE o.created_at < now() - make_interval(days => ${days}) AND o.seq < c.last_seq
        ORDER BY o.chatroom_id, o.seq LIMIT ${PRUNE_BATCH_SIZE}
    ) old WHERE e.chatroom_id = old.chatroom_id AND e.seq = old.seq RETURNING 1`;
  while ((await database.query(prune)).length > 0);
  // The last event of a room stays, so the ids of deleted users are removed from it. An event without its user becomes
  // the neutral CHATROOM_UPDATED.
  await database.query(sql`
    UPDATE events e SET kind = 'CHATROOM_UPDATED', user_id = NULL, actor_id = NULL
      WHERE e.created_at < now() - make_interval(days => ${days}) AND e.user_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM users u WHERE u.id = e.user_id)`);
  await database.query(sql`
    UPDATE events e SET actor_id = NULL
      WHERE e.created_at < now() - make_interval(days => ${days}) AND e.actor_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM users u WHERE u.id = e.actor_id)`);
  await database.query(sql`SELECT prune_membership_changes(${days})`);
  await database.query(sql`DELETE FROM endings WHERE ended_at < now() - interval '1 day'`);
}
