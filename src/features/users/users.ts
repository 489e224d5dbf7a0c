import { type Account, requireCookies, startSession, type SignedIn } from '../../auth/sessions.ts';
import { checkPassword } from '../../auth/passwordHashing.ts';
import {
  connect,
  type Connection,
  type ConnectionArgs,
  cursors,
  keyset,
  type Page,
} from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { columnsOf, type Database, join, sql, type Sql } from '../../platform/database/database.ts';
import { Prisma, type Session, type User } from '../../platform/database/generated/client.ts';
import type { FriendPolicy } from '../../platform/database/generated/enums.ts';
import { ChatError, notFound } from '../../core/errors.ts';
import { queueMail } from '../../platform/jobQueue.ts';
import { STEP_COSTS } from '../../platform/rateLimits/rateLimits.ts';
import { createLoader } from '../../platform/database/loader.ts';
import { checkEmail, emailKey } from '../../core/text/email.ts';
import { checkBio, checkNameSearch, checkNickname, checkUsername, foldName, nameKey } from '../../core/text/names.ts';
import { skeletonOf } from '../../core/text/skeleton.ts';
import { isStorable } from '../../core/text/text.ts';
import { isVerified, prepareEmailChange } from './emails.ts';

export interface SignUp {
  username: string;
  password: string;
  email?: string | null | undefined;
  nickname?: string | null | undefined;
  cookie: boolean;
}

/**
 * Creates an account and signs in to it. If an e-mail address is given, a verification mail is sent.
 *
 * @throws ChatError `BAD_USER_INPUT`, `USERNAME_TAKEN`, `EMAIL_TAKEN`, `RATE_LIMITED`; `FORBIDDEN` if sign-up is off
 */
export async function signUp(context: Context, input: SignUp): Promise<SignedIn> {
  requireSignUp(context);
  if (input.cookie) requireCookies(context);
  const account = await createAccount(context, input, {
    beforeHash: () => context.rateLimits.charge(context, STEP_COSTS.createAccount),
    beforeMail: (key) => context.loginThrottle.countMail(context, 'VERIFY_EMAIL', key),
  });
  return startSession(context, account, input.cookie);
}

/**
 * Checks that strangers may create accounts.
 *
 * @throws ChatError `FORBIDDEN` if `SIGN_UP` is off
 */
export function requireSignUp({ allowsSignUp }: Pick<Context, 'allowsSignUp'>): void {
  if (!allowsSignUp)
    throw new ChatError('FORBIDDEN', 'This server accepts no new accounts. Ask its operator to create one for you.');
}

/**
 * Creates an account. If an e-mail address is given, a verification mail is sent.
 *
 * @param limits rate limits for strangers, called before the expensive steps: `beforeHash` after the input was
 *   validated, `beforeMail` right before the mail is queued. If either throws, no account is created.
 * @throws ChatError `BAD_USER_INPUT`, `USERNAME_TAKEN`, `EMAIL_TAKEN`
 */
export async function createAccount(
  { database, passwords }: Pick<Context, 'passwords'> & { database: Pick<Database, 'query' | 'transaction'> },
  input: Omit<SignUp, 'cookie'>,
  limits?: { beforeHash: () => Promise<void>; beforeMail: (key: string) => Promise<void> },
): Promise<Account> {
  const username = checkUsername(input.username, 'input.username');
  const nickname = input.nickname == null ? username : checkNickname(input.nickname, 'input.nickname');
  const email = input.email == null ? null : checkEmail(input.email, 'input.email');
  checkPassword(input.password, 'input.password');

  const key = email && emailKey(email);
  await limits?.beforeHash();
  if (key !== null && (await isVerified(database, key)))
    throw new ChatError(
      'EMAIL_TAKEN',
      'Another account has verified this e-mail address. Sign in to it, or use another.',
    );
  const passwordHash = await passwords.hash(input.password);
  const user = await database.transaction(async (query) => {
    // ON CONFLICT also handles an account that is created concurrently. The reason for a conflict is determined after
    // the transaction.
    const [made] = await query<Account>(sql`
      INSERT INTO users (username, username_key, username_skeleton, nickname, nickname_key, email, email_key, password_hash)
        VALUES (${username}, ${foldName(username)}, ${skeletonOf(username)}, ${nickname}, ${foldName(nickname)}, ${email}, ${key}, ${passwordHash})
        ON CONFLICT DO NOTHING RETURNING id, password_hash AS "passwordHash"`);
    if (made && key !== null) {
      await limits?.beforeMail(key);
      await queueMail(query, { userId: made.id, purpose: 'VERIFY_EMAIL' });
    }
    return made;
  });
  if (user) return user;
  throw (
    (await findTakenUsername(database.query, username)) ??
    new ChatError('USERNAME_TAKEN', 'Someone has this username. Choose another.')
  );
}

/**
 * Returns the error for a username that another user has, or that looks like the username of another user. Returns
 * undefined if the username is free.
 */
export async function findTakenUsername(query: Database['query'], username: string): Promise<ChatError | undefined> {
  const key = foldName(username);
  const [taken] = await query<{ same: boolean }>(sql`
    SELECT username_key = ${key} AS same FROM users
      WHERE username_key = ${key} OR username_skeleton = ${skeletonOf(username)} ORDER BY same DESC LIMIT 1`);
  if (!taken) return undefined;
  return new ChatError(
    'USERNAME_TAKEN',
    taken.same
      ? 'Someone has this username. Choose another.'
      : 'This username looks like that of another user. Choose another.',
  );
}

/** Returns a user by their id, or null. Every signed-in user may see every user. */
export const userById = createLoader<User>(
  ({ database }, ids) =>
    database.prepared<User>(sql`SELECT ${userColumns} FROM users u WHERE u.id = ANY (${ids}::uuid[])`),
  (user) => user.id,
);

/**
 * Returns a user by their id.
 *
 * @throws ChatError `NOT_FOUND` if `id` is null or names no user
 */
export async function requireUser(context: Context, id: string | null): Promise<User> {
  const user = id === null ? null : await userById(context, id);
  if (!user) throw notFound('user');
  return user;
}

/** Returns a user by username, regardless of letter case, width and Unicode normal form; null if nobody has it. */
export async function findUserByName(context: Context, username: string): Promise<User | null> {
  const usernameKey = nameKey(username);
  if (usernameKey === null || !isStorable(usernameKey)) return null;
  return context.database.prisma.user.findUnique({ where: { usernameKey } });
}

/**
 * Lists users, sorted by username. With `search`, lists only users whose username or nickname begins with that text.
 *
 * @throws ChatError `BAD_USER_INPUT` if `search` is too long
 */
export async function listUsers(
  context: Context,
  search: string | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<User>> {
  const prefix = search == null ? null : foldName(checkNameSearch(search, 'search'));
  const begins = prefix === null ? sql`true` : sql`(u.username_key ^@ ${prefix} OR u.nickname_key ^@ ${prefix})`;
  return connectUsers(context, 'users', sql`users u WHERE ${begins}`, args);
}

/** The order of lists of users; the table alias is `u`. */
export const byUsername = keyset({ 'u.username_key': 'name' });

/**
 * Returns one page of a list of users, sorted by username.
 *
 * @param list name of the list. Each cursor contains the name, so a cursor of another list is refused.
 * @param from either the SQL after FROM, or a function that loads a page, sorted by `usernameKey`. The SQL has the
 *   users table as `u`, and a WHERE clause.
 */
export async function connectUsers(
  context: Context,
  list: string,
  from: Sql | ((page: Page) => Promise<User[]>),
  args: ConnectionArgs,
): Promise<Connection<User>> {
  return connect<User>(args, {
    ...cursors(list, byUsername, (user) => [user.usernameKey]),
    load: (page) =>
      typeof from === 'function'
        ? from(page)
        : context.database.query<User>(sql`
            SELECT ${userColumns} FROM ${from} ${byUsername.bounds(page)}
              ORDER BY ${byUsername.order(page)} LIMIT ${page.limit}`),
  });
}

export interface ProfileChange {
  nickname?: string | null | undefined;
  bio?: string | null | undefined;
  email?: string | null | undefined;
  /** Required to change or clear the address, unless `idToken` is given. See {@link prepareEmailChange}. */
  currentPassword?: string | null | undefined;
  idToken?: string | null | undefined;
  friendPolicy?: FriendPolicy | null | undefined;
}

/**
 * Changes the viewer's profile. Absent fields stay unchanged, and null clears a field. A new e-mail address is
 * unverified and receives a verification mail.
 *
 * @throws ChatError `BAD_USER_INPUT`; `INVALID_CREDENTIALS` for an address change with a wrong password or ID token;
 *   `RATE_LIMITED`
 */
export async function updateProfile(context: Context, change: ProfileChange): Promise<void> {
  const { userId } = requireViewer(context);
  const set: Sql[] = [];
  if (change.nickname !== undefined) {
    const nickname =
      change.nickname === null
        ? (await requireUser(context, userId)).username
        : checkNickname(change.nickname, 'input.nickname');
    set.push(sql`nickname = ${nickname}, nickname_key = ${foldName(nickname)}`);
  }
  if (change.bio !== undefined) set.push(sql`bio = ${change.bio === null ? null : checkBio(change.bio, 'input.bio')}`);
  const { email } = change;
  const storeEmail = email === undefined ? null : await prepareEmailChange(context, { ...change, email });
  if (change.friendPolicy !== undefined) {
    set.push(sql`friend_policy = ${change.friendPolicy ?? 'OPEN'}::"FriendPolicy"`);
  }
  if (set.length === 0 && storeEmail === null) return;
  set.push(sql`updated_at = now()`);
  await context.database.transaction(async (query) => {
    await query(sql`UPDATE users SET ${join(set)} WHERE id = ${userId}::uuid`);
    await storeEmail?.(query);
  });
}

const byCreation = keyset({ 's.created_at': 'moment', 's.id': 'uuid' }, 'DESC');
/** Columns of `Session`; the table alias is `s`. */
export const sessionColumns = columnsOf('s', Object.values(Prisma.SessionScalarFieldEnum));

/** Lists a user's sessions, newest first, including ended ones. */
export async function listSessions(
  context: Context,
  userId: string,
  args: ConnectionArgs,
): Promise<Connection<Session>> {
  return connect<Session>(args, {
    ...cursors('sessions', byCreation, (session) => [session.createdAt, session.id]),
    load: (page) =>
      context.database.query<Session>(sql`
        SELECT ${sessionColumns} FROM sessions s WHERE s.user_id = ${userId}::uuid ${byCreation.bounds(page)}
          ORDER BY ${byCreation.order(page)} LIMIT ${page.limit}`),
  });
}

/** Column names of `User`. */
export const userFields = Object.values(Prisma.UserScalarFieldEnum);

/** Columns of `User`; the table alias is `u`. */
export const userColumns = columnsOf('u', userFields);
