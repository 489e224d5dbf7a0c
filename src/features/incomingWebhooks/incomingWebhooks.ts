import { createToken, hashToken } from '../../auth/accessTokens.ts';
import { type Context, requireScope, requireViewer, type ServerNode } from '../../core/context.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { checkBody, checkClientMessageId } from '../../core/text/body.ts';
import { checkNickname } from '../../core/text/names.ts';
import { columnsOf, keyTable, sql } from '../../platform/database/database.ts';
import { type IncomingWebhook, Prisma } from '../../platform/database/generated/client.ts';
import { createViewerLoader, type OfViewer } from '../../platform/database/loader.ts';
import { storeNotice } from '../systemMessages/systemMessages.ts';

/** Beginning of the paths of incoming webhooks. The token follows. */
export const INCOMING_WEBHOOKS_PATH = '/hooks/';

/** Maximum number of incoming webhooks of a room. */
export const MAX_INCOMING_WEBHOOKS = 20;

/** Prefix by which people and scanners of source code recognise a token. */
const PREFIX = 'parley-hook-';

/** An incoming webhook, and its new token. */
export interface WebhookWithToken {
  incomingWebhook: IncomingWebhook;
  token: string;
}

const webhookColumns = columnsOf('w', Object.values(Prisma.IncomingWebhookScalarFieldEnum));

/**
 * Creates an incoming webhook of a room. Requires the OWNER or ADMIN role, or a service with `webhooks:write`.
 *
 * @param chatroomId null for an id that names no room
 * @throws ChatError `BAD_USER_INPUT` for an invalid name, or a DIRECT room; `NOT_FOUND` for the room; `FORBIDDEN` if the
 *   role does not suffice; `LIMIT_REACHED` if the room has 20 incoming webhooks
 */
export async function createIncomingWebhook(
  context: Context,
  chatroomId: string | null,
  name: string,
): Promise<WebhookWithToken> {
  const by = callerOf(context);
  const checked = checkNickname(name, 'input.name');
  const { token, hash } = createWebhookToken();
  const [changed] = await context.database.query<Changed>(sql`
    SELECT c.outcome, ${webhookColumns}
      FROM create_incoming_webhook(${chatroomId}::uuid, ${by}::uuid, ${checked}, ${hash}, ${MAX_INCOMING_WEBHOOKS}::int) c
        CROSS JOIN LATERAL (SELECT (c.webhook).*) w`);
  return { incomingWebhook: requireChanged(changed, 'chatroom'), token };
}

/**
 * Replaces the token of an incoming webhook. The previous URL is unknown from then on. Requires the same rights as
 * {@link createIncomingWebhook}.
 *
 * @param webhookId null for an id that names no incoming webhook
 * @throws ChatError `NOT_FOUND`, `FORBIDDEN`
 */
export async function rotateIncomingWebhook(context: Context, webhookId: string | null): Promise<WebhookWithToken> {
  const { token, hash } = createWebhookToken();
  return { incomingWebhook: await changeWebhook(context, webhookId, hash), token };
}

/**
 * Deletes an incoming webhook. Its messages remain. Requires the same rights as {@link createIncomingWebhook}.
 *
 * @param webhookId null for an id that names no incoming webhook
 * @throws ChatError `NOT_FOUND`, `FORBIDDEN`
 */
export async function deleteIncomingWebhook(context: Context, webhookId: string | null): Promise<IncomingWebhook> {
  return changeWebhook(context, webhookId, null);
}

async function changeWebhook(
  context: Context,
  webhookId: string | null,
  hash: Buffer | null,
): Promise<IncomingWebhook> {
  const by = callerOf(context);
  const [changed] = await context.database.query<Changed>(sql`
    SELECT c.outcome, ${webhookColumns}
      FROM change_incoming_webhook(${webhookId}::uuid, ${by}::uuid, ${hash}) c
        CROSS JOIN LATERAL (SELECT (c.webhook).*) w`);
  return requireChanged(changed, 'incoming webhook');
}

/** Returns the viewer who makes a change, or null for a service with the scope. */
function callerOf(context: Context): string | null {
  if (!context.service) return requireViewer(context).userId;
  requireScope(context, 'webhooks:write');
  return null;
}

type Changed = IncomingWebhook & { outcome: string };

function requireChanged(changed: Changed | undefined, what: string): IncomingWebhook {
  if (!changed || changed.outcome === 'NOT_FOUND') throw notFound(what);
  const { outcome, ...webhook } = changed;
  switch (outcome) {
    case 'CHANGED':
      return webhook;
    case 'DIRECT':
      throw badInput('input.chatroomId', 'A DIRECT chatroom has no incoming webhooks. Use a GROUP.');
    case 'LIMIT_REACHED':
      throw new ChatError(
        'LIMIT_REACHED',
        `The chatroom has ${MAX_INCOMING_WEBHOOKS} incoming webhooks. Delete one first.`,
        { limit: MAX_INCOMING_WEBHOOKS },
      );
    default:
      throw new ChatError('FORBIDDEN', 'Only the owner and admins of the chatroom manage its incoming webhooks.');
  }
}

function createWebhookToken(): { token: string; hash: Buffer } {
  const token = PREFIX + createToken().token;
  return { token, hash: hashToken(token) };
}

/** Returns the URL of a token. */
export function webhookUrl({ publicUrl }: Pick<Context, 'publicUrl'>, token: string): string {
  return `${publicUrl}${INCOMING_WEBHOOKS_PATH}${token}`;
}

/** Incoming webhooks of a room. */
interface RoomWebhooks extends OfViewer {
  chatroomId: string;
  webhooks: IncomingWebhook[];
}

const webhooksByRoom = createViewerLoader<RoomWebhooks>(
  async ({ database }, keys) => {
    const rows = await database.prepared<
      OfViewer & { roomId: string } & { [Key in keyof IncomingWebhook]: IncomingWebhook[Key] | null }
    >(sql`
      SELECT k.viewer_id AS "viewerId", m.chatroom_id AS "roomId", ${webhookColumns}
        FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, chatroom_id)
        JOIN members m ON m.chatroom_id = k.chatroom_id AND m.user_id = k.viewer_id AND m.role IN ('OWNER', 'ADMIN')
        LEFT JOIN incoming_webhooks w ON w.chatroom_id = m.chatroom_id
        ORDER BY w.created_at, w.id`);
    const rooms = new Map<string, RoomWebhooks>();
    for (const { viewerId, roomId, ...webhook } of rows) {
      const key = `${viewerId} ${roomId}`;
      const room = rooms.get(key) ?? { viewerId, chatroomId: roomId, webhooks: [] };
      rooms.set(key, room);
      if (webhook.id !== null) room.webhooks.push(webhook as IncomingWebhook);
    }
    return [...rooms.values()];
  },
  ({ chatroomId }) => chatroomId,
);

/** Lists the incoming webhooks of a room, oldest first. Null unless the viewer is the owner or an admin. */
export async function listIncomingWebhooks(context: Context, chatroomId: string): Promise<IncomingWebhook[] | null> {
  return (await webhooksByRoom(context, chatroomId))?.webhooks ?? null;
}

/** Returns the condition that finds an incoming webhook by its id, if the viewer manages its room. */
export function visibleWebhook(id: string, viewerId: string): Prisma.IncomingWebhookWhereUniqueInput {
  return { id, AND: { chatroom: { members: { some: { userId: viewerId, role: { in: ['OWNER', 'ADMIN'] } } } } } };
}

/** Returns the incoming webhook of a token. Null for a token that is unknown, was replaced or was deleted. */
export async function findIncomingWebhook(
  { database }: Pick<ServerNode, 'database'>,
  token: string,
): Promise<IncomingWebhook | null> {
  const [found] = await database.prepared<IncomingWebhook>(sql`
    SELECT ${webhookColumns} FROM incoming_webhooks w WHERE w.token_hash = ${hashToken(token)}`);
  return found ?? null;
}

/**
 * Stores the message of a request to an incoming webhook, as a notice by the name of the webhook. It counts as unread,
 * and not as a message of a bot or person.
 *
 * @param content parsed body of the request: `{ body, format?, threadOf? }`, or Slack's `{ text }`
 * @param idempotencyKey becomes the `clientMessageId`
 * @returns the number of the message
 * @throws ChatError `BAD_USER_INPUT`, `NOT_FOUND`; `CONFLICT` for a key that was sent with another body
 */
export async function receiveWebhookMessage(
  node: Pick<ServerNode, 'database' | 'counters' | 'roomTails'>,
  webhook: IncomingWebhook,
  content: unknown,
  idempotencyKey: string | null,
): Promise<number> {
  const body = bodyOf(content);
  checkBody(body, 'body');
  if (idempotencyKey !== null) checkClientMessageId(idempotencyKey, 'Idempotency-Key');
  const sender = { service: `hook:${webhook.id}`, authorName: webhook.name, clientMessageId: idempotencyKey };
  const { message } = await storeNotice(node, webhook.chatroomId, sender, { body, countsAsUnread: true });
  return message.number;
}

function bodyOf(content: unknown): string {
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw badInput('', 'The request is not a JSON object. Send {"body": "a text"}.');
  const { body, text, format, threadOf } = content as Record<string, unknown>;
  if (format != null && format !== 'PLAIN')
    throw badInput('format', 'This format is unknown. Leave out format, or send "PLAIN".');
  if (threadOf != null) throw badInput('threadOf', 'There are no threads yet. Leave out threadOf.');
  // Slack names the field `text`.
  const message = body ?? text;
  if (typeof message !== 'string') throw badInput('body', 'There is no text. Send {"body": "a text"}.');
  return message;
}
