import { type Account, requireCookies, startSession, type SignedIn } from '../auth/sessions.ts';
import type { Context } from '../context.ts';
import { sql } from '../database/database.ts';
import { ChatError } from '../errors.ts';
import { networkOf } from '../limits/address.ts';
import { type Attempt, digest } from '../limits/attempts.ts';
import { emailKey } from '../text/email.ts';
import { nameKey } from '../text/names.ts';
import { isStorable } from '../text/text.ts';
import { hasAddress } from './emails.ts';

/** How far back a sign-in makes its network known to the account. */
const KNOWN_NETWORK_DAYS = 30;
/** Bounds what is read for an account of a bot that signs in all the time. */
const MAX_KNOWN_SESSIONS = 200;

/** What signing in reads of an account. */
interface Credentials extends Account {
  /** Addresses from which the account signed in lately. */
  addresses: string[];
}

/**
 * Signs in by name or e-mail address.
 *
 * @throws ChatError `INVALID_CREDENTIALS`, alike and after the same time for a wrong name and a wrong password;
 *   `RATE_LIMITED`, alike too, as decision 14 says
 */
export async function signIn(
  context: Context,
  input: { usernameOrEmail: string; password: string; deviceToken?: string | null | undefined; cookie: boolean },
): Promise<SignedIn> {
  if (input.cookie) requireCookies(context);
  const { key, user } = await findCredentials(context, input.usernameOrEmail.trim());
  const attempt = await attemptOf(context, user, key, input.deviceToken);
  await context.attempts.guard(attempt, async () => {
    await context.rates.chargePassword(context, attempt.isKnown ? `${attempt.account} ${attempt.client}` : null);
    const fits = await context.passwords.fits(input.password, user?.passwordHash);
    if (!fits) throw new ChatError('INVALID_CREDENTIALS', 'The name or the password is wrong.');
  });
  if (!user) throw new Error('A password fits only where there is an account.');
  return startSession(context, user, input.cookie);
}

/** Finds an account. The key is the same for all spellings of a name or address, whether or not an account has it. */
async function findCredentials(
  { database }: Context,
  typed: string,
): Promise<{ key: string; user: Credentials | null }> {
  const key = emailKey(typed) ?? nameKey(typed);
  if (key === null || !isStorable(key)) return { key: digest(typed), user: null };
  // A username has no '@', so that it can never be the address of another user.
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

/** Whose password is tried, and from where. */
async function attemptOf(
  context: Context,
  user: Credentials | null,
  key: string,
  deviceToken: string | null | undefined,
): Promise<Attempt> {
  const network = networkOf(context.origin.ipAddress);
  if (!user) return { account: `name:${digest(key)}`, client: `network:${network}`, isKnown: false };
  const account = `account:${user.id}`;
  const token = deviceToken ?? context.cookies?.deviceToken;
  const device = token ? await context.deviceTokens.verify(token, user.id) : null;
  if (device !== null) return { account, client: `device:${device}`, isKnown: true };
  return { account, client: `network:${network}`, isKnown: user.addresses.map(networkOf).includes(network) };
}
