import { storeBoundSession } from '../../auth/boundSessions.ts';
import { endSessions } from '../../auth/sessions.ts';
import type { Context } from '../../core/context.ts';
import { badInput, ChatError } from '../../core/errors.ts';
import { createUuid } from '../../core/globalIds.ts';
import { sql } from '../../platform/database/database.ts';
import { isExternalId, noSuchUser } from '../users/externalIds.ts';
import { lockExternalUser, refuseExternalTokens } from './userChanges.ts';

/** Lifetime of the access token of a user, in seconds: at least, by default, and at most. */
export const TOKEN_SECONDS = { min: 60, default: 3_600, max: 86_400 };

/** Access token of a user. */
export interface UserToken {
  accessToken: string;
  expiresAt: Date;
}

/**
 * Creates an access token of a user, with a session of its own. The session ends when the token expires.
 *
 * @throws ChatError `NOT_FOUND` if no user has the external id; `FORBIDDEN` if the user is deactivated or an admin;
 *   `BAD_USER_INPUT` for a lifetime out of range
 */
export async function createAccessToken(
  context: Context,
  externalId: string,
  seconds: number = TOKEN_SECONDS.default,
): Promise<UserToken> {
  const { min, max } = TOKEN_SECONDS;
  if (seconds < min || seconds > max)
    throw badInput('input.lifetimeSeconds', `A token is valid for ${min} to ${max} seconds.`);
  const sessionId = createUuid();
  const expiresAt = new Date(Date.now() + seconds * 1_000);
  // The device that will use the token is unknown. The address and program of the service would mislead the user.
  const device = { userAgent: null, ipAddress: null };
  const key = isExternalId(externalId) ? externalId : '';
  const userId = await context.database.transaction(async (query) => {
    // The lock waits for a concurrent grant. The next statement then sees the grant.
    await query(sql`SELECT FROM users WHERE external_id = ${key} FOR SHARE`);
    // Otherwise every service with `users:token` could create itself a token with all scopes, as an admin.
    const isAllowed = sql`u.external_id = ${key} AND NOT EXISTS (SELECT FROM admins a WHERE a.user_id = u.id)`;
    return storeBoundSession(query, sessionId, isAllowed, expiresAt, device);
  });
  if (userId === undefined) throw await refusalOf(context, externalId);
  const { token, expiresAt: tokenExpiresAt } = await context.accessTokens.sign(userId, sessionId, seconds);
  return { accessToken: token, expiresAt: tokenExpiresAt };
}

/** Returns the reason why a user gets no session: there is no such user, or the user is an admin or deactivated. */
async function refusalOf({ database }: Context, externalId: string): Promise<ChatError> {
  const [known] = isExternalId(externalId)
    ? await database.query<{ isAdmin: boolean }>(sql`
        SELECT EXISTS (SELECT FROM admins a WHERE a.user_id = u.id) AS "isAdmin"
          FROM users u WHERE u.external_id = ${externalId}`)
    : [];
  if (!known) noSuchUser(externalId, 'externalId');
  return new ChatError(
    'FORBIDDEN',
    known.isAdmin
      ? 'This user is an admin. A service gets no token of an admin. The operator ends the grant with `npm run admin -- revoke USERNAME`.'
      : 'This user is deactivated. Reactivate the user with reactivateUser first.',
  );
}

/**
 * Ends all sessions of a user, with their sockets and streams. Also refuses tokens of the company's own issuer that were
 * issued until now.
 *
 * @throws ChatError `NOT_FOUND` if no user has the external id
 */
export async function revokeAccessTokens(context: Context, externalId: string): Promise<string> {
  const userId = await context.database.transaction(async (query) => {
    // A concurrent createAccessToken shares a lock of the row until its session is committed. This lock waits for it.
    const id = await lockExternalUser(query, externalId);
    await refuseExternalTokens(query, externalId);
    await endSessions(query, sql`user_id = ${id}::uuid`);
    return id;
  });
  context.changePoller.requestPoll();
  return userId;
}
