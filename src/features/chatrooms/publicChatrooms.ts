import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { empty, sql } from '../../platform/database/database.ts';
import { checkNameSearch } from '../../core/text/names.ts';
import { type VisibleChatroom, visibleColumns } from './chatrooms.ts';
import { fillNameKeys, roomNameKey } from './nameKeys.ts';

const byName = keyset({ 'c.name_key': 'name', 'c.id': 'uuid' });

/**
 * Lists OPEN rooms, sorted by name. With `search`, lists only rooms whose name begins with that text. Ignores letter
 * case and width.
 *
 * @throws ChatError `BAD_USER_INPUT` if `search` is too long
 */
export async function listOpenChatrooms(
  context: Context,
  search: string | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<VisibleChatroom>> {
  const { userId } = requireViewer(context);
  if (search != null) checkNameSearch(search, 'search');
  const prefix = search == null ? null : roomNameKey(search);
  return connect<VisibleChatroom>(args, {
    ...cursors('open', byName, (room) => [room.nameKey ?? '', room.id]),
    async load(page) {
      await fillNameKeys(context.database);
      return context.database.query<VisibleChatroom>(sql`
        SELECT ${visibleColumns(sql`${userId}::uuid`)} FROM chatrooms c
          WHERE c.kind = 'OPEN' AND c.name_key IS NOT NULL
            ${prefix === null ? empty : sql`AND c.name_key ^@ ${prefix}`}
            ${byName.bounds(page)}
          ORDER BY ${byName.order(page)} LIMIT ${page.limit}`);
    },
  });
}
