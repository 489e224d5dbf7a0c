import { hasBlocked } from '../blocks/blocks.ts';
import { isMember } from '../chatrooms/chatrooms.ts';
import { connect, type Connection, type ConnectionArgs } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { columnsOf, type Database, empty, join, rowOf, sql, type Sql } from '../database/database.ts';
import { type Message, Prisma, type User } from '../database/generated/client.ts';
import { ChatError, notFound } from '../errors.ts';
import { createLoader } from '../loader.ts';
import { decodeRoomCursor, encodeRoomCursor } from '../realtime/cursor.ts';
import { checkBody, checkClientMessageId } from '../text/messages.ts';
import { userFields } from '../users/users.ts';

/** What is told of a message: all but the digest of what was first sent, by which a repeated sending is known. */
export const messageFields = Object.values(Prisma.MessageScalarFieldEnum).filter((field) => field !== 'sentDigest');

/** A message's row as `Message`; `m` names the table. */
export const messageColumns = columnsOf('m', messageFields);

/** A message, and its sender where both were read together. */
export type MessageWithSender = Message & { sender?: User | null };

/** The rows of a message and of its sender, as `withSender` reads them; `m` names the one table, and `u` the other. */
export const columnsWithSender = join([
  columnsOf('m', messageFields, 'message.'),
  columnsOf('u', userFields, 'sender.'),
]);

/** Out of a row with `columnsWithSender`. All of it is null where there is no message. */
export function withSender(row: object): MessageWithSender {
  const message = rowOf<MessageWithSender>(row, messageFields, 'message.');
  message.sender = message.senderId === null ? null : rowOf<User>(row, userFields, 'sender.');
  return message;
}

/**
 * The one predicate for who may read a message (`m`): the members of its room, but not what somebody sent whom they have
 * blocked. In a DIRECT room nobody writes across a block, and what was said before it stays readable.
 */
export function isReadable(user: Sql): Sql {
  return sql`(${isMember(sql`m.chatroom_id`, user)} AND NOT (
    ${hasBlocked(user, sql`m.sender_id`)}
      AND (SELECT kind FROM chatrooms WHERE id = m.chatroom_id) <> 'DIRECT'))`;
}

/** Who sent a notice; `service` is null in other messages, and in notices of earlier releases. */
export type NoticeSender = Pick<Message, 'service' | 'authorName'>;

/** The key of a message in its id and in loaders. */
export function messageKey(chatroomId: string, number: number): string {
  return `${chatroomId}:${number}`;
}

/** What comes after this message: a room cursor. */
export function messageCursor(context: Context, message: Message): string {
  const { chatroomId, number, seq } = message;
  return encodeRoomCursor(context.databaseMark, { kind: 'message', chatroomId, number, seq, floor: context.floor });
}

/** A message by `chatroomId:number`, where the viewer may read it. */
export const messageByKey = createLoader<Message>(
  (context, keys) => {
    const { userId } = requireViewer(context);
    const pairs = keys.map((key) => {
      const [chatroomId, number] = key.split(':');
      return sql`(${chatroomId}::uuid, ${number}::int)`;
    });
    return context.database.query<Message>(sql`
      SELECT ${messageColumns} FROM messages m
        WHERE (m.chatroom_id, m.number) IN (${join(pairs)}) AND ${isReadable(sql`${userId}::uuid`)}`);
  },
  (message) => messageKey(message.chatroomId, message.number),
);

/** Messages of a room by number, for whoever may read them, which is for the caller to decide. */
export async function findMessages(
  database: Database,
  chatroomId: string,
  numbers: readonly number[],
): Promise<ReadonlyMap<number, Message>> {
  if (numbers.length === 0) return new Map();
  const messages = await database.prepared<Message>(sql`
    SELECT ${messageColumns} FROM messages m
      WHERE m.chatroom_id = ${chatroomId}::uuid AND m.number = ANY (${numbers}::int[])`);
  return new Map(messages.map((message) => [message.number, message]));
}

/** The newest message of a room that the viewer may read. */
export const lastMessageOf = createLoader<Message>(
  (context, chatroomIds) => {
    const { userId } = requireViewer(context);
    return context.database.prepared<Message>(sql`
      SELECT m.* FROM unnest(${chatroomIds}::uuid[]) room (id) CROSS JOIN LATERAL (
        SELECT ${messageColumns} FROM messages m
          WHERE m.chatroom_id = room.id AND ${isReadable(sql`${userId}::uuid`)} ORDER BY m.number DESC LIMIT 1
      ) m`);
  },
  (message) => message.chatroomId,
);

/** A room's messages, oldest first, for its members. Paged by number: page 10,000 costs what page 1 costs. */
export async function listMessages(
  context: Context,
  chatroomId: string,
  args: ConnectionArgs,
): Promise<Connection<Message>> {
  const { userId } = requireViewer(context);
  return connect<Message, number>(args, {
    encode: (message) => messageCursor(context, message),
    decode: (cursor, path) => decodeRoomCursor(context.databaseMark, chatroomId, cursor, path).number,
    load: ({ after, before, reverse, limit }) =>
      context.database.prepared<Message>(sql`
        SELECT ${messageColumns} FROM messages m
          WHERE m.chatroom_id = ${chatroomId}::uuid AND ${isReadable(sql`${userId}::uuid`)}
            ${after === null ? empty : sql`AND m.number > ${after}::int`}
            ${before === null ? empty : sql`AND m.number < ${before}::int`}
          ORDER BY m.number ${reverse ? sql`DESC` : empty} LIMIT ${limit}`),
  });
}

export interface NewMessage {
  /** Null for an id that names no room. */
  chatroomId: string | null;
  body: string;
  clientMessageId?: string | null | undefined;
  /** `chatroomId:number` of the message that it answers; null for an id that names none. */
  replyToKey?: string | null | undefined;
}

/**
 * Stores a message, then tells those who follow the room. It is on disk when this returns.
 *
 * @returns the message; `deduplicated` where the same `clientMessageId` had been sent before
 * @throws ChatError `BAD_USER_INPUT`; `NOT_FOUND` for who is no member, and for a reply to what is not in
 *   the room; `BLOCKED` in a DIRECT room across a block; `CONFLICT` for a `clientMessageId` that was sent with another body
 */
export async function sendMessage(
  context: Context,
  input: NewMessage,
): Promise<{ message: Message; deduplicated: boolean }> {
  const { userId } = requireViewer(context);
  const { chatroomId } = input;
  checkBody(input.body, 'input.body');
  checkClientMessageId(input.clientMessageId, 'input.clientMessageId');
  if (chatroomId === null) throw notFound('chatroom');
  const replyToNumber = replyNumber(chatroomId, input.replyToKey);

  const { clientMessageId = null } = input;
  const stored = await context.sending({ chatroomId, userId, body: input.body, clientMessageId, replyToNumber });
  const { outcome, seenAfter, ...message } = stored;
  if (outcome === 'NOT_FOUND') throw notFound('chatroom');
  if (outcome === 'BLOCKED')
    throw new ChatError('BLOCKED', 'One of you has blocked the other: nothing can be sent here.');
  if (outcome === 'REPLY_NOT_FOUND') throw notFound('message to reply to');
  if (outcome === 'CONFLICT') {
    throw new ChatError('CONFLICT', 'This clientMessageId was sent with another body. Use a new one for each message.');
  }
  if (outcome === 'SENT') {
    context.counts.sent += 1;
    context.tails.nudge(chatroomId, message.seq);
  }
  if (seenAfter !== null) context.announceSeen(chatroomId, userId, seenAfter);
  return { message, deduplicated: outcome === 'REPEATED' };
}

function replyNumber(chatroomId: string, key: string | null | undefined): number | null {
  if (key === undefined) return null;
  const [room, number] = key?.split(':') ?? [];
  if (room !== chatroomId) throw notFound('message to reply to');
  return Number(number);
}
