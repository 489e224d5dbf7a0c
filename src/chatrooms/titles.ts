import { type Context, requireViewer } from '../context.ts';
import { raw, sql } from '../database/database.ts';
import { createLoader } from '../loader.ts';
import { isMember, type VisibleChatroom } from './chatrooms.ts';

/** Maximum number of members that the title of a nameless chatroom names. */
export const MAX_NAMES = 5;

/** One more than a title names. In the text of the statement: for a parameter PostgreSQL would plan as if it were large. */
const limit = raw(String(MAX_NAMES + 1));

/** The nicknames of the other members of many rooms, the longest-standing first. */
const nicknamesByChatroom = createLoader<{ chatroomId: string; nicknames: string[] }>(
  (context, chatroomIds) => {
    const viewer = sql`${requireViewer(context).userId}::uuid`;
    return context.database.prepared(sql`
      SELECT room.id AS "chatroomId", ARRAY(
          SELECT u.nickname FROM members m JOIN users u ON u.id = m.user_id
            WHERE m.chatroom_id = room.id AND m.user_id <> ${viewer}
            ORDER BY m.joined_at, m.user_id LIMIT ${limit}) AS nicknames
        FROM unnest(${chatroomIds}::uuid[]) room (id) WHERE ${isMember(sql`room.id`, viewer)}`);
  },
  ({ chatroomId }) => chatroomId,
);

/**
 * What to show for a room: its name, else the nicknames of the other members. Null if there are none. The titles of all rooms
 * that are asked for together take one statement. Only nameless rooms have a title that depends on the viewer.
 */
export async function titleOf(context: Context, { id, name }: VisibleChatroom): Promise<string | null> {
  if (name !== null) return name;
  const { nicknames = [] } = (await nicknamesByChatroom(context, id)) ?? {};
  if (nicknames.length === 0) return null;
  return nicknames.length > MAX_NAMES ? `${nicknames.slice(0, MAX_NAMES).join(', ')}, …` : nicknames.join(', ');
}
