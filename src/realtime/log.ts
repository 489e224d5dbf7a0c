import { columnsOf, type Database, raw, type Sql, sql } from '../database/database.ts';
import type { EventKind } from '../database/generated/enums.ts';
import { type RoomCursor, resyncRequired } from './cursor.ts';

/** One thing that happened in a room. Its `seq` is its place in the one order that all members see. */
export interface LogEvent {
  chatroomId: string;
  seq: number;
  kind: EventKind;
  /** The message that it is about. */
  number: number | null;
  /** The user that it is about. */
  userId: string | null;
  /** The user who caused it. Null for the operator, and for events of earlier releases. */
  actorId: string | null;
}

export const eventFields = [
  'chatroomId',
  'seq',
  'kind',
  'number',
  'userId',
  'actorId',
] as const satisfies (keyof LogEvent)[];
const eventColumns = columnsOf('e', eventFields);

/** What the database's functions answer that change a room or a message. */
export interface Change {
  outcome: string;
  /** Up to where the room's log has grown; null where it has not. */
  seq: number | null;
}

/** How many events are read at once. */
export const PAGE = 200;
/** Not a parameter, for which PostgreSQL would plan as if it were a tenth of the log. */
const limit = raw(String(PAGE));

/** The rows of `events` that are the page of a room's log after `seq`. */
export function pageAfter(chatroomId: string, seq: number): Sql {
  return sql`(SELECT * FROM events WHERE chatroom_id = ${chatroomId}::uuid AND seq > ${seq}::int ORDER BY seq LIMIT ${limit})`;
}

/**
 * Reads what happened in a room after `seq`, oldest first, at most a page of it.
 *
 * Complete as far as it goes: whoever writes an event holds the room's lock until the commit, so what is
 * committed is always 1..n without holes.
 */
export async function readEvents(database: Database, chatroomId: string, seq: number): Promise<LogEvent[]> {
  return database.prepared<LogEvent>(sql`
    SELECT ${eventColumns} FROM ${pageAfter(chatroomId, seq)} e ORDER BY e.seq`);
}

/** Events between a cursor and its floor: an operation lasts at most 10 s, and a room takes about 1,000 events a second. */
const MAX_FLOOR_REACH = 10_000;

/**
 * Returns where a stream that resumes from `cursor` begins: after the event `seq`, without added messages up to `number`.
 *
 * A cursor comes from a client and may be forged. Its age is checked with two index lookups before the log is read.
 *
 * @param lastSeq the room's last event now
 * @throws ChatError `RESYNC_REQUIRED` if the event after the cursor has been cleared away or is older than LOG_DAYS, or if the
 *   log never held the cursor's event: the database was restored from a backup that is older than the cursor
 */
export async function resumePosition(
  { database, logDays }: { database: Database; logDays: number },
  cursor: RoomCursor,
  lastSeq: number,
): Promise<{ seq: number; number: number }> {
  if (cursor.seq > lastSeq) throw resyncRequired('This database is older than the cursor.');
  const seq = cursor.floor === undefined ? cursor.seq : await lastSeenBy(database, cursor, cursor.floor);
  if (seq < lastSeq) await requireRecent(database, cursor.chatroomId, seq + 1, logDays);
  return { seq, number: cursor.kind === 'message' ? cursor.number : 0 };
}

/** The last event up to the cursor that the cursor's snapshot saw: within a room, it saw all before that. */
async function lastSeenBy(database: Database, cursor: RoomCursor, floor: string): Promise<number> {
  const [found] = await database.query<{ unseen: number | null; known: boolean }>(sql`
    SELECT pg_snapshot_xmax(${floor}::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
      (SELECT seq FROM events WHERE chatroom_id = ${cursor.chatroomId}::uuid AND seq <= ${cursor.seq}
          AND seq > coalesce(last_seen_seq(${cursor.chatroomId}::uuid, ${floor}::pg_snapshot, ${cursor.seq}::int), 0)
        ORDER BY seq LIMIT 1) AS unseen`);
  if (!found?.known) throw resyncRequired('This database is older than the cursor.');
  if (found.unseen === null) return cursor.seq;
  if (cursor.seq - found.unseen >= MAX_FLOOR_REACH) throw resyncRequired('Too much has happened since.');
  return found.unseen - 1;
}

async function requireRecent(database: Database, chatroomId: string, seq: number, days: number): Promise<void> {
  const [next] = await database.prepared<{ recent: boolean }>(sql`
    SELECT created_at >= now() - make_interval(days => ${days}::int) AS recent FROM events
      WHERE chatroom_id = ${chatroomId}::uuid AND seq = ${seq}::int`);
  if (!next?.recent) throw resyncRequired('What followed this cursor has been cleared away.');
}

/** How many events are cleared away at once. */
const BATCH = 10_000;

/**
 * Clears away what is older than so many days; of each room the last event stays, so that a cursor can be told from one that
 * is too old. In the order of the log, so that what is left of a room never has a hole.
 */
export async function pruneLog(database: Database, days: number): Promise<void> {
  const prune = sql`
    DELETE FROM events e USING (
      SELECT o.chatroom_id, o.seq FROM events o JOIN chatrooms c ON c.id = o.chatroom_id
        WHERE o.created_at < now() - make_interval(days => ${days}) AND o.seq < c.last_seq
        ORDER BY o.chatroom_id, o.seq LIMIT ${BATCH}
    ) old WHERE e.chatroom_id = old.chatroom_id AND e.seq = old.seq RETURNING 1`;
  while ((await database.query(prune)).length > 0);
  // The last event of a room stays, but not the id of somebody who is gone: it says no more than that something was changed.
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
