import { type Database, type Sql, sql } from '../platform/database/database.ts';
import { createToken } from './accessTokens.ts';

/**
 * Stores a session that ends with its access token, which nobody can refresh. Stores nothing for a suspended user.
 *
 * A session ends when its refresh token expires (sessionExpiry.ts), also on nodes of the previous release. The session
 * therefore has a refresh token that expires with the access token, and whose value nobody receives.
 *
 * @param id id of the session. If the session exists, active or ended, it stays unchanged.
 * @param user SQL condition that selects the user `u`
 * @returns the key of the user, or undefined if no active user matches
 */
export async function storeBoundSession(
  query: Database['query'],
  id: string,
  user: Sql,
  expiresAt: Date,
  client: { userAgent: string | null; ipAddress: string | null },
): Promise<string | undefined> {
  const { hash } = createToken();
  const [stored] = await query<{ userId: string }>(sql`
    WITH owner AS (
      SELECT u.id FROM users u WHERE ${user} AND u.suspended_at IS NULL FOR SHARE
    ), session AS (
      INSERT INTO sessions (id, user_id, user_agent, ip_address)
        SELECT ${id}::uuid, owner.id, ${client.userAgent}, ${client.ipAddress} FROM owner
        ON CONFLICT (id) DO NOTHING RETURNING id
    ), token AS (
      INSERT INTO refresh_tokens (hash, session_id, expires_at)
        SELECT ${hash}, session.id, ${expiresAt}::timestamptz FROM session
    )
    SELECT id AS "userId" FROM owner`);
  return stored?.userId;
}
