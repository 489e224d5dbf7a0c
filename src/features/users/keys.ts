import { type Database, sql } from '../../platform/database/database.ts';
import { emailKey } from '../../core/text/email.ts';
import { skeletonOf } from '../../core/text/skeleton.ts';

/** Number of users that one statement reads and updates. */
const BATCH_SIZE = 1_000;

/**
 * Writes missing username skeletons. Usernames that look alike have the same skeleton. Imported users and users created
 * by an earlier release have no skeleton at first. If several such names look alike, only the first name gets the
 * skeleton. The other names stay valid without a skeleton.
 */
export async function fillSkeletons(database: Database): Promise<void> {
  let after = '';
  for (;;) {
    const users = await database.query<{ id: string; username: string; usernameKey: string }>(sql`
      SELECT id, username, username_key AS "usernameKey" FROM users
        WHERE username_skeleton IS NULL AND username_key > ${after} ORDER BY username_key LIMIT ${BATCH_SIZE}`);
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
      // The statement fails if a user with one of these skeletons signs up concurrently. The retry of the batch then
      // finds that user.
      if ((error as { code?: string }).code !== '23505') throw error;
    }
  }
}

/**
 * Recomputes the keys of e-mail addresses that are not ASCII. Earlier releases compared addresses by NFKC and case
 * folding, which made `x@straße.example` equal to `x@strasse.example`. An address keeps its old key if another account
 * has the new key.
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
