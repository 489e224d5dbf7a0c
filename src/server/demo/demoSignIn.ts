import { type Account, startSession } from '../../auth/sessions.ts';
import type { ServerNode } from '../../core/context.ts';
import { createContext } from '../../graphql/operation.ts';
import { sql } from '../../platform/database/database.ts';
import { demoUserId } from './demoIds.ts';
import { DEMO_PASSWORD, DEMO_PEOPLE } from './people.ts';

/** Returns whether the demo users exist. Returns false if the database does not respond. */
export async function hasDemo({ database }: Pick<ServerNode, 'database'>): Promise<boolean> {
  const first = demoUserId(DEMO_PEOPLE[0].username);
  const found = await database.query(sql`SELECT id FROM users WHERE id = ${first}::uuid`).catch(() => []);
  return found.length > 0;
}

/**
 * Signs in the first demo user for the terminal or a page, which then displays the credentials. Returns null if the
 * user does not exist. Also returns null if the password has been changed, because somebody then uses the account.
 */
export async function signInDemo(
  node: ServerNode,
): Promise<{ username: string; password: string; accessToken: string } | null> {
  const [{ username }] = DEMO_PEOPLE;
  const [user] = await node.database.query<Account>(sql`
    SELECT id, password_hash AS "passwordHash" FROM users WHERE id = ${demoUserId(username)}::uuid`);
  if (!user || !(await node.passwords.verify(DEMO_PASSWORD, user.passwordHash))) return null;
  const { accessToken } = await startSession(await createContext(node, { authorization: undefined }), user);
  return { username, password: DEMO_PASSWORD, accessToken };
}
