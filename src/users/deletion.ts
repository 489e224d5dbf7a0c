import { type Context, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import { friendIdsOf } from '../friends/friends.ts';
import { hint } from '../hints.ts';
import { requirePassword } from './passwords.ts';

/** How often a deletion is tried that PostgreSQL gave up because of a deadlock. */
const MOST_TRIES = 5;

/**
 * Deletes the viewer's account. Their messages stay, without a name or sender; rooms that they own are handed on; sessions,
 * devices, friendships, blocks and memberships go, and with them their sockets and streams.
 *
 * @param password null for an account that has none
 * @throws ChatError `INVALID_CREDENTIALS` where the password is another
 */
export async function deleteAccount(context: Context, password: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  await requirePassword(context, password);
  const friendIds = await friendIdsOf(context.database, userId);
  const rooms = await remove(context, userId, 1);
  context.cookies?.clear();
  context.sweep.announce();
  for (const { chatroomId, seq } of rooms) context.tails.nudge(chatroomId, seq);
  for (const friendId of friendIds) hint(context.bus, friendId, { kind: 'FRIENDSHIP', userId, status: null });
}

async function remove(context: Context, userId: string, tries: number): Promise<{ chatroomId: string; seq: number }[]> {
  try {
    return await context.database.query(sql`
      SELECT chatroom_id AS "chatroomId", seq FROM delete_account(${userId}::uuid)`);
  } catch (error) {
    // Somebody else held one room and wanted another. Both are free again.
    if ((error as { code?: string }).code !== '40P01' || tries === MOST_TRIES) throw error;
    return remove(context, userId, tries + 1);
  }
}
