import { checkPassword } from '../auth/passwords.ts';
import { endSessions } from '../auth/sessions.ts';
import { type Context, requireViewer } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import { ChatError } from '../errors.ts';
import { createUuid } from '../ids.ts';
import { queueMail } from '../jobs.ts';
import { networkOf } from '../limits/address.ts';
import { STEP_COSTS } from '../limits/rates.ts';
import { emailKey } from '../text/email.ts';
import { hasAddress, refuseTaken } from './emails.ts';
import { dropTokens, requireToken, usedToken, useToken } from './mailTokens.ts';

/**
 * Gives the viewer another password. Their other sessions end, with their sockets and streams.
 *
 * @param current null for an account that has none yet
 * @throws ChatError `BAD_USER_INPUT`; `INVALID_CREDENTIALS` where the current password is another
 */
export async function changePassword(context: Context, current: string | null, password: string): Promise<void> {
  const { userId, sessionId } = requireViewer(context);
  checkPassword(password, 'input.newPassword');
  const passwordHash = await requirePassword(context, current);
  const newHash = await context.passwords.hash(password);
  await context.database.transaction(async (query) => {
    // A change that came first has ended this session, and must not be undone.
    const changed = await query(sql`
      UPDATE users SET password_hash = ${newHash}
        WHERE id = ${userId}::uuid AND password_hash IS NOT DISTINCT FROM ${passwordHash} RETURNING id`);
    if (changed.length === 0) throw wrongPassword();
    await endSessions(query, sql`user_id = ${userId}::uuid AND id <> ${sessionId}::uuid`);
    await dropTokens(query, userId, ['RESET_PASSWORD']);
    await queueMail(query, { userId, purpose: 'PASSWORD_CHANGED' });
  });
  context.sweep.announce();
}

/**
 * Has the viewer show that they know their password. Answers its hash, or null for an account that has none.
 *
 * @throws ChatError `INVALID_CREDENTIALS` unless it fits, or there is none and none is given
 */
export async function requirePassword(context: Context, password: string | null): Promise<string | null> {
  const { userId, sessionId } = requireViewer(context);
  const [account] = await context.database.query<{ passwordHash: string | null }>(sql`
    SELECT password_hash AS "passwordHash" FROM users WHERE id = ${userId}::uuid`);
  const passwordHash = account?.passwordHash ?? null;
  // By session: whoever has stolen one cannot keep the others of the user from confirming their password.
  const attempt = { account: `viewer:${userId}`, client: `session:${sessionId}`, isKnown: true };
  await context.attempts.guard(attempt, async () => {
    if (passwordHash !== null) await context.rates.charge(context, STEP_COSTS.hashPassword);
    const fits = passwordHash === null ? password === null : await context.passwords.fits(password ?? '', passwordHash);
    if (!fits) throw wrongPassword();
  });
  return passwordHash;
}

function wrongPassword(): ChatError {
  return new ChatError('INVALID_CREDENTIALS', 'The current password is wrong.');
}

/** Accounts with the same unverified address that are sent a mail for one request. */
const MAX_RESET_MAILS = 10;

/**
 * Mails a token by which a new password can be set. Only the reader of the address learns whether an account has it. If several
 * accounts have it and none has verified it, each is sent a mail that names the account. Otherwise a stranger who gives an
 * account the same address would keep its owner from resetting the password.
 */
export async function requestPasswordReset(context: Context, email: string): Promise<void> {
  const key = emailKey(email.trim());
  // Nobody has such an address, which every client can see for itself.
  if (key === null) return;
  await context.rates.charge(context, STEP_COSTS.mailPasswordReset);
  // Before the lookup, so that an unknown address is counted alike.
  await context.attempts.mail(context, 'RESET_PASSWORD', key);
  const users = await context.database.query<{ id: string }>(sql`
    SELECT id FROM users u WHERE ${hasAddress(sql`u`, key)} ORDER BY created_at, id LIMIT ${MAX_RESET_MAILS}`);
  // A job for nobody mails nothing. Without it, the time of the answer would tell who has an account.
  const userIds = users.length === 0 ? [createUuid()] : users.map(({ id }) => id);
  for (const userId of userIds) await queueMail(context.database.query, { userId, purpose: 'RESET_PASSWORD' });
}

/**
 * Sets a new password by the token of a mail, which also proves the address. All sessions of the account end, and a change of
 * the address that is not verified yet is dropped. If the address was not verified before, identities and devices go too.
 *
 * @throws ChatError `BAD_USER_INPUT`, also for a token that was used or has expired; `EMAIL_TAKEN` if another account has
 *   verified the address
 */
export async function resetPassword(context: Context, token: string, password: string): Promise<void> {
  checkPassword(password, 'input.newPassword');
  // A token of 256 bits cannot be guessed, and each of the few mailed ones is good for one hash.
  await requireToken(context.database, token, 'RESET_PASSWORD');
  const passwordHash = await context.passwords.hash(password);
  const userId = await context.database
    .transaction(async (query) => {
      const { userId: id, emailKey: key } = await useToken(query, token, ['RESET_PASSWORD']);
      const [before] = await query<{ isVerified: boolean }>(sql`
        SELECT email_verified_at IS NOT NULL AS "isVerified" FROM users
          WHERE id = ${id}::uuid AND email_key = ${key} FOR NO KEY UPDATE`);
      if (!before) throw usedToken();
      await query(sql`
        UPDATE users SET password_hash = ${passwordHash}, email_verified_at = coalesce(email_verified_at, now()),
            pending_email = NULL, pending_email_key = NULL
          WHERE id = ${id}::uuid`);
      if (!before.isVerified) await expelStrangers(query, id);
      await endSessions(query, sql`user_id = ${id}::uuid`);
      await dropTokens(query, id, ['RESET_PASSWORD', 'VERIFY_EMAIL']);
      await queueMail(query, { userId: id, purpose: 'PASSWORD_CHANGED' });
      return id;
    })
    .catch(refuseTaken);
  context.sweep.announce();
  await welcome(context, userId);
}

/** Lets the client of a new password sign in at once, whatever others have tried meanwhile. */
async function welcome(context: Context, userId: string): Promise<void> {
  const client = `network:${networkOf(context.origin.ipAddress)}`;
  await context.attempts.forget({ account: `account:${userId}`, client, isKnown: false });
  if (context.cookies?.mayKeep) context.cookies.keepDevice(await context.deviceTokens.sign(userId));
}

/**
 * Removes every other way into an account whose address was not verified: whoever made it may have prepared it for the owner
 * of the address, who now takes it over.
 */
async function expelStrangers(query: Database['query'], userId: string): Promise<void> {
  await query(sql`DELETE FROM identities WHERE user_id = ${userId}::uuid`);
  await query(sql`DELETE FROM push_devices WHERE user_id = ${userId}::uuid`);
  await dropTokens(query, userId, ['UNDO_EMAIL_CHANGE']);
}
