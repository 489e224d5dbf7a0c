import { type Database, sql } from '../database/database.ts';

/**
 * Lets one at a time change what is between two users, whichever of them asks: friendship, requests and blocks are
 * decided on what the others left.
 */
export async function lockPair(query: Database['query'], a: string, b: string): Promise<void> {
  const pair = [a, b].sort().join(':');
  await query(sql`SELECT pg_advisory_xact_lock(hashtextextended(${pair}, 0))`);
}

/** Ends a friendship, for both. Answers whether there was one. */
export async function endFriendship(query: Database['query'], a: string, b: string): Promise<boolean> {
  const gone = await query(sql`
    DELETE FROM friendships
      WHERE (user_id, friend_id) IN ((${a}::uuid, ${b}::uuid), (${b}::uuid, ${a}::uuid)) RETURNING user_id`);
  return gone.length > 0;
}
