import { blockBetween } from '../blocks/blocks.ts';
import type { Context } from '../context.ts';
import { sql } from '../database/database.ts';
import { hint } from '../hints.ts';

/** How many of the messages that were read at once are looked at. */
const MOST_LOOKED_AT = 1_000;

/**
 * Tells senders that every other member has now read their messages up to one of them: after the commit, and never
 * awaited. A hint; `Message.seenByAll` is the truth, and counts the same members.
 *
 * @param readerId who has read on, or is no member any more
 * @param readBefore up to where they had read
 */
export function announceSeen(context: Context, chatroomId: string, readerId: string, readBefore: number): void {
  find(context, chatroomId, readerId, readBefore).then(
    (seen) => {
      for (const { senderId, number } of seen) hint(context.bus, senderId, { kind: 'SEEN', chatroomId, number });
    },
    (error: unknown) => {
      context.log.debug({ error, chatroomId }, 'A sender was not told of being read.');
    },
  );
}

async function find(
  { database }: Context,
  chatroomId: string,
  readerId: string,
  readBefore: number,
): Promise<{ senderId: string; number: number }[]> {
  const reader = sql`${readerId}::uuid`;
  // Blocks among members are few, and looked for once: not for each pair of a sender and a reader.
  return database.prepared(sql`
    WITH marks AS MATERIALIZED (
      SELECT user_id, last_read_number AS mark FROM members
        WHERE chatroom_id = ${chatroomId}::uuid AND may_be_seen_anew(${chatroomId}::uuid, ${reader}, ${readBefore})
    ), walls AS MATERIALIZED (
      SELECT b.blocker_id, b.blocked_id FROM blocks b
        WHERE b.blocker_id IN (SELECT user_id FROM marks) AND b.blocked_id IN (SELECT user_id FROM marks)
    ), latest AS MATERIALIZED (
      SELECT m.sender_id, m.number FROM messages m
        WHERE m.chatroom_id = ${chatroomId}::uuid AND m.kind = 'USER' AND m.deleted_at IS NULL
          AND m.number > ${readBefore} AND m.number <= (SELECT max(mark) FROM marks)
        ORDER BY m.number DESC LIMIT ${MOST_LOOKED_AT}
    ), senders AS (
      SELECT DISTINCT sender_id FROM latest
        WHERE sender_id <> ${reader} AND NOT ${blockBetween(sql`sender_id`, reader)}
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
