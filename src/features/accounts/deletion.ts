import { endSessions } from '../../auth/sessions.ts';
import { type Context, requireViewer, type ServerNode } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { friendIdsOf } from '../relationships/friends.ts';
import { publishHint } from '../../delivery/userHints.ts';
import { type Jobs, queueJob } from '../../platform/jobQueue.ts';
import { requirePassword } from '../users/currentPassword.ts';

/**
 * Maximum number of attempts to delete an account if a deadlock aborts each attempt. After the last attempt, the queued
 * job tries again later.
 */
const MAX_ATTEMPTS = 5;
/** Maximum number of rows that one statement changes. The deadline of a deletion is checked between statements. */
const BATCH_SIZE = 5_000;
/** Time that a request spends on a deletion, in milliseconds. A job finishes the rest. */
export const REQUEST_TIMEOUT_MS = 5_000;

/**
 * Deletes the viewer's account and bots. Messages remain, but without their sender and their files. Owned rooms pass to
 * another member. Removes sessions, devices, friendships, blocks and memberships. This also ends the account's sockets and subscriptions.
 *
 * Nobody can sign in to the account once the deletion has begun. If the account has very many messages, a job completes
 * the deletion after this function has returned.
 *
 * @param password null for an account without a password
 * @throws ChatError `INVALID_CREDENTIALS` if the password is wrong, `RATE_LIMITED` after too many wrong passwords
 */
export async function deleteAccount(context: Context, password: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  await requirePassword(context, password);
  context.outcome.endsSession = true;
  await context.database.transaction((query) => closeAccount(query, userId));
  context.changePoller.requestPoll();
  context.cookies?.clear();
  await finishDeletion(context, { userId }, Date.now() + REQUEST_TIMEOUT_MS);
}

/**
 * Begins the deletion of an account, and queues the job that completes the deletion. After the commit, nobody can sign
 * in to the account.
 *
 * @param delaySeconds delay of the job. Meanwhile, the caller can run `finishDeletion` without competing with the job.
 */
export async function closeAccount(query: Database['query'], userId: string, delaySeconds = 60): Promise<void> {
  await query(sql`
    UPDATE users SET password_hash = NULL, email = NULL, email_key = NULL, pending_email = NULL, pending_email_key = NULL,
        bio = NULL, external_id = NULL
      WHERE id = ${userId}::uuid`);
  await query(sql`DELETE FROM identities WHERE user_id = ${userId}::uuid`);
  await query(sql`DELETE FROM mail_tokens WHERE user_id = ${userId}::uuid`);
  await endSessions(query, sql`user_id = ${userId}::uuid`);
  // A trigger ends the sessions of these bots, and queues the deletion of their accounts.
  await query(sql`DELETE FROM bots WHERE owner_id = ${userId}::uuid OR user_id = ${userId}::uuid`);
  await queueJob(query, 'delete_account', { userId }, { delaySeconds });
}

/**
 * Completes a deletion. Runs in the request, and again as a job in case the request did not finish.
 *
 * @param deadline Unix time in milliseconds. No further batch begins after the deadline, and the job completes the
 *   deletion.
 */
export async function finishDeletion(
  node: Pick<ServerNode, 'database' | 'changePoller' | 'roomTails' | 'bus'>,
  { userId }: Jobs['delete_account'],
  deadline = Infinity,
): Promise<void> {
  const { database, changePoller, roomTails, bus } = node;
  for (const statement of [
    ...[forgetSender(userId), forgetSubject(userId), forgetReactions(userId), deleteAttachments(userId)],
  ]) {
    while ((await database.query(statement)).length > 0) if (Date.now() > deadline) return;
  }
  const friendIds = await friendIdsOf(database, userId);
  const rooms = await remove(database, userId, 1);
  changePoller.requestPoll();
  for (const { chatroomId, seq } of rooms) roomTails.notify(chatroomId, seq);
  // No poll reports these changes, because their record would contain the id of the deleted user.
  for (const friendId of friendIds)
    publishHint(bus, friendId, { kind: 'FRIENDSHIP', userId, status: null, isPolled: false });
}

/**
 * Removes the sender from one batch of messages. Also removes `client_message_id`, because a client may have put a name
 * of the user or device into this id. Only retries of a send need the id, and a deleted account sends none.
 */
const forgetSender = (userId: string) => sql`
  UPDATE messages SET sender_id = NULL, client_message_id = NULL, sent_digest = NULL WHERE (chatroom_id, number) IN (
    SELECT chatroom_id, number FROM messages WHERE sender_id = ${userId}::uuid LIMIT ${BATCH_SIZE}) RETURNING 1`;

const forgetSubject = (userId: string) => sql`
  UPDATE messages SET subject_id = NULL WHERE (chatroom_id, number) IN (
    SELECT chatroom_id, number FROM messages WHERE subject_id = ${userId}::uuid LIMIT ${BATCH_SIZE}) RETURNING 1`;

const forgetReactions = (userId: string) => sql`
  DELETE FROM reactions WHERE (chatroom_id, number, user_id, emoji) IN (
    SELECT chatroom_id, number, user_id, emoji FROM reactions WHERE user_id = ${userId}::uuid LIMIT ${BATCH_SIZE}) RETURNING 1`;

const deleteAttachments = (userId: string) => sql`
  DELETE FROM attachments WHERE id IN (
    SELECT id FROM attachments WHERE user_id = ${userId}::uuid LIMIT ${BATCH_SIZE}) RETURNING 1`;

async function remove(
  database: Database,
  userId: string,
  attempt: number,
): Promise<{ chatroomId: string; seq: number }[]> {
  try {
    return await database.query(sql`
      SELECT chatroom_id AS "chatroomId", seq FROM delete_account(${userId}::uuid)`);
  } catch (error) {
    // 40P01 is a deadlock: this statement and another transaction each waited for a room that the other had locked. The
    // failed statement has released its locks, so a retry can succeed.
    if ((error as { code?: string }).code !== '40P01' || attempt === MAX_ATTEMPTS) throw error;
    return remove(database, userId, attempt + 1);
  }
}
