import { endSessions } from '../../auth/sessions.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { type Database, sql, type Sql } from '../../platform/database/database.ts';
import { badInput, ChatError } from '../../core/errors.ts';
import { queueMail } from '../../platform/jobQueue.ts';
import { STEP_COSTS } from '../../platform/rateLimits/rateLimits.ts';
import { checkEmail, emailKey } from '../../core/text/email.ts';
import { dropTokens, type MailToken, invalidTokenError, useToken } from './mailTokens.ts';
import { requirePassword } from './currentPassword.ts';

/** Maximum age, in seconds, of an ID token that is sent as proof instead of the current password. */
const MAX_ID_TOKEN_SECONDS = 5 * 60;

/**
 * Returns the SQL condition that an e-mail address identifies an account. If an account has verified the address, only
 * that account matches. Otherwise every account with the address matches.
 *
 * Callers must sort the matches by age, oldest first, because a stranger can set the same address on a new account at
 * any time.
 *
 * @param user alias of the `users` table
 * @param key the `emailKey` of the address
 */
export function hasAddress(user: Sql, key: string): Sql {
  return sql`(${user}.email_key = ${key} AND (${user}.email_verified_at IS NOT NULL
    OR NOT EXISTS (SELECT FROM users other WHERE other.email_key = ${key} AND other.email_verified_at IS NOT NULL)))`;
}

/** Returns whether any account has verified an address. */
export async function isVerified({ query }: Pick<Database, 'query'>, key: string): Promise<boolean> {
  const found = await query(sql`SELECT FROM users WHERE email_key = ${key} AND email_verified_at IS NOT NULL`);
  return found.length > 0;
}

/**
 * A change of the viewer's e-mail address. The password or the ID token proves that the request comes from the viewer.
 */
export interface EmailChange {
  email: string | null;
  currentPassword?: string | null | undefined;
  idToken?: string | null | undefined;
}

interface Addresses {
  email: string | null;
  emailKey: string | null;
  isVerified: boolean;
  pendingEmail: string | null;
}

/**
 * Validates a change of the viewer's e-mail address and requires a proof of identity. A stolen access token alone must
 * not be enough, because the owner of the new address could then reset the password.
 *
 * @returns a function that stores the change in a transaction; null if nothing changes
 * @throws ChatError `BAD_USER_INPUT`, `INVALID_CREDENTIALS`, `RATE_LIMITED`
 */
export async function prepareEmailChange(
  context: Context,
  change: EmailChange,
): Promise<((query: Database['query']) => Promise<void>) | null> {
  const { userId } = requireViewer(context);
  const email = change.email === null ? null : checkEmail(change.email, 'input.email');
  const key = email === null ? null : emailKey(email);
  const before = await readAddresses(context.database.query, userId);
  if (email === (before.pendingEmail ?? before.email)) return null;
  await requireProof(context, change);
  if (key !== null) {
    await context.rateLimits.charge(context, STEP_COSTS.mailVerification);
    await context.loginThrottle.countAddressChange(context);
    await context.loginThrottle.countMail(context, 'VERIFY_EMAIL', key);
  }
  return (query) => storeEmailChange(query, userId, email, key);
}

async function readAddresses(query: Database['query'], userId: string, lock = sql``): Promise<Addresses> {
  const [found] = await query<Addresses>(sql`
    SELECT email, email_key AS "emailKey", email_verified_at IS NOT NULL AS "isVerified", pending_email AS "pendingEmail"
      FROM users WHERE id = ${userId}::uuid ${lock}`);
  if (!found) throw new ChatError('UNAUTHENTICATED', 'This account has been deleted.');
  return found;
}

/**
 * Requires the viewer's current password, or a recent ID token of an identity linked to their account.
 *
 * @throws ChatError `BAD_USER_INPUT` without a proof, `INVALID_CREDENTIALS` if the proof is wrong
 */
async function requireProof(
  context: Context,
  { currentPassword, idToken }: Pick<EmailChange, 'currentPassword' | 'idToken'>,
): Promise<void> {
  const { userId } = requireViewer(context);
  if (idToken != null) {
    const claims = await context.openId?.verify(idToken);
    const identities = await context.database.query(sql`
      SELECT FROM identities
        WHERE user_id = ${userId}::uuid AND issuer = ${claims?.issuer ?? ''} AND subject = ${claims?.subject ?? ''}`);
    const age = Date.now() / 1000 - (claims?.issuedAt ?? 0);
    if (identities.length > 0 && age < MAX_ID_TOKEN_SECONDS) return;
    throw new ChatError(
      'INVALID_CREDENTIALS',
      'This ID token is older than five minutes or belongs to another account. Sign in at the provider again.',
    );
  }
  if (currentPassword != null) {
    await requirePassword(context, currentPassword);
    return;
  }
  const [account] = await context.database.query<{ hasPassword: boolean }>(sql`
    SELECT password_hash IS NOT NULL AS "hasPassword" FROM users WHERE id = ${userId}::uuid`);
  if (account?.hasPassword)
    throw badInput('input.currentPassword', 'Send the current password to change the e-mail address.');
  throw badInput('input.idToken', 'Send a fresh ID token of your OpenID provider, or set a password first.');
}

/**
 * Stores a new address. A verified address stays valid for signing in and password resets until the new address is
 * verified. If `email` is null, removes the address at once. In either case, a verified address receives a mail with a
 * link that undoes the change.
 */
async function storeEmailChange(
  query: Database['query'],
  userId: string,
  email: string | null,
  key: string | null,
): Promise<void> {
  const before = await readAddresses(query, userId, sql`FOR NO KEY UPDATE`);
  const isPending = before.isVerified && email !== null;
  // If the new address equals the verified address, the pending change is cancelled, and no mail is sent.
  const isReturn = isPending && email === before.email;
  await query(
    isPending
      ? sql`
        UPDATE users SET pending_email = ${isReturn ? null : email}, pending_email_key = ${isReturn ? null : key}
          WHERE id = ${userId}::uuid`
      : sql`
        UPDATE users SET email = ${email}, email_key = ${key}, email_verified_at = NULL,
            pending_email = NULL, pending_email_key = NULL
          WHERE id = ${userId}::uuid`,
  );
  // A link sent to a former address must not become valid again if the user returns to that address.
  await dropTokens(query, userId, ['VERIFY_EMAIL', 'RESET_PASSWORD']);
  if (isReturn) return;
  if (email !== null) await queueMail(query, { userId, purpose: 'VERIFY_EMAIL' });
  if (before.isVerified && before.email !== null && before.emailKey !== null) {
    const former = { email: before.email, key: before.emailKey };
    await queueMail(query, { userId, purpose: 'UNDO_EMAIL_CHANGE', former });
  }
}

/**
 * Mails the viewer a token that verifies their address.
 *
 * @throws ChatError `BAD_USER_INPUT` if the viewer has no address, `CONFLICT` if the address is already verified,
 *   `RATE_LIMITED`
 */
export async function requestEmailVerification(context: Context): Promise<void> {
  const { userId } = requireViewer(context);
  const { email, isVerified: hasVerified, pendingEmail } = await readAddresses(context.database.query, userId);
  const address = pendingEmail ?? email;
  const key = address === null ? null : emailKey(address);
  if (key === null) throw badInput('input.email', 'There is no address to verify. Set one with updateProfile.');
  if (hasVerified && pendingEmail === null) throw new ChatError('CONFLICT', 'The address is already verified.');
  await context.rateLimits.charge(context, STEP_COSTS.mailVerification);
  // Limited per user. Otherwise, strangers who set the same address on their accounts could use up the mail limit of
  // the address's owner.
  await context.loginThrottle.countMail(context, `VERIFY_EMAIL ${userId}`, key);
  await queueMail(context.database.query, { userId, purpose: 'VERIFY_EMAIL' });
}

/**
 * Verifies the e-mail address to which a token was mailed. The address replaces the account's previous address. A token
 * that was mailed to undo an address change restores the former address instead.
 *
 * @throws ChatError `BAD_USER_INPUT` if the token was used, has expired, or was sent to an address that the user no
 *   longer has; `EMAIL_TAKEN` if another account has verified the address
 */
export async function verifyEmail(context: Context, token: string): Promise<void> {
  const purpose = await context.database
    .transaction(async (query) => {
      const found = await useToken(query, token, ['VERIFY_EMAIL', 'UNDO_EMAIL_CHANGE']);
      await (found.purpose === 'UNDO_EMAIL_CHANGE' ? restoreEmail(query, found) : confirmEmail(query, found));
      return found.purpose;
    })
    .catch(rethrowAsEmailTaken);
  if (purpose === 'UNDO_EMAIL_CHANGE') context.changePoller.requestPoll();
}

async function confirmEmail(query: Database['query'], { userId, emailKey: key }: MailToken): Promise<void> {
  const verified = await query(sql`
    UPDATE users SET email = coalesce(pending_email, email), email_key = ${key}, email_verified_at = now(),
        pending_email = NULL, pending_email_key = NULL
      WHERE id = ${userId}::uuid AND coalesce(pending_email_key, email_key) = ${key} RETURNING id`);
  if (verified.length === 0) throw invalidTokenError();
}

/**
 * Restores an address after an intruder changed it, and ends all sessions of the account. Removes the password, because
 * the intruder may know it. If the account had a password, mails a reset link to the restored address.
 */
async function restoreEmail(query: Database['query'], { userId, email, emailKey: key, expiresAt }: MailToken) {
  const [user] = await query<{ hasPassword: boolean }>(sql`
    UPDATE users u SET email = ${email}, email_key = ${key}, email_verified_at = now(),
        pending_email = NULL, pending_email_key = NULL, password_hash = NULL
      FROM (SELECT id, password_hash FROM users WHERE id = ${userId}::uuid FOR NO KEY UPDATE) before
      WHERE u.id = before.id RETURNING before.password_hash IS NOT NULL AS "hasPassword"`);
  if (!user) throw invalidTokenError();
  await endSessions(query, sql`user_id = ${userId}::uuid`);
  await dropTokens(query, userId, ['VERIFY_EMAIL', 'RESET_PASSWORD']);
  // Undo tokens of earlier address changes stay valid. Undo tokens of later changes are deleted, because the intruder
  // may have received them.
  await query(sql`
    DELETE FROM mail_tokens
      WHERE user_id = ${userId}::uuid AND purpose = 'UNDO_EMAIL_CHANGE' AND expires_at >= ${expiresAt}`);
  if (user.hasPassword) await queueMail(query, { userId, purpose: 'RESET_PASSWORD' });
}

/**
 * Converts a unique violation to `EMAIL_TAKEN`, and throws any other error unchanged. Verified addresses are the only
 * unique key that an address change can violate.
 *
 * @throws ChatError `EMAIL_TAKEN`
 */
export function rethrowAsEmailTaken(error: unknown): never {
  if ((error as { code?: string }).code !== '23505') throw error;
  throw new ChatError(
    'EMAIL_TAKEN',
    'Another account has verified this e-mail address. Sign in to it, or use another.',
  );
}
