import type { Context, Origin, ServerNode } from '../context.ts';
import { requireViewer } from '../context.ts';
import { type Database, type Sql, sql } from '../database/database.ts';
import { badInput, ChatError, notFound } from '../errors.ts';
import type { Payer } from '../limits/rates.ts';
import { createTogether } from '../together.ts';
import { findService, isServiceToken } from './services.ts';
import { type AccessClaims, type AccessTokens, bearerToken, createRefreshToken } from './tokens.ts';

/** What a client gets when it signs in, and each time it refreshes. */
export interface SignedIn {
  accessToken: string;
  accessTokenExpiresAt: Date;
  /** Null where it is in a cookie. */
  refreshToken: string | null;
  /** Null after a refresh, and where it is in a cookie. */
  deviceToken: string | null;
}

type Authentication = Pick<Context, 'viewer' | 'service' | 'rejected' | 'floor'>;

const NOBODY: Authentication = { viewer: null, service: null, rejected: null, floor: undefined };

/**
 * Who sends this header. The database is asked on each operation: a session that has ended is noticed at once.
 *
 * A token that does not count is no failure yet. Fields that need a viewer fail with its reason, and
 * `refreshSession` and `signIn` still work for a client that sends its old header with everything.
 */
export async function authenticate(node: ServerNode, header: unknown): Promise<Authentication> {
  try {
    const token = bearerToken(header);
    if (token === null) return NOBODY;
    if (isServiceToken(token)) return { ...NOBODY, service: await findService(node.database, token) };
    const viewer = await node.accessTokens.verify(token);
    const session = await node.findSession(viewer);
    if (!session) throw new ChatError('UNAUTHENTICATED', 'This session has ended. Sign in again.');
    return { ...NOBODY, viewer, floor: session.floor };
  } catch (error) {
    if (error instanceof ChatError) return { ...NOBODY, rejected: error };
    throw error;
  }
}

/**
 * Returns who pays for a request that is refused before its session is looked up: the user whose access token it has, or else
 * its network. The database is not asked, so the session may have ended, and a service token is not known to be valid.
 */
export async function payerOf(tokens: AccessTokens, header: unknown, origin: Origin): Promise<Payer> {
  const nobody = { viewer: null, service: null, origin };
  try {
    const token = bearerToken(header);
    if (token === null || isServiceToken(token)) return nobody;
    return { ...nobody, viewer: await tokens.verify(token) };
  } catch (error) {
    if (error instanceof ChatError) return nobody;
    throw error;
  }
}

/** Whether a session goes on, and a snapshot of the database from before anything else is read. */
export type SessionFinder = (claims: AccessClaims) => Promise<{ floor: string } | null>;

/** Finds the sessions of one node's operations, those that come at the same time with one statement. */
export function createSessionFinder(database: Database): SessionFinder {
  return createTogether<AccessClaims, { floor: string } | null>(
    async (asked) => {
      const ids = [...new Set(asked.map(({ sessionId }) => sessionId))];
      const sessions = await database.prepared<{ id: string; userId: string; floor: string }>(sql`
        SELECT id, user_id AS "userId", (SELECT flushed_snapshot()::text) AS floor
          FROM sessions WHERE id = ANY (${ids}::uuid[]) AND ended_at IS NULL`);
      const found = new Map(sessions.map((session) => [session.id, session]));
      return asked.map(({ sessionId, userId }) => {
        const session = found.get(sessionId);
        return session?.userId === userId ? session : null;
      });
    },
    { atOnce: 2, most: 100 },
  );
}

/** Who can sign in, and what they have shown to know: null for an account that has no password. */
export interface Account {
  id: string;
  passwordHash: string | null;
}

/**
 * Begins a session for a user who has shown who they are.
 *
 * @param user with the password hash that was checked: a password that was changed meanwhile opens nothing
 * @throws ChatError `INVALID_CREDENTIALS` if it was; `FORBIDDEN` for an account that is suspended; `BAD_USER_INPUT` for
 *   cookies over a WebSocket
 */
export async function startSession(context: Context, user: Account, cookie = false): Promise<SignedIn> {
  const { userAgent, ipAddress } = context.origin;
  if (cookie) requireCookies(context);
  const { token, hash, expiresAt } = createRefreshToken();
  const [session] = await context.database.query<StoredSession>(sql`
    WITH session AS (
      INSERT INTO sessions (user_id, user_agent, ip_address)
        SELECT id, ${userAgent}, ${ipAddress} FROM users
          WHERE id = ${user.id}::uuid AND password_hash IS NOT DISTINCT FROM ${user.passwordHash} AND suspended_at IS NULL
          FOR SHARE
        RETURNING id, user_id
    ), token AS (
      INSERT INTO refresh_tokens (hash, session_id, expires_at) SELECT ${hash}, id, ${expiresAt}::timestamptz FROM session
    )
    SELECT id, user_id AS "userId", flushed_snapshot()::text AS floor FROM session`);
  if (!session) throw await whyNot(context.database, user.id);
  const signedIn = await issueTokens(context, session, token, cookie);
  // Not for a refresh: a stolen session could collect tokens, each of which allows a few guesses at the password.
  const deviceToken = await context.deviceTokens.sign(user.id);
  if (cookie) requireCookies(context).keepDevice(deviceToken);
  return { ...signedIn, deviceToken: cookie ? null : deviceToken };
}

/** Told only to who has shown that the account is theirs. */
async function whyNot({ query }: Database, userId: string): Promise<ChatError> {
  const suspended = await query(sql`SELECT FROM users WHERE id = ${userId}::uuid AND suspended_at IS NOT NULL`);
  return suspended.length > 0
    ? new ChatError('FORBIDDEN', 'This account is suspended. Ask those who run this server.')
    : new ChatError('INVALID_CREDENTIALS', 'The password has just been changed. Use the new one.');
}

/** @throws ChatError `BAD_USER_INPUT` over WebSocket, and for the page of another site */
export function requireCookies(context: Context): NonNullable<Context['cookies']> {
  if (!context.cookies)
    throw badInput('input.cookie', 'Cookies are set over HTTP. Sign in there; the cookie then opens the WebSocket.');
  if (!context.cookies.mayKeep)
    throw badInput('input.cookie', 'Cookies are set for pages of this server or of ALLOWED_ORIGINS, which send JSON.');
  return context.cookies;
}

/** Ends the session of this operation's token, with its sockets and streams. */
export async function signOut(context: Context): Promise<void> {
  const { sessionId, userId } = requireViewer(context);
  await endSessions(context.database.query, sql`id = ${sessionId}::uuid AND user_id = ${userId}::uuid`);
  context.cookies?.clear();
  context.sweep.announce();
}

/**
 * Ends one of the viewer's sessions, with its sockets and streams. Ending it again changes nothing.
 *
 * @throws ChatError `NOT_FOUND`
 */
export async function revokeSession(context: Context, sessionId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  const session =
    sessionId === null ? null : await context.database.prisma.session.findFirst({ where: { id: sessionId, userId } });
  if (!session) throw notFound('session');
  await endSessions(context.database.query, sql`id = ${session.id}::uuid`);
  context.sweep.announce();
}

/** Ends the sessions that fit a condition. After the commit, `context.sweep.announce()` tells all nodes. */
export async function endSessions(query: Database['query'], condition: Sql): Promise<void> {
  await query(sql`UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL AND ${condition}`);
}

/** Where a request comes from, cut to what is worth keeping. */
export function originOf(ipAddress: string | undefined, userAgent: string | null | undefined): Origin {
  return { ipAddress: ipAddress ?? null, userAgent: userAgent?.slice(0, 300) ?? null };
}

/** A session as it was just stored. */
export interface StoredSession {
  id: string;
  userId: string;
  /** The snapshot of the statement that stored it; see `RoomCursor.floor`. */
  floor: string;
}

/** Signs an access token for a session whose refresh token is stored, and makes its user the viewer of this operation. */
export async function issueTokens(
  context: Context,
  session: StoredSession,
  refreshToken: string,
  cookie: boolean,
): Promise<SignedIn> {
  const access = await context.accessTokens.sign(session.userId, session.id);
  // The rest of this operation runs as the user who has just signed in, without what was cached for anybody before.
  Object.assign(context, {
    viewer: { userId: session.userId, sessionId: session.id, expiresAt: access.expiresAt },
    service: null,
    rejected: null,
    floor: session.floor,
    cache: {},
  } satisfies Partial<Context>);
  if (cookie) requireCookies(context).keep(access.token, refreshToken);
  return {
    accessToken: access.token,
    accessTokenExpiresAt: access.expiresAt,
    refreshToken: cookie ? null : refreshToken,
    deviceToken: null,
  };
}
