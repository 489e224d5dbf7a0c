import { type Database, sql, type Sql } from '../database/database.ts';
import { foldName } from '../text/names.ts';

/** Length of a key in characters. NFKC makes up to 18 characters of one, and an index entry has at most 2,700 bytes. */
const MAX_KEY_LENGTH = 100;

/** What names of rooms are sorted and found by. Longer keys that are equal up to here are sorted by id. */
export function roomNameKey(name: string): string {
  return Array.from(foldName(name)).slice(0, MAX_KEY_LENGTH).join('');
}

/** Number of keys written by one statement. */
const BATCH = 1_000;

/**
 * Writes the keys of OPEN rooms that have none: of new and renamed rooms, and of those that the previous release wrote. SQL
 * cannot compute them. An index finds these rooms, so that the usual case, none, costs one lookup.
 *
 * A room that is locked, such as by a send, gets its key from the next caller.
 */
export function fillNameKeys(database: Database): Promise<void> {
  return fill(database, sql`kind = 'OPEN' AND name_key IS NULL`);
}

/** The same for the named rooms of a user, of whatever kind. */
export function fillNameKeysOf(database: Database, userId: string): Promise<void> {
  return fill(
    database,
    sql`name IS NOT NULL AND name_key IS NULL AND id IN (SELECT chatroom_id FROM members WHERE user_id = ${userId}::uuid)`,
  );
}

async function fill(database: Database, condition: Sql): Promise<void> {
  for (;;) {
    const rooms = await database.query<{ id: string; name: string }>(sql`
      SELECT id, coalesce(name, '') AS name FROM chatrooms WHERE ${condition} LIMIT ${BATCH}`);
    if (rooms.length === 0) return;
    const filled = await database.query(sql`
      UPDATE chatrooms c SET name_key = k.key
        FROM unnest(${rooms.map(({ id }) => id)}::uuid[], ${rooms.map(({ name }) => name)}::text[],
                    ${rooms.map(({ name }) => roomNameKey(name))}::text[]) k (id, name, key)
        WHERE c.id = k.id AND coalesce(c.name, '') = k.name AND c.id IN (
          SELECT id FROM chatrooms WHERE id = ANY(${rooms.map(({ id }) => id)}::uuid[]) FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING 1`);
    if (filled.length === 0) return;
  }
}
