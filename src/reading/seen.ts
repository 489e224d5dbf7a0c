import type { Logger } from 'pino';
import { blockBetween } from '../blocks/blocks.ts';
import { type Database, sql } from '../database/database.ts';
import { hint } from '../hints.ts';
import type { Bus } from '../realtime/bus.ts';
import { publishReadMarks } from './readMarks.ts';

/** How many of the messages that were read at once are looked at. */
const MOST_LOOKED_AT = 1_000;
/** For so long the readers of a room are gathered. Where many speak, each message moves a mark, and a look costs more than it. */
const GATHERED_MS = 100;

/**
 * Tells senders that every other member has now read their messages up to one of them: soon after the commit, and never
 * awaited. A hint; `Message.seenByAll` is the truth, and counts the same members.
 *
 * @param readerId who has read on, or is no member any more
 * @param readBefore up to where they had read
 */
export type AnnounceSeen = (chatroomId: string, readerId: string, readBefore: number) => void;

/** The same for all of one node, with one look for those who read on in a room in the same moment. */
export function createSeen(node: { database: Database; bus: Bus; log: Logger }): AnnounceSeen {
  const rooms = new Map<string, Map<string, number>>();

  async function tell(chatroomId: string, readers: ReadonlyMap<string, number>): Promise<void> {
    try {
      for (const { senderId, number } of await find(node.database, chatroomId, readers))
        hint(node.bus, senderId, { kind: 'SEEN', chatroomId, number });
    } catch (error) {
      node.log.debug({ error, chatroomId }, 'Senders were not told of being read.');
    }
  }

  function gather(chatroomId: string): Map<string, number> {
    const readers = new Map<string, number>();
    rooms.set(chatroomId, readers);
    setTimeout(() => {
      rooms.delete(chatroomId);
      publishReadMarks(node.bus, chatroomId, [...readers.keys()]);
      void tell(chatroomId, readers);
    }, GATHERED_MS).unref();
    return readers;
  }

  return (chatroomId, readerId, readBefore) => {
    const readers = rooms.get(chatroomId) ?? gather(chatroomId);
    readers.set(readerId, Math.min(readBefore, readers.get(readerId) ?? readBefore));
  };
}

async function find(
  database: Database,
  chatroomId: string,
  readers: ReadonlyMap<string, number>,
): Promise<{ senderId: string; number: number }[]> {
  // Blocks among members are few, and looked for once: not for each pair of a sender and a reader.
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
        ORDER BY m.number DESC LIMIT ${MOST_LOOKED_AT}
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
