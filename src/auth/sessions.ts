import { type AccessClaims, type Context, type ClientInfo, requireViewer, type ServerNode } from '../core/context.ts';
import { type Database, type Sql, sql } from '../platform/database/database.ts';
import { badInput, ChatError, notFound } from '../core/errors.ts';
import type { Payer } from '../platform/rateLimits/rateLimits.ts';
import { findService, isServiceToken } from './serviceTokens.ts';
import { bearerToken, createRefreshToken } from './accessTokens.ts';
import { isBotToken } from './botTokens.ts';

/** Tokens that a client receives on each sign-in and each refresh. */
export interface SignedIn {
  accessToken: string;
  accessTokenExpiresAt: Date;
  /** Null if the token was set as a cookie. */
  refreshToken: string | null;
  /** Null after a refresh, and if the token was set as a cookie. */
  deviceToken: string | null;
}

type Authentication = Pick<Context, 'viewer' | 'service' | 'authError' | 'asOf'>;

const NOBODY: Authentication = { viewer: null, service: null, authError: null, asOf: undefined };

/**
 * Returns the viewer or service of an Authorization header. Both are null if the header is absent. An ended session is
 * refused at once on the node that ended it, and within a second on every other node.
 *
 * For an invalid token, returns an `authError` instead of throwing it. Fields that need a viewer throw this error.
 * `refreshSession` and `signIn` still work for a client that sends an old token with every request.
 *
 * @param needsSnapshot whether to return the snapshot `asOf` for a viewer; see `SessionFinder`
 * @param client device that the list of sessions shows for a token of the company's own issuer
 */
export async function authenticate(
  node: ServerNode,
  header: unknown,
  needsSnapshot: boolean,
  client: ClientInfo,
): Promise<Authentication> {
  try {
    const token = bearerToken(header);
    if (token === null) return NOBODY;
    if (isServiceToken(token)) return { ...NOBODY, service: await findService(node.database, token) };
    const viewer = isBotToken(token) ? await node.botTokens.verify(token) : await verifyToken(node, token, client);
    const session = await node.findSession(viewer, needsSnapshot);
    if (!session)
      throw new ChatError(
        'UNAUTHENTICATED',
        viewer.bot
          ? 'The token of the bot has ended. The owner of the bot gets another with `rotateBotToken`.'
          : 'This session has ended. Sign in again.',
      );
    return { ...NOBODY, viewer, asOf: session.asOf };
  } catch (error) {
    if (error instanceof ChatError) return { ...NOBODY, authError: error };
    throw error;
  }
}

/** Verifies an access token of this server, or one of the company's own issuer. See `AccessTokens.verify`. */
async function verifyToken(
  { accessTokens, externalTokens }: Pick<ServerNode, 'accessTokens' | 'externalTokens'>,
  token: string,
  client: ClientInfo,
): Promise<AccessClaims> {
  return externalTokens?.accepts(token) ? externalTokens.verify(token, client) : accessTokens.verify(token);
}

/**
 * Returns the viewer or network that rate limits charge for a request. The viewer is read from the access token without
 * a database query, so the session may have ended. Only the first use of a token of the company's own issuer on a node
 * needs the database. A request without a valid access token, or with a service token, is
 * charged to the network of its client. So is the first request of a bot to a node.
 */
export async function payerOf(
  node: Pick<ServerNode, 'accessTokens' | 'botTokens' | 'externalTokens'>,
  header: unknown,
  client: ClientInfo,
): Promise<Payer> {
  const nobody = { viewer: null, service: null, client };
  try {
    const token = bearerToken(header);
    if (token === null || isServiceToken(token)) return nobody;
    const viewer = isBotToken(token) ? node.botTokens.verified(token) : await verifyToken(node, token, client);
    return { ...nobody, viewer };
  } catch (error) {
    if (error instanceof ChatError) return nobody;
    throw error;
  }
}

/**
 * User to sign in. `passwordHash` is the hash against which the password was verified, or null for an account without a
 * password.
 */
export interface Account {
  id: string;
  passwordHash: string | null;
}

/**
 * Starts a session for a user who has been authenticated.
 *
 * @param user user and the password hash that was verified
 * @param cookie whether to set all tokens as cookies, and to return only the access token
 * @throws ChatError `INVALID_CREDENTIALS` if the password has changed since it was verified
 * @throws ChatError `FORBIDDEN` if the account is suspended
 * @throws ChatError `BAD_USER_INPUT` if `cookie` is true and cookies are not available
 */
export async function startSession(context: Context, user: Account, cookie = false): Promise<SignedIn> {
  const { userAgent, ipAddress } = context.client;
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
    SELECT id, user_id AS "userId", flushed_snapshot()::text AS "asOf" FROM session`);
  if (!session) throw await signInFailure(context.database, user.id);
  const signedIn = await issueTokens(context, session, token, cookie);
  // A refresh issues no device token. Otherwise the thief of a session could collect device tokens, and each allows a
  // few guesses at the password.
  const deviceToken = await context.deviceTokens.sign(user.id);
  if (cookie) requireCookies(context).storeDevice(deviceToken);
  return { ...signedIn, deviceToken: cookie ? null : deviceToken };
}

/**
 * Returns the error for a refused sign-in. Call it only for the owner of the account, because the error reveals a
 * suspension.
 */
async function signInFailure({ query }: Database, userId: string): Promise<ChatError> {
  const suspended = await query(sql`SELECT FROM users WHERE id = ${userId}::uuid AND suspended_at IS NOT NULL`);
  return suspended.length > 0
    ? new ChatError('FORBIDDEN', 'This account is suspended. Contact the operator of this server.')
    : new ChatError('INVALID_CREDENTIALS', 'The password has just been changed. Use the new one.');
}

/**
 * Returns the cookie jar of the request.
 *
 * @throws ChatError `BAD_USER_INPUT` if the request came over WebSocket, or from a page of another site
 */
export function requireCookies(context: Context): NonNullable<Context['cookies']> {
  if (!context.cookies)
    throw badInput(
      'input.cookie',
      'Cookies can only be set over HTTP. Sign in there; the cookie also authenticates the WebSocket.',
    );
  if (!context.cookies.mayStore)
    throw badInput(
      'input.cookie',
      'Cookies are only set for pages of this server or of ALLOWED_ORIGINS. Send the request from there, as JSON.',
    );
  return context.cookies;
}

/** Ends the viewer's current session, with its sockets and streams. */
export async function signOut(context: Context): Promise<void> {
  const { sessionId, userId } = requireViewer(context);
  await endSessions(context.database.query, sql`id = ${sessionId}::uuid AND user_id = ${userId}::uuid`);
  context.cookies?.clear();
  context.changePoller.requestPoll();
}

/**
 * Ends one of the viewer's sessions, with its sockets and streams. If the session has already ended, changes nothing.
 *
 * @throws ChatError `NOT_FOUND` if the viewer has no such session
 */
export async function revokeSession(context: Context, sessionId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  const session =
    sessionId === null ? null : await context.database.prisma.session.findFirst({ where: { id: sessionId, userId } });
  if (!session) throw notFound('session');
  await endSessions(context.database.query, sql`id = ${session.id}::uuid`);
  context.changePoller.requestPoll();
}

/**
 * Ends the sessions that match a condition. After the commit, call `context.changePoller.requestPoll()`, so that all
 * nodes close the sockets of these sessions.
 */
export async function endSessions(query: Database['query'], condition: Sql): Promise<void> {
  await query(sql`UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL AND ${condition}`);
}

/** Returns the client info of a request. Truncates the user agent to 300 characters for storage. */
export function clientInfo(ipAddress: string | undefined, userAgent: string | null | undefined): ClientInfo {
  return { ipAddress: ipAddress ?? null, userAgent: userAgent?.slice(0, 300) ?? null };
}

/** Session that has just been stored or renewed. */
export interface StoredSession {
  id: string;
  userId: string;
  /** Database snapshot of the statement that stored the session; see `RoomCursor.asOf`. */
  asOf: string;
}

/**
 * Signs an access token for a stored session, and returns it with the refresh token. With `cookie`, sets both tokens as
 * cookies and does not return the refresh token. Makes the user of the session the viewer of this operation.
 */
export async function issueTokens(
  context: Context,
  session: StoredSession,
  refreshToken: string,
  cookie: boolean,
): Promise<SignedIn> {
  const access = await context.accessTokens.sign(session.userId, session.id);
  // The rest of this operation runs as the new viewer, without values that were cached for the previous viewer.
  Object.assign(context, {
    viewer: { userId: session.userId, sessionId: session.id, expiresAt: access.expiresAt },
    service: null,
    authError: null,
    asOf: session.asOf,
    cache: {},
  } satisfies Partial<Context>);
  if (cookie) {
    const jar = requireCookies(context);
    const { value: fileTicket } = await context.fileTokens.signTicket({
      userId: session.userId,
      sessionId: session.id,
    });
    jar.storeSession({ accessToken: access.token, refreshToken, fileTicket });
  }
  return {
    accessToken: access.token,
    accessTokenExpiresAt: access.expiresAt,
    refreshToken: cookie ? null : refreshToken,
    deviceToken: null,
  };
}
