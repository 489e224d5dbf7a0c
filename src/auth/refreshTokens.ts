import type { Context } from '../core/context.ts';
import { type Database, sql } from '../platform/database/database.ts';
import { badInput, ChatError } from '../core/errors.ts';
import { issueTokens, type SignedIn, type StoredSession } from './sessions.ts';
import { createRefreshToken, hashToken } from './accessTokens.ts';

/** Maximum time for which a replaced refresh token is still accepted, in seconds of the database clock. */
const REFRESH_LEEWAY_SECONDS = 10;

/**
 * Exchanges a refresh token for new tokens of its session (refresh token rotation, RFC 9700 section 4.14.2).
 *
 * Each rotation begins a new generation of tokens. Tokens of the previous generation are accepted for 10 s more, so
 * that a lost response or two open tabs sign nobody out. The use of such a token returns another token of the new
 * generation, and does not extend the 10 s.
 *
 * A thief who replays a token within the 10 s gets a token of the same generation as the user's token. The use of
 * either token replaces both. After 10 s more, the use of the other token ends the session for the thief and the user.
 *
 * @param sentToken refresh token that the client sent; null to use the token in the cookie
 * @throws ChatError `UNAUTHENTICATED` if the token is unknown or has expired, or if its session has ended
 * @throws ChatError `UNAUTHENTICATED` for a replaced token that is no longer accepted. Its use ends the session.
 * @throws ChatError `BAD_USER_INPUT` if there is neither a token nor a cookie
 */
export async function refreshSession(context: Context, sentToken: string | null): Promise<SignedIn> {
  const refreshToken = sentToken ?? context.cookies?.refreshToken;
  if (!refreshToken) throw badInput('input.refreshToken', 'Send the refresh token of the session, or its cookie.');
  const next = createRefreshToken();
  const outcome = await context.database.transaction((query) => rotate(query, hashToken(refreshToken), next));
  if (outcome.kind === 'ROTATED') return issueTokens(context, outcome.session, next.token, sentToken === null);
  if (outcome.kind === 'REPLAYED') {
    context.changePoller.requestPoll();
    context.log.warn(
      { sessionId: outcome.sessionId },
      'A replaced refresh token was reused, which may be theft. The session was ended.',
    );
  }
  throw new ChatError('UNAUTHENTICATED', 'The refresh token is no longer valid. Sign in again.');
}

type Outcome =
  | { kind: 'ROTATED'; session: StoredSession }
  | { kind: 'REPLAYED'; sessionId: string }
  | { kind: 'INVALID' };

async function rotate(
  query: Database['query'],
  hash: Buffer,
  next: Pick<ReturnType<typeof createRefreshToken>, 'hash' | 'expiresAt'>,
): Promise<Outcome> {
  // The row lock serialises the rotations of one session. The next statement takes its snapshot after the lock was
  // acquired, so it sees all earlier rotations.
  const [session] = await query<{ id: string; endedAt: Date | null }>(sql`
    SELECT s.id, s.ended_at AS "endedAt" FROM sessions s JOIN refresh_tokens t ON t.session_id = s.id
      WHERE t.hash = ${hash} FOR NO KEY UPDATE OF s`);
  if (!session || session.endedAt) return { kind: 'INVALID' };
  const [token] = await query<{ isCurrent: boolean; isPrevious: boolean; isExpired: boolean }>(sql`
    SELECT used_at IS NULL AS "isCurrent", expires_at <= statement_timestamp() AS "isExpired",
           coalesce(used_at > statement_timestamp() - make_interval(secs => ${REFRESH_LEEWAY_SECONDS})
             AND used_at = (SELECT max(used_at) FROM refresh_tokens WHERE session_id = ${session.id}::uuid),
             false) AS "isPrevious"
      FROM refresh_tokens WHERE hash = ${hash}`);
  if (!token || token.isExpired) return { kind: 'INVALID' };
  if (!token.isCurrent && !token.isPrevious) {
    await query(sql`UPDATE sessions SET ended_at = now() WHERE id = ${session.id}::uuid`);
    return { kind: 'REPLAYED', sessionId: session.id };
  }
  const [rotated] = await query<StoredSession>(sql`
    WITH replaced AS (
      UPDATE refresh_tokens SET used_at = statement_timestamp()
        WHERE ${token.isCurrent} AND session_id = ${session.id}::uuid AND used_at IS NULL
    ), made AS (
      INSERT INTO refresh_tokens (hash, session_id, expires_at)
        VALUES (${next.hash}, ${session.id}::uuid, ${next.expiresAt})
    )
    UPDATE sessions SET last_seen_at = statement_timestamp() WHERE id = ${session.id}::uuid
      RETURNING id, user_id AS "userId", flushed_snapshot()::text AS "asOf"`);
  return rotated ? { kind: 'ROTATED', session: rotated } : { kind: 'INVALID' };
}
