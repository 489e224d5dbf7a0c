import { type Account, requireCookies, startSession, type SignedIn } from '../auth/sessions.ts';
import { checkPassword } from '../auth/passwords.ts';
import {
  connect,
  type Connection,
  type ConnectionArgs,
  decodeKeyset,
  encodeKeyset,
  type Page,
} from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { columnsOf, type Database, empty, join, sql, type Sql } from '../database/database.ts';
import { Prisma, type Session, type User } from '../database/generated/client.ts';
import type { FriendPolicy } from '../database/generated/enums.ts';
import { ChatError, notFound } from '../errors.ts';
import { queueMail } from '../jobs.ts';
import { STEP_COSTS } from '../limits/rates.ts';
import { createLoader } from '../loader.ts';
import { checkEmail, emailKey } from '../text/email.ts';
import { checkBio, checkNameSearch, checkNickname, checkUsername, foldName, nameKey } from '../text/names.ts';
import { skeletonOf } from '../text/skeleton.ts';
import { isStorable } from '../text/text.ts';
import { isVerified, prepareEmailChange } from './emails.ts';

export interface SignUp {
  username: string;
  password: string;
  email?: string | null | undefined;
  nickname?: string | null | undefined;
  cookie: boolean;
}

/**
 * Makes an account and signs it in. An address is sent a mail that proves it.
 *
 * @throws ChatError `BAD_USER_INPUT`, `USERNAME_TAKEN`, `EMAIL_TAKEN`; `FORBIDDEN` if sign-up is off
 */
export async function signUp(context: Context, input: SignUp): Promise<SignedIn> {
  requireSignUp(context);
  if (input.cookie) requireCookies(context);
  const account = await makeAccount(context, input, {
    beforeHash: () => context.rates.charge(context, STEP_COSTS.createAccount),
    beforeMail: (key) => context.attempts.mail(context, 'VERIFY_EMAIL', key),
  });
  return startSession(context, account, input.cookie);
}

/**
 * Refuses a new account of a stranger if `SIGN_UP` is off.
 *
 * @throws ChatError `FORBIDDEN`
 */
export function requireSignUp({ allowsSignUp }: Pick<Context, 'allowsSignUp'>): void {
  if (!allowsSignUp)
    throw new ChatError('FORBIDDEN', 'This server accepts no new accounts. Ask its operator to create one for you.');
}

/**
 * Makes an account. An address is sent a mail that proves it.
 *
 * @param limits called before the steps that a stranger must not get for free: after the input was checked, and after the
 *   address was found free. An error that they throw makes no account.
 * @throws ChatError `BAD_USER_INPUT`, `USERNAME_TAKEN`, `EMAIL_TAKEN`
 */
export async function makeAccount(
  { database, passwords }: Pick<Context, 'database' | 'passwords'>,
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
    // ON CONFLICT finds what a twin committed meanwhile. Which of the keys was taken is asked afterwards.
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

/** Returns the error for a username that another user has, or one that looks like it; undefined if it is free. */
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

/** A user by key. Everyone who is signed in may see every user. */
export const userById = createLoader<User>(
  (context, ids) =>
    context.database.prepared<User>(sql`SELECT ${userColumns} FROM users u WHERE u.id = ANY (${ids}::uuid[])`),
  (user) => user.id,
);

/**
 * A user by key.
 *
 * @throws ChatError `NOT_FOUND`
 */
export async function requireUser(context: Context, id: string | null): Promise<User> {
  const user = id === null ? null : await userById(context, id);
  if (!user) throw notFound('user');
  return user;
}

/** A user by name, without regard to letter case. */
export async function findUserByName(context: Context, username: string): Promise<User | null> {
  const usernameKey = nameKey(username);
  if (usernameKey === null || !isStorable(usernameKey)) return null;
  return context.database.prisma.user.findUnique({ where: { usernameKey } });
}

/** All users by name, or those whose username or nickname begins with `search`. */
export async function listUsers(
  context: Context,
  search: string | null | undefined,
  args: ConnectionArgs,
): Promise<Connection<User>> {
  const prefix = search == null ? null : foldName(checkNameSearch(search, 'search'));
  const begins = prefix === null ? sql`true` : sql`(u.username_key ^@ ${prefix} OR u.nickname_key ^@ ${prefix})`;
  return connectUsers(context, 'users', sql`users u WHERE ${begins}`, args);
}

/**
 * A list of users, by name.
 *
 * @param list the name that its cursors carry
 * @param from what follows FROM: a table `u` of users, and a WHERE; or a function that loads a page by `usernameKey`
 */
export async function connectUsers(
  context: Context,
  list: string,
  from: Sql | ((page: Page<string>) => Promise<User[]>),
  args: ConnectionArgs,
): Promise<Connection<User>> {
  return connect<User, string>(args, {
    encode: (user) => encodeKeyset(list, [user.usernameKey]),
    decode: (cursor, path) => decodeKeyset(list, ['name'], cursor, path)[0] ?? '',
    load: (page) => {
      if (typeof from === 'function') return from(page);
      const { after, before, reverse, limit } = page;
      return context.database.query<User>(sql`
        SELECT ${userColumns} FROM ${from}
            ${after === null ? empty : sql`AND u.username_key > ${after}`}
            ${before === null ? empty : sql`AND u.username_key < ${before}`}
          ORDER BY u.username_key ${reverse ? sql`DESC` : empty} LIMIT ${limit}`);
    },
  });
}

export interface ProfileChange {
  nickname?: string | null | undefined;
  bio?: string | null | undefined;
  email?: string | null | undefined;
  /** Proves that the viewer changes the address, not somebody with their access token. */
  currentPassword?: string | null | undefined;
  idToken?: string | null | undefined;
  friendPolicy?: FriendPolicy | null | undefined;
}

/**
 * Changes the viewer's profile: an absent field stays, null clears it. Another address is unverified, and sent a mail.
 *
 * @throws ChatError `BAD_USER_INPUT`, and `INVALID_CREDENTIALS` for a wrong proof that the viewer changes the address
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

/** The viewer's sessions, newest first, those that have ended too. */
export async function listSessions(
  context: Context,
  userId: string,
  args: ConnectionArgs,
): Promise<Connection<Session>> {
  return connect<Session, string[]>(args, {
    encode: (session) => encodeKeyset('sessions', [session.createdAt.toISOString(), session.id]),
    decode: (cursor, path) => decodeKeyset('sessions', ['moment', 'uuid'], cursor, path),
    load: ({ after, before, reverse, limit }) =>
      context.database.query<Session>(sql`
        SELECT s.id, s.user_id AS "userId", s.created_at AS "createdAt", s.last_seen_at AS "lastSeenAt",
               s.ended_at AS "endedAt", s.user_agent AS "userAgent", s.ip_address AS "ipAddress"
          FROM sessions s
          WHERE s.user_id = ${userId}::uuid
            ${after === null ? empty : sql`AND (s.created_at, s.id) < (${after[0]}::timestamptz, ${after[1]}::uuid)`}
            ${before === null ? empty : sql`AND (s.created_at, s.id) > (${before[0]}::timestamptz, ${before[1]}::uuid)`}
          ORDER BY s.created_at ${reverse ? empty : sql`DESC`}, s.id ${reverse ? empty : sql`DESC`} LIMIT ${limit}`),
  });
}

/** A session by key, for the one whose it is. */
export const sessionById = createLoader<Session>(
  (context, ids) =>
    context.database.prisma.session.findMany({
      where: { id: { in: [...ids] }, userId: requireViewer(context).userId },
    }),
  (session) => session.id,
);

export const userFields = Object.values(Prisma.UserScalarFieldEnum);

/** A user's row as `User`; `u` names the table. */
export const userColumns = columnsOf('u', userFields);
