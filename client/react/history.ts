import { ChatError } from '../errors.ts';
import { type Chat, query } from './chat.ts';
import type { Connection, Documents, HistoryRoom, MessageKey } from './documents.ts';
import type { MessagePage } from './messageList.ts';

/** Parameters of a query for the messages of a room. */
export interface RoomTarget<Message, Room, User> {
  documents: Documents<Message, Room, User>;
  chatroomId: string;
  pageSize: number;
}

/** A room with its newest messages. */
export interface RoomSnapshot<Message, Room> extends MessagePage<Message & MessageKey> {
  room: HistoryRoom<Message, Room>;
}

/**
 * Queries a room and its newest messages.
 *
 * @throws ChatError `NOT_FOUND` if the viewer is not a member
 */
export async function queryRoom<Message, Room>(
  chat: Chat,
  { documents, chatroomId, pageSize }: RoomTarget<Message, Room, any>,
): Promise<RoomSnapshot<Message, Room>> {
  const { chatroom } = await query(chat, documents.history, { chatroomId, last: pageSize });
  return snapshotOf(chatroom);
}

/**
 * Returns a room with the messages that were loaded with it.
 *
 * @throws ChatError `NOT_FOUND` if the viewer is not a member
 */
export function snapshotOf<Message, Room>(room: HistoryRoom<Message, Room> | null): RoomSnapshot<Message, Room> {
  if (!room?.messages)
    throw new ChatError({ code: 'NOT_FOUND', message: 'This room does not exist, or you are not a member of it.' });
  return { room, ...pageOf(room.messages) };
}

/** Queries a page of messages before or after a cursor. */
export async function queryPage<Message>(
  chat: Chat,
  { documents, chatroomId }: RoomTarget<Message, any, any>,
  page: { first: number; after: string } | { last: number; before: string },
): Promise<MessagePage<Message & MessageKey>> {
  const { chatroom } = await query(chat, documents.page, { chatroomId, ...page });
  if (!chatroom?.messages)
    throw new ChatError({ code: 'NOT_FOUND', message: 'You are no longer a member of this room.' });
  return pageOf(chatroom.messages);
}

/**
 * Queries a message and the messages around it. Returns null if the message does not exist or the viewer may not see
 * it.
 */
export async function queryAround<Message>(
  chat: Chat,
  target: RoomTarget<Message, any, any>,
  number: number,
): Promise<MessagePage<Message & MessageKey> | null> {
  const { documents, chatroomId, pageSize } = target;
  const { chatroom } = await query(chat, documents.message, { chatroomId, number });
  const message = chatroom?.message;
  if (!message) return null;
  const half = Math.ceil(pageSize / 2);
  const [before, after] = await Promise.all([
    queryPage(chat, target, { last: half, before: message.cursor }),
    queryPage(chat, target, { first: half, after: message.cursor }),
  ]);
  return { nodes: [...before.nodes, message, ...after.nodes], earlier: before.earlier, later: after.later };
}

function pageOf<Node>({ nodes, pageInfo }: Connection<Node>): MessagePage<Node> {
  return {
    nodes,
    earlier: pageInfo.hasPreviousPage ? pageInfo.startCursor : null,
    later: pageInfo.hasNextPage ? pageInfo.endCursor : null,
  };
}
