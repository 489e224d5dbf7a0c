import type { ChatroomRow } from '../chatrooms/chatrooms.ts';
import { type Context, requireViewer, type ServerNode } from '../../core/context.ts';
import { notFound } from '../../core/errors.ts';
import { keyTable, sql, type Sql } from '../../platform/database/database.ts';
import { createLoader, createViewerLoader, type OfViewer, SMALL_BATCHES } from '../../platform/database/loader.ts';
import { isReadable } from '../messages/messages.ts';

/** Maximum number of unread messages that are counted. This also limits the cost of counting. */
const MAX_UNREAD_COUNT = 1_000;

/** Condition that a message (`m`) can be unread. SYSTEM messages count only if sent with `countsAsUnread`. */
const isCounted = sql`((m.kind = 'USER' OR m.counts_as_unread) AND m.deleted_at IS NULL)`;

/** Number of the last message that the membership `v` has read in the view of its own user. */
const ownMark = sql`coalesce(v.unread_after, v.last_read_number)`;

/**
 * Returns the SQL condition that a message (`m`) is unread for a user with the membership `v`. The message must be
 * after the user's mark, have another sender, be readable for the user, and not be deleted. SYSTEM messages count only
 * if sent with `countsAsUnread`.
 */
export function isUnread(user: Sql): Sql {
  return sql`(${isCounted} AND m.number > ${ownMark}
    AND m.sender_id IS DISTINCT FROM ${user} AND ${isReadable(user)})`;
}

/** Selects the unread messages of the membership `v`, at most {@link MAX_UNREAD_COUNT}. */
const unreadIn = sql`
  SELECT FROM messages m WHERE m.chatroom_id = v.chatroom_id AND ${isUnread(sql`v.user_id`)} LIMIT ${MAX_UNREAD_COUNT}`;

/**
 * Counts the unread messages of many viewers. Reads the messages of each room once, because a message changes the counts
 * of all members: 30 counts of 200 messages took 10 to 14 ms one by one, and take 3 to 8 ms together.
 *
 * `sent` has the newest messages of a room as one list of numbers per sender. Older messages matter only to a viewer who
 * has not read any of `sent`, and to whom some of them do not count. That viewer's messages are counted one by one.
 */
const unreadByChatroom = createViewerLoader<OfViewer & { chatroomId: string; unread: number }>(
  ({ database }, keys) =>
    database.prepared(sql`
      WITH asked AS MATERIALIZED (
        SELECT v.user_id, v.chatroom_id, ${ownMark} AS mark, v.unread_after, v.last_read_number, v.user_id || ARRAY(
            SELECT b.blocked_id FROM blocks b JOIN chatrooms c ON c.id = v.chatroom_id AND c.kind <> 'DIRECT'
              WHERE b.blocker_id = v.user_id) AS ignored
          FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, chatroom_id)
          JOIN members v ON v.user_id = k.viewer_id AND v.chatroom_id = k.chatroom_id
      ), sent AS MATERIALIZED (
        SELECT r.chatroom_id, m.sender_id, array_agg(m.number ORDER BY m.number) AS numbers
          FROM (SELECT chatroom_id, min(mark) AS mark FROM asked GROUP BY chatroom_id) r CROSS JOIN LATERAL (
            SELECT m.number, m.sender_id FROM messages m
              WHERE m.chatroom_id = r.chatroom_id AND m.number > r.mark AND ${isCounted}
              ORDER BY m.number DESC LIMIT ${MAX_UNREAD_COUNT}
          ) m GROUP BY r.chatroom_id, m.sender_id
      ), ends AS MATERIALIZED (
        SELECT chatroom_id, min(numbers[1]) AS oldest FROM sent
          GROUP BY chatroom_id HAVING sum(cardinality(numbers)) = ${MAX_UNREAD_COUNT}
      )
      SELECT v.user_id AS "viewerId", v.chatroom_id AS "chatroomId", CASE
          WHEN recent.unread < ${MAX_UNREAD_COUNT} AND v.mark < (SELECT oldest FROM ends WHERE chatroom_id = v.chatroom_id)
          THEN (SELECT count(*)::int FROM (${unreadIn}) unread) ELSE recent.unread END AS unread
        FROM asked v CROSS JOIN LATERAL (
          SELECT coalesce(sum(cardinality(s.numbers) - width_bucket(v.mark, s.numbers)), 0)::int AS unread FROM sent s
            WHERE s.chatroom_id = v.chatroom_id AND (s.sender_id IS NULL OR s.sender_id <> ALL (v.ignored))
        ) recent`),
  ({ chatroomId }) => chatroomId,
);

/**
 * Counts the viewer's unread messages in a room, up to {@link MAX_UNREAD_COUNT}.
 *
 * @throws ChatError `NOT_FOUND` if the room of a shared execution no longer has the viewer as a member
 */
export async function countUnread(context: Context, room: Pick<ChatroomRow, 'id' | 'isShared'>): Promise<number> {
  const found = await unreadByChatroom(context, room.id);
  if (!found && room.isShared) throw notFound('chatroom');
  return found?.unread ?? 0;
}

const unreadByUser = createLoader<{ userId: string; unread: number }>(
  countUnreadOfUsers,
  ({ userId }) => userId,
  SMALL_BATCHES,
);

/** Counts the viewer's unread messages in all rooms, up to {@link MAX_UNREAD_COUNT}. */
export async function countAllUnread(context: Context): Promise<number> {
  return (await unreadByUser(context, requireViewer(context).userId))?.unread ?? 0;
}

/** Counts the unread messages of each user in all rooms, up to {@link MAX_UNREAD_COUNT}. */
export function countUnreadOfUsers(
  { database }: Pick<ServerNode, 'database'>,
  userIds: readonly string[],
): Promise<{ userId: string; unread: number }[]> {
  return database.prepared(sql`
    SELECT u.id AS "userId", (SELECT count(*)::int FROM (
        SELECT FROM members v CROSS JOIN LATERAL (${unreadIn}) m WHERE v.user_id = u.id LIMIT ${MAX_UNREAD_COUNT}
      ) unread) AS unread
      FROM unnest(${userIds}::uuid[]) u (id)`);
}
