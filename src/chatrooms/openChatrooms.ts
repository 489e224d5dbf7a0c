import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { empty, sql } from '../database/database.ts';
import { checkNameSearch } from '../text/names.ts';
import { type VisibleChatroom, visibleColumns } from './chatrooms.ts';

/** OPEN rooms by name, or those whose name begins with `search`, without regard to letter case. */
export async function listOpenChatrooms(
  context: Context,
  search: string | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<VisibleChatroom>> {
  const { userId } = requireViewer(context);
  if (search != null) checkNameSearch(search, 'search');
  const name = sql`lower(c.name) COLLATE "C"`;
  return connect<VisibleChatroom, string[]>(args, {
    encode: (room) => encodeKeyset('open', [room.name?.toLowerCase() ?? '', room.id]),
    decode: (cursor, path) => decodeKeyset('open', ['name', 'uuid'], cursor, path),
    load: ({ after, before, reverse, limit }) =>
      context.database.query<VisibleChatroom>(sql`
        SELECT ${visibleColumns(userId)} FROM chatrooms c
          WHERE c.kind = 'OPEN'
            ${search == null ? empty : sql`AND ${name} ^@ lower(${search}::text)`}
            ${after === null ? empty : sql`AND (${name}, c.id) > (${after[0]}, ${after[1]}::uuid)`}
            ${before === null ? empty : sql`AND (${name}, c.id) < (${before[0]}, ${before[1]}::uuid)`}
          ORDER BY ${name} ${reverse ? sql`DESC` : empty}, c.id ${reverse ? sql`DESC` : empty} LIMIT ${limit}`),
  });
}
