import { type Database, sql, type Sql } from '../platform/database/database.ts';

/** Time for which an ended session is still listed, in days. */
export const ENDED_SESSION_DAYS = 90;

/** Maximum number of rows that one statement changes, so that each statement stays far below the statement timeout. */
const BATCH = 5_000;

/**
 * Returns an SQL condition that is true for an active session. An active session has not ended, and has a refresh token
 * that has not expired. The token is checked because `ended_at` stays null between the expiry of the token and the next
 * run of `endExpiredSessions`.
 *
 * @param session alias of the table `sessions`
 */
export function isActive(session: Sql): Sql {
  return sql`(${session}.ended_at IS NULL AND ${hasValidToken(session)})`;
}

function hasValidToken(session: Sql): Sql {
  return sql`EXISTS (
    SELECT FROM refresh_tokens valid
      WHERE valid.session_id = ${session}.id AND valid.used_at IS NULL AND valid.expires_at > now())`;
}

/** Ends sessions whose refresh token has expired. Runs as a job. */
export async function endExpiredSessions({ query }: Pick<Database, 'query'>): Promise<void> {
  // The previous release inserts a session and its first token in two statements. A session without any token is
  // therefore ended only after an hour.
  await repeat(
    query,
    sql`
      UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL AND id IN (
        SELECT s.id FROM sessions s
          WHERE s.ended_at IS NULL AND NOT ${hasValidToken(sql`s`)}
            AND (s.created_at < now() - interval '1 hour'
              OR EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = s.id))
          LIMIT ${BATCH}) RETURNING 1`,
  );
}

/**
 * Deletes sessions that ended more than 90 days ago, and expired refresh tokens. An expired token is refused in any
 * case, so it is not needed to detect theft.
 */
export async function pruneSessions(database: Pick<Database, 'query'>): Promise<void> {
  const { query } = database;
  // Runs before tokens are deleted, because tokens distinguish an expired session from one that is being created.
  await endExpiredSessions(database);
  await query(sql`DELETE FROM refresh_tokens WHERE expires_at < now()`);
  await query(sql`DELETE FROM mail_tokens WHERE expires_at < now()`);
  await repeat(
    query,
    sql`
      DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE ended_at < now() - make_interval(days => ${ENDED_SESSION_DAYS})
          LIMIT ${BATCH}) RETURNING 1`,
  );
}

async function repeat(query: Database['query'], statement: Sql): Promise<void> {
  while ((await query(statement)).length > 0);
}
