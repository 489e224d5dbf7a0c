import { type Account, requireCookies, startSession, type SignedIn } from '../../auth/sessions.ts';
import type { Context } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import { ChatError } from '../../core/errors.ts';
import { subnetOf } from '../../core/clientAddress.ts';
import { type Attempt, digest } from '../../platform/rateLimits/loginThrottle.ts';
import { emailKey } from '../../core/text/email.ts';
import { nameKey } from '../../core/text/names.ts';
import { isStorable } from '../../core/text/text.ts';
import { hasAddress } from '../users/emails.ts';

/** Number of days for which the network of a sign-in counts as known to the account. */
const KNOWN_NETWORK_DAYS = 30;
/** Maximum number of recent sessions whose networks are read. Limits the cost if a bot signs in very often. */
const MAX_KNOWN_SESSIONS = 200;

/** Columns of an account that a sign-in reads. */
interface Credentials extends Account {
  /** IP addresses of recent sign-ins to the account. */
  addresses: string[];
}

/**
 * Signs in with a username or e-mail address, and a password. An unknown name causes the same errors as a wrong
 * password, after the same time.
 *
 * @throws ChatError `INVALID_CREDENTIALS` for an unknown name or a wrong password; `RATE_LIMITED` after too many
 *   failures (decision 14); `FORBIDDEN` for a suspended account; `BAD_USER_INPUT` if cookies are requested but not
 *   available
 */
export async function signIn(
  context: Context,
  input: { usernameOrEmail: string; password: string; deviceToken?: string | null | undefined; cookie: boolean },
): Promise<SignedIn> {
  if (input.cookie) requireCookies(context);
  const { key, user } = await findCredentials(context, input.usernameOrEmail.trim());
  const attempt = await attemptOf(context, user, key, input.deviceToken);
  await context.loginThrottle.run(attempt, async () => {
    await context.rateLimits.chargePassword(context, attempt.isKnown ? `${attempt.account} ${attempt.client}` : null);
    const fits = await context.passwords.verify(input.password, user?.passwordHash);
    if (!fits) throw new ChatError('INVALID_CREDENTIALS', 'The name or the password is wrong.');
  });
  if (!user) throw new Error('A password was accepted for an account that does not exist.');
  return startSession(context, user, input.cookie);
}

/**
 * Finds the account with a username or e-mail address. `user` is null if no account matches. `key` is the same for all
 * spellings of a name or address. The login throttle counts the failures of an unknown name by this key.
 */
async function findCredentials(
  { database }: Context,
  typed: string,
): Promise<{ key: string; user: Credentials | null }> {
  const key = emailKey(typed) ?? nameKey(typed);
  if (key === null || !isStorable(key)) return { key: digest(typed), user: null };
  // A key with '@' is an e-mail address, because a username cannot contain '@'.
  const isEmail = key.includes('@');
  const [user = null] = await database.query<Credentials>(sql`
    SELECT u.id, u.password_hash AS "passwordHash", ARRAY(
        SELECT DISTINCT s.ip_address FROM (
          SELECT ip_address FROM sessions
            WHERE user_id = u.id AND created_at > now() - make_interval(days => ${KNOWN_NETWORK_DAYS}::int)
            ORDER BY created_at DESC LIMIT ${MAX_KNOWN_SESSIONS}) s
          WHERE s.ip_address IS NOT NULL) AS addresses
      FROM users u WHERE ${isEmail ? hasAddress(sql`u`, key) : sql`u.username_key = ${key}`}
      ORDER BY u.created_at, u.id LIMIT 1`);
  return { key, user };
}

/**
 * Returns the account and client of a sign-in. The login throttle counts failures by account and client. `isKnown` is
 * true if the account has signed in from the same device or network before.
 */
async function attemptOf(
  context: Context,
  user: Credentials | null,
  key: string,
  deviceToken: string | null | undefined,
): Promise<Attempt> {
  const network = subnetOf(context.client.ipAddress);
  if (!user) return { account: `name:${digest(key)}`, client: `network:${network}`, isKnown: false };
  const account = `account:${user.id}`;
  const token = deviceToken ?? context.cookies?.deviceToken;
  const device = token ? await context.deviceTokens.verify(token, user.id) : null;
  if (device !== null) return { account, client: `device:${device}`, isKnown: true };
  return { account, client: `network:${network}`, isKnown: user.addresses.map(subnetOf).includes(network) };
}
