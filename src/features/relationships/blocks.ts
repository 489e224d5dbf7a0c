import type { Connection, ConnectionArgs } from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { keyTable, sql, type Sql } from '../../platform/database/database.ts';
import type { User } from '../../platform/database/generated/client.ts';
import { badInput, ChatError } from '../../core/errors.ts';
import { endFriendship, deleteRequests, lockPair, publishFriendship } from './pair.ts';
import { publishHint } from '../../delivery/userHints.ts';
import { createViewerLoader, type OfViewer } from '../../platform/database/loader.ts';
import { connectUsers, requireUser } from '../users/users.ts';

/** Returns the SQL condition that one user has blocked another. */
export function hasBlocked(blockerId: Sql, blockedId: Sql): Sql {
  return sql`EXISTS (SELECT FROM blocks b WHERE b.blocker_id = ${blockerId} AND b.blocked_id = ${blockedId})`;
}

/** Returns the SQL condition that either of two users has blocked the other. */
export function blockBetween(a: Sql, b: Sql): Sql {
  return sql`(${hasBlocked(a, b)} OR ${hasBlocked(b, a)})`;
}

/**
 * Returns the error for an action that a block prevents. Both users get the same text, so that the text does not reveal
 * who has blocked whom.
 */
export function blocked(): ChatError {
  return new ChatError('BLOCKED', 'One of you has blocked the other. Only the user who blocked can unblock.');
}

/**
 * Blocks a user. Ends the friendship and removes friend requests between the two. Blocking again changes nothing.
 * A trigger records the change, and the change poller reports it to the viewer's devices.
 *
 * @param blockedId null for an id that names no user
 * @throws ChatError `BAD_USER_INPUT` for the viewer's own id, `NOT_FOUND` for an unknown user
 */
export async function blockUser(context: Context, blockedId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  if (blockedId === userId) throw badInput('input.userId', 'You cannot block yourself.');
  const user = await requireUser(context, blockedId);
  const ended = await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    await query(sql`
      INSERT INTO blocks (blocker_id, blocked_id) VALUES (${userId}::uuid, ${user.id}::uuid) ON CONFLICT DO NOTHING`);
    const wereFriends = await endFriendship(query, userId, user.id);
    const hadRequest = await deleteRequests(query, userId, user.id, 'either');
    return wereFriends || hadRequest;
  });
  context.changePoller.requestPoll();
  await hintUnread(context, userId, user.id);
  // The blocked user learns only that the friendship or request has ended. Without either of them, a notification would
  // reveal the block.
  if (ended) publishFriendship(context, user.id, null);
  return user;
}

/**
 * Removes a block. Hidden messages become visible again, but an ended friendship is not restored. Changes nothing if
 * there is no block.
 *
 * @param blockedId null for an id that names no user
 * @throws ChatError `NOT_FOUND` for an unknown user
 */
export async function unblockUser(context: Context, blockedId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, blockedId);
  const { count } = await context.database.prisma.block.deleteMany({
    where: { blockerId: userId, blockedId: user.id },
  });
  context.changePoller.requestPoll();
  if (count > 0) await hintUnread(context, userId, user.id);
  return user;
}

/**
 * Notifies the blocker's devices of changed unread counts. Sends one notification for each room that has unread
 * messages by the blocked user.
 *
 * Leaves out DIRECT rooms, because a block hides no messages there. Checks only the latest 1,000 messages of each room,
 * because unread counts also stop at 1,000.
 */
async function hintUnread({ database, bus }: Context, blockerId: string, blockedId: string): Promise<void> {
  const rooms = await database.query<{ chatroomId: string }>(sql`
    SELECT v.chatroom_id AS "chatroomId" FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
      WHERE v.user_id = ${blockerId}::uuid AND c.kind <> 'DIRECT' AND EXISTS (
        SELECT FROM messages m WHERE m.chatroom_id = v.chatroom_id AND m.sender_id = ${blockedId}::uuid
          AND m.number > greatest(coalesce(v.unread_after, v.last_read_number), c.last_number - 1000))`);
  for (const { chatroomId } of rooms) publishHint(bus, blockerId, { kind: 'UNREAD', chatroomId });
}

/** Blocks between the viewer and another user. */
interface BlockState extends OfViewer {
  userId: string;
  viewerHasBlocked: boolean;
  /** Whether either of the two has blocked the other. */
  either: boolean;
}

/** Returns the blocks between the viewer and a user. */
export const blockStateOf = createViewerLoader<BlockState>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", k.user_id AS "userId",
             ${hasBlocked(sql`k.viewer_id`, sql`k.user_id`)} AS "viewerHasBlocked",
             ${blockBetween(sql`k.viewer_id`, sql`k.user_id`)} AS either
        FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, user_id)`),
  ({ userId }) => userId,
);

/** Lists the users whom the viewer has blocked, sorted by username. */
export async function listBlocked(context: Context, args: ConnectionArgs): Promise<Connection<User>> {
  const { userId } = requireViewer(context);
  return connectUsers(
    context,
    'blocked',
    sql`blocks b JOIN users u ON u.id = b.blocked_id WHERE b.blocker_id = ${userId}::uuid`,
    args,
  );
}
