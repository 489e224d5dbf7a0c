import { checkPassword } from '../../auth/passwordHashing.ts';
import { endSessions } from '../../auth/sessions.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { ChatError } from '../../core/errors.ts';
import { createUuid } from '../../core/globalIds.ts';
import { queueMail } from '../../platform/jobQueue.ts';
import { subnetOf } from '../../core/clientAddress.ts';
import { STEP_COSTS } from '../../platform/rateLimits/rateLimits.ts';
import { emailKey } from '../../core/text/email.ts';
import { requirePassword, wrongPassword } from './currentPassword.ts';
import { hasAddress, rethrowAsEmailTaken } from './emails.ts';
import { dropTokens, requireToken, invalidTokenError, useToken } from './mailTokens.ts';

/**
 * Changes the viewer's password. All other sessions of the viewer end, with their sockets and subscriptions.
 *
 * @param current null for an account without a password
 * @throws ChatError `BAD_USER_INPUT` for an invalid new password, `INVALID_CREDENTIALS` if the current password is
 *   wrong, `FORBIDDEN` for a user of another application, `RATE_LIMITED`
 */
export async function changePassword(context: Context, current: string | null, password: string): Promise<void> {
  const { userId, sessionId } = requireViewer(context);
  checkPassword(password, 'input.newPassword');
  await requireOwnSignIn(context.database, userId);
  const passwordHash = await requirePassword(context, current);
  const newHash = await context.passwords.hash(password);
  await context.database.transaction(async (query) => {
    // Fails if a concurrent change was committed first: that change has ended this session and must not be overwritten.
    const changed = await query(sql`
      UPDATE users SET password_hash = ${newHash}
        WHERE id = ${userId}::uuid AND password_hash IS NOT DISTINCT FROM ${passwordHash} RETURNING id`);
    if (changed.length === 0) throw wrongPassword();
    await endSessions(query, sql`user_id = ${userId}::uuid AND id <> ${sessionId}::uuid`);
    await dropTokens(query, userId, ['RESET_PASSWORD']);
    await queueMail(query, { userId, purpose: 'PASSWORD_CHANGED' });
  });
  context.changePoller.requestPoll();
}

/**
 * Checks that a user may have a password. The application of an external user decides who signs in. A password would
 * outlive the user's account there.
 *
 * @throws ChatError `FORBIDDEN` for an external user
 */
async function requireOwnSignIn({ query }: Pick<Database, 'query'>, userId: string): Promise<void> {
  const external = await query(sql`SELECT FROM users WHERE id = ${userId}::uuid AND external_id IS NOT NULL`);
  if (external.length > 0)
    throw new ChatError('FORBIDDEN', 'This account signs in with another application and has no password.');
}

/**
 * Maximum number of mails per request. If more accounts share an unverified address, only the 10 oldest accounts get a
 * mail.
 */
const MAX_RESET_MAILS = 10;

/**
 * Mails a token that allows setting a new password. Only the owner of the address learns whether an account has the
 * address.
 *
 * If several accounts have the address and none has verified it, sends one mail for each account. With a single mail, a
 * stranger who sets the address on another account could keep the owner of the address from resetting the password.
 *
 * @throws ChatError `RATE_LIMITED`
 */
export async function requestPasswordReset(context: Context, email: string): Promise<void> {
  const key = emailKey(email.trim());
  // The text is no e-mail address. Returning early reveals nothing that the client could not check itself.
  if (key === null) return;
  await context.rateLimits.charge(context, STEP_COSTS.mailPasswordReset);
  // Counted before the lookup, so that the limit does not reveal whether an account has the address.
  await context.loginThrottle.countMail(context, 'RESET_PASSWORD', key);
  const users = await context.database.query<{ id: string }>(sql`
    SELECT id FROM users u WHERE ${hasAddress(sql`u`, key)} AND external_id IS NULL ORDER BY created_at, id LIMIT ${MAX_RESET_MAILS}`);
  // If no account has the address, queues a job for a random user id. The job sends nothing. Without the job, the
  // response time would reveal which addresses have accounts.
  const userIds = users.length === 0 ? [createUuid()] : users.map(({ id }) => id);
  for (const userId of userIds) await queueMail(context.database.query, { userId, purpose: 'RESET_PASSWORD' });
}

/**
 * Sets a new password with a mailed token, and marks the address as verified. All sessions of the account end, and a
 * pending address change is cancelled. If the address was unverified, linked identities and push devices are removed.
 *
 * @throws ChatError `BAD_USER_INPUT` for an invalid password, or a token that was used or has expired; `EMAIL_TAKEN` if
 *   another account has verified the address
 */
export async function resetPassword(context: Context, token: string, password: string): Promise<void> {
  checkPassword(password, 'input.newPassword');
  // Checks the token before the expensive hash. Otherwise, clients could make the server compute hashes without a valid
  // token.
  await requireToken(context.database, token, 'RESET_PASSWORD');
  const passwordHash = await context.passwords.hash(password);
  const userId = await context.database
    .transaction(async (query) => {
      const { userId: id, emailKey: key } = await useToken(query, token, ['RESET_PASSWORD']);
      const [before] = await query<{ isVerified: boolean }>(sql`
        SELECT email_verified_at IS NOT NULL AS "isVerified" FROM users
          WHERE id = ${id}::uuid AND email_key = ${key} AND external_id IS NULL FOR NO KEY UPDATE`);
      if (!before) throw invalidTokenError();
      await query(sql`
        UPDATE users SET password_hash = ${passwordHash}, email_verified_at = coalesce(email_verified_at, now()),
            pending_email = NULL, pending_email_key = NULL
          WHERE id = ${id}::uuid`);
      if (!before.isVerified) await removeOtherAccess(query, id);
      await endSessions(query, sql`user_id = ${id}::uuid`);
      await dropTokens(query, id, ['RESET_PASSWORD', 'VERIFY_EMAIL']);
      await queueMail(query, { userId: id, purpose: 'PASSWORD_CHANGED' });
      return id;
    })
    .catch(rethrowAsEmailTaken);
  context.changePoller.requestPoll();
  await trustClient(context, userId);
}

/**
 * Lets the client that set the new password sign in at once, even if failed attempts of others have delayed sign-in.
 */
async function trustClient(context: Context, userId: string): Promise<void> {
  const client = `network:${subnetOf(context.client.ipAddress)}`;
  await context.loginThrottle.resetDelay({ account: `account:${userId}`, client, isKnown: false });
  if (context.cookies?.mayStore) context.cookies.storeDevice(await context.deviceTokens.sign(userId));
}

/**
 * Removes all other access to an account whose address was unverified. A stranger may have created the account with the
 * address of a victim. Identities and devices that the stranger linked would keep working after the victim has reset
 * the password.
 */
async function removeOtherAccess(query: Database['query'], userId: string): Promise<void> {
  await query(sql`DELETE FROM identities WHERE user_id = ${userId}::uuid`);
  await query(sql`DELETE FROM push_devices WHERE user_id = ${userId}::uuid`);
  await dropTokens(query, userId, ['UNDO_EMAIL_CHANGE']);
}
