import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { empty, sql, type Sql } from '../../platform/database/database.ts';
import type { ChatroomKind } from '../../platform/database/generated/client.ts';
import { isUnread } from '../readReceipts/unreadCounts.ts';
import { checkNameSearch } from '../../core/text/names.ts';
import { type VisibleChatroom, visibleColumns } from '../chatrooms/chatrooms.ts';
import { fillNameKeysOf, roomNameKey } from '../chatrooms/nameKeys.ts';

/** Filter for the viewer's rooms. A room must match every condition; absent conditions match all rooms. */
export interface ChatroomFilter {
  kind?: ChatroomKind | null | undefined;
  unread?: boolean | null | undefined;
  name?: string | null | undefined;
}

const byActivity = keyset({ 'c.active_at': 'moment', 'c.id': 'uuid' }, 'DESC');

/**
 * Lists the viewer's rooms, most recently active first. Leaves out hidden DIRECT rooms. A cursor is a position in the
 * unfiltered list, so it stays valid with another filter.
 *
 * @throws ChatError `BAD_USER_INPUT` for a name that is too long
 */
export async function listChatrooms(
  context: Context,
  args: ConnectionArgs,
  filter: ChatroomFilter = {},
): Promise<Connection<VisibleChatroom>> {
  const { userId } = requireViewer(context);
  const { prepared, query } = context.database;
  const conditions = await conditionsOf(context, filter);
  // Prepares only the statement without conditions. With conditions, there are too many different statements to cache.
  const run = conditions.length === 0 ? prepared : query;
  return connect<VisibleChatroom>(args, {
    ...cursors('chatrooms', byActivity, (room) => [room.activeAt, room.id]),
    load: (page) =>
      run<VisibleChatroom>(sql`
        SELECT ${visibleColumns(sql`${userId}::uuid`)} FROM chatrooms c
          JOIN members v ON v.chatroom_id = c.id AND v.user_id = ${userId}::uuid
          WHERE (v.hidden_at_number IS NULL OR v.hidden_at_number < c.last_number)
            ${conditions.reduce((all, condition) => sql`${all} AND ${condition}`, empty)}
            ${byActivity.bounds(page)}
          ORDER BY ${byActivity.order(page)} LIMIT ${page.limit}`),
  });
}

/** Returns the SQL conditions of a filter. The alias `c` is the room, and `v` is the viewer's membership. */
async function conditionsOf(context: Context, { kind, unread, name }: ChatroomFilter): Promise<Sql[]> {
  const { userId } = requireViewer(context);
  const viewer = sql`${userId}::uuid`;
  const conditions: Sql[] = [];
  if (kind != null) conditions.push(sql`c.kind = ${kind}::"ChatroomKind"`);
  if (unread != null) {
    const exists = sql`EXISTS (SELECT FROM messages m WHERE m.chatroom_id = c.id AND ${isUnread(viewer)})`;
    conditions.push(unread ? exists : sql`NOT ${exists}`);
  }
  const key = name == null ? '' : roomNameKey(checkNameSearch(name, 'filter.name').trim());
  if (key !== '') {
    await fillNameKeysOf(context.database, userId);
    conditions.push(isNamed(key, viewer));
  }
  return conditions;
}

/**
 * Returns the SQL condition that the name of a room contains `key`, a result of {@link roomNameKey}. For a nameless
 * room, the nickname or username of another member must contain `key`. Uses `strpos`, which has no wildcards to escape.
 */
function isNamed(key: string, viewer: Sql): Sql {
  // `fillNameKeysOf` skips locked rooms, so `name_key` can be null. SQL then computes the key, but only approximately,
  // because SQL converts some scripts to lower case differently.
  return sql`CASE WHEN c.name IS NOT NULL
    THEN strpos(coalesce(c.name_key, lower(normalize(c.name, NFKC))), ${key}) > 0
    ELSE EXISTS (SELECT FROM members o JOIN users u ON u.id = o.user_id
      WHERE o.chatroom_id = c.id AND o.user_id <> ${viewer}
        AND (strpos(u.nickname_key, ${key}) > 0 OR strpos(u.username_key, ${key}) > 0))
    END`;
}
