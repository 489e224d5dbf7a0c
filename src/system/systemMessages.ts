import { type Context, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput, ChatError, notFound } from '../errors.ts';
import { hint } from '../hints.ts';
import { messageColumns } from '../messages/messages.ts';
import { checkBody, checkClientMessageId } from '../text/messages.ts';
import { checkNickname } from '../text/names.ts';
import { findUserByName, requireUser } from '../users/users.ts';

/** Exactly one of the three; null for an id that names nothing. */
export interface SystemTarget {
  userId?: string | null | undefined;
  username?: string | undefined;
  chatroomId?: string | null | undefined;
}

/** What a service sends. */
export interface Notice {
  body: string;
  authorName?: string | null | undefined;
  clientMessageId?: string | null | undefined;
  countsAsUnread: boolean;
}

/** Who sends a notice, and under which id. */
interface Sender {
  service: string;
  authorName: string | null;
  clientMessageId: string | null;
}

export interface SentSystemMessage {
  /** The message that the room keeps; null for a notice to one user, which nothing keeps. */
  message: Message | null;
  /** How many of the addressed users were online. */
  onlineRecipients: number;
  /** Whether the service had sent the same `clientMessageId` into the room before. */
  deduplicated: boolean;
}

/**
 * Sends a notice of another service: into a room, which stores it, or to one user who is online now.
 *
 * @throws ChatError `UNAUTHENTICATED`, `FORBIDDEN` for users; `BAD_USER_INPUT`, `NOT_FOUND`; `CONFLICT` for a
 *   `clientMessageId` that was sent with another body; `RECIPIENT_OFFLINE` for one user who is not online
 */
export async function sendSystemMessage(
  context: Context,
  target: SystemTarget,
  notice: Notice,
): Promise<SentSystemMessage> {
  const service = requireService(context);
  checkBody(notice.body, 'input.body');
  checkClientMessageId(notice.clientMessageId, 'input.clientMessageId');
  const authorName = notice.authorName == null ? null : checkNickname(notice.authorName, 'input.authorName');
  if (Object.values(target).filter((value) => value !== undefined).length !== 1) {
    throw badInput('input', 'Name exactly one target: userId, username or chatroomId.');
  }
  const sender = { service, authorName, clientMessageId: notice.clientMessageId ?? null };
  return target.chatroomId === undefined
    ? notifyUser(context, target, sender, notice.body)
    : storeInRoom(context, target.chatroomId, sender, notice);
}

function requireService(context: Context): string {
  if (context.service) return context.service.name;
  requireViewer(context);
  throw new ChatError('FORBIDDEN', 'Only other services send system messages, with a service token.');
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
    throw new ChatError('RECIPIENT_OFFLINE', 'The user is not online. Send it into a chatroom, which keeps it.');
  }
  hint(context.bus, user.id, { kind: 'NOTICE', body, sentAt: new Date().toISOString(), ...sender });
  return { message: null, onlineRecipients: 1, deduplicated: false };
}

async function storeInRoom(
  context: Context,
  chatroomId: string | null,
  { service, authorName, clientMessageId }: Sender,
  { body, countsAsUnread }: Notice,
): Promise<SentSystemMessage> {
  if (chatroomId === null) throw notFound('chatroom');
  const [stored] = await context.database.query<Message & { outcome: string }>(sql`
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
    context.counts.sent += 1;
    context.tails.nudge(chatroomId, message.seq);
  }
  const members = await context.database.prisma.member.findMany({ where: { chatroomId }, select: { userId: true } });
  const online = await context.presence.online(members.map((member) => member.userId));
  return { message, onlineRecipients: online.size, deduplicated: outcome === 'REPEATED' };
}
