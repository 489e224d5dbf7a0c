import { type Database, sql, type Sql } from '../platform/database/database.ts';

/** Time for which an ended session is kept, in days. */
export const ENDED_SESSION_DAYS = 90;

/** Maximum number of rows that one statement changes, so that each statement stays far below the statement timeout. */
const BATCH_SIZE = 5_000;

/**
 * Returns an SQL condition that is true for an active session. An active session has not ended, and has an unused
 * refresh token that has not expired. The token is checked because a job sets `ended_at` only some time after the
 * expiry.
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
  // Nodes of the previous release insert a session and its first token in two statements. A session without tokens may
  // still get its first token, so it is ended only after an hour.
  await repeat(
    query,
    sql`
      UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL AND id IN (
        SELECT s.id FROM sessions s
          WHERE s.ended_at IS NULL AND NOT ${hasValidToken(sql`s`)}
            AND (s.created_at < now() - interval '1 hour'
              OR EXISTS (SELECT FROM refresh_tokens t WHERE t.session_id = s.id))
          LIMIT ${BATCH_SIZE}) RETURNING 1`,
  );
}

/**
 * Deletes sessions that ended more than 90 days ago, and expired refresh tokens and mail tokens. A replaced refresh
 * token is kept until it expires, because its use may be theft.
 */
export async function pruneSessions(database: Pick<Database, 'query'>): Promise<void> {
  const { query } = database;
  // Must run before tokens are deleted. Otherwise an expired session without tokens looks like one that is being
  // created.
  await endExpiredSessions(database);
  await query(sql`DELETE FROM refresh_tokens WHERE expires_at < now()`);
  await query(sql`DELETE FROM mail_tokens WHERE expires_at < now()`);
  await repeat(
    query,
    sql`
      DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE ended_at < now() - make_interval(days => ${ENDED_SESSION_DAYS})
          LIMIT ${BATCH_SIZE}) RETURNING 1`,
  );
}

async function repeat(query: Database['query'], statement: Sql): Promise<void> {
  while ((await query(statement)).length > 0);
}
