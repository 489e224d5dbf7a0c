import { blockBetween, blocked } from '../blocks/blocks.ts';
import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { type Database, empty, join, sql } from '../database/database.ts';
import type { FriendRequest, User } from '../database/generated/client.ts';
import { badInput, notFound } from '../errors.ts';
import { createLoader } from '../loader.ts';
import { connectUsers, requireUser } from '../users/users.ts';
import { endFriendship, forgetRequests, lockPair, tellBoth } from './pair.ts';

/** What has become of two people. */
export interface Befriended {
  status: 'PENDING' | 'ACCEPTED';
  user: User;
}

/**
 * Makes a friend, or asks for it where the other's `friendPolicy` wants to be asked. Whoever has been asked accepts by
 * it. Adding again changes nothing.
 *
 * @throws ChatError `BAD_USER_INPUT` for oneself, `NOT_FOUND` for nobody, `BLOCKED` across a block
 */
export async function addFriend(context: Context, friendId: string | null): Promise<Befriended> {
  const { userId } = requireViewer(context);
  if (friendId === userId) throw badInput('input.userId', 'One cannot be one’s own friend.');
  const user = await requireUser(context, friendId);
  const status = await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    const [between] = await query<{ isBlocked: boolean; areFriends: boolean; wasAsked: boolean }>(sql`
      SELECT ${blockBetween(sql`${userId}::uuid`, sql`${user.id}::uuid`)} AS "isBlocked",
             EXISTS (SELECT FROM friendships WHERE user_id = ${userId}::uuid AND friend_id = ${user.id}::uuid) AS "areFriends",
             EXISTS (SELECT FROM friend_requests WHERE from_id = ${user.id}::uuid AND to_id = ${userId}::uuid) AS "wasAsked"`);
    if (between?.isBlocked) throw blocked();
    if (between?.areFriends) return 'ACCEPTED';
    if (between?.wasAsked || user.friendPolicy === 'OPEN') {
      await befriend(query, userId, user.id);
      return 'ACCEPTED';
    }
    await query(sql`
      INSERT INTO friend_requests (from_id, to_id) VALUES (${userId}::uuid, ${user.id}::uuid) ON CONFLICT DO NOTHING`);
    return 'PENDING';
  });
  tellBoth(context, user.id, status);
  return { status, user };
}

/**
 * Accepts somebody's request.
 *
 * @throws ChatError `NOT_FOUND` where there is none
 */
export async function acceptFriend(context: Context, friendId: string | null): Promise<Befriended> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, friendId);
  await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    if (!(await forgetRequests(query, userId, user.id, 'to'))) throw notFound('friend request');
    await befriend(query, userId, user.id);
  });
  tellBoth(context, user.id, 'ACCEPTED');
  return { status: 'ACCEPTED', user };
}

/**
 * Declines somebody's request, or takes one's own back.
 *
 * @throws ChatError `NOT_FOUND` where there is none
 */
export async function declineFriend(context: Context, friendId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, friendId);
  await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    if (!(await forgetRequests(query, userId, user.id, 'either'))) throw notFound('friend request');
  });
  tellBoth(context, user.id, null);
  return user;
}

/**
 * Ends a friendship, for both. Without one nothing changes.
 *
 * @throws ChatError `NOT_FOUND` for nobody
 */
export async function removeFriend(context: Context, friendId: string | null): Promise<User> {
  const { userId } = requireViewer(context);
  const user = await requireUser(context, friendId);
  const ended = await context.database.transaction(async (query) => {
    await lockPair(query, userId, user.id);
    return endFriendship(query, userId, user.id);
  });
  if (ended) tellBoth(context, user.id, null);
  return user;
}

async function befriend(query: Database['query'], a: string, b: string): Promise<void> {
  await forgetRequests(query, a, b, 'either');
  await query(sql`
    INSERT INTO friendships (user_id, friend_id) VALUES (${a}::uuid, ${b}::uuid), (${b}::uuid, ${a}::uuid)
      ON CONFLICT DO NOTHING`);
}

/** All friends of a user, to tell them something. */
export async function friendIdsOf(database: Database, userId: string): Promise<string[]> {
  const rows = await database.query<{ id: string }>(sql`
    SELECT friend_id AS id FROM friendships WHERE user_id = ${userId}::uuid`);
  return rows.map(({ id }) => id);
}

const friendshipWith = createLoader<{ userId: string }>(
  (context, ids) => {
    const { userId } = requireViewer(context);
    return context.database.query<{ userId: string }>(sql`
      SELECT friend_id AS "userId" FROM friendships
        WHERE user_id = ${userId}::uuid AND friend_id = ANY(${ids}::uuid[])`);
  },
  ({ userId }) => userId,
);

/** Whether a user is the viewer's friend. */
export async function isFriend(context: Context, userId: string): Promise<boolean> {
  return (await friendshipWith(context, userId)) !== null;
}

/** The viewer's friends, by name; or those who are online now, or are not. */
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

/** The key of a request in its id and in loaders. */
export function requestKey(request: FriendRequest): string {
  return `${request.fromId}:${request.toId}`;
}

const requestColumns = sql`r.from_id AS "fromId", r.to_id AS "toId", r.created_at AS "createdAt"`;

/** A request by `fromId:toId`, for the two whom it concerns. */
export const requestByKey = createLoader<FriendRequest>((context, keys) => {
  const { userId } = requireViewer(context);
  const pairs = keys.map((key) => {
    const [fromId, toId] = key.split(':');
    return sql`(${fromId}::uuid, ${toId}::uuid)`;
  });
  return context.database.query<FriendRequest>(sql`
    SELECT ${requestColumns} FROM friend_requests r
      WHERE (r.from_id, r.to_id) IN (${join(pairs)}) AND ${userId}::uuid IN (r.from_id, r.to_id)`);
}, requestKey);

/** Requests to the viewer (INCOMING) or by them, newest first. */
export async function listRequests(
  context: Context,
  direction: 'INCOMING' | 'OUTGOING',
  args: ConnectionArgs,
): Promise<Connection<FriendRequest>> {
  const { userId } = requireViewer(context);
  const [mine, other] = direction === 'INCOMING' ? [sql`r.to_id`, sql`r.from_id`] : [sql`r.from_id`, sql`r.to_id`];
  const list = `requests ${direction}`;
  return connect<FriendRequest, string[]>(args, {
    encode: (request) =>
      encodeKeyset(list, [request.createdAt.toISOString(), direction === 'INCOMING' ? request.fromId : request.toId]),
    decode: (cursor, path) => decodeKeyset(list, ['moment', 'uuid'], cursor, path),
    load: ({ after, before, reverse, limit }) =>
      context.database.query<FriendRequest>(sql`
        SELECT ${requestColumns} FROM friend_requests r
          WHERE ${mine} = ${userId}::uuid
            ${after === null ? empty : sql`AND (r.created_at, ${other}) < (${after[0]}::timestamptz, ${after[1]}::uuid)`}
            ${before === null ? empty : sql`AND (r.created_at, ${other}) > (${before[0]}::timestamptz, ${before[1]}::uuid)`}
          ORDER BY r.created_at ${reverse ? empty : sql`DESC`}, ${other} ${reverse ? empty : sql`DESC`} LIMIT ${limit}`),
  });
}
