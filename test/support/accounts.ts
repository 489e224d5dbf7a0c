import { createRefreshToken } from '../../src/auth/accessTokens.ts';
import type { ServerNode } from '../../src/core/context.ts';
import { encodeId } from '../../src/core/globalIds.ts';
import { skeletonOf } from '../../src/core/text/skeleton.ts';
import { foldName } from '../../src/core/text/names.ts';
import { sql } from '../../src/platform/database/database.ts';
import { PASSWORD, type Person, person } from './client.ts';

/**
 * Inserts accounts as `signUp` would create them, each with a session. Most tests need accounts, and a new node has to plan
 * and validate every operation, so that three sign-ups would take longer than the rest of many tests.
 */
export async function createAccounts(node: ServerNode, url: string, usernames: readonly string[]): Promise<Person[]> {
  const passwordHash = await node.passwords.hash(PASSWORD);
  const tokens = usernames.map(() => createRefreshToken());
  const rows = await node.database.query<{ userId: string; sessionId: string; username: string }>(sql`
    WITH added AS (
      INSERT INTO users (username, username_key, username_skeleton, nickname, nickname_key, password_hash)
        SELECT name, key, skeleton, name, key, ${passwordHash}
          FROM unnest(${usernames}::text[], ${usernames.map(foldName)}::text[], ${usernames.map(skeletonOf)}::text[]) u (name, key, skeleton)
        RETURNING id, username
    ), session AS (
      INSERT INTO sessions (user_id, user_agent, ip_address) SELECT id, 'node', '127.0.0.1' FROM added RETURNING id, user_id
    ), token AS (
      INSERT INTO refresh_tokens (hash, session_id, expires_at)
        SELECT t.hash, s.id, now() + interval '30 days'
          FROM unnest(${usernames}::text[], ${tokens.map(({ hash }) => hash)}::bytea[]) t (name, hash)
          JOIN added a ON a.username = t.name JOIN session s ON s.user_id = a.id
    )
    SELECT s.user_id AS "userId", s.id AS "sessionId", a.username FROM added a JOIN session s ON s.user_id = a.id`);
  return Promise.all(
    usernames.map(async (username, i) => {
      const { userId = '', sessionId = '' } = rows.find((row) => row.username === username) ?? {};
      const { token: accessToken } = await node.accessTokens.sign(userId, sessionId);
      const account = { id: encodeId('User', userId), username, accessToken };
      return person(url, { ...account, refreshToken: tokens[i]?.token ?? '' });
    }),
  );
}
