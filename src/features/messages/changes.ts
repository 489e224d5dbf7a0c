import { type Context, eventContext, requireScope, requireViewer } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { Message } from '../../platform/database/generated/client.ts';
import { ChatError, notFound } from '../../core/errors.ts';
import type { Change } from '../../delivery/roomLog.ts';
import { toVector } from './tokenizer.ts';
import { checkBody } from '../../core/text/body.ts';
import { messageByKey, messageUnchecked, type MessageWithSender } from './messages.ts';

/**
 * Replaces the body of a message that the viewer has sent.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `BAD_USER_INPUT` for an invalid body; `NOT_FOUND` for an unknown or deleted message; `FORBIDDEN` if
 *   the viewer is not the sender; `BLOCKED` in a DIRECT room if either member has blocked the other
 */
export async function editMessage(context: Context, key: string | null, body: string): Promise<Message> {
  // A message with attachments needs no words.
  const isEmptied = body === '' && (await requireReadable(context, key)).hasAttachments;
  if (!isEmptied) checkBody(body, 'input.body');
  return changeMessage(context, key, body);
}

/**
 * Deletes a message. Senders may delete their own messages; owners and admins may delete messages of all users, and so may
 * a service with the scope `moderation:write`. The message remains as a tombstone with its number. A repeated deletion changes nothing.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND` for an unknown message, `FORBIDDEN` if the viewer may not delete it
 */
export async function deleteMessage(context: Context, key: string | null): Promise<Message> {
  return context.service ? moderateMessage(context, key) : changeMessage(context, key, null);
}

async function moderateMessage(context: Context, key: string | null): Promise<MessageWithSender> {
  requireScope(context, 'moderation:write');
  const erased = await eraseMessage(context.database.query, key);
  const message = key !== null && erased ? await messageUnchecked(context, key) : null;
  if (!erased || !message) throw notFound('message');
  if (erased.seq !== null) context.roomTails.notify(erased.chatroomId, erased.seq);
  return { ...message, isUnchecked: true };
}

async function changeMessage(context: Context, key: string | null, body: string | null): Promise<Message> {
  const { chatroomId, number } = await requireReadable(context, key);
  const { userId } = requireViewer(context);
  const [changed] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM change_message(${chatroomId}::uuid, ${number}::int, ${userId}::uuid, ${body}, ${body === null ? null : toVector(body)}::tsvector)`);
  return completeChange(context, key, changed);
}

/**
 * Returns a message that the viewer may read.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `NOT_FOUND` for a message that does not exist, or that the viewer may not read
 */
export async function requireReadable(context: Context, key: string | null): Promise<Message> {
  requireViewer(context);
  const message = key === null ? null : await messageByKey(context, key);
  if (!message) throw notFound('message');
  return message;
}

/**
 * Deletes a message of any user, for the operator. After the commit, notify the subscribers of the room with `seq`.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @returns the room and the event of the deletion, whose `seq` is null if the message was already deleted; null if there
 *   is no such message of a user
 */
export async function eraseMessage(
  query: Database['query'],
  key: string | null,
): Promise<{ chatroomId: string; seq: number | null } | null> {
  const [chatroomId, number] = key?.split(':') ?? [];
  if (chatroomId === undefined) return null;
  const [change] = await query<Change>(sql`
    SELECT outcome, seq FROM erase_message(${chatroomId}::uuid, ${Number(number)}::int)`);
  return change?.outcome === 'CHANGED' ? { chatroomId, seq: change.seq } : null;
}

/**
 * Handles the outcome of a change to a message, after the commit. Notifies the subscribers of the room, and returns the
 * message in its current state.
 *
 * @throws ChatError `FORBIDDEN`, `BLOCKED` or `NOT_FOUND`, depending on the outcome
 */
export async function completeChange(
  context: Context,
  key: string | null,
  change: Change | undefined,
): Promise<Message> {
  switch (change?.outcome) {
    case 'CHANGED': {
      const message = await requireReadable(eventContext(context), key);
      if (change.seq !== null) context.roomTails.notify(message.chatroomId, change.seq);
      return message;
    }
    case 'FORBIDDEN':
      throw new ChatError('FORBIDDEN', 'Only the sender may edit a message. Owners and admins may delete it.');
    case 'BLOCKED':
      throw new ChatError(
        'BLOCKED',
        'One of you has blocked the other. You cannot edit or react to messages here until the block is removed.',
      );
    default:
      throw notFound('message');
  }
}
