import { type Database, sql } from '../database/database.ts';
import { emailKey } from '../text/email.ts';
import { skeletonOf } from '../text/skeleton.ts';

/** Users of one statement. */
const BATCH = 1_000;

/**
 * Fills the skeletons of usernames that lack one: of imported users, and of those whom an earlier release made. The first
 * of several old names that look alike gets the skeleton, the others keep none; all of them keep working.
 */
export async function fillSkeletons(database: Database): Promise<void> {
  let after = '';
  for (;;) {
    const users = await database.query<{ id: string; username: string; usernameKey: string }>(sql`
      SELECT id, username, username_key AS "usernameKey" FROM users
        WHERE username_skeleton IS NULL AND username_key > ${after} ORDER BY username_key LIMIT ${BATCH}`);
    const last = users.at(-1);
    if (!last) return;
    const firsts = new Map(users.toReversed().map((user) => [skeletonOf(user.username), user.id]));
    const skeletons = [...firsts.keys()];
    try {
      await database.query(sql`
        UPDATE users u SET username_skeleton = given.skeleton
          FROM unnest(${[...firsts.values()]}::uuid[], ${skeletons}::text[]) given (id, skeleton)
          WHERE u.id = given.id AND u.username_skeleton IS NULL
            AND NOT EXISTS (SELECT FROM users other WHERE other.username_skeleton = given.skeleton)`);
      after = last.usernameKey;
    } catch (error) {
      // Somebody signed up under such a name at this moment. The same batch runs again and sees them.
      if ((error as { code?: string }).code !== '23505') throw error;
    }
  }
}

/**
 * Renews the keys of e-mail addresses that are not ASCII: earlier releases compared them by NFKC, under which
 * `x@straße.example` was `x@strasse.example`. An address whose new key is taken keeps its old one.
 */
export async function renewEmailKeys(database: Database): Promise<void> {
  const users = await database.query<{ id: string; email: string; oldKey: string }>(sql`
    SELECT id, email, email_key AS "oldKey" FROM users WHERE octet_length(email) <> char_length(email)`);
  for (const { id, email, oldKey } of users) {
    const key = emailKey(email);
    if (key === null || key === oldKey) continue;
    await database.query(sql`
      UPDATE users SET email_key = ${key}
        WHERE id = ${id}::uuid AND email_key = ${oldKey}
          AND NOT EXISTS (SELECT FROM users other WHERE other.email_key = ${key})`);
  }
}
