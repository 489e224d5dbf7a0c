import { hasBlocked } from '../relationships/blocks.ts';
import { type ChatroomRow, isMember, joinedChatrooms } from '../chatrooms/chatrooms.ts';
import { connect, type Connection, type ConnectionArgs, keyset } from '../../platform/database/keysetPage.ts';
import { type Context, requireScope, requireViewer, snapshotOf } from '../../core/context.ts';
import { columnsOf, createRowReader, join, keyTable, sql, type Sql } from '../../platform/database/database.ts';
import { type Message, Prisma, type User } from '../../platform/database/generated/client.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { createLoader, createViewerLoader, type Loader, type OfViewer } from '../../platform/database/loader.ts';
import { decodeRoomCursor, encodeRoomCursor } from '../../delivery/cursor.ts';
import type { MaybePromise } from '../../delivery/source.ts';
import { checkBody, checkClientMessageId } from '../../core/text/body.ts';
import { rateLimited } from '../../platform/rateLimits/counters.ts';
import { LINK_PREVIEW_COST } from '../../platform/rateLimits/rateLimits.ts';
import { userFields } from '../users/users.ts';

/** Maximum number of link previews of a message. */
export const MAX_LINK_PREVIEWS = 3;

/** Column names of a message. Leaves out `sentDigest`, which only serves to recognise a retried send. */
export const messageFields = Object.values(Prisma.MessageScalarFieldEnum).filter((field) => field !== 'sentDigest');

/** Columns of `Message`; the table alias is `m`. */
export const messageColumns = columnsOf('m', messageFields);

/** A message, with its sender if both were read by one statement. */
export type MessageWithSender = Message & {
  sender?: User | null;
  /** False if the message had no reactions when it was read. Undefined if unknown. */
  hasReactions?: boolean;
  /** False if the message had no link previews when it was read. Undefined if unknown. */
  hasLinkPreviews?: boolean;
  /** True if the message is shown to its sender, who may not be a member of the room. */
  isUnchecked?: boolean;
};

/** Columns of a message (table alias `m`) and its sender (`u`), to be read by {@link withSender}. */
export const columnsWithSender = join([
  columnsOf('m', messageFields, 'message.'),
  columnsOf('u', userFields, 'sender.'),
]);

const messageOf = createRowReader<MessageWithSender>(messageFields, 'message.');
const senderOf = createRowReader<User>(userFields, 'sender.');

/** Whether a message (`m`) has reactions. LIMIT keeps the planner from reading all reactions into a hash table. */
const hasReactions = sql`coalesce((
  SELECT true FROM reactions r WHERE r.chatroom_id = m.chatroom_id AND r.number = m.number LIMIT 1), false)`;

/** Whether a message (`m`) has link previews. */
const hasLinkPreviews = sql`coalesce((
  SELECT true FROM link_previews l WHERE l.chatroom_id = m.chatroom_id AND l.number = m.number LIMIT 1), false)`;

/** Whether other tables have rows for a message (`m`). If not, the fields that read these rows need no statement. */
export type Contents = Required<Pick<MessageWithSender, 'hasReactions' | 'hasLinkPreviews'>>;
export const contentColumns = sql`${hasReactions} AS "hasReactions", ${hasLinkPreviews} AS "hasLinkPreviews"`;

/** Returns the message and sender of a row with `columnsWithSender`. If the row has no message, all fields are null. */
export function withSender(row: object): MessageWithSender {
  const message = messageOf(row);
  message.sender = message.senderId === null ? null : senderOf(row);
  return message;
}

/**
 * Returns the SQL condition that a user may read a message (`m`). All access checks for messages use this predicate.
 *
 * Members may read the messages of their room. Outside DIRECT rooms, messages of users whom they have blocked are
 * hidden. In a DIRECT room, a block prevents new messages, and earlier messages stay readable.
 */
export function isReadable(user: Sql): Sql {
  return sql`(${isMember(sql`m.chatroom_id`, user)} AND NOT (
    ${hasBlocked(user, sql`m.sender_id`)}
      AND (SELECT kind FROM chatrooms WHERE id = m.chatroom_id) <> 'DIRECT'))`;
}

/**
 * Returns the condition of Prisma Client that a user may read a message. Selects the same messages as
 * {@link isReadable}.
 */
export function visibleMessages(userId: string): Prisma.MessageWhereInput {
  return {
    chatroom: joinedChatrooms(userId),
    OR: [
      { chatroom: { kind: 'DIRECT' } },
      { senderId: null },
      { sender: { blockedBy: { none: { blockerId: userId } } } },
    ],
  };
}

/**
 * Fields of a message that name the sender of a notice. `service` is null if the message is not a notice, and in
 * notices stored by earlier releases.
 */
export type NoticeSender = Pick<Message, 'service' | 'authorName'>;

/** Returns the key of a message, used in its global id and in loaders. */
export function messageKey(chatroomId: string, number: number): string {
  return `${chatroomId}:${number}`;
}

/** Returns the condition that finds a message by its key `chatroomId:number`, if the viewer may read the message. */
export function visibleMessage(key: string, viewerId: string): Prisma.MessageWhereUniqueInput {
  const [chatroomId = '', number] = key.split(':');
  return { chatroomId_number: { chatroomId, number: Number(number) }, AND: visibleMessages(viewerId) };
}

/** Returns the room cursor whose position is right after a message. Calls `snapshotOf`. */
export function messageCursor(context: Context, message: Message): string {
  const { chatroomId, number, seq } = message;
  const asOf = snapshotOf(context);
  return encodeRoomCursor(context.databaseId, { kind: 'message', chatroomId, number, seq, asOf });
}

/** Returns a message by `chatroomId:number`; null unless the viewer may read the message. */
export const messageByKey: Loader<Message> = createViewerLoader<Message & OfViewer>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", ${messageColumns}
        FROM ${keyTable(keys, 'uuid', 'uuid', 'int')} k (viewer_id, chatroom_id, number)
        JOIN messages m ON m.chatroom_id = k.chatroom_id AND m.number = k.number
        WHERE ${isReadable(sql`k.viewer_id`)}`),
  (message) => messageKey(message.chatroomId, message.number),
);

const lastMessageOf: Loader<Message> = createViewerLoader<Message & OfViewer>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", m.* FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, chatroom_id)
        CROSS JOIN LATERAL (
          SELECT ${messageColumns} FROM messages m
            WHERE m.chatroom_id = k.chatroom_id AND ${isReadable(sql`k.viewer_id`)} ORDER BY m.number DESC LIMIT 1
        ) m`),
  (message) => message.chatroomId,
);

/** SQL condition that no block hides a message (`m`), so that all members of its room may read the message. */
const isReadableByAll = sql`(
  NOT EXISTS (SELECT FROM blocks b WHERE b.blocked_id = m.sender_id)
    OR (SELECT kind FROM chatrooms WHERE id = m.chatroom_id) = 'DIRECT')`;

/** A message, and whether all members of its room may read it. */
interface MessageOfAll {
  message: MessageWithSender;
  isReadableByAll: boolean;
}

/** Returns a message by `chatroomId:number`, without checking the viewer. */
const messageOfAll = createLoader<MessageOfAll>(
  async ({ database }, keys) => {
    const rows = await database.prepared<{ isReadableByAll: boolean }>(sql`
      SELECT ${columnsWithSender}, ${isReadableByAll} AS "isReadableByAll"
        FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
        JOIN messages m ON m.chatroom_id = k.chatroom_id AND m.number = k.number
        LEFT JOIN users u ON u.id = m.sender_id`);
    return rows.map((row) => ({ message: withSender(row), isReadableByAll: row.isReadableByAll }));
  },
  ({ message }) => messageKey(message.chatroomId, message.number),
);

/** Returns a message by `chatroomId:number` for a service with the scope `messages:read`, or null. */
export async function messageForService(context: Context, key: string): Promise<MessageWithSender | null> {
  requireScope(context, 'messages:read');
  return messageUnchecked(context, key);
}

/** Returns a message by `chatroomId:number`, without any check. The caller must have checked the scope of a service. */
export const messageUnchecked = createLoader<MessageWithSender>(
  async ({ database }, keys) => {
    const rows = await database.prepared(sql`
      SELECT ${columnsWithSender} FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
        JOIN messages m ON m.chatroom_id = k.chatroom_id AND m.number = k.number
        LEFT JOIN users u ON u.id = m.sender_id`);
    return rows.map(withSender);
  },
  (message) => messageKey(message.chatroomId, message.number),
);

/** Returns the message that a message replies to. Null if there is none, or if the viewer may not read it. */
export function repliedMessage(
  context: Context,
  { chatroomId, replyToNumber }: Message,
): MaybePromise<MessageWithSender | null> {
  return replyToNumber === null ? null : loadReplied(context, chatroomId, replyToNumber);
}

async function loadReplied(
  context: Context,
  chatroomId: string,
  replyToNumber: number,
): Promise<MessageWithSender | null> {
  const key = messageKey(chatroomId, replyToNumber);
  if (context.service) return messageForService(context, key);
  // The stream has checked that all subscribers of a shared execution are members of the room.
  const { viewerTracking } = context;
  const shared = viewerTracking ? await messageOfAll(context, key) : null;
  if (viewerTracking?.ignoresBlocks) return shared?.message ?? null;
  return shared?.isReadableByAll ? shared.message : messageByKey(context, key);
}

const newestMessageOf = createLoader<MessageOfAll>(
  async ({ database }, ids) => {
    const rows = await database.prepared<{ isReadableByAll: boolean }>(sql`
      SELECT ${columnsWithSender}, ${isReadableByAll} AS "isReadableByAll" FROM unnest(${ids}::uuid[]) k (chatroom_id)
        CROSS JOIN LATERAL (
          SELECT * FROM messages WHERE chatroom_id = k.chatroom_id ORDER BY number DESC LIMIT 1
        ) m LEFT JOIN users u ON u.id = m.sender_id`);
    return rows.map((row) => ({ message: withSender(row), isReadableByAll: row.isReadableByAll }));
  },
  ({ message }) => message.chatroomId,
);

/** Returns the newest message of a room that the viewer or service may read. Null if there is none. */
export async function lastMessageIn(context: Context, room: ChatroomRow): Promise<MessageWithSender | null> {
  if (context.service) {
    requireScope(context, 'messages:read');
    return (await newestMessageOf(context, room.id))?.message ?? null;
  }
  if (room.isShared) {
    const { viewerTracking, roomTails } = context;
    const event = viewerTracking && roomTails.latestEventOf(room.id, room.lastNumber);
    if (event?.message && (await isHiddenFromNobody(context, room, event.message))) {
      // The stream of the room may deliver an edit of the message before this result.
      viewerTracking?.checks.push(() => roomTails.isLatest(event));
      return event.message;
    }
    const newest = await newestMessageOf(context, room.id);
    if (!newest || newest.isReadableByAll) return newest?.message ?? null;
  }
  return lastMessageOf(context, room.id);
}

/** Returns whether no block hides a message. The result may be one second old, like the check of each event. */
async function isHiddenFromNobody(context: Context, room: ChatroomRow, { senderId }: Message): Promise<boolean> {
  return room.kind === 'DIRECT' || senderId === null || (await context.blockCache.of(senderId)).size === 0;
}

const byNumber = keyset({ 'm.number': 'number' });

/**
 * Lists the messages of a room that the viewer may read, oldest first. A service with the scope `messages:read` may read
 * all of them. Pages are found by message number, so page
 * 10,000 costs as much as page 1.
 */
export async function listMessages(
  context: Context,
  chatroomId: string,
  args: ConnectionArgs,
): Promise<Connection<MessageWithSender>> {
  if (context.service) requireScope(context, 'messages:read');
  const readable = context.service ? sql`true` : isReadable(sql`${requireViewer(context).userId}::uuid`);
  return connect<MessageWithSender>(args, {
    encode: (message) => messageCursor(context, message),
    decode: (cursor, path) => [String(decodeRoomCursor(context.databaseId, chatroomId, cursor, path).number)],
    load: (page) =>
      context.database.prepared<MessageWithSender>(sql`
        SELECT ${messageColumns}, ${contentColumns} FROM messages m
          WHERE m.chatroom_id = ${chatroomId}::uuid AND ${readable}
            ${byNumber.bounds(page)}
          ORDER BY ${byNumber.order(page)} LIMIT ${page.limit}`),
  });
}

/** Maximum number of attachments of a message. */
const MAX_ATTACHMENTS = 10;

export interface NewMessage {
  /** Null for an id that names no room. */
  chatroomId: string | null;
  /** Text of the message. May be empty if the message has attachments. */
  body: string;
  clientMessageId?: string | null | undefined;
  /**
   * Key `chatroomId:number` of the message to reply to. Undefined if the new message is no reply; null for an id that
   * names no message.
   */
  replyToKey?: string | null | undefined;
  /**
   * Keys of the attachments, in the order in which they are shown. Null for an id that names no attachment. By default,
   * the message has none.
   */
  attachmentIds?: readonly (string | null)[] | undefined;
  /** Keys of the viewer's previews to send with the message. Null for an id that names no preview. */
  linkPreviewIds?: readonly (string | null)[] | undefined;
  /** AUTO finds previews for the links of the message after the send. */
  linkPreviews?: 'AUTO' | 'NONE' | null | undefined;
}

/**
 * Stores a message, then notifies the subscribers of the room. The message is on disk when the promise resolves.
 *
 * @returns the message; `deduplicated` is true if the same `clientMessageId` had been sent before. If the sender has
 *   left the room since then, the returned message does not show later edits or a deletion.
 * @throws ChatError `BAD_USER_INPUT` for an invalid body or `clientMessageId`; `NOT_FOUND` if the viewer is not a
 *   member, or the message to reply to is not in the room, or a preview or attachment is not the viewer's; `BLOCKED` in a
 *   DIRECT room if either member has blocked the other; `CONFLICT` if the `clientMessageId` was sent with other content;
 *   `RATE_LIMITED` for a bot in a room where bots have sent 10 messages within 60 s without one from a person
 */
export async function sendMessage(
  context: Context,
  input: NewMessage,
): Promise<{ message: MessageWithSender; deduplicated: boolean }> {
  const { userId, bot } = requireViewer(context);
  const { chatroomId } = input;
  const attachmentIds = checkAttachments(input.attachmentIds ?? []);
  if (input.body !== '' || attachmentIds.length === 0) checkBody(input.body, 'input.body');
  checkClientMessageId(input.clientMessageId, 'input.clientMessageId');
  if (chatroomId === null) throw notFound('chatroom');
  const replyToNumber = replyNumber(chatroomId, input.replyToKey);
  const linkPreviewIds = previewIds(input);
  const findsPreviews = input.linkPreviews === 'AUTO';
  if (findsPreviews && context.findPage && /https?:\/\//i.test(input.body))
    await context.rateLimits.charge(context, LINK_PREVIEW_COST);

  const { body, clientMessageId = null } = input;
  const stored = await context.sendQueue({
    ...{ chatroomId, userId, body, clientMessageId, replyToNumber },
    attachmentIds: attachmentIds.length > 0 ? attachmentIds : null,
    linkPreviewIds: linkPreviewIds.length > 0 ? linkPreviewIds : null,
    linkPreviews: findsPreviews ? 'AUTO' : null,
    isBot: bot !== undefined,
  });
  const { outcome, event, seenAfter, retryAfterMs, message } = stored;
  if (outcome === 'NOT_FOUND') throw notFound('chatroom');
  if (outcome === 'BLOCKED')
    throw new ChatError(
      'BLOCKED',
      'One of you has blocked the other. No message can be sent until the block is removed.',
    );
  if (outcome === 'RATE_LIMITED')
    throw rateLimited(retryAfterMs ?? 0, 'Bots have sent too many messages here without one from a person.');
  if (outcome === 'REPLY_NOT_FOUND') throw notFound('message to reply to');
  if (outcome === 'LINK_PREVIEW_NOT_FOUND') throw notFound('link preview');
  if (outcome === 'ATTACHMENT_NOT_FOUND') throw unknownAttachment();
  if (outcome === 'CONFLICT') {
    throw new ChatError(
      'CONFLICT',
      'This clientMessageId was sent with other content. Use a new one for each message.',
    );
  }
  if (outcome === 'SENT') {
    context.counters.sent += 1;
    context.roomTails.notify(chatroomId, message.seq, event);
    // The send has moved the sender's read mark.
    context.notifyReadByAll(chatroomId, userId, seenAfter);
  }
  // A retry succeeds even if the sender has left the room.
  const deduplicated = outcome === 'REPEATED';
  return { message: { ...message, isUnchecked: deduplicated }, deduplicated };
}

/**
 * Returns the keys of the previews to send, each once.
 *
 * @throws ChatError `BAD_USER_INPUT` for more than 3 previews, and for previews together with AUTO; `NOT_FOUND` for an id
 *   that names no preview
 */
function previewIds({ linkPreviewIds = [], linkPreviews }: NewMessage): string[] {
  const path = 'input.linkPreviewIds';
  if (linkPreviewIds.length > MAX_LINK_PREVIEWS)
    throw badInput(path, `A message has at most ${MAX_LINK_PREVIEWS} link previews. Send fewer.`);
  if (linkPreviewIds.length > 0 && linkPreviews === 'AUTO')
    throw badInput(path, 'With AUTO, the server finds the link previews. Send either AUTO or ids.');
  return [...new Set(linkPreviewIds)].map((id) => {
    if (id === null) throw notFound('link preview');
    return id;
  });
}

/**
 * Returns the keys of the attachments of a new message.
 *
 * @throws ChatError `BAD_USER_INPUT` for too many attachments, and for one that is listed twice; `NOT_FOUND` for an id
 *   that names no attachment
 */
function checkAttachments(keys: readonly (string | null)[]): string[] {
  const path = 'input.attachmentIds';
  if (keys.length > MAX_ATTACHMENTS) throw badInput(path, `A message has at most ${MAX_ATTACHMENTS} attachments.`);
  if (new Set(keys).size < keys.length) throw badInput(path, 'An attachment is listed twice. List each one once.');
  return keys.map((key) => {
    if (key === null) throw unknownAttachment();
    return key;
  });
}

function unknownAttachment(): ChatError {
  return new ChatError(
    'NOT_FOUND',
    'An attachment was sent before, was rejected, or is not one of yours. Upload its file, and check its state.',
  );
}

function replyNumber(chatroomId: string, key: string | null | undefined): number | null {
  if (key === undefined) return null;
  const [room, number] = key?.split(':') ?? [];
  if (room !== chatroomId) throw notFound('message to reply to');
  return Number(number);
}
