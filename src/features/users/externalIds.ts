import { type BotScope, isBotScope } from '../../core/botScopes.ts';
import { actingAs, type Context } from '../../core/context.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { isStorable } from '../../core/text/text.ts';
import { sql } from '../../platform/database/database.ts';
import type { User } from '../../platform/database/generated/client.ts';

/** Maximum length of an external id, in UTF-16 units. OpenID Connect limits `sub` to the same length. */
const MAX_EXTERNAL_ID = 255;

/** Returns whether a text can be the id of a user or a room in another application. */
export function isExternalId(text: string): boolean {
  return text.length >= 1 && text.length <= MAX_EXTERNAL_ID && isStorable(text);
}

/**
 * Checks an external id and returns it unchanged. External ids are compared byte by byte.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkExternalId(text: string, path: string): string {
  if (!isExternalId(text)) throw badInput(path, `An external id has 1 to ${MAX_EXTERNAL_ID} characters.`);
  return text;
}

/** Users whom the input of a service names, each by id or by external id. */
export interface UserRefs {
  /** Null for an id that names no user. */
  ids?: readonly (string | null)[] | null | undefined;
  externalIds?: readonly string[] | null | undefined;
}

/**
 * Returns the keys of users, each once, in the order of the input.
 *
 * @param field name of the input field of the external ids, for the `path` of errors
 * @throws ChatError `NOT_FOUND` if one of the users does not exist
 */
export async function userKeysOf(context: Context, { ids, externalIds }: UserRefs, field: string): Promise<string[]> {
  const keys = (ids ?? []).map((id) => {
    if (id === null) throw notFound('user');
    return id;
  });
  const wanted = externalIds ?? [];
  const found = await context.database.query<{ id: string; externalId: string | null }>(sql`
    SELECT id, external_id AS "externalId" FROM users
      WHERE id = ANY (${keys}::uuid[]) OR external_id = ANY (${wanted.filter(isExternalId)}::text[])`);
  const existing = new Set(found.map(({ id }) => id));
  const byExternalId = new Map(found.map(({ id, externalId }) => [externalId, id]));
  if (!keys.every((key) => existing.has(key))) throw notFound('user');
  return [...new Set([...keys, ...wanted.map((id) => byExternalId.get(id) ?? noSuchUser(id, field))])];
}

/** Returns a user by their external id, or null. The caller must be a service. */
export async function findExternalUser({ database }: Context, externalId: string): Promise<User | null> {
  return isExternalId(externalId) ? database.prisma.user.findUnique({ where: { externalId } }) : null;
}

/** Throws the `NOT_FOUND` error for an external id that no user has. */
export function noSuchUser(externalId: string, field: string): never {
  throw new ChatError(
    'NOT_FOUND',
    `No user has the external id ${JSON.stringify(externalId.slice(0, 100))}. Create the user with upsertUsers.`,
    { path: ['input', field] },
  );
}

/**
 * Returns the context in which an action that users and services may request is performed. A user acts as themselves. A
 * service acts as the user whom its input names.
 *
 * @param refs the user, by exactly one of `id` and `externalId`; null for an id that names no user
 * @param botScope scope that the named user needs if it is a bot
 * @throws ChatError `FORBIDDEN` if a user names another user, and if the named user is deactivated or is a bot without the
 *   scope; `BAD_USER_INPUT` if a service names no user or more than one; `NOT_FOUND` if the user does not exist
 */
export async function actorOf(
  context: Context,
  { id, externalId }: { id: string | null | undefined; externalId: string | null | undefined },
  botScope: BotScope,
): Promise<Context> {
  const isNamed = id !== undefined || externalId != null;
  if (!context.service) {
    if (isNamed) throw onlyServices('asUserExternalId');
    return context;
  }
  if (!isNamed || (id !== undefined && externalId != null))
    throw badInput('input.asUserExternalId', 'A service acts as a user. Set either asUserId or asUserExternalId.');
  if (externalId != null && !isExternalId(externalId)) noSuchUser(externalId, 'asUserExternalId');
  const [user] = await context.database.query<Actor>(sql`
    SELECT u.id, u.suspended_at IS NOT NULL AS "isSuspended", b.owner_id AS "ownerId", b.scopes
      FROM users u LEFT JOIN bots b ON b.user_id = u.id
      WHERE ${id == null ? sql`u.external_id = ${externalId ?? ''}` : sql`u.id = ${id}::uuid`}`);
  if (!user) throw externalId == null ? notFound('user') : noSuchUser(externalId, 'asUserExternalId');
  if (user.isSuspended)
    throw new ChatError('FORBIDDEN', 'This user is deactivated. Reactivate the user with reactivateUser first.');
  const { ownerId, scopes } = user;
  if (ownerId === null || scopes === null) return actingAs(context, user.id);
  // A bot may do no more through a service than with its own token.
  const bot = { ownerId, scopes: scopes.filter(isBotScope) };
  if (!bot.scopes.includes(botScope))
    throw new ChatError('FORBIDDEN', `The bot lacks the scope ${botScope}. Name another user.`);
  return actingAs(context, user.id, bot);
}

/** The user as whom a service acts. The last two fields are null unless the user is a bot. */
interface Actor {
  id: string;
  isSuspended: boolean;
  ownerId: string | null;
  scopes: string[] | null;
}

/** Returns the `FORBIDDEN` error for a field of an input that only services may set. */
export function onlyServices(field: string): ChatError {
  return new ChatError('FORBIDDEN', `Only services may set ${field}. Leave it out.`, { path: ['input', field] });
}
