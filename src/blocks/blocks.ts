import type { Connection, ConnectionArgs } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { sql, type Sql } from '../database/database.ts';
import type { User } from '../database/generated/client.ts';
import { badInput, ChatError } from '../errors.ts';
import { endFriendship, forgetRequests, lockPair, tellBoth } from '../friends/pair.ts';
import { hint } from '../hints.ts';
import { createLoader } from '../loader.ts';
import { connectUsers, requireUser } from '../users/users.ts';

/** Whether one user has blocked another. */
export function hasBlocked(blockerId: Sql, blockedId: Sql): Sql {
  return sql`EXISTS (SELECT FROM blocks b WHERE b.blocker_id = ${blockerId} AND b.blocked_id = ${blockedId})`;
}

/** Whether either of two users has blocked the other. */
export function blockBetween(a: Sql, b: Sql): Sql {
  return sql`(${hasBlocked(a, b)} OR ${hasBlocked(b, a)})`;
}

/** The same for both, whoever of the two has blocked. */
export function blocked(): ChatError {
  return new ChatError('BLOCKED', 'One of you has blocked the other. Whoever did can unblock.');
}

/**
 * Blocks a user: the friendship and any request between the two end. Doing it again changes nothing.
 *
 * @throws ChatError `BAD_USER_INPUT` for oneself, `NOT_FOUND` for nobody
 */
export async function blockUser(context: Context, blockedId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  if (blockedId === userId) throw badInput('input.userId', 'One cannot block oneself.');
  const user = await requireUser(context, blockedId);
  const ended = await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    await query(sql`
      INSERT INTO blocks (blocker_id, blocked_id) VALUES (${userId}::uuid, ${user.id}::uuid) ON CONFLICT DO NOTHING`);
    const wereFriends = await endFriendship(query, userId, user.id);
    const hadAsked = await forgetRequests(query, userId, user.id, 'either');
    return wereFriends || hadAsked;
  });
  context.sweep.announce();
  await hintUnread(context, userId, user.id);
  // To the other it looks like the end of a friendship, which it is. Strangers are told nothing: it would say who blocks.
  if (ended) tellBoth(context, user.id, null);
  return user;
}

/**
 * Takes a block back: sight returns, friendship does not. Without a block nothing changes.
 *
 * @throws ChatError `NOT_FOUND` for nobody
 */
export async function unblockUser(context: Context, blockedId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, blockedId);
  const { count } = await context.database.prisma.block.deleteMany({
    where: { blockerId: userId, blockedId: user.id },
  });
  context.sweep.announce();
  if (count > 0) await hintUnread(context, userId, user.id);
  return user;
}

/**
 * Tells the blocker's devices which unread counts have changed: those of rooms with unread messages by the blocked user. A block
 * hides no messages of a DIRECT room. Looks at the latest 1,000 messages of each room, which bounds the cost; an older backlog is
 * beyond what a badge shows.
 */
async function hintUnread({ database, bus }: Context, blockerId: string, blockedId: string): Promise<void> {
  const rooms = await database.query<{ chatroomId: string }>(sql`
    SELECT v.chatroom_id AS "chatroomId" FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
      WHERE v.user_id = ${blockerId}::uuid AND c.kind <> 'DIRECT' AND EXISTS (
        SELECT FROM messages m WHERE m.chatroom_id = v.chatroom_id AND m.sender_id = ${blockedId}::uuid
          AND m.number > greatest(coalesce(v.unread_after, v.last_read_number), c.last_number - 1000))`);
  for (const { chatroomId } of rooms) hint(bus, blockerId, { kind: 'UNREAD', chatroomId });
}

/** What stands between the viewer and a user. */
interface BlockState {
  userId: string;
  viewerHasBlocked: boolean;
  either: boolean;
}

/** The blocks between the viewer and each of many users. */
export const blockStateOf = createLoader<BlockState>(
  (context, ids) => {
    const { userId } = requireViewer(context);
    return context.database.query<BlockState>(sql`
      SELECT u.id AS "userId", ${hasBlocked(sql`${userId}::uuid`, sql`u.id`)} AS "viewerHasBlocked",
             ${blockBetween(sql`${userId}::uuid`, sql`u.id`)} AS either
        FROM unnest(${ids}::uuid[]) u (id)`);
  },
  (state) => state.userId,
);

/** Whom the viewer has blocked, by name. */
export async function listBlocked(context: Context, args: ConnectionArgs): Promise<Connection<User>> {
  const { userId } = requireViewer(context);
  return connectUsers(
    context,
    'blocked',
    sql`blocks b JOIN users u ON u.id = b.blocked_id WHERE b.blocker_id = ${userId}::uuid`,
    args,
  );
}
