import { checkPassword } from '../auth/passwords.ts';
import { endSessions } from '../auth/sessions.ts';
import { createToken, hashToken } from '../auth/tokens.ts';
import { type Context, requireViewer, type ServerNode } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import type { MailPurpose } from '../database/generated/enums.ts';
import { badInput, ChatError } from '../errors.ts';
import { createUuid } from '../ids.ts';
import { type Jobs, queueMail } from '../jobs.ts';
import { networkOf } from '../limits/address.ts';
import { STEP_COSTS } from '../limits/rates.ts';
import { emailKey } from '../text/email.ts';
import { requireUser } from './users.ts';

/** How long what was mailed can be used. */
const MAIL_TOKEN_HOURS: Record<MailPurpose, number> = { VERIFY_EMAIL: 48, RESET_PASSWORD: 1 };

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
    await query(sql`DELETE FROM mail_tokens WHERE user_id = ${userId}::uuid AND purpose = 'RESET_PASSWORD'`);
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
  return new ChatError('INVALID_CREDENTIALS', 'The current password is another.');
}

/**
 * Mails the viewer a token that proves their address.
 *
 * @throws ChatError `BAD_USER_INPUT` where they have none, `CONFLICT` where it is verified already
 */
export async function requestEmailVerification(context: Context): Promise<void> {
  const { userId } = requireViewer(context);
  const { emailKey, emailVerifiedAt } = await requireUser(context, userId);
  if (emailKey === null) throw badInput('input.email', 'There is no address to verify. Set one with updateProfile.');
  if (emailVerifiedAt) throw new ChatError('CONFLICT', 'The address is verified already.');
  await context.rates.charge(context, STEP_COSTS.mailVerification);
  await context.attempts.mail('VERIFY_EMAIL', emailKey);
  await queueMail(context.database.query, { userId, purpose: 'VERIFY_EMAIL' });
}

/**
 * Marks the address as verified to which the token was sent.
 *
 * @throws ChatError `BAD_USER_INPUT` for a token that is used, too old, or of another address than the user has now
 */
export async function verifyEmail(context: Context, token: string): Promise<void> {
  await context.database.transaction(async (query) => {
    const { userId, emailKey } = await useToken(query, token, 'VERIFY_EMAIL');
    const verified = await query(sql`
      UPDATE users SET email_verified_at = now()
        WHERE id = ${userId}::uuid AND email_key = ${emailKey} RETURNING id`);
    if (verified.length === 0) throw usedToken();
  });
}

/** Mails a token by which a new password can be set. Whether anyone has the address is told to nobody but its reader. */
export async function requestPasswordReset(context: Context, email: string): Promise<void> {
  const key = emailKey(email.trim());
  // Nobody has such an address, which every client can see for itself.
  if (key === null) return;
  await context.rates.charge(context, STEP_COSTS.mailPasswordReset);
  // Before the lookup, so that an unknown address is counted alike.
  await context.attempts.mail('RESET_PASSWORD', key);
  const user = await context.database.prisma.user.findUnique({ where: { emailKey: key }, select: { id: true } });
  // A job for nobody mails nothing. Without it, the time of the answer would tell who has an account.
  await queueMail(context.database.query, { userId: user?.id ?? createUuid(), purpose: 'RESET_PASSWORD' });
}

/**
 * Sets a new password by the token of a mail, which also proves the address. All sessions of the account end.
 *
 * @throws ChatError `BAD_USER_INPUT`, also for a token that is used or too old
 */
export async function resetPassword(context: Context, token: string, password: string): Promise<void> {
  checkPassword(password, 'input.newPassword');
  // A token of 256 bits cannot be guessed, and each of the few mailed ones is good for one hash.
  await requireToken(context.database, token, 'RESET_PASSWORD');
  const passwordHash = await context.passwords.hash(password);
  const userId = await context.database.transaction(async (query) => {
    const { userId: id, emailKey } = await useToken(query, token, 'RESET_PASSWORD');
    const changed = await query(sql`
      UPDATE users SET password_hash = ${passwordHash}, email_verified_at = coalesce(email_verified_at, now())
        WHERE id = ${id}::uuid AND email_key = ${emailKey} RETURNING id`);
    if (changed.length === 0) throw usedToken();
    await endSessions(query, sql`user_id = ${id}::uuid`);
    await query(sql`DELETE FROM mail_tokens WHERE user_id = ${id}::uuid AND purpose = 'RESET_PASSWORD'`);
    return id;
  });
  context.sweep.announce();
  await welcome(context, userId);
}

/** Lets the client of a new password sign in at once, whatever others have tried meanwhile. */
async function welcome(context: Context, userId: string): Promise<void> {
  const client = `network:${networkOf(context.origin.ipAddress)}`;
  await context.attempts.forget({ account: `account:${userId}`, client, isKnown: false });
  if (context.cookies?.mayKeep) context.cookies.keepDevice(await context.deviceTokens.sign(userId));
}

/** @throws ChatError `BAD_USER_INPUT` for a token that is used or too old */
async function requireToken({ query }: Database, token: string, purpose: MailPurpose): Promise<void> {
  const found = await query(sql`
    SELECT FROM mail_tokens
      WHERE hash = ${hashToken(token.trim())} AND purpose = ${purpose}::"MailPurpose" AND expires_at > now()`);
  if (found.length === 0) throw usedToken();
}

async function useToken(
  query: Database['query'],
  token: string,
  purpose: MailPurpose,
): Promise<{ userId: string; emailKey: string }> {
  const [found] = await query<{ userId: string; emailKey: string }>(sql`
    DELETE FROM mail_tokens
      WHERE hash = ${hashToken(token.trim())} AND purpose = ${purpose}::"MailPurpose" AND expires_at > now()
      RETURNING user_id AS "userId", email_key AS "emailKey"`);
  if (!found) throw usedToken();
  return found;
}

function usedToken(): ChatError {
  return badInput('input.token', 'This token was used, or is too old. Ask for another mail.');
}

/**
 * The job that mails a new token. The token is made here, so that it stands nowhere but in the mail; a mail that is sent
 * again has another.
 */
export async function sendMail(
  { database, mailer, publicUrl }: Pick<ServerNode, 'database' | 'mailer' | 'publicUrl'>,
  { userId, purpose }: Jobs['send_mail'],
): Promise<void> {
  const user = await database.prisma.user.findUnique({ where: { id: userId } });
  if (!user?.email || !user.emailKey) return;
  const { token, hash } = createToken();
  const expiresAt = new Date(Date.now() + MAIL_TOKEN_HOURS[purpose] * 3_600_000);
  await database.query(sql`
    INSERT INTO mail_tokens (hash, user_id, purpose, email_key, expires_at)
      VALUES (${hash}, ${userId}::uuid, ${purpose}::"MailPurpose", ${user.emailKey}, ${expiresAt})`);
  await mailer.send({ to: user.email, ...wordMail(purpose, user.nickname, token, publicUrl) });
}

function wordMail(purpose: MailPurpose, nickname: string, token: string, publicUrl: string) {
  const hours = MAIL_TOKEN_HOURS[purpose];
  const { subject, param, what } = {
    VERIFY_EMAIL: { subject: 'Confirm your e-mail address', param: 'verifyEmail', what: 'confirm this address' },
    RESET_PASSWORD: { subject: 'Set a new password', param: 'resetPassword', what: 'set a new password' },
  }[purpose];
  return {
    subject,
    text: [
      `Hello ${nickname},`,
      '',
      `to ${what}, open this page within ${hours === 1 ? 'an hour' : `${hours} hours`}:`,
      '',
      `${publicUrl}/?${param}=${token}`,
      '',
      `or enter this code: ${token}`,
      '',
      'If you did not ask for it, do nothing: without it nothing changes.',
    ].join('\n'),
  };
}
