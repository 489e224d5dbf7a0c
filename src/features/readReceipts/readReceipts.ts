import { isMember, requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import type { Connection, ConnectionArgs, Page } from '../../platform/database/keysetPage.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import { keyTable, sql, type Sql } from '../../platform/database/database.ts';
import type { Message, User } from '../../platform/database/generated/client.ts';
import { badInput } from '../../core/errors.ts';
import { subscribeHints, publishHint } from '../../delivery/userHints.ts';
import { groupBy } from '../../core/groupBy.ts';
import { createLoader, createPageLoader, createViewerLoader, type OfViewer } from '../../platform/database/loader.ts';
import { requireReadable } from '../messages/changes.ts';
import { watchMembership } from '../chatroomEvents/chatroomStream.ts';
import { type MarkMove, moveMarks } from './markQueue.ts';
import { messageByKey, messageKey } from '../messages/messages.ts';
import { createConflatedStream } from '../../delivery/conflatedStream.ts';
import { byUsername, connectUsers, userColumns } from '../users/users.ts';

/** Maximum number of messages in one `markRoomsRead`, normally one for each room to mark. */
const MAX_MARKED = 100;

/**
 * Marks a message, and all earlier messages of its room, as read. The read mark of the viewer only moves forward.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND` if the viewer may not read the message
 */
export async function markRead(context: Context, key: string | null): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  const { chatroomId, number } = await requireReadable(context, key);
  announceMarks(context, [await context.markQueue({ userId, chatroomId, number })]);
  return requireMembership(eventContext(context), chatroomId);
}

/**
 * Marks several rooms as read, each up to a given message. Marks all rooms or none. The number of statements does not
 * depend on the number of rooms.
 *
 * @param keys `chatroomId:number`; null for an id that names no message
 * @returns the rooms of the messages, without duplicates
 * @throws ChatError `BAD_USER_INPUT` for no messages or more than 100; `NOT_FOUND` if the viewer may not read one of
 *   the messages
 */
export async function markRoomsRead(context: Context, keys: readonly (string | null)[]): Promise<VisibleChatroom[]> {
  if (keys.length < 1 || keys.length > MAX_MARKED)
    throw badInput('input.messageIds', `Mark 1 to ${MAX_MARKED} chatrooms at once, each by one message.`);
  const { userId } = requireViewer(context);
  const messages = await Promise.all(keys.map((key) => requireReadable(context, key)));
  // Does not use the queue, because the queue could divide the rooms between two statements. One statement could then
  // fail alone.
  announceMarks(
    context,
    await moveMarks(
      context.database,
      messages.map(({ chatroomId, number }) => ({ userId, chatroomId, number })),
    ),
  );
  const now = eventContext(context);
  const rooms = new Set(messages.map(({ chatroomId }) => chatroomId));
  return Promise.all([...rooms].map((chatroomId) => requireMembership(now, chatroomId)));
}

/**
 * Notifies the devices of each user whose mark has moved. If the mark that other members see has moved,
 * `notifyReadByAll` publishes the mark, and notifies senders whose messages every other member has read.
 */
function announceMarks(context: Context, moves: readonly (MarkMove | null)[]): void {
  for (const move of moves) {
    if (!move) continue;
    const { userId, chatroomId, readBefore, isAhead } = move;
    publishHint(context.bus, userId, { kind: 'UNREAD', chatroomId });
    if (isAhead) context.notifyReadByAll(chatroomId, userId, readBefore);
  }
}

/**
 * Marks a message and all later messages of its room as unread, for the viewer only. The viewer's unread count grows,
 * but the read mark that others see does not move. Changes nothing if the message is already unread. The messages
 * become read again with `markRead`, or when the viewer sends a message.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND` if the viewer may not read the message
 */
export async function markUnread(context: Context, key: string | null): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  const { chatroomId, number } = await requireReadable(context, key);
  const moved = await context.database.query(sql`
    UPDATE members SET unread_after = ${number - 1}::int
      WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid
        AND coalesce(unread_after, last_read_number) >= ${number}::int RETURNING 1`);
  if (moved.length > 0) publishHint(context.bus, userId, { kind: 'UNREAD', chatroomId });
  return requireMembership(eventContext(context), chatroomId);
}

/**
 * Selects the users (`id`) whom a user has blocked or who have blocked the user. Read marks are hidden in both
 * directions of a block.
 */
const acrossBlock = (user: Sql): Sql => sql`
  SELECT blocked_id AS id FROM blocks WHERE blocker_id = ${user}
  UNION SELECT blocker_id FROM blocks WHERE blocked_id = ${user}`;

/** The lowest read marks of a room, of at most two members. */
interface LowestMarks extends OfViewer {
  chatroomId: string;
  marks: { userId: string; number: number }[];
}

/**
 * Loads the two lowest read marks of a room. They decide for all its messages whether every other member has read them,
 * because at most one of the two belongs to the sender of a message and is ignored. Loading them for a room instead of
 * each message saves 49 lookups for a page of 50 messages.
 */
const lowestMarks = createViewerLoader<LowestMarks>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", k.chatroom_id AS "chatroomId",
          (SELECT coalesce(json_agg(json_build_object('userId', r.user_id, 'number', r.last_read_number)), '[]') FROM (
            SELECT user_id, last_read_number FROM members
              WHERE chatroom_id = k.chatroom_id AND user_id NOT IN (${acrossBlock(sql`k.viewer_id`)})
              ORDER BY last_read_number LIMIT 2
          ) r) AS marks
        FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, chatroom_id)
        WHERE ${isMember(sql`k.chatroom_id`, sql`k.viewer_id`)}`),
  ({ chatroomId }) => chatroomId,
);

/**
 * Number of the lowest read marks that are checked for all viewers at once. If all of these members have blocks, the
 * result depends on the viewer.
 */
const CHECKED_MARKS = 10;

/**
 * Loads whether every other member has read a message, if the result is the same for all members. Otherwise `seen` is
 * null.
 *
 * A member without any block counts for every viewer. If such a member has not read the message, nobody sees it as read.
 * If all other members have read the message, everybody sees it as read, provided that one of them counts for everybody.
 */
const seenByAllForEveryone = createLoader<{ key: string; seen: boolean | null }>(
  async ({ database }, keys) => {
    const rows = await database.prepared<{ chatroomId: string; number: number; seen: boolean | null }>(sql`
      WITH asked AS MATERIALIZED (
        SELECT m.chatroom_id, m.number, m.sender_id FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
          JOIN messages m ON m.chatroom_id = k.chatroom_id AND m.number = k.number
      ), lowest AS MATERIALIZED (
        SELECT r.*, NOT EXISTS (SELECT FROM blocks WHERE blocker_id = r.user_id)
            AND NOT EXISTS (SELECT FROM blocks WHERE blocked_id = r.user_id) AS "countsForAll"
          FROM (SELECT DISTINCT chatroom_id FROM asked) room CROSS JOIN LATERAL (
            SELECT chatroom_id, user_id, last_read_number FROM members
              WHERE chatroom_id = room.chatroom_id ORDER BY last_read_number LIMIT ${CHECKED_MARKS}
          ) r
      )
      SELECT a.chatroom_id AS "chatroomId", a.number, CASE
          WHEN count(l.user_id) = 0 THEN false
          WHEN bool_or(l."countsForAll" AND l.last_read_number < a.number) THEN false
          WHEN bool_or(l."countsForAll") AND min(l.last_read_number) >= a.number THEN true
        END AS seen
        FROM asked a
        LEFT JOIN lowest l ON l.chatroom_id = a.chatroom_id AND l.user_id IS DISTINCT FROM a.sender_id
        GROUP BY a.chatroom_id, a.number`);
    return rows.map(({ chatroomId, number, seen }) => ({ seen, key: messageKey(chatroomId, number) }));
  },
  ({ key }) => key,
);

/**
 * Returns whether every member except the sender has read a message. Leaves out members whose read marks a block hides.
 * Returns false if no member remains.
 */
export async function isSeenByAll(context: Context, message: Message): Promise<boolean> {
  const key = messageKey(message.chatroomId, message.number);
  // The stream has checked that all subscribers of a shared execution are members of the room.
  const everyone = context.viewerTracking ? await seenByAllForEveryone(context, key) : null;
  if (everyone && everyone.seen !== null) return everyone.seen;
  const { marks = [] } = (await lowestMarks(context, message.chatroomId)) ?? {};
  const others = marks.filter(({ userId }) => userId !== message.senderId);
  return others.length > 0 && others.every(({ number }) => number >= message.number);
}

/**
 * Lists the members who have read a message, sorted by username. Leaves out the sender, users whom the viewer has
 * blocked, and users who have blocked the viewer.
 */
export async function listSeenBy(context: Context, message: Message, args: ConnectionArgs): Promise<Connection<User>> {
  requireViewer(context);
  const key = messageKey(message.chatroomId, message.number);
  return connectUsers(context, 'seenBy', (page) => readersOf(context, key, page), args);
}

interface Readers {
  key: string;
  users: User[];
}

/**
 * Loads one page of readers for each of many messages, with one statement for all messages that request the same page.
 */
const readersByPage = createPageLoader<Readers>(
  async (context, keys, page) => {
    const { userId } = requireViewer(context);
    const order = byUsername.order(page);
    // `asked` contains the requested messages. Members are grouped by the last of these messages that they have read.
    // Only the first `limit` members of a group, by username, can be on a page. The statement reads one more member of
    // each group, because the page of a message leaves out the sender.
    const rows = await context.database.query<User & { ofRoom: string; ofNumber: number }>(sql`
      WITH asked AS MATERIALIZED (
        SELECT m.chatroom_id, m.number, m.sender_id
          FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
          JOIN messages m ON m.chatroom_id = k.chatroom_id AND m.number = k.number
          WHERE ${isMember(sql`m.chatroom_id`, sql`${userId}::uuid`)}
      ), room AS MATERIALIZED (
        SELECT chatroom_id, array_agg(number ORDER BY number) AS numbers FROM asked GROUP BY chatroom_id
      ), ranked AS (
        SELECT r.chatroom_id, r.user_id, r.last_read_number, u.username_key, row_number() OVER (
            PARTITION BY r.chatroom_id, width_bucket(r.last_read_number, room.numbers)
            ORDER BY ${order}) AS rank
          FROM room JOIN members r ON r.chatroom_id = room.chatroom_id AND r.last_read_number >= room.numbers[1]
          JOIN users u ON u.id = r.user_id
          WHERE r.user_id NOT IN (${acrossBlock(sql`${userId}::uuid`)})
            ${byUsername.bounds(page)}
      ), readers AS MATERIALIZED (
        SELECT chatroom_id, user_id, last_read_number, username_key FROM ranked WHERE rank <= ${page.limit} + 1
      )
      SELECT a.chatroom_id AS "ofRoom", a.number AS "ofNumber", ${userColumns}
        FROM asked a CROSS JOIN LATERAL (
          SELECT u.user_id FROM readers u
            WHERE u.chatroom_id = a.chatroom_id AND u.last_read_number >= a.number
              AND u.user_id IS DISTINCT FROM a.sender_id
            ORDER BY ${order} LIMIT ${page.limit}
        ) r JOIN users u ON u.id = r.user_id
        ORDER BY ${order}`);
    const readers = groupBy(rows, ({ ofRoom, ofNumber }) => messageKey(ofRoom, ofNumber));
    return [...readers].map(([key, users]) => ({ key, users }));
  },
  ({ key }) => key,
);

async function readersOf(context: Context, key: string, page: Page): Promise<User[]> {
  return (await readersByPage(context, key, page))?.users ?? [];
}

/**
 * Streams the viewer's messages that every other member has now read, in one room or in all rooms. An event also covers
 * the viewer's earlier messages in the room. Events can be lost; `Message.seenByAll` returns the current state.
 *
 * A stream of one room ends with `NOT_FOUND` when the viewer's membership ends.
 *
 * @param chatroomId undefined for all rooms; null for an id that names no room
 * @throws ChatError `NOT_FOUND` if the viewer is not a member
 */
export async function followSeen(
  context: Context,
  chatroomId: string | null | undefined,
): Promise<AsyncIterableIterator<Message>> {
  const { userId } = requireViewer(context);
  const room = chatroomId === undefined ? null : await requireMembership(context, chatroomId);
  const reported = new Map<string, number>();

  async function read(key: string): Promise<Message | null> {
    const now = eventContext(context);
    const message = await messageByKey(now, key);
    if (message?.senderId !== userId || message.number <= (reported.get(message.chatroomId) ?? 0)) return null;
    if (!(await isSeenByAll(now, message))) return null;
    reported.set(message.chatroomId, message.number);
    return message;
  }

  const stream = createConflatedStream(context.gauges, read);
  return stream.connect(async () => {
    stream.onClose(
      await subscribeHints(context.bus, userId, (what) => {
        if (what.kind !== 'SEEN' || (room && what.chatroomId !== room.id)) return;
        stream.set(what.chatroomId, messageKey(what.chatroomId, what.number));
      }),
    );
    if (room) stream.onClose(watchMembership(context, room, stream.error));
  });
}
