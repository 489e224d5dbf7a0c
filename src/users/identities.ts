import { type Account, requireCookies, startSession, type SignedIn } from '../auth/sessions.ts';
import type { OpenIdClaims } from '../auth/openid.ts';
import type { Context } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import { ChatError } from '../errors.ts';
import { emailKey, isEmail } from '../text/email.ts';
import { checkUsername, fitNickname, fitUsername, foldName, isUsername } from '../text/names.ts';
import { skeletonOf } from '../text/skeleton.ts';
import { findTakenUsername, requireSignUp } from './users.ts';

/** What is looked for when the wanted names are taken: ann, ann2, ann3 … */
const MOST_SUFFIXES = 1_000;

/**
 * Signs in by a token of the configured OpenID provider. The account is made on first use, and belongs to that identity
 * alone: an account with the same e-mail address is somebody else until they say otherwise.
 *
 * @param username what a new account is to be called; without it, as the provider calls them
 * @throws ChatError `INVALID_CREDENTIALS`; `BAD_USER_INPUT` and `USERNAME_TAKEN` for the username of a new account, and
 *   `FORBIDDEN` for a new account if sign-up is off
 */
export async function signInWithIdToken(
  context: Context,
  input: { idToken: string; username?: string | null | undefined; cookie: boolean },
): Promise<SignedIn> {
  if (!context.openId) throw new ChatError('INVALID_CREDENTIALS', 'This server has no OpenID provider.');
  if (input.cookie) requireCookies(context);
  const claims = await context.openId.verify(input.idToken);
  const user = await context.database.transaction(async (query) => {
    const identity = `${claims.issuer} ${claims.subject}`;
    // Two devices may bring the same new identity at once: one account is made.
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
    // Where somebody takes the address at the same moment, the second try sees it.
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

/** Undefined where the name is taken, or somebody else takes the address meanwhile. An address that is taken is left out. */
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

/** What a new account may be called, after what the provider says: made to fit, and numbered until it is free. */
function* candidates(names: readonly string[]): Generator<string> {
  const fitting = names.map((name) => fitUsername(name, 24, '')).filter(isUsername);
  yield* fitting;
  const base = fitting[0] ?? 'user';
  for (let i = 2; i <= MOST_SUFFIXES; i += 1) yield `${base}${i}`;
}
