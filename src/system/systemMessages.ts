import { type Context, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput, ChatError, notFound } from '../errors.ts';
import { hint } from '../hints.ts';
import { messageColumns } from '../messages/messages.ts';
import { checkBody } from '../text/messages.ts';
import { findUserByName, requireUser } from '../users/users.ts';

/** Exactly one of the three; null for an id that names nothing. */
export interface SystemTarget {
  userId?: string | null | undefined;
  username?: string | undefined;
  chatroomId?: string | null | undefined;
}

export interface SentSystemMessage {
  /** The message that the room keeps; null for a notice to one user, which nothing keeps. */
  message: Message | null;
  /** How many of the addressed users were online. */
  onlineRecipients: number;
}

/**
 * Says something for another service: into a room, which keeps it, or to one user who is online now.
 *
 * @throws ChatError `UNAUTHENTICATED`, `FORBIDDEN` for users; `BAD_USER_INPUT`, `NOT_FOUND`; `RECIPIENT_OFFLINE` for one
 *   user who is not online
 */
export async function sendSystemMessage(
  context: Context,
  target: SystemTarget,
  body: string,
): Promise<SentSystemMessage> {
  requireService(context);
  checkBody(body, 'input.body');
  if (Object.values(target).filter((value) => value !== undefined).length !== 1) {
    throw badInput('input', 'Name exactly one target: userId, username or chatroomId.');
  }
  return target.chatroomId === undefined ? tellUser(context, target, body) : tellRoom(context, target.chatroomId, body);
}

function requireService(context: Context): void {
  if (context.service) return;
  requireViewer(context);
  throw new ChatError('FORBIDDEN', 'Only other services send system messages, with a service token.');
}

async function tellUser(context: Context, target: SystemTarget, body: string): Promise<SentSystemMessage> {
  const user =
    target.username === undefined
      ? await requireUser(context, target.userId ?? null)
      : await findUserByName(context, target.username);
  if (!user) throw notFound('user');
  const online = await context.presence.online([user.id]);
  if (online.size === 0) {
    throw new ChatError('RECIPIENT_OFFLINE', 'The user is not online. Send it into a chatroom, which keeps it.');
  }
  hint(context.bus, user.id, { kind: 'NOTICE', body, sentAt: new Date().toISOString() });
  return { message: null, onlineRecipients: 1 };
}

async function tellRoom(context: Context, chatroomId: string | null, body: string): Promise<SentSystemMessage> {
  if (chatroomId === null) throw notFound('chatroom');
  const [message] = await context.database.query<Message>(sql`
    SELECT ${messageColumns} FROM chatrooms c
      CROSS JOIN LATERAL append_system_message(c.id, 'NOTICE', NULL, ${body}) m WHERE c.id = ${chatroomId}::uuid`);
  if (!message) throw notFound('chatroom');
  context.counts.sent += 1;
  context.tails.nudge(chatroomId, message.seq);
  const members = await context.database.prisma.member.findMany({ where: { chatroomId }, select: { userId: true } });
  const online = await context.presence.online(members.map((member) => member.userId));
  return { message, onlineRecipients: online.size };
}
