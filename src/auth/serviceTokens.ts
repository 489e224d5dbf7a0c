import { type Database, sql } from '../platform/database/database.ts';
import type { Service } from '../core/context.ts';
import { badInput, ChatError } from '../core/errors.ts';
import { type Scope, scopeNames, scopes } from '../core/scopes.ts';
import { createToken, hashToken } from './accessTokens.ts';

/** Prefix that distinguishes a service token from an access token. */
const PREFIX = 'parley-service-';

/** Names that a service can have. */
const NAME = /^[\w.-]{1,64}$/;

export function isServiceToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

/**
 * Returns the service of a token.
 *
 * @throws ChatError `UNAUTHENTICATED` for a token that is unknown or was revoked
 */
export async function findService(database: Database, token: string): Promise<Service> {
  const service = await database.prisma.serviceToken.findUnique({
    where: { hash: Uint8Array.from(hashToken(token)) },
    select: { name: true, scopes: true },
  });
  if (!service)
    throw new ChatError(
      'UNAUTHENTICATED',
      'The service token is unknown or was revoked. Create another with `npm run admin -- create-service-token NAME`.',
    );
  return { name: service.name, scopes: service.scopes.filter(isScope) };
}

function isScope(name: string): name is Scope {
  return Object.hasOwn(scopes, name);
}

/**
 * Creates a token for a service and returns it. Only the hash is stored, so the token cannot be read again.
 *
 * @param granted scopes of the token
 * @throws ChatError `BAD_USER_INPUT` for an invalid name or an unknown scope; `CONFLICT` if the service already has a
 *   token
 */
export async function createServiceToken(
  database: Pick<Database, 'query'>,
  name: string,
  granted: readonly string[] = ['notices:write'],
): Promise<string> {
  const unknown = granted.find((scope) => !isScope(scope));
  if (unknown !== undefined || granted.length === 0)
    throw badInput('input.scopes', `There is no scope "${unknown ?? ''}". The scopes are: ${scopeNames.join(', ')}.`);
  if (!NAME.test(name))
    throw badInput(
      'input.name',
      'The name of a service has 1 to 64 characters: A to Z, a to z, digits, or any of _ . -',
    );
  const token = PREFIX + createToken().token;
  const made = await database.query(sql`
    INSERT INTO service_tokens (name, hash, scopes) VALUES (${name}, ${hashToken(token)}, ${granted}::text[]) ON CONFLICT DO NOTHING RETURNING name`);
  if (made.length === 0) throw new ChatError('CONFLICT', `The service "${name}" already has a token. Revoke it first.`);
  return token;
}

/**
 * Deletes the token of a service.
 *
 * @throws ChatError `NOT_FOUND` if there is no such service
 */
export async function revokeServiceToken({ query }: Pick<Database, 'query'>, name: string): Promise<void> {
  // Other texts may contain characters that the database refuses.
  const deleted = NAME.test(name) ? await query(sql`DELETE FROM service_tokens WHERE name = ${name} RETURNING 1`) : [];
  if (deleted.length === 0)
    throw new ChatError('NOT_FOUND', `There is no service "${name}". List the service tokens to see their names.`);
}

/** Returns the services that have a token, sorted by name. */
export async function listServiceTokens(
  database: Database,
): Promise<{ name: string; createdAt: Date; scopes: string[] }[]> {
  return database.prisma.serviceToken.findMany({
    select: { name: true, createdAt: true, scopes: true },
    orderBy: { name: 'asc' },
  });
}
