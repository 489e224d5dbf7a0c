import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import type { Connection, ConnectionArgs, Page } from '../connections.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { type Database, empty, join, sql, type Sql } from '../database/database.ts';
import type { Message, User } from '../database/generated/client.ts';
import { badInput } from '../errors.ts';
import { hear, hint } from '../hints.ts';
import { groupBy } from '../groupBy.ts';
import { createLoader, createPageLoader } from '../loader.ts';
import { requireReadable } from '../messages/changes.ts';
import { watchMembership } from '../events/events.ts';
import { isReadable, messageByKey, messageKey } from '../messages/messages.ts';
import { createMailbox } from '../realtime/mailbox.ts';
import { connectUsers, userColumns } from '../users/users.ts';

/** Unread messages are counted up to here; the count stays there beyond, and its cost with it. */
export const MOST_UNREAD = 1_000;

/** How many rooms `markRoomsRead` takes. */
const MAX_MARKED = 100;

/**
 * Marks everything in a message's room as read up to it. The mark only ever moves forward.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND`
 */
export async function markRead(context: Context, key: string | null): Promise<VisibleChatroom> {
  const { chatroomId } = await requireReadable(context, key);
  await moveMarks(context, [key]);
  return requireMembership(freshContext(context), chatroomId);
}

/**
 * Marks several rooms as read, each up to one of its messages: all of them or none. The statements do not grow with the rooms.
 *
 * @param keys `chatroomId:number`; null for an id that names no message
 * @returns the rooms of the messages
 * @throws ChatError `BAD_USER_INPUT` for no messages or too many; `NOT_FOUND` for any that the viewer may not read
 */
export async function markRoomsRead(context: Context, keys: readonly (string | null)[]): Promise<VisibleChatroom[]> {
  if (keys.length < 1 || keys.length > MAX_MARKED)
    throw badInput('input.messageIds', `Mark 1 to ${MAX_MARKED} chatrooms at once, each by one message.`);
  const rooms = await moveMarks(context, keys);
  const now = freshContext(context);
  return Promise.all([...rooms].map((chatroomId) => requireMembership(now, chatroomId)));
}

/** @returns the rooms of the messages */
async function moveMarks(context: Context, keys: readonly (string | null)[]): Promise<Set<string>> {
  const { userId } = requireViewer(context);
  const messages = await Promise.all(keys.map((key) => requireReadable(context, key)));
  const targets = join(messages.map(({ chatroomId, number }) => sql`(${chatroomId}::uuid, ${number}::int)`));
  const moved = await context.database.query<{ chatroomId: string; readBefore: number; isAhead: boolean }>(sql`
    WITH target AS (
      SELECT chatroom_id, max(number) AS number FROM (VALUES ${targets}) t (chatroom_id, number) GROUP BY chatroom_id
    ), before AS (
      -- Locked in one order, so that two devices cannot wait for each other.
      SELECT m.chatroom_id, m.last_read_number, coalesce(m.unread_after, m.last_read_number) AS mark FROM members m
        WHERE m.user_id = ${userId}::uuid AND m.chatroom_id IN (SELECT chatroom_id FROM target)
        ORDER BY m.chatroom_id FOR UPDATE
    )
    UPDATE members m SET last_read_number = greatest(b.last_read_number, t.number),
        unread_after = CASE WHEN t.number < b.last_read_number THEN t.number END
      FROM before b JOIN target t ON t.chatroom_id = b.chatroom_id
      WHERE m.chatroom_id = b.chatroom_id AND m.user_id = ${userId}::uuid AND b.mark < t.number
      RETURNING m.chatroom_id AS "chatroomId", b.last_read_number AS "readBefore",
        m.last_read_number > b.last_read_number AS "isAhead"`);
  for (const { chatroomId, readBefore, isAhead } of moved) {
    hint(context.bus, userId, { kind: 'UNREAD', chatroomId });
    if (isAhead) context.announceSeen(chatroomId, userId, readBefore);
  }
  return new Set(messages.map(({ chatroomId }) => chatroomId));
}

/**
 * Marks a message and what follows it in its room as unread, for the viewer alone: their unread count grows, and what others
 * see of their reading stays. If the message is unread already, nothing changes. Reading on or sending ends it.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND`
 */
export async function markUnread(context: Context, key: string | null): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  const { chatroomId, number } = await requireReadable(context, key);
  const moved = await context.database.query(sql`
    UPDATE members SET unread_after = ${number - 1}::int
      WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid
        AND coalesce(unread_after, last_read_number) >= ${number}::int RETURNING 1`);
  if (moved.length > 0) hint(context.bus, userId, { kind: 'UNREAD', chatroomId });
  return requireMembership(freshContext(context), chatroomId);
}

/** Whether a message (`m`) is unread by a user whose membership is `v`: what others have said since, and they may read. */
export function isUnread(user: Sql): Sql {
  return sql`((m.kind = 'USER' OR m.counts_as_unread) AND m.deleted_at IS NULL
    AND m.number > coalesce(v.unread_after, v.last_read_number)
    AND m.sender_id IS DISTINCT FROM ${user} AND ${isReadable(user)})`;
}

/** What is unread in the membership `v`. */
const unreadIn = (userId: string): Sql => sql`
  SELECT FROM messages m WHERE m.chatroom_id = v.chatroom_id AND ${isUnread(sql`${userId}::uuid`)} LIMIT ${MOST_UNREAD}`;

const unreadByChatroom = createLoader<{ chatroomId: string; unread: number }>(
  (context, chatroomIds) => {
    const { userId } = requireViewer(context);
    return context.database.query(sql`
      SELECT v.chatroom_id AS "chatroomId", (SELECT count(*)::int FROM (${unreadIn(userId)}) unread) AS unread
        FROM members v WHERE v.user_id = ${userId}::uuid AND v.chatroom_id = ANY(${chatroomIds}::uuid[])`);
  },
  ({ chatroomId }) => chatroomId,
);

/** How many messages of a room the viewer has not read: exact up to {@link MOST_UNREAD}. */
export async function countUnread(context: Context, chatroomId: string): Promise<number> {
  return (await unreadByChatroom(context, chatroomId))?.unread ?? 0;
}

/** How many messages of all the viewer's rooms they have not read: exact up to {@link MOST_UNREAD}. */
export async function countAllUnread(context: Context): Promise<number> {
  return countUnreadOf(context.database, requireViewer(context).userId);
}

/** What `Viewer.unreadCount` shows a user. */
export async function countUnreadOf(database: Database, userId: string): Promise<number> {
  const [counted] = await database.query<{ unread: number }>(sql`
    SELECT count(*)::int AS unread FROM (
      SELECT FROM members v CROSS JOIN LATERAL (${unreadIn(userId)}) m
        WHERE v.user_id = ${userId}::uuid LIMIT ${MOST_UNREAD}
    ) unread`);
  return counted?.unread ?? 0;
}

/** Users (`id`) across a block with the viewer, in either direction. Their reading counts for nobody on the other side. */
const acrossBlock = (userId: string): Sql => sql`
  SELECT blocked_id AS id FROM blocks WHERE blocker_id = ${userId}::uuid
  UNION SELECT blocker_id FROM blocks WHERE blocked_id = ${userId}::uuid`;

/** The messages with these keys, as a list of `(chatroom_id, number)`. */
function keyPairs(keys: readonly string[]): Sql {
  const pairs = keys.map((key) => {
    const [chatroomId, number] = key.split(':');
    return sql`(${chatroomId}::uuid, ${number}::int)`;
  });
  return join(pairs);
}

/**
 * Whether every other member has read a message, for many messages at once.
 *
 * The two lowest read marks of a room decide for all of its messages: one of the two belongs to somebody other than the
 * sender. A room's members are read once, however many of its messages are asked for.
 */
const seenByAllByKey = createLoader<{ key: string; seen: boolean }>(
  async (context, keys) => {
    const { userId } = requireViewer(context);
    const rows = await context.database.query<{ chatroomId: string; number: number; seen: boolean }>(sql`
      WITH asked AS MATERIALIZED (
        SELECT chatroom_id, number, sender_id FROM messages WHERE (chatroom_id, number) IN (${keyPairs(keys)})
      ), lowest AS MATERIALIZED (
        SELECT r.* FROM (SELECT DISTINCT chatroom_id FROM asked) room CROSS JOIN LATERAL (
          SELECT chatroom_id, user_id, last_read_number FROM members
            WHERE chatroom_id = room.chatroom_id AND user_id NOT IN (${acrossBlock(userId)})
            ORDER BY last_read_number LIMIT 2
        ) r
      )
      SELECT a.chatroom_id AS "chatroomId", a.number, coalesce((
          SELECT min(l.last_read_number) FROM lowest l
            WHERE l.chatroom_id = a.chatroom_id AND l.user_id IS DISTINCT FROM a.sender_id) >= a.number, false) AS seen
        FROM asked a`);
    return rows.map(({ chatroomId, number, seen }) => ({ key: messageKey(chatroomId, number), seen }));
  },
  ({ key }) => key,
);

/** Whether every other member has read a message; false if nobody else counts. */
export async function isSeenByAll(context: Context, message: Message): Promise<boolean> {
  return (await seenByAllByKey(context, messageKey(message.chatroomId, message.number)))?.seen ?? false;
}

/** Lists who has read a message, by name: the members other than its sender and those across a block with the viewer. */
export async function listSeenBy(context: Context, message: Message, args: ConnectionArgs): Promise<Connection<User>> {
  requireViewer(context);
  const key = messageKey(message.chatroomId, message.number);
  return connectUsers(context, 'seenBy', (page) => readersOf(context, key, page), args);
}

interface Readers {
  key: string;
  users: User[];
}

/** One page of the readers of many messages, in one statement for each page that is asked for. */
const readersByPage = createPageLoader<Readers, string>(
  async (context, keys, { after, before, reverse, limit }) => {
    const { userId } = requireViewer(context);
    const direction = reverse ? sql`DESC` : empty;
    // Readers whose marks lie between the same two messages have read the same of them. Of each such group, only the first by
    // name can be on a page, and one more, since the sender is left out.
    const rows = await context.database.query<User & { ofRoom: string; ofNumber: number }>(sql`
      WITH asked AS MATERIALIZED (
        SELECT chatroom_id, number, sender_id FROM messages WHERE (chatroom_id, number) IN (${keyPairs(keys)})
      ), room AS MATERIALIZED (
        SELECT chatroom_id, array_agg(number ORDER BY number) AS numbers FROM asked GROUP BY chatroom_id
      ), ranked AS (
        SELECT r.chatroom_id, r.user_id, r.last_read_number, n.username_key, row_number() OVER (
            PARTITION BY r.chatroom_id, width_bucket(r.last_read_number, room.numbers)
            ORDER BY n.username_key ${direction}) AS rank
          FROM room JOIN members r ON r.chatroom_id = room.chatroom_id AND r.last_read_number >= room.numbers[1]
          JOIN users n ON n.id = r.user_id
          WHERE r.user_id NOT IN (${acrossBlock(userId)})
            ${after === null ? empty : sql`AND n.username_key > ${after}`}
            ${before === null ? empty : sql`AND n.username_key < ${before}`}
      ), readers AS MATERIALIZED (
        SELECT chatroom_id, user_id, last_read_number, username_key FROM ranked WHERE rank <= ${limit} + 1
      )
      SELECT a.chatroom_id AS "ofRoom", a.number AS "ofNumber", ${userColumns}
        FROM asked a CROSS JOIN LATERAL (
          SELECT r.user_id FROM readers r
            WHERE r.chatroom_id = a.chatroom_id AND r.last_read_number >= a.number
              AND r.user_id IS DISTINCT FROM a.sender_id
            ORDER BY r.username_key ${direction} LIMIT ${limit}
        ) r JOIN users u ON u.id = r.user_id
        ORDER BY u.username_key ${direction}`);
    const readers = groupBy(rows, ({ ofRoom, ofNumber }) => messageKey(ofRoom, ofNumber));
    return [...readers].map(([key, users]) => ({ key, users }));
  },
  ({ key }) => key,
);

async function readersOf(context: Context, key: string, page: Page<string>): Promise<User[]> {
  return (await readersByPage(context, key, page))?.users ?? [];
}

/**
 * Messages of the viewer's that every other member has now read, with all of theirs before them; of one room, or of all.
 * A hint: `Message.seenByAll` is the truth. A stream of one room ends with `NOT_FOUND` when the viewer loses it.
 *
 * @param chatroomId undefined for all rooms, null for an id that names none
 * @throws ChatError `NOT_FOUND` for who is no member
 */
export async function followSeen(
  context: Context,
  chatroomId: string | null | undefined,
): Promise<AsyncIterableIterator<Message>> {
  const { userId } = requireViewer(context);
  const room = chatroomId === undefined ? null : await requireMembership(context, chatroomId);
  const told = new Map<string, number>();

  async function read(key: string): Promise<Message | null> {
    const now = freshContext(context);
    const message = await messageByKey(now, key);
    if (message?.senderId !== userId || message.number <= (told.get(message.chatroomId) ?? 0)) return null;
    if (!(await isSeenByAll(now, message))) return null;
    told.set(message.chatroomId, message.number);
    return message;
  }

  const mailbox = createMailbox(context.open, read);
  return mailbox.connect(async () => {
    mailbox.onReturn(
      await hear(context.bus, userId, (what) => {
        if (what.kind !== 'SEEN' || (room && what.chatroomId !== room.id)) return;
        mailbox.put(what.chatroomId, messageKey(what.chatroomId, what.number));
      }),
    );
    if (room) mailbox.onReturn(watchMembership(context, room, mailbox.fail));
  });
}
