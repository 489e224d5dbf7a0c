import { type Account, requireCookies, startSession, type SignedIn } from '../../auth/sessions.ts';
import type { OpenIdClaims } from '../../auth/openIdProvider.ts';
import type { Context } from '../../core/context.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import { ChatError } from '../../core/errors.ts';
import { emailKey, isEmail } from '../../core/text/email.ts';
import { checkUsername, fitNickname, fitUsername, foldName, isUsername } from '../../core/text/names.ts';
import { skeletonOf } from '../../core/text/skeleton.ts';
import { findTakenUsername, requireSignUp } from '../users/users.ts';

/**
 * Highest number that is appended to a taken username (ann2, ann3 …). If all these usernames are taken, the sign-in
 * fails.
 */
const MAX_SUFFIX = 1_000;

/**
 * Signs in with an ID token of the configured OpenID provider. The first sign-in of an identity creates an account that
 * belongs to this identity only. An existing account with the same e-mail address is not linked, because another person
 * may own that account.
 *
 * @param input.username username of a new account; by default derived from the names in the token
 * @throws ChatError `INVALID_CREDENTIALS` if the token is invalid, or if no provider is configured; `FORBIDDEN` if the
 *   account is suspended, or if sign-up is off and a new account is needed; `USERNAME_TAKEN`; `BAD_USER_INPUT` for an
 *   invalid username, or if cookies are requested but not available
 */
export async function signInWithIdToken(
  context: Context,
  input: { idToken: string; username?: string | null | undefined; cookie: boolean },
): Promise<SignedIn> {
  if (!context.openId)
    throw new ChatError('INVALID_CREDENTIALS', 'This server has no OpenID provider. Sign in with a password.');
  if (input.cookie) requireCookies(context);
  const claims = await context.openId.verify(input.idToken);
  const user = await context.database.transaction(async (query) => {
    const identity = `${claims.issuer} ${claims.subject}`;
    // Locks the identity. If two devices send the same new identity at the same time, both get the same account.
    await query(sql`SELECT pg_advisory_xact_lock(hashtextextended(${identity}, 1))`);
    const account = await findAccount(query, claims);
    if (account) return account;
    requireSignUp(context);
    return makeAccount(query, claims, input.username ?? null);
  });
  return startSession(context, user, input.cookie);
}

async function findAccount(query: Database['query'], { issuer, subject }: OpenIdClaims): Promise<Account | undefined> {
  const [found] = await query<Account>(sql`
    SELECT u.id, u.password_hash AS "passwordHash" FROM identities i JOIN users u ON u.id = i.user_id
      WHERE i.issuer = ${issuer} AND i.subject = ${subject}`);
  return found;
}

async function makeAccount(query: Database['query'], claims: OpenIdClaims, wanted: string | null): Promise<Account> {
  const names = wanted === null ? candidates(claims.names) : [checkUsername(wanted, 'input.username')];
  for (const username of names) {
    // `insertAccount` also fails if another account verifies the e-mail address at the same moment. The second attempt
    // then leaves the address out.
    const made = (await insertAccount(query, claims, username)) ?? (await insertAccount(query, claims, username));
    if (!made) continue;
    await query(sql`
      INSERT INTO identities (issuer, subject, user_id) VALUES (${claims.issuer}, ${claims.subject}, ${made.id}::uuid)`);
    return made;
  }
  throw (
    (await findTakenUsername(query, wanted ?? '')) ??
    new ChatError('USERNAME_TAKEN', 'Someone has this username. Choose another.')
  );
}

/**
 * Creates an account. Leaves out the e-mail address if another account has verified that address. Returns undefined if
 * the username is taken, or if another account verifies the address at the same moment.
 */
async function insertAccount(
  query: Database['query'],
  claims: OpenIdClaims,
  username: string,
): Promise<Account | undefined> {
  const nickname = (claims.name !== null && fitNickname(claims.name)) || username;
  const email = claims.email !== null && isEmail(claims.email) ? claims.email : null;
  const key = email && emailKey(email);
  const [made] = await query<Account>(sql`
    WITH address AS (SELECT ${key}::text AS key WHERE NOT EXISTS (
      SELECT FROM users WHERE email_key = ${key} AND email_verified_at IS NOT NULL))
    INSERT INTO users (username, username_key, username_skeleton, nickname, nickname_key, email, email_key, email_verified_at)
      SELECT ${username}, ${foldName(username)}, ${skeletonOf(username)}, ${nickname}, ${foldName(nickname)},
             CASE WHEN address.key IS NOT NULL THEN ${email}::text END, address.key,
             CASE WHEN address.key IS NOT NULL THEN now() END
        FROM (SELECT (SELECT key FROM address) AS key) address
      ON CONFLICT DO NOTHING RETURNING id, password_hash AS "passwordHash"`);
  return made;
}

/**
 * Yields usernames to try for a new account. First yields each name from the provider in a valid form, then the first
 * valid form with a number appended. If no name can be made valid, yields `user` with a number.
 */
function* candidates(names: readonly string[]): Generator<string> {
  const fitting = names.map((name) => fitUsername(name, 24, '')).filter(isUsername);
  yield* fitting;
  const base = fitting[0] ?? 'user';
  for (let i = 2; i <= MAX_SUFFIX; i += 1) yield `${base}${i}`;
}
