import {
  connect,
  type Connection,
  type ConnectionArgs,
  decodeKeyset,
  encodeKeyset,
} from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { empty, sql } from '../../platform/database/database.ts';
import { checkNameSearch } from '../../core/text/names.ts';
import { type VisibleChatroom, visibleColumns } from './chatrooms.ts';
import { fillNameKeys, roomNameKey } from './nameKeys.ts';

/**
 * Lists OPEN rooms sorted by name: all, or those whose name begins with `search`, regardless of letter case and width.
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
