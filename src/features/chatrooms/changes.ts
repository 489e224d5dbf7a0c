import { blocked } from '../relationships/blocks.ts';
import { type Context, eventContext, requireScope, requireViewer, type ServerNode } from '../../core/context.ts';
import { type Sql, sql } from '../../platform/database/database.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import type { Jobs } from '../../platform/jobQueue.ts';
import type { Change } from '../../delivery/roomLog.ts';
import { checkRoomName, checkTopic } from '../../core/text/names.ts';
import { explainBotRefusal, requireMembership, type VisibleChatroom } from './chatrooms.ts';

/**
 * Changes the name or topic of a room. Absent values stay unchanged, and null clears a value. Requires the OWNER or
 * ADMIN role.
 *
 * @param chatroomId null for an id that names no room
 * @throws ChatError `BAD_USER_INPUT` for invalid values, a DIRECT room, or an OPEN room without a name; `NOT_FOUND` if
 *   the viewer is not a member; `FORBIDDEN` if their role does not suffice
 */
export async function updateChatroom(
  context: Context,
  chatroomId: string | null,
  { name, topic }: { name?: string | null | undefined; topic?: string | null | undefined },
): Promise<VisibleChatroom> {
  const newName = checkRoomName(name, 'input.name');
  const newTopic = checkTopic(topic, 'input.topic');
  const room = await requireMembership(context, chatroomId);
  const seq = await callRoomFunction(
    context,
    (by) => sql`
      update_chatroom(${room.id}::uuid, ${by}, ${name !== undefined}, ${newName}, ${topic !== undefined}, ${newTopic})`,
  );
  if (seq !== null) context.roomTails.notify(room.id, seq);
  return requireMembership(eventContext(context), room.id);
}

/**
 * Deletes a room with all its messages. Requires the OWNER role. A DIRECT room is only marked as read and hidden from
 * the viewer until its next message.
 *
 * @param chatroomId null for an id that names no room
 * @throws ChatError `NOT_FOUND` if the viewer is not a member, `FORBIDDEN` if they are not the owner
 */
export async function deleteChatroom(context: Context, chatroomId: string | null): Promise<void> {
  const room = await requireMembership(context, chatroomId);
  await callRoomFunction(context, (by) => sql`delete_chatroom(${room.id}::uuid, ${by})`);
  context.changePoller.requestPoll();
  if (room.kind === 'DIRECT') context.notifyReadByAll(room.id, requireViewer(context).userId, 0);
}

/** Number of rows that one statement deletes. Each statement is a short transaction of its own. */
const BATCH_SIZE = 5_000;

/**
 * Runs the job that deletes the messages and events of a deleted room in batches, and then the row of the room itself.
 */
export async function clearChatroom(
  { database }: Pick<ServerNode, 'database'>,
  { chatroomId }: Jobs['clear_chatroom'],
): Promise<void> {
  const room = sql`chatroom_id = ${chatroomId}::uuid`;
  const deletions = [
    sql`DELETE FROM messages WHERE ${room} AND number IN (SELECT number FROM messages WHERE ${room} LIMIT ${BATCH_SIZE}) RETURNING 1`,
    sql`DELETE FROM events WHERE ${room} AND seq IN (SELECT seq FROM events WHERE ${room} LIMIT ${BATCH_SIZE}) RETURNING 1`,
  ];
  for (const deletion of deletions) while ((await database.query(deletion)).length > 0);
  await database.query(sql`DELETE FROM chatrooms WHERE id = ${chatroomId}::uuid`);
}

/**
 * Calls a database function that changes a room on behalf of the viewer or of a service.
 *
 * @param call returns the SQL call; `by` is the id of the viewer, and NULL for a service
 * @returns the `seq` of the last event that the function added to the room's log, or null if it added none
 * @throws ChatError `FORBIDDEN`, `BAD_USER_INPUT`, `BLOCKED` or `NOT_FOUND`, depending on the outcome of the function
 */
export async function callRoomFunction(context: Context, call: (by: Sql) => Sql): Promise<number | null> {
  if (context.service) requireScope(context, 'rooms:write');
  const userId = context.service ? null : requireViewer(context).userId;
  const [changed] = await context.database
    .query<Change>(sql`SELECT outcome, seq FROM ${call(sql`${userId}::uuid`)}`)
    .catch(explainBotRefusal);
  switch (changed?.outcome) {
    case 'CHANGED':
    case 'HIDDEN':
      return changed.seq;
    case 'FORBIDDEN':
      throw new ChatError('FORBIDDEN', 'Your role does not allow this. Ask the owner or an admin of the chatroom.');
    case 'DIRECT':
      throw badInput(
        'input.chatroomId',
        'This is not possible in a DIRECT chatroom: it has two fixed members, no name and no roles.',
      );
    case 'OWNER_STAYS':
      throw badInput('input.userId', 'The owner cannot change their own role. Make another member the owner instead.');
    case 'NAMELESS':
      throw badInput('input.name', 'An OPEN chatroom needs a name, because users find it by name.');
    case 'BLOCKED':
      throw blocked();
    case 'USER_NOT_FOUND':
      throw notFound('user');
    case 'ATTACHMENT_NOT_FOUND':
      throw notFound('attachment');
    default:
      throw notFound('chatroom');
  }
}
