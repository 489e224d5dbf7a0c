import type { Context } from '../../core/context.ts';
import { keyTable, raw, sql } from '../../platform/database/database.ts';
import { createViewerLoader, type OfViewer } from '../../platform/database/loader.ts';
import { isMember } from './chatrooms.ts';

/** Maximum number of nicknames in the title of a nameless chatroom. Further members are replaced by "…". */
export const MAX_NAMES = 5;

/**
 * One more than `MAX_NAMES`, to detect further members. A literal instead of a parameter, because the planner assumes
 * that a LIMIT with a parameter returns a tenth of the rows.
 */
const limit = raw(String(MAX_NAMES + 1));

/** Returns the nicknames of the other members of a room, longest-standing first; null unless the viewer is a member. */
const nicknamesByChatroom = createViewerLoader<OfViewer & { chatroomId: string; nicknames: string[] }>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", k.chatroom_id AS "chatroomId", ARRAY(
          SELECT u.nickname FROM members m JOIN users u ON u.id = m.user_id
            WHERE m.chatroom_id = k.chatroom_id AND m.user_id <> k.viewer_id
            ORDER BY m.joined_at, m.user_id LIMIT ${limit}) AS nicknames
        FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, chatroom_id)
        WHERE ${isMember(sql`k.chatroom_id`, sql`k.viewer_id`)}`),
  ({ chatroomId }) => chatroomId,
);

/**
 * Returns the display name of a room without a name: the nicknames of the other members. Null if there are no other
 * members. Titles of many rooms are loaded with one statement.
 */
export async function titleOf(context: Context, chatroomId: string): Promise<string | null> {
  const { nicknames = [] } = (await nicknamesByChatroom(context, chatroomId)) ?? {};
  if (nicknames.length === 0) return null;
  return nicknames.length > MAX_NAMES ? `${nicknames.slice(0, MAX_NAMES).join(', ')}, …` : nicknames.join(', ');
}
