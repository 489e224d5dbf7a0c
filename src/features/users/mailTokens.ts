import { createToken, hashToken } from '../../auth/accessTokens.ts';
import type { ServerNode } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { MailPurpose } from '../../platform/database/generated/enums.ts';
import { badInput, type ChatError } from '../../core/errors.ts';
import type { Jobs } from '../../platform/jobQueue.ts';
import type { Mailer } from '../../platform/mailer.ts';

/** Validity of a mailed token, in hours. The mails state the same durations. */
const MAIL_TOKEN_HOURS: Record<MailPurpose, number> = {
  VERIFY_EMAIL: 48,
  RESET_PASSWORD: 1,
  UNDO_EMAIL_CHANGE: 7 * 24,
};

/** Row of a mailed token. */
export interface MailToken {
  userId: string;
  purpose: MailPurpose;
  /** Key of the address that received the token. */
  emailKey: string;
  /** The address in its original spelling. Null unless the token restores the address. */
  email: string | null;
  expiresAt: Date;
}

/**
 * Checks that a token is valid. The token remains usable.
 *
 * @throws ChatError `BAD_USER_INPUT` if the token is unknown, used or expired
 */
export async function requireToken({ query }: Database, token: string, purpose: MailPurpose): Promise<void> {
  const found = await query(sql`
    SELECT FROM mail_tokens
      WHERE hash = ${hashToken(token.trim())} AND purpose = ${purpose}::"MailPurpose" AND expires_at > now()`);
  if (found.length === 0) throw invalidTokenError();
}

/**
 * Deletes a token and returns its row, so that only one of several concurrent uses succeeds.
 *
 * @throws ChatError `BAD_USER_INPUT` if the token is unknown, used or expired
 */
export async function useToken(
  query: Database['query'],
  token: string,
  purposes: readonly MailPurpose[],
): Promise<MailToken> {
  const [found] = await query<MailToken>(sql`
    DELETE FROM mail_tokens
      WHERE hash = ${hashToken(token.trim())} AND purpose = ANY (${[...purposes]}::"MailPurpose"[]) AND expires_at > now()
      RETURNING user_id AS "userId", purpose, email_key AS "emailKey", email, expires_at AS "expiresAt"`);
  if (!found) throw invalidTokenError();
  return found;
}

/** Returns the error for a token that is unknown, used or expired. */
export function invalidTokenError(): ChatError {
  return badInput('input.token', 'This token was used or has expired. Request a new mail.');
}

/** Deletes a user's tokens with the given purposes, after the address or password of the user has changed. */
export async function dropTokens(
  query: Database['query'],
  userId: string,
  purposes: readonly MailPurpose[],
): Promise<void> {
  await query(sql`
    DELETE FROM mail_tokens WHERE user_id = ${userId}::uuid AND purpose = ANY (${[...purposes]}::"MailPurpose"[])`);
}

interface Recipient {
  username: string;
  email: string | null;
  emailKey: string | null;
  isVerified: boolean;
  pendingEmail: string | null;
  pendingEmailKey: string | null;
}

/**
 * Runs the job that mails a user about their account. Creates the token here and stores only its hash, so that only the
 * mail contains the token. A retried job sends a new token.
 */
export async function sendMail(
  { database, mailer, publicUrl }: Pick<ServerNode, 'database' | 'publicUrl'> & { mailer: Mailer },
  job: Jobs['send_mail'],
): Promise<void> {
  const [user] = await database.query<Recipient>(sql`
    SELECT username, email, email_key AS "emailKey", email_verified_at IS NOT NULL AS "isVerified",
           pending_email AS "pendingEmail", pending_email_key AS "pendingEmailKey"
      FROM users WHERE id = ${job.userId}::uuid`);
  const to = user && addressOf(user, job);
  if (!to) return;
  if (job.purpose === 'PASSWORD_CHANGED') {
    await mailer.send({ to: to.email, ...wordNotice(user.username, publicUrl) });
    return;
  }
  const { token, hash } = createToken();
  const expiresAt = new Date(Date.now() + MAIL_TOKEN_HOURS[job.purpose] * 3_600_000);
  await database.query(sql`
    INSERT INTO mail_tokens (hash, user_id, purpose, email_key, email, expires_at)
      VALUES (${hash}, ${job.userId}::uuid, ${job.purpose}::"MailPurpose", ${to.key},
              ${job.purpose === 'UNDO_EMAIL_CHANGE' ? to.email : null}, ${expiresAt})`);
  await mailer.send({ to: to.email, ...wordMail(job.purpose, user.username, token, publicUrl) });
}

/** Returns the recipient of a mail; null if the reason for the mail no longer exists. */
function addressOf(user: Recipient, { purpose, former }: Jobs['send_mail']): { email: string; key: string } | null {
  const address = (email: string | null, key: string | null) =>
    email === null || key === null ? null : { email, key };
  switch (purpose) {
    case 'VERIFY_EMAIL':
      if (user.pendingEmail !== null) return address(user.pendingEmail, user.pendingEmailKey);
      return user.isVerified ? null : address(user.email, user.emailKey);
    case 'RESET_PASSWORD':
      return address(user.email, user.emailKey);
    case 'UNDO_EMAIL_CHANGE':
      return former ?? null;
    case 'PASSWORD_CHANGED':
      return user.isVerified ? address(user.email, user.emailKey) : null;
  }
}

/**
 * Returns the text of a mail with a token. A stranger may have entered the recipient's address, so the mail must
 * contain no text that the stranger could use as a message. The only text from the account is the username, whose
 * length and characters are limited.
 */
function wordMail(purpose: MailPurpose, username: string, token: string, publicUrl: string) {
  const { subject, param, lines, otherwise } = {
    VERIFY_EMAIL: {
      subject: 'Confirm your e-mail address',
      param: 'verifyEmail',
      lines: [
        `the account "${username}" was given this e-mail address. If the account is yours, open this page`,
        'within 48 hours to confirm the address:',
      ],
      otherwise: 'If the account is not yours, do not open the page: it would give the account your address.',
    },
    RESET_PASSWORD: {
      subject: 'Set a new password',
      param: 'resetPassword',
      lines: [`to set a new password for the account "${username}", open this page within an hour:`],
      otherwise: 'If you did not ask for it, or the account is not yours, do nothing: the password stays as it is.',
    },
    UNDO_EMAIL_CHANGE: {
      subject: 'Your e-mail address was changed',
      param: 'restoreEmail',
      lines: [
        `the account "${username}" had this e-mail address, and was given another. If you did not change it, open`,
        'this page within 7 days. It restores this address, ends all sessions, and mails you a link to set a new password:',
      ],
      otherwise: 'If you changed the address yourself, do nothing.',
    },
  }[purpose];
  return {
    subject,
    text: [
      ...[`Hello ${username},`, '', ...lines, ''],
      ...[`${publicUrl}/?${param}=${token}`, '', `or enter this code: ${token}`, '', otherwise],
    ].join('\n'),
  };
}

function wordNotice(username: string, publicUrl: string) {
  return {
    subject: 'Your password was changed',
    text: [
      ...[`Hello ${username},`, '', `the password of the account "${username}" was changed.`, ''],
      'If you did not change it, set a new one with this e-mail address:',
      ...['', `${publicUrl}/`],
    ].join('\n'),
  };
}
