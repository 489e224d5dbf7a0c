import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { type Database, empty, sql } from '../database/database.ts';
import { checkNameSearch, foldName } from '../text/names.ts';
import { type VisibleChatroom, visibleColumns } from './chatrooms.ts';

/** Length of a key in characters. NFKC makes up to 18 characters of one, and an index entry has at most 2,700 bytes. */
const MAX_KEY_LENGTH = 100;

/** Lists OPEN rooms by name, or those whose name begins with `search`, without regard to letter case. */
export async function listOpenChatrooms(
  context: Context,
  search: string | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<VisibleChatroom>> {
  const { userId } = requireViewer(context);
  if (search != null) checkNameSearch(search, 'search');
  const prefix = search == null ? null : roomNameKey(search);
  return connect<VisibleChatroom, string[]>(args, {
    encode: (room) => encodeKeyset('open', [room.nameKey ?? '', room.id]),
    decode: (cursor, path) => decodeKeyset('open', ['name', 'uuid'], cursor, path),
    async load({ after, before, reverse, limit }) {
      await fillNameKeys(context.database);
      return context.database.query<VisibleChatroom>(sql`
        SELECT ${visibleColumns(userId)} FROM chatrooms c
          WHERE c.kind = 'OPEN' AND c.name_key IS NOT NULL
            ${prefix === null ? empty : sql`AND c.name_key ^@ ${prefix}`}
            ${after === null ? empty : sql`AND (c.name_key, c.id) > (${after[0]}, ${after[1]}::uuid)`}
            ${before === null ? empty : sql`AND (c.name_key, c.id) < (${before[0]}, ${before[1]}::uuid)`}
          ORDER BY c.name_key ${reverse ? sql`DESC` : empty}, c.id ${reverse ? sql`DESC` : empty} LIMIT ${limit}`);
    },
  });
}

/** What names of rooms are sorted and found by. Longer keys that are equal up to here are sorted by id. */
function roomNameKey(name: string): string {
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
export async function fillNameKeys(database: Database): Promise<void> {
  for (;;) {
    const rooms = await database.query<{ id: string; name: string }>(sql`
      SELECT id, coalesce(name, '') AS name FROM chatrooms WHERE kind = 'OPEN' AND name_key IS NULL LIMIT ${BATCH}`);
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
