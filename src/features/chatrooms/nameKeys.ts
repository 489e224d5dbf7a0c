import { type Database, sql, type Sql } from '../../platform/database/database.ts';
import { foldName } from '../../core/text/names.ts';

/**
 * Maximum length of a key, in characters. Longer keys are truncated, because NFKC can turn one character into 18, and
 * an index entry can have at most 2,700 bytes.
 */
const MAX_KEY_LENGTH = 100;

/**
 * Returns the key by which rooms are sorted and found. Keys of long names are truncated, and may be equal. Rooms with
 * equal keys are sorted by id.
 */
export function roomNameKey(name: string): string {
  return Array.from(foldName(name)).slice(0, MAX_KEY_LENGTH).join('');
}

/** Number of keys written by one statement. */
const BATCH_SIZE = 1_000;

/**
 * Writes missing name keys of OPEN rooms. A new or renamed room has no key at first, because SQL cannot compute keys
 * exactly. Rooms written by the previous release have no key either. If no key is missing, the call costs one index
 * lookup.
 *
 * Skips a room whose row is locked, for example by a send. A later call writes the key of that room.
 */
export function fillNameKeys(database: Database): Promise<void> {
  return fill(database, sql`kind = 'OPEN' AND name_key IS NULL`);
}

/** Writes missing name keys of a user's named rooms of any kind. Skips locked rooms, like {@link fillNameKeys}. */
export function fillNameKeysOf(database: Database, userId: string): Promise<void> {
  return fill(
    database,
    sql`name IS NOT NULL AND name_key IS NULL AND id IN (SELECT chatroom_id FROM members WHERE user_id = ${userId}::uuid)`,
  );
}

async function fill(database: Database, condition: Sql): Promise<void> {
  for (;;) {
    const rooms = await database.query<{ id: string; name: string }>(sql`
      SELECT id, coalesce(name, '') AS name FROM chatrooms WHERE ${condition} LIMIT ${BATCH_SIZE}`);
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
