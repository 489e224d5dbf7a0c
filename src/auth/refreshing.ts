import type { Context } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import { badInput, ChatError } from '../errors.ts';
import { issueTokens, type SignedIn, type StoredSession } from './sessions.ts';
import { createRefreshToken, hashToken } from './tokens.ts';

/** How long the predecessor of the latest refresh token is still accepted, in seconds, by the clock of the database. */
export const REFRESH_LEEWAY_SECONDS = 10;

/**
 * Exchanges a refresh token for new tokens of its session (refresh token rotation, RFC 9700 section 4.14.2).
 *
 * Each rotation begins a generation, and ends the validity of all tokens of the generation before. For 10 s after a rotation
 * a token of that previous generation is still accepted. It returns another token of the current generation, so that a lost
 * answer or two tabs sign nobody out. The 10 s are counted from the rotation and are not extended.
 *
 * A generation can therefore have several tokens, each valid: if A was used twice, B and C both count. The first of them that
 * is used rotates the session for all, and the other is accepted for 10 s more. A thief who replays a token within the 10 s
 * gets a token beside the owner's, but cannot keep it: whoever comes second after the next rotation ends the session for both.
 *
 * @param given null for the token in the cookie
 * @throws ChatError `UNAUTHENTICATED` for a token that is unknown, expired, or of an ended session, and for one that was
 *   replaced more than 10 s ago, which ends its session
 */
export async function refreshSession(context: Context, given: string | null): Promise<SignedIn> {
  const refreshToken = given ?? context.cookies?.refreshToken;
  if (!refreshToken) throw badInput('input.refreshToken', 'Send the refresh token of the session, or its cookie.');
  const next = createRefreshToken();
  const outcome = await context.database.transaction((query) => rotate(query, hashToken(refreshToken), next));
  if (outcome.kind === 'ROTATED') return issueTokens(context, outcome.session, next.token, given === null);
  if (outcome.kind === 'REPLAYED') {
    context.sweep.announce();
    context.log.warn(
      { sessionId: outcome.sessionId },
      'A replaced refresh token was used again. Its session has ended.',
    );
  }
  throw new ChatError('UNAUTHENTICATED', 'This refresh token is not valid any more. Sign in again.');
}

type Outcome =
  { kind: 'ROTATED'; session: StoredSession } | { kind: 'REPLAYED'; sessionId: string } | { kind: 'INVALID' };

async function rotate(
  query: Database['query'],
  hash: Buffer,
  next: Pick<ReturnType<typeof createRefreshToken>, 'hash' | 'expiresAt'>,
): Promise<Outcome> {
  // Tokens of one session take turns. The next statement has a newer snapshot, and sees what the one before has done.
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
      RETURNING id, user_id AS "userId", flushed_snapshot()::text AS floor`);
  return rotated ? { kind: 'ROTATED', session: rotated } : { kind: 'INVALID' };
}
