import { endSessions } from '../auth/sessions.ts';
import { type Context, requireViewer } from '../context.ts';
import { type Database, sql, type Sql } from '../database/database.ts';
import { badInput, ChatError } from '../errors.ts';
import { queueMail } from '../jobs.ts';
import { STEP_COSTS } from '../limits/rates.ts';
import { checkEmail, emailKey } from '../text/email.ts';
import { dropTokens, type MailToken, usedToken, useToken } from './mailTokens.ts';
import { requirePassword } from './passwords.ts';

/** How old an ID token may be that stands in for the current password, in seconds. */
const FRESH_SECONDS = 5 * 60;

/**
 * Whether an e-mail address leads to an account: to the one that has verified it, or else to each that was given it. Read the
 * oldest account first, because a stranger can give the same address to another account at any later time.
 *
 * @param user the alias of its table
 */
export function hasAddress(user: Sql, key: string): Sql {
  return sql`(${user}.email_key = ${key} AND (${user}.email_verified_at IS NOT NULL
    OR NOT EXISTS (SELECT FROM users other WHERE other.email_key = ${key} AND other.email_verified_at IS NOT NULL)))`;
}

/** Whether an account has verified an address. */
export async function isVerified({ query }: Pick<Database, 'query'>, key: string): Promise<boolean> {
  const found = await query(sql`SELECT FROM users WHERE email_key = ${key} AND email_verified_at IS NOT NULL`);
  return found.length > 0;
}

/** A change of the viewer's e-mail address, and the proof that the viewer asks for it. */
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
 * Checks a change of the viewer's e-mail address, and that it is the viewer who asks: a stolen access token alone must not
 * lead to the account, and whoever has the address can set a new password.
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
    await context.rates.charge(context, STEP_COSTS.mailVerification);
    await context.attempts.changeAddress(context);
    await context.attempts.mail(context, 'VERIFY_EMAIL', key);
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
 * Has the viewer prove who they are by the current password or a fresh ID token of their identity.
 *
 * @throws ChatError `BAD_USER_INPUT` if there is no proof, `INVALID_CREDENTIALS` if it is wrong
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
    if (identities.length > 0 && age < FRESH_SECONDS) return;
    throw new ChatError(
      'INVALID_CREDENTIALS',
      'This ID token is older than five minutes, or not of your account. Sign in at the provider again.',
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
 * Stores a new address. A verified one stays in use, for signing in and for password resets, until the new one is verified.
 * It is notified, with a link that undoes the change.
 */
async function storeEmailChange(
  query: Database['query'],
  userId: string,
  email: string | null,
  key: string | null,
): Promise<void> {
  const before = await readAddresses(query, userId, sql`FOR NO KEY UPDATE`);
  const isPending = before.isVerified && email !== null;
  // The verified address again: a pending one is dropped.
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
  // Links to a former address must not work again if it comes back.
  await dropTokens(query, userId, ['VERIFY_EMAIL', 'RESET_PASSWORD']);
  if (isReturn) return;
  if (email !== null) await queueMail(query, { userId, purpose: 'VERIFY_EMAIL' });
  if (before.isVerified && before.email !== null && before.emailKey !== null) {
    const former = { email: before.email, key: before.emailKey };
    await queueMail(query, { userId, purpose: 'UNDO_EMAIL_CHANGE', former });
  }
}

/**
 * Mails the viewer a token that proves their address.
 *
 * @throws ChatError `BAD_USER_INPUT` if they have none, `CONFLICT` if it is verified already
 */
export async function requestEmailVerification(context: Context): Promise<void> {
  const { userId } = requireViewer(context);
  const { email, isVerified: isProved, pendingEmail } = await readAddresses(context.database.query, userId);
  const address = pendingEmail ?? email;
  const key = address === null ? null : emailKey(address);
  if (key === null) throw badInput('input.email', 'There is no address to verify. Set one with updateProfile.');
  if (isProved && pendingEmail === null) throw new ChatError('CONFLICT', 'The address is verified already.');
  await context.rates.charge(context, STEP_COSTS.mailVerification);
  // By user: strangers who give their accounts the same address must not use up the mails of its owner.
  await context.attempts.mail(context, `VERIFY_EMAIL ${userId}`, key);
  await queueMail(context.database.query, { userId, purpose: 'VERIFY_EMAIL' });
}

/**
 * Verifies the address to which the token was sent. It replaces a verified address that the account had before. The token that
 * a replaced address was sent undoes the change.
 *
 * @throws ChatError `BAD_USER_INPUT` for a token that was used, has expired, or is of another address than the user has now;
 *   `EMAIL_TAKEN` if another account has verified the address
 */
export async function verifyEmail(context: Context, token: string): Promise<void> {
  const purpose = await context.database
    .transaction(async (query) => {
      const found = await useToken(query, token, ['VERIFY_EMAIL', 'UNDO_EMAIL_CHANGE']);
      await (found.purpose === 'UNDO_EMAIL_CHANGE' ? restoreEmail(query, found) : confirmEmail(query, found));
      return found.purpose;
    })
    .catch(refuseTaken);
  if (purpose === 'UNDO_EMAIL_CHANGE') context.sweep.announce();
}

async function confirmEmail(query: Database['query'], { userId, emailKey: key }: MailToken): Promise<void> {
  const verified = await query(sql`
    UPDATE users SET email = coalesce(pending_email, email), email_key = ${key}, email_verified_at = now(),
        pending_email = NULL, pending_email_key = NULL
      WHERE id = ${userId}::uuid AND coalesce(pending_email_key, email_key) = ${key} RETURNING id`);
  if (verified.length === 0) throw usedToken();
}

/**
 * Restores an address after somebody else changed it. All sessions of the account end. Whoever made the change knew the
 * password, and would use it before the owner sets another. It is removed, and a link to set a new one is mailed to the address.
 */
async function restoreEmail(query: Database['query'], { userId, email, emailKey: key, expiresAt }: MailToken) {
  const [user] = await query<{ hasPassword: boolean }>(sql`
    UPDATE users u SET email = ${email}, email_key = ${key}, email_verified_at = now(),
        pending_email = NULL, pending_email_key = NULL, password_hash = NULL
      FROM (SELECT id, password_hash FROM users WHERE id = ${userId}::uuid FOR NO KEY UPDATE) before
      WHERE u.id = before.id RETURNING before.password_hash IS NOT NULL AS "hasPassword"`);
  if (!user) throw usedToken();
  await endSessions(query, sql`user_id = ${userId}::uuid`);
  await dropTokens(query, userId, ['VERIFY_EMAIL', 'RESET_PASSWORD']);
  // An earlier change can still be undone. A later one cannot: its token may be in the mailbox of the intruder.
  await query(sql`
    DELETE FROM mail_tokens
      WHERE user_id = ${userId}::uuid AND purpose = 'UNDO_EMAIL_CHANGE' AND expires_at >= ${expiresAt}`);
  if (user.hasPassword) await queueMail(query, { userId, purpose: 'RESET_PASSWORD' });
}

/** Of what changes with an address, only the verified address is unique. */
export function refuseTaken(error: unknown): never {
  if ((error as { code?: string }).code !== '23505') throw error;
  throw new ChatError(
    'EMAIL_TAKEN',
    'Another account has verified this e-mail address. Sign in to it, or use another.',
  );
}
