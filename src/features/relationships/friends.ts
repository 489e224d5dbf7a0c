import { blockBetween, blocked } from './blocks.ts';
import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { createBatcher } from '../../core/batcher.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { type Database, empty, keyTable, raw, sql } from '../../platform/database/database.ts';
import type { FriendRequest, Prisma, User } from '../../platform/database/generated/client.ts';
import { badInput, notFound } from '../../core/errors.ts';
import { groupBy } from '../../core/groupBy.ts';
import { createViewerLoader, type OfViewer } from '../../platform/database/loader.ts';
import { connectUsers, requireUser } from '../users/users.ts';
import { endFriendship, deleteRequests, lockPair, publishFriendship } from './pair.ts';

/** Outcome of adding or accepting a friend. */
export interface FriendshipResult {
  status: 'PENDING' | 'ACCEPTED';
  user: User;
}

/**
 * Adds a friend, or creates a friend request if the other user's `friendPolicy` is APPROVAL. If the other user has
 * already sent a request to the viewer, accepts that request. Adding again changes nothing.
 *
 * @param friendId null for an id that names no user
 * @throws ChatError `BAD_USER_INPUT` for the viewer's own id, `NOT_FOUND` for an unknown user, `BLOCKED` if either has
 *   blocked the other
 */
export async function addFriend(context: Context, friendId: string | null): Promise<FriendshipResult> {
  const { userId } = requireViewer(context);
  if (friendId === userId) throw badInput('input.userId', 'You cannot add yourself as a friend.');
  const user = await requireUser(context, friendId);
  const status = await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    const [between] = await query<{ isBlocked: boolean; areFriends: boolean; hasRequest: boolean }>(sql`
      SELECT ${blockBetween(sql`${userId}::uuid`, sql`${user.id}::uuid`)} AS "isBlocked",
             EXISTS (SELECT FROM friendships WHERE user_id = ${userId}::uuid AND friend_id = ${user.id}::uuid) AS "areFriends",
             EXISTS (SELECT FROM friend_requests WHERE from_id = ${user.id}::uuid AND to_id = ${userId}::uuid) AS "hasRequest"`);
    if (between?.isBlocked) throw blocked();
    if (between?.areFriends) return 'ACCEPTED';
    if (between?.hasRequest || user.friendPolicy === 'OPEN') {
      await befriend(query, userId, user.id);
      return 'ACCEPTED';
    }
    await query(sql`
      INSERT INTO friend_requests (from_id, to_id) VALUES (${userId}::uuid, ${user.id}::uuid) ON CONFLICT DO NOTHING`);
    return 'PENDING';
  });
  publishFriendship(context, user.id, status);
  return { status, user };
}

/**
 * Accepts a user's friend request to the viewer.
 *
 * @param friendId null for an id that names no user
 * @throws ChatError `NOT_FOUND` for an unknown user, or if there is no request
 */
export async function acceptFriend(context: Context, friendId: string | null): Promise<FriendshipResult> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, friendId);
  await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    if (!(await deleteRequests(query, userId, user.id, 'to'))) throw notFound('friend request');
    await befriend(query, userId, user.id);
  });
  publishFriendship(context, user.id, 'ACCEPTED');
  return { status: 'ACCEPTED', user };
}

/**
 * Declines a user's friend request, or withdraws the viewer's request to that user.
 *
 * @param friendId null for an id that names no user
 * @throws ChatError `NOT_FOUND` for an unknown user, or if there is no request
 */
export async function declineFriend(context: Context, friendId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, friendId);
  await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    if (!(await deleteRequests(query, userId, user.id, 'either'))) throw notFound('friend request');
  });
  publishFriendship(context, user.id, null);
  return user;
}

/**
 * Ends a friendship for both users. Changes nothing if the two are not friends.
 *
 * @param friendId null for an id that names no user
 * @throws ChatError `NOT_FOUND` for an unknown user
 */
export async function removeFriend(context: Context, friendId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, friendId);
  const ended = await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    return endFriendship(query, userId, user.id);
  });
  if (ended) publishFriendship(context, user.id, null);
  return user;
}

async function befriend(query: Database['query'], a: string, b: string): Promise<void> {
  await deleteRequests(query, a, b, 'either');
  await query(sql`
    INSERT INTO friendships (user_id, friend_id) VALUES (${a}::uuid, ${b}::uuid), (${b}::uuid, ${a}::uuid)
      ON CONFLICT DO NOTHING`);
}

const friendFinders = new WeakMap<Database, (userId: string) => Promise<string[]>>();

/** Returns the ids of all friends of a user. Calls that arrive together share a statement, as after a deploy. */
export function friendIdsOf(database: Database, userId: string): Promise<string[]> {
  let find = friendFinders.get(database);
  if (!find) friendFinders.set(database, (find = createFriendFinder(database)));
  return find(userId);
}

function createFriendFinder(database: Database): (userId: string) => Promise<string[]> {
  return createBatcher<string, string[]>(
    async (userIds) => {
      const rows = await database.prepared<{ userId: string; friendId: string }>(sql`
        SELECT user_id AS "userId", friend_id AS "friendId" FROM friendships
          WHERE user_id = ANY (${[...new Set(userIds)]}::uuid[])`);
      const friends = groupBy(rows, ({ userId }) => userId);
      return userIds.map((userId) => (friends.get(userId) ?? []).map(({ friendId }) => friendId));
    },
    { concurrency: 2, maxBatchSize: 100 },
  );
}

const friendshipWith = createViewerLoader<OfViewer & { userId: string }>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT f.user_id AS "viewerId", f.friend_id AS "userId"
        FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, user_id)
        JOIN friendships f ON f.user_id = k.viewer_id AND f.friend_id = k.user_id`),
  ({ userId }) => userId,
);

/** Returns whether a user is the viewer's friend. */
export async function isFriend(context: Context, userId: string): Promise<boolean> {
  return (await friendshipWith(context, userId)) !== null;
}

/** Returns the friendship status of two users. Null if there is neither a friendship nor a request. */
export async function friendshipStatusOf(
  { query }: Database,
  userId: string,
  otherId: string,
): Promise<FriendshipResult['status'] | null> {
  const [found] = await query<{ status: FriendshipResult['status'] | null }>(sql`
    SELECT CASE
      WHEN EXISTS (SELECT FROM friendships WHERE user_id = ${userId}::uuid AND friend_id = ${otherId}::uuid) THEN 'ACCEPTED'
      WHEN EXISTS (SELECT FROM friend_requests WHERE from_id = ${userId}::uuid AND to_id = ${otherId}::uuid)
        OR EXISTS (SELECT FROM friend_requests WHERE from_id = ${otherId}::uuid AND to_id = ${userId}::uuid) THEN 'PENDING'
    END AS status`);
  return found?.status ?? null;
}

/** Lists the viewer's friends, sorted by username. With a `status`, lists only friends who have that status now. */
export async function listFriends(
  context: Context,
  status: 'ONLINE' | 'OFFLINE' | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<User>> {
  const { userId } = requireViewer(context);
  const online = status && [...(await context.presence.online(await friendIdsOf(context.database, userId)))];
  const isOnline = sql`f.friend_id = ANY(${online}::uuid[])`;
  const wanted = status == null ? empty : status === 'ONLINE' ? sql`AND ${isOnline}` : sql`AND NOT ${isOnline}`;
  return connectUsers(
    context,
    'friends',
    sql`friendships f JOIN users u ON u.id = f.friend_id WHERE f.user_id = ${userId}::uuid ${wanted}`,
    args,
  );
}

/** Returns the key of a friend request, used in its global id and in loaders. */
export function requestKey(request: FriendRequest): string {
  return `${request.fromId}:${request.toId}`;
}

const requestColumns = sql`r.from_id AS "fromId", r.to_id AS "toId", r.created_at AS "createdAt"`;

/**
 * Returns the condition that finds a friend request by its key `fromId:toId`, if the viewer is its sender or recipient.
 */
export function visibleRequest(key: string, viewerId: string): Prisma.FriendRequestWhereUniqueInput {
  const [fromId = '', toId = ''] = key.split(':');
  return { fromId_toId: { fromId, toId }, AND: { OR: [{ fromId: viewerId }, { toId: viewerId }] } };
}

/** Lists friend requests to the viewer (INCOMING) or by the viewer (OUTGOING), newest first. */
export async function listRequests(
  context: Context,
  direction: 'INCOMING' | 'OUTGOING',
  args: ConnectionArgs,
): Promise<Connection<FriendRequest>> {
  const { userId } = requireViewer(context);
  const [mine, other] = direction === 'INCOMING' ? ['r.to_id', 'r.from_id'] : ['r.from_id', 'r.to_id'];
  const byTime = keyset({ 'r.created_at': 'moment', [other]: 'uuid' }, 'DESC');
  return connect<FriendRequest>(args, {
    ...cursors(`requests ${direction}`, byTime, ({ createdAt, fromId, toId }) => [
      createdAt,
      direction === 'INCOMING' ? fromId : toId,
    ]),
    load: (page) =>
      context.database.query<FriendRequest>(sql`
        SELECT ${requestColumns} FROM friend_requests r
          WHERE ${raw(mine)} = ${userId}::uuid ${byTime.bounds(page)}
          ORDER BY ${byTime.order(page)} LIMIT ${page.limit}`),
  });
}
