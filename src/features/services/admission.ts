import { storeBoundSession } from '../../auth/boundSessions.ts';
import type { ExternalClaims } from '../../auth/externalTokens.ts';
import type { ClientInfo, ServerNode } from '../../core/context.ts';
import { ChatError } from '../../core/errors.ts';
import { fitNickname } from '../../core/text/names.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { createUsers } from './externalUsers.ts';

/**
 * Stores the session of an access token of the company's own issuer, which this node sees for the first time. Creates the
 * user if there is none. If nodes see the first token of a user at the same time, all find the same user.
 *
 * @returns the key of the user
 * @throws ChatError `UNAUTHENTICATED` if the user was deleted or deactivated, or if the token was revoked
 */
export async function admitExternalUser(
  { database }: Pick<ServerNode, 'database'>,
  claims: ExternalClaims,
  client: ClientInfo,
): Promise<string> {
  const known = await storeSession(database, claims, client);
  if (known !== undefined) return known;
  await requireNotDeleted(database, claims);
  await createUsers(database, [
    {
      path: 'token',
      externalId: claims.externalId,
      username: null,
      nickname: claims.name === null ? null : fitNickname(claims.name),
      names: claims.names,
    },
  ]);
  const created = await storeSession(database, claims, client);
  if (created === undefined) throw refused();
  return created;
}

/** Stores the session of an existing user. Returns the key of the user, or undefined if there is no user. */
async function storeSession(
  database: Database,
  claims: ExternalClaims,
  client: ClientInfo,
): Promise<string | undefined> {
  return database.transaction(async (query) => {
    // The lock waits for a concurrent revocation. The next statement then sees what it has written.
    const [user] = await query<{ id: string }>(sql`
      SELECT id FROM users WHERE external_id = ${claims.externalId} FOR SHARE`);
    if (!user) return undefined;
    const { sessionId, expiresAt } = claims;
    const isAllowed = sql`u.id = ${user.id}::uuid AND NOT EXISTS (${cutoffOf(claims)})`;
    const stored = await storeBoundSession(query, sessionId, isAllowed, expiresAt, client);
    if (stored === undefined) throw refused();
    return stored;
  });
}

/** Returns SQL that selects the cut-off which refuses a token of an existing user. A token without `iat` may be older. */
function cutoffOf({ externalId, issuedAt }: ExternalClaims) {
  return sql`
    SELECT FROM external_token_cutoffs c
      WHERE c.external_id_hash = sha256(convert_to(${externalId}, 'UTF8'))
        AND (${issuedAt}::timestamptz IS NULL OR c.refused_until >= ${issuedAt}::timestamptz)`;
}

async function requireNotDeleted({ query }: Database, { externalId }: ExternalClaims): Promise<void> {
  const deleted = await query(sql`
    SELECT FROM external_token_cutoffs c
      WHERE c.external_id_hash = sha256(convert_to(${externalId}, 'UTF8')) AND c.is_deleted`);
  if (deleted.length > 0) throw refused();
}

function refused(): ChatError {
  return new ChatError(
    'UNAUTHENTICATED',
    'The access token was revoked, or its user was deactivated or deleted. Get a new one from your application.',
  );
}
