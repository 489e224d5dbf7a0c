import { type Context, requireScope, type ServerNode } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import type { Message } from '../../platform/database/generated/client.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { publishHint } from '../../delivery/userHints.ts';
import { messageColumns, type MessageWithSender } from '../messages/messages.ts';
import { checkBody, checkClientMessageId } from '../../core/text/body.ts';
import { checkNickname } from '../../core/text/names.ts';
import { findUserByName, requireUser } from '../users/users.ts';

/** Recipient of a system message. Exactly one field is set. An id is null if it names no object. */
export interface SystemTarget {
  userId?: string | null | undefined;
  username?: string | undefined;
  chatroomId?: string | null | undefined;
}

/** Content of a system message. */
export interface Notice {
  body: string;
  authorName?: string | null | undefined;
  clientMessageId?: string | null | undefined;
  countsAsUnread: boolean;
}

/** Sender of a notice, and the id that the sender has assigned to the notice. */
interface Sender {
  service: string;
  authorName: string | null;
  clientMessageId: string | null;
}

export interface SentSystemMessage {
  /** The message stored in the room; null for a notice to one user, which is not stored. */
  message: MessageWithSender | null;
  /** Number of recipients who were online. */
  onlineRecipients: number;
  /** True if the service had already sent this `clientMessageId` to the room, so that nothing new was stored. */
  deduplicated: boolean;
}

/**
 * Sends a notice from another service to a room or to one user. A notice to a room is stored. A notice to one user is
 * not stored, so the user must be online.
 *
 * @throws ChatError `UNAUTHENTICATED` without a token; `FORBIDDEN` for users, and without the scope; `BAD_USER_INPUT` for an invalid notice,
 *   or unless there is exactly one recipient; `NOT_FOUND` if the recipient does not exist; `CONFLICT` if the
 *   `clientMessageId` was sent with another body; `RECIPIENT_OFFLINE` if the user is not online
 */
export async function sendSystemMessage(
  context: Context,
  target: SystemTarget,
  notice: Notice,
): Promise<SentSystemMessage> {
  const service = requireScope(context, 'messages:write', 'notices:write');
  checkBody(notice.body, 'input.body');
  checkClientMessageId(notice.clientMessageId, 'input.clientMessageId');
  const authorName = notice.authorName == null ? null : checkNickname(notice.authorName, 'input.authorName');
  if (Object.values(target).filter((value) => value !== undefined).length !== 1) {
    throw badInput('input', 'There must be exactly one recipient. Set one of userId, username and chatroomId.');
  }
  const sender = { service, authorName, clientMessageId: notice.clientMessageId ?? null };
  return target.chatroomId === undefined
    ? notifyUser(context, target, sender, notice.body)
    : storeInRoom(context, target.chatroomId, sender, notice);
}

async function notifyUser(
  context: Context,
  target: SystemTarget,
  sender: Sender,
  body: string,
): Promise<SentSystemMessage> {
  const user =
    target.username === undefined
      ? await requireUser(context, target.userId ?? null)
      : await findUserByName(context, target.username);
  if (!user) throw notFound('user');
  const online = await context.presence.online([user.id]);
  if (online.size === 0) {
    throw new ChatError(
      'RECIPIENT_OFFLINE',
      'The user is not online, and a notice to one user is not stored. Send it to a chatroom instead.',
    );
  }
  publishHint(context.bus, user.id, { kind: 'NOTICE', body, sentAt: new Date().toISOString(), ...sender });
  return { message: null, onlineRecipients: 1, deduplicated: false };
}

async function storeInRoom(
  context: Context,
  chatroomId: string | null,
  sender: Sender,
  notice: Notice,
): Promise<SentSystemMessage> {
  if (chatroomId === null) throw notFound('chatroom');
  const { message, deduplicated } = await storeNotice(context, chatroomId, sender, notice);
  const members = await context.database.prisma.member.findMany({ where: { chatroomId }, select: { userId: true } });
  const online = await context.presence.online(members.map((member) => member.userId));
  return { message: { ...message, isUnchecked: true }, onlineRecipients: online.size, deduplicated };
}

/**
 * Stores a notice in a room, then notifies the subscribers of the room. The caller has checked the notice.
 *
 * @throws ChatError `NOT_FOUND` if the room does not exist; `CONFLICT` if the sender has sent the `clientMessageId` with
 *   another body
 */
export async function storeNotice(
  { database, counters, roomTails }: Pick<ServerNode, 'database' | 'counters' | 'roomTails'>,
  chatroomId: string,
  { service, authorName, clientMessageId }: Sender,
  { body, countsAsUnread }: Pick<Notice, 'body' | 'countsAsUnread'>,
): Promise<{ message: Message; deduplicated: boolean }> {
  const [stored] = await database.query<Message & { outcome: string }>(sql`
    SELECT s.outcome, ${messageColumns}
      FROM send_notice(${chatroomId}::uuid, ${service}, ${authorName}, ${body}, ${clientMessageId}, ${countsAsUnread}) s
        CROSS JOIN LATERAL (SELECT (s.message).*) m`);
  if (!stored) throw new Error('send_notice returned nothing.');
  const { outcome, ...message } = stored;
  if (outcome === 'NOT_FOUND') throw notFound('chatroom');
  if (outcome === 'CONFLICT') {
    throw new ChatError('CONFLICT', 'This clientMessageId was sent with another body. Use a new one for each message.');
  }
  if (outcome === 'SENT') {
    counters.sent += 1;
    roomTails.notify(chatroomId, message.seq);
  }
  return { message, deduplicated: outcome === 'REPEATED' };
}
