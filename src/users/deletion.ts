import { endSessions } from '../auth/sessions.ts';
import { type Context, requireViewer, type ServerNode } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import { friendIdsOf } from '../friends/friends.ts';
import { hint } from '../hints.ts';
import { type Jobs, queueJob } from '../jobs.ts';
import { requirePassword } from './passwords.ts';

/** How often a deletion is tried that PostgreSQL gave up because of a deadlock. */
const MOST_TRIES = 5;
/** How many messages lose their sender at once. */
const BATCH = 5_000;
/** How long the one who asks waits. What is left by then is finished by a job. */
const PATIENCE_MS = 5_000;

/**
 * Deletes the viewer's account. Their messages stay, without a name or sender; rooms that they own are handed on; sessions,
 * devices, friendships, blocks and memberships go, and with them their sockets and streams.
 *
 * From the first step on nobody can sign in to it. An account of very many messages is gone a little after the answer.
 *
 * @param password null for an account that has none
 * @throws ChatError `INVALID_CREDENTIALS` where the password is another
 */
export async function deleteAccount(context: Context, password: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  await requirePassword(context, password);
  context.sessionEnd.isExpected = true;
  await context.database.transaction((query) => closeAccount(query, userId));
  context.sweep.announce();
  context.cookies?.clear();
  await finishDeletion(context, { userId }, Date.now() + PATIENCE_MS);
}

/**
 * Begins the deletion of an account, and queues the job that finishes it. From the commit on nobody can sign in to it.
 *
 * @param delaySeconds how long the job waits: two at once would stand in one another's way
 */
export async function closeAccount(query: Database['query'], userId: string, delaySeconds = 60): Promise<void> {
  await query(sql`
    UPDATE users SET password_hash = NULL, email = NULL, email_key = NULL, pending_email = NULL, pending_email_key = NULL,
        bio = NULL
      WHERE id = ${userId}::uuid`);
  await query(sql`DELETE FROM identities WHERE user_id = ${userId}::uuid`);
  await query(sql`DELETE FROM mail_tokens WHERE user_id = ${userId}::uuid`);
  await endSessions(query, sql`user_id = ${userId}::uuid`);
  await queueJob(query, 'delete_account', { userId }, { delaySeconds });
}

/** The job that finishes a deletion, as far as the one who asked has not waited for it. */
export async function finishDeletion(
  node: Pick<ServerNode, 'database' | 'sweep' | 'tails' | 'bus'>,
  { userId }: Jobs['delete_account'],
  deadline = Infinity,
): Promise<void> {
  const { database, sweep, tails, bus } = node;
  for (const statement of [forgetSender(userId), forgetSubject(userId), forgetReactions(userId)]) {
    while ((await database.query(statement)).length > 0) if (Date.now() > deadline) return;
  }
  const friendIds = await friendIdsOf(database, userId);
  const rooms = await remove(database, userId, 1);
  sweep.announce();
  for (const { chatroomId, seq } of rooms) tails.nudge(chatroomId, seq);
  for (const friendId of friendIds) hint(bus, friendId, { kind: 'FRIENDSHIP', userId, status: null });
}

/** What a client called a message says who sent it, or on which device; nobody can send it again. */
const forgetSender = (userId: string) => sql`
  UPDATE messages SET sender_id = NULL, client_message_id = NULL, sent_digest = NULL WHERE (chatroom_id, number) IN (
    SELECT chatroom_id, number FROM messages WHERE sender_id = ${userId}::uuid LIMIT ${BATCH}) RETURNING 1`;

const forgetSubject = (userId: string) => sql`
  UPDATE messages SET subject_id = NULL WHERE (chatroom_id, number) IN (
    SELECT chatroom_id, number FROM messages WHERE subject_id = ${userId}::uuid LIMIT ${BATCH}) RETURNING 1`;

const forgetReactions = (userId: string) => sql`
  DELETE FROM reactions WHERE (chatroom_id, number, user_id, emoji) IN (
    SELECT chatroom_id, number, user_id, emoji FROM reactions WHERE user_id = ${userId}::uuid LIMIT ${BATCH}) RETURNING 1`;

async function remove(
  database: Database,
  userId: string,
  tries: number,
): Promise<{ chatroomId: string; seq: number }[]> {
  try {
    return await database.query(sql`
      SELECT chatroom_id AS "chatroomId", seq FROM delete_account(${userId}::uuid)`);
  } catch (error) {
    // Somebody else held one room and wanted another. Both are free again.
    if ((error as { code?: string }).code !== '40P01' || tries === MOST_TRIES) throw error;
    return remove(database, userId, tries + 1);
  }
}
