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
  return database.query(sql`
    WITH marks AS MATERIALIZED (
      SELECT user_id, last_read_number AS mark FROM members WHERE chatroom_id = ${chatroomId}::uuid
    ), senders AS (
      SELECT DISTINCT sender_id FROM (
        SELECT m.sender_id FROM messages m
          WHERE m.chatroom_id = ${chatroomId}::uuid AND m.number > ${readBefore} AND m.kind = 'USER' AND m.deleted_at IS NULL
          ORDER BY m.number DESC LIMIT ${MOST_LOOKED_AT}
      ) latest
      WHERE sender_id <> ${reader} AND NOT ${blockBetween(sql`sender_id`, reader)}
    )
    SELECT s.sender_id AS "senderId", read.number FROM senders s
      CROSS JOIN LATERAL (
        SELECT min(r.mark) AS mark FROM marks r
          WHERE r.user_id <> s.sender_id AND NOT ${blockBetween(sql`r.user_id`, sql`s.sender_id`)}
      ) lowest
      CROSS JOIN LATERAL (
        SELECT max(m.number) AS number FROM messages m
          WHERE m.chatroom_id = ${chatroomId}::uuid AND m.sender_id = s.sender_id AND m.deleted_at IS NULL
            AND m.number > ${readBefore} AND m.number <= lowest.mark
      ) read
      WHERE read.number IS NOT NULL AND may_be_seen_anew(${chatroomId}::uuid, ${reader}, ${readBefore})`);
}
