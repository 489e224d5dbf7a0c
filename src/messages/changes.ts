import { type Context, freshContext, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { ChatError, notFound } from '../errors.ts';
import type { Change } from '../realtime/log.ts';
import { toVector } from '../search/words.ts';
import { checkBody } from '../text/messages.ts';
import { messageByKey } from './messages.ts';

/**
 * Gives a message of the viewer's another text.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `BAD_USER_INPUT`; `NOT_FOUND`, also for a deleted message; `FORBIDDEN` for another's;
 *   `BLOCKED` in a DIRECT room across a block
 */
export async function editMessage(context: Context, key: string | null, body: string): Promise<Message> {
  checkBody(body, 'input.body');
  return changeMessage(context, key, body);
}

/**
 * Deletes a message: the sender their own, owners and admins everyone's. It stays as a tombstone with its
 * number. Deleting it again changes nothing.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND`, `FORBIDDEN`
 */
export async function deleteMessage(context: Context, key: string | null): Promise<Message> {
  return changeMessage(context, key, null);
}

async function changeMessage(context: Context, key: string | null, body: string | null): Promise<Message> {
  const { chatroomId, number } = await requireReadable(context, key);
  const { userId } = requireViewer(context);
  const [changed] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM change_message(${chatroomId}::uuid, ${number}::int, ${userId}::uuid, ${body}, ${body === null ? null : toVector(body)}::tsvector)`);
  return settle(context, key, changed);
}

/** A message that the viewer may read: the others do not exist for them, whatever they want to do with it. */
export async function requireReadable(context: Context, key: string | null): Promise<Message> {
  requireViewer(context);
  const message = key === null ? null : await messageByKey(context, key);
  if (!message) throw notFound('message');
  return message;
}

/** Tells those who follow the room what was committed, and answers the message as it is now. */
export async function settle(context: Context, key: string | null, change: Change | undefined): Promise<Message> {
  switch (change?.outcome) {
    case 'CHANGED': {
      const message = await requireReadable(freshContext(context), key);
      if (change.seq !== null) context.tails.nudge(message.chatroomId, change.seq);
      return message;
    }
    case 'FORBIDDEN':
      throw new ChatError('FORBIDDEN', 'Only its sender may change a message; owners and admins may delete it.');
    case 'BLOCKED':
      throw new ChatError('BLOCKED', 'One of you has blocked the other: nothing can be done here.');
    default:
      throw notFound('message');
  }
}
