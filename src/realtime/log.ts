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
}

export const eventFields = ['chatroomId', 'seq', 'kind', 'number', 'userId'] as const satisfies (keyof LogEvent)[];
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

/** An operation may last 10 s and a room takes some 1,000 events a second: further back no floor reaches. */
const FLOOR_REACH = 10_000;

/**
 * Where a stream that resumes from `cursor` has to begin: at what follows `seq`, but without the adding of
 * messages up to `number`.
 *
 * Whether the log still holds what followed is seen by whoever reads it, which is done once for all who come back.
 *
 * @param lastSeq the room's last event now
 * @throws ChatError `RESYNC_REQUIRED` if the log never held it: the database was restored from a backup that is older than
 *   the cursor
 */
export async function resumePosition(
  database: Database,
  cursor: RoomCursor,
  lastSeq: number,
): Promise<{ seq: number; number: number }> {
  if (cursor.seq > lastSeq) throw resyncRequired('This database is older than the cursor.');
  const seq = cursor.floor === undefined ? cursor.seq : await lastSeenBy(database, cursor, cursor.floor);
  return { seq, number: cursor.kind === 'message' ? cursor.number : 0 };
}

/** The last event up to the cursor that the cursor's snapshot saw: within a room, it saw all before that. */
async function lastSeenBy(database: Database, cursor: RoomCursor, floor: string): Promise<number> {
  const [found] = await database.query<{ first: number | null; unseen: number; known: boolean }>(sql`
    SELECT min(seq) AS first, count(*)::int AS unseen,
           pg_snapshot_xmax(${floor}::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS known
      FROM (
        SELECT seq, xid FROM events
          WHERE chatroom_id = ${cursor.chatroomId}::uuid AND seq <= ${cursor.seq}
          ORDER BY seq DESC LIMIT ${FLOOR_REACH}
      ) latest
      WHERE NOT pg_visible_in_snapshot(xid, ${floor}::pg_snapshot)`);
  if (!found?.known) throw resyncRequired('This database is older than the cursor.');
  if (found.unseen === FLOOR_REACH) throw resyncRequired('Too much has happened since.');
  return found.first === null ? cursor.seq : found.first - 1;
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
    UPDATE events e SET kind = 'CHATROOM_UPDATED', user_id = NULL
      WHERE e.created_at < now() - make_interval(days => ${days}) AND e.user_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM users u WHERE u.id = e.user_id)`);
  await database.query(sql`DELETE FROM endings WHERE ended_at < now() - interval '1 day'`);
}
