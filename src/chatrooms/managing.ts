import { blocked } from '../blocks/blocks.ts';
import { type Context, freshContext, requireViewer, type ServerNode } from '../context.ts';
import { type Sql, sql } from '../database/database.ts';
import { badInput, ChatError, notFound } from '../errors.ts';
import type { Jobs } from '../jobs.ts';
import type { Change } from '../realtime/log.ts';
import { checkRoomName, checkTopic } from '../text/names.ts';
import { requireMembership, type VisibleChatroom } from './chatrooms.ts';

/**
 * Gives a room another name or topic: an absent one stays, null clears it. For owners and admins.
 *
 * @throws ChatError `BAD_USER_INPUT`, also for a DIRECT room; `NOT_FOUND`, `FORBIDDEN`
 */
export async function updateChatroom(
  context: Context,
  chatroomId: string | null,
  { name, topic }: { name?: string | null | undefined; topic?: string | null | undefined },
): Promise<VisibleChatroom> {
  const newName = checkRoomName(name, 'input.name');
  const newTopic = checkTopic(topic, 'input.topic');
  const room = await requireMembership(context, chatroomId);
  const seq = await manage(
    context,
    (by) => sql`
      update_chatroom(${room.id}::uuid, ${by}, ${name !== undefined}, ${newName}, ${topic !== undefined}, ${newTopic})`,
  );
  if (seq !== null) context.tails.nudge(room.id, seq);
  return requireMembership(freshContext(context), room.id);
}

/**
 * Ends a room with all that was said in it, for its owner. A DIRECT room is only hidden, and read, until the next message.
 *
 * @throws ChatError `NOT_FOUND`, `FORBIDDEN`
 */
export async function deleteChatroom(context: Context, chatroomId: string | null): Promise<void> {
  const room = await requireMembership(context, chatroomId);
  await manage(context, (by) => sql`delete_chatroom(${room.id}::uuid, ${by})`);
  context.sweep.announce();
}

/** How much of a room is cleared away at once. */
const BATCH = 5_000;

/** The job that clears away what was said in a room that has ended, and at last the room. */
export async function clearChatroom(
  { database }: Pick<ServerNode, 'database'>,
  { chatroomId }: Jobs['clear_chatroom'],
): Promise<void> {
  const room = sql`chatroom_id = ${chatroomId}::uuid`;
  const clearings = [
    sql`DELETE FROM messages WHERE ${room} AND number IN (SELECT number FROM messages WHERE ${room} LIMIT ${BATCH}) RETURNING 1`,
    sql`DELETE FROM events WHERE ${room} AND seq IN (SELECT seq FROM events WHERE ${room} LIMIT ${BATCH}) RETURNING 1`,
  ];
  for (const clearing of clearings) while ((await database.query(clearing)).length > 0);
  await database.query(sql`DELETE FROM chatrooms WHERE id = ${chatroomId}::uuid`);
}

/** Runs a function that changes a room, as the viewer. Answers the event up to which its log has grown, if it has. */
export async function manage(context: Context, call: (by: Sql) => Sql): Promise<number | null> {
  const { userId } = requireViewer(context);
  const [changed] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM ${call(sql`${userId}::uuid`)}`);
  switch (changed?.outcome) {
    case 'CHANGED':
    case 'HIDDEN':
      return changed.seq;
    case 'FORBIDDEN':
      throw new ChatError('FORBIDDEN', 'Your role does not let you do this. Ask an owner or admin of the chatroom.');
    case 'DIRECT':
      throw badInput('input.chatroomId', 'A DIRECT chatroom has its two members, no name and no roles.');
    case 'OWNER_STAYS':
      throw badInput('input.userId', 'Hand the chatroom over first: make another member its owner.');
    case 'NAMELESS':
      throw badInput('input.name', 'An OPEN chatroom needs a name to be found by.');
    case 'BLOCKED':
      throw blocked();
    case 'USER_NOT_FOUND':
      throw notFound('user');
    default:
      throw notFound('chatroom');
  }
}
