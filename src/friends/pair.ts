import { type Database, sql } from '../database/database.ts';

/**
 * Lets one at a time change what is between two users, whichever of them asks: friendship, requests and blocks are
 * decided on what the others left.
 */
export async function lockPair(query: Database['query'], a: string, b: string): Promise<void> {
  const pair = [a, b].sort().join(':');
  await query(sql`SELECT pg_advisory_xact_lock(hashtextextended(${pair}, 0))`);
}
