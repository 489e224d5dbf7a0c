import type { Context } from '../core/context.ts';
import { type Database, sql } from '../platform/database/database.ts';
import { badInput, ChatError } from '../core/errors.ts';
import { issueTokens, type SignedIn, type StoredSession } from './sessions.ts';
import { createRefreshToken, hashToken } from './accessTokens.ts';

/**
 * Grace period after a rotation in which refresh tokens of the previous generation are still accepted, in seconds by
 * the clock of the database.
 */
export const REFRESH_LEEWAY_SECONDS = 10;

/**
 * Exchanges a refresh token for new tokens of its session (refresh token rotation, RFC 9700 section 4.14.2).
 *
 * Each rotation begins a new generation of tokens. For 10 s after the rotation, a token of the previous generation is
 * still accepted. Its use returns another token of the new generation and does not extend the 10 s. A lost response or
 * two open tabs therefore sign nobody out.
 *
 * A generation can therefore have several valid tokens: if token A was used twice, tokens B and C are both valid. The
 * use of B begins the next generation, and C is accepted for 10 s more. A thief who replays a token within the 10 s
 * gets a second token of the generation. If the thief and the user each use their token, the later of them presents a
 * replaced token. After the 10 s, its use ends the session for both.
 *
 * @param given refresh token that the client sent; null to use the token in the cookie
 * @throws ChatError `UNAUTHENTICATED` for a token that is unknown, expired or of an ended session. Also for a token
 *   that was replaced more than 10 s ago; its use ends the session.
 * @throws ChatError `BAD_USER_INPUT` if there is neither a token nor a cookie
 */
export async function refreshSession(context: Context, given: string | null): Promise<SignedIn> {
  const refreshToken = given ?? context.cookies?.refreshToken;
  if (!refreshToken) throw badInput('input.refreshToken', 'Send the refresh token of the session, or its cookie.');
  const next = createRefreshToken();
  const outcome = await context.database.transaction((query) => rotate(query, hashToken(refreshToken), next));
  if (outcome.kind === 'ROTATED') return issueTokens(context, outcome.session, next.token, given === null);
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
  { kind: 'ROTATED'; session: StoredSession } | { kind: 'REPLAYED'; sessionId: string } | { kind: 'INVALID' };

async function rotate(
  query: Database['query'],
  hash: Buffer,
  next: Pick<ReturnType<typeof createRefreshToken>, 'hash' | 'expiresAt'>,
): Promise<Outcome> {
  // The row lock serialises the tokens of one session. The next statement has a newer snapshot and sees what the
  // previous holder of the lock committed.
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
