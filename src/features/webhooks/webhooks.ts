import { type Context, requireScope } from '../../core/context.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { encodeId } from '../../core/globalIds.ts';
import { countCharacters, isStorable } from '../../core/text/text.ts';
import { type Database, type Sql, sql } from '../../platform/database/database.ts';
import type { WebhookState } from '../../platform/database/generated/enums.ts';
import type { WebhookEvent } from './events.ts';
import { createWebhookSecret } from './signing.ts';

/** A webhook as services see it. */
export interface Webhook {
  id: string;
  service: string;
  name: string;
  url: string;
  events: WebhookEvent[];
  chatroomId: string | null;
  document: string | null;
  state: WebhookState;
  error: string | null;
  failedAt: Date | null;
  lastSuccessAt: Date | null;
  previousSecretUntil: Date | null;
  createdAt: Date;
}

/** Properties that a service chooses. */
export interface WebhookSettings {
  name: string;
  url: string;
  events: readonly WebhookEvent[];
  document: string | null;
}

/** Maximum number of webhooks of a service. */
const MAX_WEBHOOKS = 20;
/** Maximum length of a name in characters. */
const MAX_NAME_CHARACTERS = 100;
/** Time for which a replaced secret stays valid, in hours. */
const PREVIOUS_SECRET_HOURS = 24;

/** Columns of {@link Webhook}; the table alias is `w`. */
export const webhookColumns = sql`
  w.id, w.service, w.name, w.url, w.events, w.chatroom_id AS "chatroomId", w.document, w.state, w.error,
  w.failed_at AS "failedAt", w.last_success_at AS "lastSuccessAt", w.created_at AS "createdAt",
  CASE WHEN w.previous_secret_until > now() THEN w.previous_secret_until END AS "previousSecretUntil"`;

/** Returns the name of the service that may manage webhooks. */
export function requireWebhookService(context: Context): string {
  return requireScope(context, 'webhooks:write');
}

/** Lists the webhooks of the service, sorted by name. */
export function listWebhooks(context: Context): Promise<Webhook[]> {
  return context.database.query<Webhook>(sql`
    SELECT ${webhookColumns} FROM webhooks w WHERE w.service = ${requireWebhookService(context)} ORDER BY w.name, w.id`);
}

/** Lists the webhooks of all services, sorted by service and name. The caller must check that the viewer is an admin. */
export function listAllWebhooks({ database }: Pick<Context, 'database'>): Promise<Webhook[]> {
  return database.query<Webhook>(sql`SELECT ${webhookColumns} FROM webhooks w ORDER BY w.service, w.name, w.id`);
}

/** Returns a webhook of the service, or null. */
export async function findWebhook(context: Context, id: string | null): Promise<Webhook | null> {
  const service = requireWebhookService(context);
  if (id === null) return null;
  const [found] = await context.database.query<Webhook>(sql`
    SELECT ${webhookColumns} FROM webhooks w WHERE w.id = ${id}::uuid AND w.service = ${service}`);
  return found ?? null;
}

/**
 * Returns a webhook of the service.
 *
 * @throws ChatError `NOT_FOUND` if the service has no such webhook
 */
export async function requireWebhook(context: Context, id: string | null): Promise<Webhook> {
  const webhook = await findWebhook(context, id);
  if (!webhook) throw notFound('webhook');
  return webhook;
}

/** Checks settings before they are stored. Returns them with the events in a fixed order. */
function checkSettings(context: Context, { name, url, events, document }: WebhookSettings): WebhookSettings {
  const trimmed = name.trim();
  if (trimmed === '' || countCharacters(trimmed, MAX_NAME_CHARACTERS) > MAX_NAME_CHARACTERS || !isStorable(trimmed))
    throw badInput('input.name', `A name has 1 to ${MAX_NAME_CHARACTERS} characters.`);
  const refusal = context.webhooks.client.refusalOf(url);
  if (refusal !== null) throw badInput('input.url', refusal);
  if (events.length === 0) throw badInput('input.events', 'A webhook needs at least one kind of event.');
  if (document !== null) {
    if (!isStorable(document))
      throw badInput('input.document', 'The document contains a character that cannot be stored.');
    const root = context.webhooks.documents.check(document, 'input.document');
    if (root === 'messageAdded' && events.some((kind) => kind !== 'MESSAGE_ADDED'))
      throw badInput(
        'input.document',
        'A document with messageAdded fits only the event MESSAGE_ADDED. Use chatroomEvents for other events.',
      );
  }
  return { name: trimmed, url, events: [...new Set(events)].sort(), document };
}

/**
 * Creates a webhook of the calling service. Its first event is the first one that is committed after the call began.
 *
 * @param chatroomId null for all rooms; undefined for an id that names no room
 * @returns the webhook, and its secret, which cannot be read again
 * @throws ChatError `BAD_USER_INPUT` for invalid settings; `NOT_FOUND` for an unknown room; `CONFLICT` if the service has
 *   a webhook of this name; `LIMIT_REACHED` if it has too many
 */
export async function createWebhook(
  context: Context,
  settings: WebhookSettings,
  chatroomId: string | null | undefined,
): Promise<{ webhook: Webhook; secret: string }> {
  const service = requireWebhookService(context);
  const { name, url, events, document } = checkSettings(context, settings);
  if (chatroomId === undefined) throw notFound('chatroom');
  const secret = createWebhookSecret();
  const webhook = await context.database.transaction(async (query) => {
    // Locks the token, so that concurrent calls of a service run one after the other.
    await query(sql`SELECT FROM service_tokens WHERE name = ${service} FOR NO KEY UPDATE`);
    const [found] = await query<{ count: number; taken: boolean }>(sql`
      SELECT count(*)::int AS count, coalesce(bool_or(name = ${name}), false) AS taken FROM webhooks WHERE service = ${service}`);
    if (found?.taken) throw nameTaken();
    if ((found?.count ?? 0) >= MAX_WEBHOOKS)
      throw new ChatError('LIMIT_REACHED', `A service has at most ${MAX_WEBHOOKS} webhooks. Delete one first.`, {
        limit: MAX_WEBHOOKS,
      });
    if (chatroomId !== null) await requireRoom(query, chatroomId);
    // The snapshot of this statement is the start: its events do not belong to the webhook, and all later ones do.
    const [created] = await query<Webhook>(sql`
      INSERT INTO webhooks AS w (service, name, url, events, chatroom_id, document, secret, scanned, database_id)
        VALUES (${service}, ${name}, ${url}, ${events}::text[], ${chatroomId}::uuid, ${document}, ${secret},
          flushed_snapshot(), ${context.databaseId})
        RETURNING ${webhookColumns}`);
    if (!created) throw new Error('The webhook was not stored.');
    return created;
  });
  context.webhooks.notifyChanged();
  return { webhook, secret };
}

async function requireRoom(query: Database['query'], chatroomId: string): Promise<void> {
  const [room] = await query(sql`SELECT 1 AS found FROM chatrooms WHERE id = ${chatroomId}::uuid FOR KEY SHARE`);
  if (!room) throw notFound('chatroom');
}

function nameTaken(): ChatError {
  return new ChatError(
    'CONFLICT',
    'The service has a webhook of this name. Choose another name, or update that webhook.',
  );
}

/**
 * Changes a webhook. Later attempts use the new settings, also of events that have failed before.
 *
 * @param changes settings to change; an undefined one stays
 * @throws ChatError as {@link createWebhook}; `NOT_FOUND` if the service has no such webhook
 */
export async function updateWebhook(
  context: Context,
  id: string | null,
  changes: { [Name in keyof WebhookSettings]?: WebhookSettings[Name] | undefined },
): Promise<Webhook> {
  const before = await requireWebhook(context, id);
  const { name, url, events, document } = checkSettings(context, {
    name: changes.name ?? before.name,
    url: changes.url ?? before.url,
    events: changes.events ?? before.events,
    document: changes.document === undefined ? before.document : changes.document,
  });
  const [taken] = await context.database.query(sql`
    SELECT 1 AS found FROM webhooks WHERE service = ${before.service} AND name = ${name} AND id <> ${before.id}::uuid`);
  if (taken) throw nameTaken();
  return change(
    context,
    before.id,
    sql`name = ${name}, url = ${url}, events = ${events}::text[], document = ${document}`,
  );
}

/** Deletes a webhook. A request that is in progress may still arrive. */
export async function deleteWebhook(context: Context, id: string | null): Promise<string> {
  const { id: found } = await requireWebhook(context, id);
  await context.database.query(sql`DELETE FROM webhooks WHERE id = ${found}::uuid`);
  context.webhooks.notifyChanged();
  return encodeId('Webhook', found);
}

/**
 * Replaces the secret of a webhook. For 24 hours, each request is signed with the former secret, too.
 *
 * @returns the webhook, and its new secret, which cannot be read again
 */
export async function rotateSecret(context: Context, id: string | null): Promise<{ webhook: Webhook; secret: string }> {
  const { id: found } = await requireWebhook(context, id);
  const secret = createWebhookSecret();
  const webhook = await change(
    context,
    found,
    sql`secret = ${secret}, previous_secret = secret,
        previous_secret_until = now() + make_interval(hours => ${PREVIOUS_SECRET_HOURS}::int)`,
  );
  return { webhook, secret };
}

/** Changes columns of a webhook, and makes its worker read them. */
async function change(context: Context, id: string, columns: Sql): Promise<Webhook> {
  const [changed] = await context.database.query<Webhook>(sql`
    UPDATE webhooks w SET ${columns} WHERE w.id = ${id}::uuid RETURNING ${webhookColumns}`);
  if (!changed) throw notFound('webhook');
  context.webhooks.notifyChanged();
  return changed;
}
