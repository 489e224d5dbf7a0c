import { endSessions } from '../../auth/sessions.ts';
import { type Database, sql } from '../../platform/database/database.ts';

/**
 * Suspends an account: nobody can sign in, and its sessions end. Its messages stay. Call it in a transaction, and after
 * the commit `changePoller.requestPoll()`, which closes the sockets at once.
 */
export async function suspendUser(query: Database['query'], userId: string): Promise<void> {
  // A concurrent sign-in locks the user's row until its session is committed. This update waits for that lock, so
  // that the next statement also ends the new session.
  await query(sql`UPDATE users SET suspended_at = coalesce(suspended_at, now()) WHERE id = ${userId}::uuid`);
  await endSessions(query, sql`user_id = ${userId}::uuid`);
}

/** Ends the suspension of an account. The user must sign in again. */
export async function restoreUser(query: Database['query'], userId: string): Promise<void> {
  await query(sql`UPDATE users SET suspended_at = NULL WHERE id = ${userId}::uuid`);
}
