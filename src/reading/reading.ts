import { blockBetween } from '../blocks/blocks.ts';
import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import type { Connection, ConnectionArgs } from '../connections.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { type Database, join, sql, type Sql } from '../database/database.ts';
import type { Message, User } from '../database/generated/client.ts';
import { hear, hint } from '../hints.ts';
import { createLoader } from '../loader.ts';
import { requireReadable } from '../messages/changes.ts';
import { watchMembership } from '../events/events.ts';
import { isReadable, messageByKey, messageKey } from '../messages/messages.ts';
import { createMailbox } from '../realtime/mailbox.ts';
import { connectUsers } from '../users/users.ts';

/** Unread messages are counted up to here; the count stays there beyond, and its cost with it. */
export const MOST_UNREAD = 1_000;

/**
 * Marks everything in a message's room as read up to it. The mark only ever moves forward.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND`
 */
export async function markRead(context: Context, key: string | null): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  const { chatroomId, number } = await requireReadable(context, key);
  const [moved] = await context.database.query<{ readBefore: number }>(sql`
    UPDATE members m SET last_read_number = ${number}
      FROM (SELECT last_read_number AS mark FROM members
        WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid FOR UPDATE) before
      WHERE m.chatroom_id = ${chatroomId}::uuid AND m.user_id = ${userId}::uuid AND before.mark < ${number}
      RETURNING before.mark AS "readBefore"`);
  if (moved) {
    hint(context.bus, userId, { kind: 'UNREAD', chatroomId });
    context.announceSeen(chatroomId, userId, moved.readBefore);
  }
  return requireMembership(freshContext(context), chatroomId);
}

/** Whether a message (`m`) is unread by a user whose membership is `v`: what others have said since, and they may read. */
export function isUnread(user: Sql): Sql {
  return sql`(m.kind = 'USER' AND m.deleted_at IS NULL AND m.number > v.last_read_number
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

/**
 * Whose reading of a message (`m`) counts for the viewer: the members (`r`) beside its sender, but nobody across a
 * block, in either direction.
 */
const countsFor = (userId: string): Sql => sql`(
  r.chatroom_id = m.chatroom_id AND r.user_id IS DISTINCT FROM m.sender_id
    AND NOT ${blockBetween(sql`${userId}::uuid`, sql`r.user_id`)})`;

const seenByAllByKey = createLoader<{ key: string; seen: boolean }>(
  async (context, keys) => {
    const { userId } = requireViewer(context);
    const pairs = keys.map((key) => {
      const [chatroomId, number] = key.split(':');
      return sql`(${chatroomId}::uuid, ${number}::int)`;
    });
    const rows = await context.database.query<{ chatroomId: string; number: number; seen: boolean }>(sql`
      SELECT m.chatroom_id AS "chatroomId", m.number,
             coalesce((SELECT bool_and(r.last_read_number >= m.number) FROM members r WHERE ${countsFor(userId)}), false) AS seen
        FROM messages m WHERE (m.chatroom_id, m.number) IN (${join(pairs)})`);
    return rows.map(({ chatroomId, number, seen }) => ({ key: messageKey(chatroomId, number), seen }));
  },
  ({ key }) => key,
);

/** Whether every other member has read a message; false where nobody else counts. */
export async function isSeenByAll(context: Context, message: Message): Promise<boolean> {
  return (await seenByAllByKey(context, messageKey(message.chatroomId, message.number)))?.seen ?? false;
}

/** Who has read a message, by name. */
export async function listSeenBy(context: Context, message: Message, args: ConnectionArgs): Promise<Connection<User>> {
  const { userId } = requireViewer(context);
  return connectUsers(
    context,
    'seenBy',
    sql`messages m JOIN members r ON ${countsFor(userId)} JOIN users u ON u.id = r.user_id
      WHERE m.chatroom_id = ${message.chatroomId}::uuid AND m.number = ${message.number}
        AND r.last_read_number >= m.number`,
    args,
  );
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
