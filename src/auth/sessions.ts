import type { Context, Origin, ServerNode } from '../context.ts';
import { requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { Session, User } from '../database/generated/client.ts';
import { ChatError } from '../errors.ts';
import { type AccessClaims, bearerToken, createRefreshToken, hashRefreshToken } from './tokens.ts';

/** What a client gets when it signs in, and each time it refreshes. */
export interface SignedIn {
  accessToken: string;
  accessTokenExpiresAt: Date;
  refreshToken: string;
}

type Authentication = Pick<Context, 'viewer' | 'rejected' | 'floor'>;

/**
 * Who sends this header. One statement, on each operation: a session that has ended is noticed at once.
 *
 * A token that does not count is no failure yet. Fields that need a viewer fail with its reason, and
 * `refreshSession` and `signIn` still work for a client that sends its old header with everything.
 */
export async function authenticate(node: ServerNode, header: unknown): Promise<Authentication> {
  try {
    const token = bearerToken(header);
    if (token === null) return { viewer: null, rejected: null, floor: undefined };
    return await findSession(node, await node.accessTokens.verify(token));
  } catch (error) {
    if (error instanceof ChatError) return { viewer: null, rejected: error, floor: undefined };
    throw error;
  }
}

async function findSession(node: ServerNode, claims: AccessClaims): Promise<Authentication> {
  const [session] = await node.database.query<{ floor: string }>(sql`
    SELECT pg_current_snapshot()::text AS floor
      FROM sessions WHERE id = ${claims.sessionId}::uuid AND user_id = ${claims.userId}::uuid AND ended_at IS NULL`);
  if (!session) throw new ChatError('UNAUTHENTICATED', 'This session has ended. Sign in again.');
  return { viewer: claims, rejected: null, floor: session.floor };
}

/** Begins a session for a user who has shown who they are. */
export async function startSession(context: Context, user: User): Promise<SignedIn> {
  const session = await context.database.prisma.session.create({ data: { userId: user.id, ...context.origin } });
  return issueTokens(context, session);
}

/**
 * Trades a refresh token for new tokens.
 *
 * @throws ChatError `UNAUTHENTICATED` for a token that is unknown, too old, or of an ended session. A token
 *   that comes a second time has been stolen from one of the two who sent it: the session ends for both.
 */
export async function refreshSession(context: Context, refreshToken: string): Promise<SignedIn> {
  const hash = hashRefreshToken(refreshToken);
  const { database, log } = context;
  const [session] = await database.query<Session>(sql`
    WITH used AS (
      UPDATE refresh_tokens SET used_at = now()
        WHERE hash = ${hash} AND used_at IS NULL AND expires_at > now() RETURNING session_id
    )
    UPDATE sessions SET last_seen_at = now() FROM used
      WHERE id = used.session_id AND ended_at IS NULL RETURNING id, user_id AS "userId"`);
  if (session) return issueTokens(context, session);

  const [ended] = await database.query<{ id: string }>(sql`
    UPDATE sessions SET ended_at = now() FROM refresh_tokens t
      WHERE t.hash = ${hash} AND t.used_at IS NOT NULL AND id = t.session_id AND ended_at IS NULL RETURNING id`);
  if (ended) log.warn({ sessionId: ended.id }, 'A refresh token was used twice; its session has ended.');
  throw new ChatError('UNAUTHENTICATED', 'This refresh token is not good any more. Sign in again.');
}

/** Ends the session of this operation's token. */
export async function signOut(context: Context): Promise<void> {
  const { sessionId } = requireViewer(context);
  await context.database.prisma.session.updateMany({
    where: { id: sessionId, endedAt: null },
    data: { endedAt: new Date() },
  });
}

/** Where a request comes from, cut to what is worth keeping. */
export function originOf(ipAddress: string | undefined, userAgent: string | null | undefined): Origin {
  return { ipAddress: ipAddress ?? null, userAgent: userAgent?.slice(0, 300) ?? null };
}

async function issueTokens(context: Context, session: Pick<Session, 'id' | 'userId'>): Promise<SignedIn> {
  const { token: refreshToken, hash, expiresAt } = createRefreshToken();
  const [access, [stored]] = await Promise.all([
    context.accessTokens.sign(session.userId, session.id),
    context.database.query<{ floor: string }>(sql`
      INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES (${hash}, ${session.id}::uuid, ${expiresAt})
        RETURNING pg_current_snapshot()::text AS floor`),
  ]);
  // What follows in this operation is asked by the user who has just signed in, and remembers nothing of before.
  Object.assign(context, {
    viewer: { userId: session.userId, sessionId: session.id, expiresAt: access.expiresAt },
    rejected: null,
    floor: stored?.floor,
    cache: {},
  } satisfies Partial<Context>);
  return { accessToken: access.token, accessTokenExpiresAt: access.expiresAt, refreshToken };
}
