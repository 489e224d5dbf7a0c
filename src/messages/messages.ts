import { requireMembership, isMember } from '../chatrooms/chatrooms.ts';
import { connect, type Connection, type ConnectionArgs } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { empty, join, sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput, ChatError, notFound } from '../errors.ts';
import { createLoader } from '../loader.ts';
import { decodeRoomCursor, encodeRoomCursor } from '../realtime/cursor.ts';
import { type LogEvent, resumePosition } from '../realtime/log.ts';
import { countCharacters, isStorable } from '../text.ts';

/** A message's row as `Message`; `m` names the table. */
const messageColumns = sql`
  m.chatroom_id AS "chatroomId", m.number, m.seq, m.kind, m.sender_id AS "senderId", m.body,
  m.client_message_id AS "clientMessageId", m.reply_to_number AS "replyToNumber", m.created_at AS "createdAt",
  m.edited_at AS "editedAt", m.deleted_at AS "deletedAt"`;

/** The key of a message in its id and in loaders. */
export function messageKey(chatroomId: string, number: number): string {
  return `${chatroomId}:${number}`;
}

/** What comes after this message: a room cursor. */
export function messageCursor(context: Context, message: Message): string {
  const { chatroomId, number, seq } = message;
  return encodeRoomCursor(context.databaseMark, { kind: 'message', chatroomId, number, seq, floor: context.floor });
}

/** A message by `chatroomId:number`, where the viewer is a member of its room. */
export const messageByKey = createLoader<Message>(
  (context, keys) => {
    const { userId } = requireViewer(context);
    const pairs = keys.map((key) => {
      const [chatroomId, number] = key.split(':');
      return sql`(${chatroomId}::uuid, ${number}::int)`;
    });
    return context.database.query<Message>(sql`
      SELECT ${messageColumns} FROM messages m
        WHERE (m.chatroom_id, m.number) IN (${join(pairs)}) AND ${isMember(sql`m.chatroom_id`, userId)}`);
  },
  (message) => messageKey(message.chatroomId, message.number),
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
      context.database.query<Message>(sql`
        SELECT ${messageColumns} FROM messages m
          WHERE m.chatroom_id = ${chatroomId}::uuid AND ${isMember(sql`${chatroomId}::uuid`, userId)}
            ${after === null ? empty : sql`AND m.number > ${after}`}
            ${before === null ? empty : sql`AND m.number < ${before}`}
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
 *   the room; `CONFLICT` for a `clientMessageId` that was sent with another body
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

  const [stored] = await context.database.query<Message & { outcome: string }>(sql`
    SELECT s.outcome, ${messageColumns}
      FROM send_message(${chatroomId}::uuid, ${userId}::uuid, ${input.body}, ${input.clientMessageId ?? null}, ${replyToNumber}::int) s
      CROSS JOIN LATERAL (SELECT (s.message).*) m`);
  if (!stored) throw new Error('send_message answered nothing.');
  const { outcome, ...message } = stored;
  if (outcome === 'NOT_FOUND') throw notFound('chatroom');
  if (outcome === 'REPLY_NOT_FOUND') throw notFound('message to reply to');
  if (outcome === 'REPEATED' && message.body !== input.body) {
    throw new ChatError('CONFLICT', 'This clientMessageId was sent with another body. Use a new one for each message.');
  }
  if (outcome === 'SENT') context.tails.nudge(chatroomId, message.seq);
  return { message, deduplicated: outcome === 'REPEATED' };
}

/** How long a body may be, in characters (Unicode code points), without white space around it. */
export const MOST_BODY_CHARACTERS = 10_000;

/** @throws ChatError `BAD_USER_INPUT` */
export function checkBody(body: string, path: string): void {
  const length = countCharacters(body.trim());
  if (length < 1 || length > MOST_BODY_CHARACTERS)
    throw badInput(path, `A message has 1 to ${MOST_BODY_CHARACTERS.toLocaleString('en')} characters.`);
  if (!isStorable(body))
    throw badInput(path, 'A message is Unicode text without U+0000 and without half of a surrogate pair.');
}

function checkClientMessageId(id: string | null | undefined, path: string): void {
  if (id != null && (id === '' || id.length > 100 || !isStorable(id)))
    throw badInput(path, 'A clientMessageId has 1 to 100 characters.');
}

function replyNumber(chatroomId: string, key: string | null | undefined): number | null {
  if (key === undefined) return null;
  const [room, number] = key?.split(':') ?? [];
  if (room !== chatroomId) throw notFound('message to reply to');
  return Number(number);
}

/** One message that was added, and the place after it. */
export interface MessageAdded {
  chatroomId: string;
  number: number;
  cursor: string;
}

/**
 * The messages of one room: after `after` first those that were missed, without it only those to come.
 *
 * @throws ChatError `NOT_FOUND` for who is no member; `BAD_USER_INPUT` for a cursor of another kind or room;
 *   `RESYNC_REQUIRED` for one that cannot be honoured any more, before anything is sent
 */
export async function followMessages(
  context: Context,
  chatroomId: string | null,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<MessageAdded>> {
  const room = await requireMembership(context, chatroomId);
  const start =
    after == null
      ? { seq: room.lastSeq, number: 0 }
      : await resumePosition(
          context.database,
          decodeRoomCursor(context.databaseMark, room.id, after, 'after'),
          room.lastSeq,
        );
  const events = context.tails.follow(room.id, start.seq);
  return addedMessages(context, events, start.number);
}

function addedMessages(
  context: Context,
  events: AsyncIterableIterator<LogEvent, undefined>,
  known: number,
): AsyncIterableIterator<MessageAdded> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      for (;;) {
        const { value: event, done } = await events.next();
        if (done) return { value: undefined, done: true };
        const { chatroomId, number, seq } = event;
        if (number !== null && number > known) {
          const cursor = encodeRoomCursor(context.databaseMark, { kind: 'room', chatroomId, number, seq });
          return { value: { chatroomId, number, cursor }, done: false };
        }
      }
    },
    async return() {
      await events.return?.();
      return { value: undefined, done: true };
    },
  };
}
