import { type Context, requireViewer } from '../context.ts';
import { type Database, empty, sql } from '../database/database.ts';
import { hint } from '../hints.ts';

/** What names two users, whichever of them asks. */
export function pairKey(a: string, b: string): string {
  return [a, b].sort().join(':');
}

/**
 * Lets one at a time change what is between two users, whichever of them asks: friendship, requests and blocks are
 * decided on what the others left.
 */
export async function lockPair(query: Database['query'], a: string, b: string): Promise<void> {
  await query(sql`SELECT pg_advisory_xact_lock(hashtextextended(${pairKey(a, b)}, 0))`);
}

/** Ends a friendship, for both. Answers whether there was one. */
export async function endFriendship(query: Database['query'], a: string, b: string): Promise<boolean> {
  const gone = await query(sql`
    DELETE FROM friendships
      WHERE (user_id, friend_id) IN ((${a}::uuid, ${b}::uuid), (${b}::uuid, ${a}::uuid)) RETURNING user_id`);
  return gone.length > 0;
}

/** Removes the request to `userId`, or those in either direction. Answers whether there was one. */
export async function forgetRequests(
  query: Database['query'],
  userId: string,
  otherId: string,
  which: 'to' | 'either',
): Promise<boolean> {
  const gone = await query(sql`
    DELETE FROM friend_requests
      WHERE (from_id = ${otherId}::uuid AND to_id = ${userId}::uuid)
        ${which === 'to' ? empty : sql`OR (from_id = ${userId}::uuid AND to_id = ${otherId}::uuid)`} RETURNING from_id`);
  return gone.length > 0;
}

/** Tells the viewer and another user, after the commit, what is now between them. */
export function tellBoth(context: Context, otherId: string, status: 'PENDING' | 'ACCEPTED' | null): void {
  const { userId } = requireViewer(context);
  hint(context.bus, userId, { kind: 'FRIENDSHIP', userId: otherId, status });
  hint(context.bus, otherId, { kind: 'FRIENDSHIP', userId, status });
  // Friends see one another's presence: it may be news to both.
  if (status !== 'ACCEPTED') return;
  hint(context.bus, userId, { kind: 'PRESENCE', userId: otherId });
  hint(context.bus, otherId, { kind: 'PRESENCE', userId });
}
