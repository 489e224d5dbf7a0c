import { type Context, requireViewer } from '../../core/context.ts';
import { type Database, empty, sql } from '../../platform/database/database.ts';
import { publishHint } from '../../delivery/userHints.ts';

/** Returns a key for two users that does not depend on their order. */
export function pairKey(a: string, b: string): string {
  return [a, b].sort().join(':');
}

/**
 * Locks the friendship, requests and blocks between two users until the transaction ends. Concurrent changes to the
 * same pair run one after the other, so that each change checks the committed result of the previous change.
 */
export async function lockPair(query: Database['query'], a: string, b: string): Promise<void> {
  await query(sql`SELECT pg_advisory_xact_lock(hashtextextended(${pairKey(a, b)}, 0))`);
}

/** Ends a friendship for both users. Returns whether the two were friends. */
export async function endFriendship(query: Database['query'], a: string, b: string): Promise<boolean> {
  const deleted = await query(sql`
    DELETE FROM friendships
      WHERE (user_id, friend_id) IN ((${a}::uuid, ${b}::uuid), (${b}::uuid, ${a}::uuid)) RETURNING user_id`);
  return deleted.length > 0;
}

/**
 * Removes the friend request from `otherId` to `userId`. With 'either', also removes the request in the other
 * direction. Returns whether there was a request.
 */
export async function deleteRequests(
  query: Database['query'],
  userId: string,
  otherId: string,
  which: 'to' | 'either',
): Promise<boolean> {
  const deleted = await query(sql`
    DELETE FROM friend_requests
      WHERE (from_id = ${otherId}::uuid AND to_id = ${userId}::uuid)
        ${which === 'to' ? empty : sql`OR (from_id = ${userId}::uuid AND to_id = ${otherId}::uuid)`} RETURNING from_id`);
  return deleted.length > 0;
}

/**
 * Publishes the new friendship status to the viewer and the other user. Call this after the commit. The change poller
 * reports the change to both; the hints serve nodes of release 0.1.0.
 *
 * @param status null if neither a friendship nor a request is left
 */
export function publishFriendship(context: Context, otherId: string, status: 'PENDING' | 'ACCEPTED' | null): void {
  const { userId } = requireViewer(context);
  context.changePoller.requestPoll();
  publishHint(context.bus, userId, { kind: 'FRIENDSHIP', userId: otherId, status, isPolled: true });
  publishHint(context.bus, otherId, { kind: 'FRIENDSHIP', userId, status, isPolled: true });
  // New friends may see each other's presence from now on, so both receive a notification.
  if (status !== 'ACCEPTED') return;
  publishHint(context.bus, userId, { kind: 'PRESENCE', userId: otherId });
  publishHint(context.bus, otherId, { kind: 'PRESENCE', userId });
}
