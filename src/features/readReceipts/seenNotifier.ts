import type { Logger } from 'pino';
import { blockBetween } from '../relationships/blocks.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { publishHint } from '../../delivery/userHints.ts';
import type { Bus } from '../../platform/redis/bus.ts';
import { publishReadMarks } from './readMarks.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    /** Notifies senders when all members have read their messages. */
    notifyReadByAll: NotifyReadByAll;
  }
}

/** Maximum number of newly read messages that are checked. Senders of older messages are not notified. */
const MAX_MESSAGES = 1_000;
/**
 * Time for which moved read marks of a room are collected, in milliseconds. One query then finds the messages that all
 * members have read. In a busy room, each message moves read marks, and the query costs more than storing the message.
 */
const BATCH_MS = 100;

/**
 * Notifies senders when every other member has read their messages. Leaves out members whose read marks a block hides.
 * Call after the commit. Returns at once; the senders are notified after {@link BATCH_MS}. Notifications can be lost;
 * `Message.seenByAll` returns the current state.
 *
 * @param readerId the user whose read mark has moved, or who is no longer a member
 * @param readBefore number of the last message that the user had read before; null if no sender needs a notification, so
 *   that only the mark is published
 */
export type NotifyReadByAll = (chatroomId: string, readerId: string, readBefore: number | null) => void;

/**
 * Creates the notifier of one node. One query checks all readers of a room whose marks move within {@link BATCH_MS}.
 * The notifier also publishes the moved read marks.
 */
export function createReadNotifier(node: { database: Database; bus: Bus; log: Logger }): NotifyReadByAll {
  const rooms = new Map<string, Map<string, number | null>>();

  async function notify(chatroomId: string, readers: ReadonlyMap<string, number | null>): Promise<void> {
    const marks = [...readers].flatMap(([id, mark]) => (mark === null ? [] : [[id, mark] as const]));
    if (marks.length === 0) return;
    try {
      for (const { senderId, number } of await find(node.database, chatroomId, new Map(marks)))
        publishHint(node.bus, senderId, { kind: 'SEEN', chatroomId, number });
    } catch (error) {
      node.log.debug({ error, chatroomId }, 'Senders were not notified of read messages.');
    }
  }

  function collect(chatroomId: string): Map<string, number | null> {
    const readers = new Map<string, number | null>();
    rooms.set(chatroomId, readers);
    setTimeout(() => {
      rooms.delete(chatroomId);
      publishReadMarks(node.bus, chatroomId, [...readers.keys()]);
      void notify(chatroomId, readers);
    }, BATCH_MS).unref();
    return readers;
  }

  return (chatroomId, readerId, readBefore) => {
    const readers = rooms.get(chatroomId) ?? collect(chatroomId);
    const before = readers.get(readerId) ?? readBefore;
    readers.set(readerId, before === null || readBefore === null ? before : Math.min(readBefore, before));
  };
}

async function find(
  database: Database,
  chatroomId: string,
  readers: ReadonlyMap<string, number>,
): Promise<{ senderId: string; number: number }[]> {
  // `walls` reads the few blocks between members once, instead of once for each pair of a sender and a reader.
  return database.prepared(sql`
    WITH readers AS MATERIALIZED (
      SELECT id, mark FROM unnest(${[...readers.keys()]}::uuid[], ${[...readers.values()]}::int[]) r (id, mark)
        WHERE may_be_seen_anew(${chatroomId}::uuid, id, mark)
    ), marks AS MATERIALIZED (
      SELECT user_id, last_read_number AS mark FROM members
        WHERE chatroom_id = ${chatroomId}::uuid AND EXISTS (SELECT FROM readers)
    ), walls AS MATERIALIZED (
      SELECT b.blocker_id, b.blocked_id FROM blocks b
        WHERE b.blocker_id IN (SELECT user_id FROM marks) AND b.blocked_id IN (SELECT user_id FROM marks)
    ), latest AS MATERIALIZED (
      SELECT m.sender_id, m.number FROM messages m
        WHERE m.chatroom_id = ${chatroomId}::uuid AND m.kind = 'USER' AND m.deleted_at IS NULL
          AND m.number > (SELECT min(mark) FROM readers) AND m.number <= (SELECT max(mark) FROM marks)
        ORDER BY m.number DESC LIMIT ${MAX_MESSAGES}
    ), senders AS (
      SELECT sender_id FROM (SELECT DISTINCT sender_id FROM latest) s
        WHERE EXISTS (SELECT FROM readers r WHERE r.id <> sender_id AND NOT ${blockBetween(sql`sender_id`, sql`r.id`)})
    )
    SELECT s.sender_id AS "senderId", max(l.number) AS number FROM senders s
      JOIN latest l ON l.sender_id = s.sender_id
      WHERE l.number <= (
        SELECT min(r.mark) FROM marks r
          WHERE r.user_id <> s.sender_id AND NOT EXISTS (
            SELECT FROM walls w WHERE (w.blocker_id = r.user_id AND w.blocked_id = s.sender_id)
                                   OR (w.blocker_id = s.sender_id AND w.blocked_id = r.user_id)))
      GROUP BY s.sender_id`);
}
