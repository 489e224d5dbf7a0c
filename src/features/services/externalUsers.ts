import type { Context } from '../../core/context.ts';
import { badInput, ChatError } from '../../core/errors.ts';
import { checkNickname, foldName } from '../../core/text/names.ts';
import { skeletonOf } from '../../core/text/skeleton.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { User } from '../../platform/database/generated/client.ts';
import { isStorable } from '../../core/text/text.ts';
import { queueAvatars } from './avatarDownload.ts';
import { candidates, fitted } from './usernames.ts';
import { checkExternalId } from '../users/externalIds.ts';
import { userColumns } from '../users/users.ts';

/** A user of another application. Absent and null values stay unchanged, and have defaults for a new user. */
export interface ExternalUser {
  externalId: string;
  username?: string | null | undefined;
  nickname?: string | null | undefined;
  avatarUrl?: string | null | undefined;
}

/** Maximum number of users of one call. */
export const MAX_USERS = 100;
/** Number of attempts if other transactions take usernames or external ids at the same moment. */
const ATTEMPTS = 3;
/** Codes of PostgreSQL for a unique value that another transaction has taken, and for a deadlock with one. */
const CONCURRENCY = ['23505', '40P01'];

/** A checked user, with the path of the input item. */
export interface Item {
  path: string;
  externalId: string;
  /** Username in its stored form; null to keep or derive one. */
  username: string | null;
  nickname: string | null;
  /** Names from which the username of a new user is derived; by default the nickname. */
  names?: readonly string[];
  avatarUrl?: string | null;
}

/**
 * Creates or changes users by their external ids, all of them or none. A repeated call changes nothing.
 *
 * @returns the users in the order of the input
 * @throws ChatError `BAD_USER_INPUT` for more than 100 users, and for an invalid value; `USERNAME_TAKEN` for a username of
 *   another user. The `path` names the item.
 */
export async function upsertUsers(context: Context, users: readonly ExternalUser[]): Promise<User[]> {
  if (users.length > MAX_USERS)
    throw badInput('input.users', `Send at most ${MAX_USERS} users at once, and the others with another call.`);
  const items = users.map(toItem);
  requireDistinct(items);
  const rows = await upsertItems(context.database, items, { revives: true, downloads: context.files !== null });
  const byId = new Map(rows.map((row) => [row.externalId, row]));
  return items.map(({ externalId }) => byId.get(externalId) as User);
}

function toItem(user: ExternalUser, i: number): Item {
  const path = `input.users.${i}`;
  return {
    path,
    externalId: checkExternalId(user.externalId, `${path}.externalId`),
    username: user.username == null ? null : fitted(user.username),
    nickname: user.nickname == null ? null : checkNickname(user.nickname, `${path}.nickname`),
    avatarUrl: user.avatarUrl == null ? null : checkAvatarUrl(user.avatarUrl, `${path}.avatarUrl`),
  };
}

/** Maximum length of the URL of an avatar, in UTF-16 units. */
const MAX_URL_LENGTH = 2_048;

function checkAvatarUrl(url: string, path: string): string {
  if (url.length > MAX_URL_LENGTH || !/^https?:/i.test(url) || !URL.canParse(url) || !isStorable(url))
    throw badInput(
      path,
      `This is not a URL of at most ${MAX_URL_LENGTH} characters that begins with https:// or http://.`,
    );
  return url;
}

function requireDistinct(items: readonly Item[]): void {
  const ids = new Set<string>();
  const skeletons = new Set<string>();
  for (const { path, externalId, username } of items) {
    if (ids.has(externalId)) throw badInput(`${path}.externalId`, 'This external id is listed twice. List it once.');
    ids.add(externalId);
    if (username === null) continue;
    const skeleton = skeletonOf(username);
    if (skeletons.has(skeleton)) throw taken(`${path}.username`, 'Another user of this call has this username.');
    skeletons.add(skeleton);
  }
}

function taken(path: string, message: string): ChatError {
  return new ChatError('USERNAME_TAKEN', message, { path: path.split('.') });
}

/** Creates the users that do not exist, unless they were deleted. */
export async function createUsers(database: Database, items: readonly Item[]): Promise<void> {
  await upsertItems(database, items, { revives: false, downloads: false });
}

interface Options {
  /** Whether users are created again who were deleted. */
  revives: boolean;
  /** Whether avatars are downloaded. */
  downloads: boolean;
}

/** Creates or changes users. Tries again if a concurrent transaction has taken a username or an external id. */
async function upsertItems(database: Database, items: readonly Item[], options: Options): Promise<User[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await database.transaction((query) => upsertIn(query, items, options));
    } catch (error) {
      if (!(error instanceof Repeat) && !CONCURRENCY.includes((error as { code?: string }).code ?? '')) throw error;
      if (attempt === ATTEMPTS) throw taken('input.users', 'Others take these usernames at the moment. Try again.');
    }
  }
}

/** Thrown to repeat the transaction, because another one has created a user at the same time. */
class Repeat extends Error {}

async function upsertIn(query: Database['query'], items: readonly Item[], options: Options): Promise<User[]> {
  const ids = items.map(({ externalId }) => externalId);
  // Locked in one order, so that two calls with the same users do not wait for each other.
  const known = await query<{ externalId: string; username: string }>(sql`
    SELECT external_id AS "externalId", username FROM users
      WHERE external_id = ANY (${ids}::text[]) ORDER BY id FOR NO KEY UPDATE`);
  const existing = new Map(known.map((row) => [row.externalId, row.username]));
  await requireFree(query, items);
  await update(
    query,
    items.filter(({ externalId }) => existing.has(externalId)),
  );
  await insert(
    query,
    items.filter(({ externalId }) => !existing.has(externalId)),
    options,
  );
  if (options.downloads) {
    const urls = items.flatMap(({ externalId, avatarUrl }) => (avatarUrl ? [[externalId, avatarUrl] as const] : []));
    await queueAvatars(query, new Map(urls));
  }
  return query<User>(sql`SELECT ${userColumns} FROM users u WHERE u.external_id = ANY (${ids}::text[])`);
}

/** Throws `USERNAME_TAKEN` for the first item whose username another user has, or that looks like one. */
async function requireFree(query: Database['query'], items: readonly Item[]): Promise<void> {
  const named = items.filter((item) => item.username !== null);
  const names = named.map(({ username }) => username ?? '');
  const [conflict] = await query<{ place: number; same: boolean }>(sql`
    SELECT w.place::int - 1 AS place, u.username_key = w.key AS same
      FROM unnest(${named.map(({ externalId }) => externalId)}::text[], ${names.map(foldName)}::text[], ${names.map(skeletonOf)}::text[])
        WITH ORDINALITY w (external_id, key, skeleton, place)
      JOIN users u ON (u.username_key = w.key OR u.username_skeleton = w.skeleton)
        AND u.external_id IS DISTINCT FROM w.external_id
      ORDER BY place, same DESC LIMIT 1`);
  if (!conflict) return;
  throw taken(
    `${named[conflict.place]?.path ?? 'input.users'}.username`,
    conflict.same
      ? 'Another user has this username. Choose another.'
      : 'This username looks like that of another user. Choose another.',
  );
}

/** Changes existing users. A user whose values are equal is not written, so that `updatedAt` stays. */
async function update(query: Database['query'], items: readonly Item[]): Promise<void> {
  const changed = items.filter(({ username, nickname }) => username !== null || nickname !== null);
  if (changed.length === 0) return;
  const [names, nicknames] = [changed.map((item) => item.username), changed.map((item) => item.nickname)];
  await query(sql`
    UPDATE users u SET updated_at = now(),
        username = coalesce(g.username, u.username), username_key = coalesce(g.key, u.username_key),
        username_skeleton = CASE WHEN g.key IS NULL THEN u.username_skeleton ELSE g.skeleton END,
        nickname = coalesce(g.nickname, u.nickname), nickname_key = coalesce(g.nickname_key, u.nickname_key)
      FROM unnest(${changed.map(({ externalId }) => externalId)}::text[],
          ${names}::text[], ${names.map((name) => name && foldName(name))}::text[], ${names.map((name) => name && skeletonOf(name))}::text[],
          ${nicknames}::text[], ${nicknames.map((name) => name && foldName(name))}::text[])
        g (external_id, username, key, skeleton, nickname, nickname_key)
      WHERE u.external_id = g.external_id
        AND (coalesce(g.username, u.username), coalesce(g.nickname, u.nickname)) IS DISTINCT FROM (u.username, u.nickname)`);
}

/** Creates users without a password. Derives the usernames that are not given. */
async function insert(query: Database['query'], items: readonly Item[], options: Options): Promise<void> {
  // Given names come first, so that no derived name takes one of them.
  const sorted = items.toSorted((a, b) => Number(a.username === null) - Number(b.username === null));
  let left = sorted.map((item) => ({
    ...item,
    untried: candidates(item.username, item.names ?? [item.nickname ?? '']),
  }));
  while (left.length > 0) {
    const tried = left.map(({ untried, ...item }) => ({ ...item, name: untried.next().value }));
    const exhausted = tried.find(({ name }) => name === undefined);
    // `requireFree` has found the username free, so another transaction has just created this user or username.
    if (exhausted) throw new Repeat();
    const made = new Set(
      await insertOnce(
        query,
        tried.map((item) => ({ ...item, username: item.name ?? '' })),
        options,
      ),
    );
    left = left.filter(({ externalId }) => !made.has(externalId));
  }
}

async function insertOnce(
  query: Database['query'],
  users: readonly { externalId: string; username: string; nickname: string | null }[],
  { revives }: Options,
): Promise<string[]> {
  const names = users.map(({ username }) => username);
  const nicknames = users.map(({ nickname, username }) => nickname ?? username);
  const cutoff = sql`c.is_deleted AND c.external_id_hash = sha256(convert_to(g.external_id, 'UTF8'))`;
  const made = await query<{ externalId: string }>(sql`
    WITH given AS (
      SELECT * FROM unnest(${users.map(({ externalId }) => externalId)}::text[], ${names}::text[], ${names.map(foldName)}::text[],
        ${names.map(skeletonOf)}::text[], ${nicknames}::text[], ${nicknames.map(foldName)}::text[])
        g (external_id, username, key, skeleton, nickname, nickname_key)
    ), revived AS (
      UPDATE external_token_cutoffs c SET is_deleted = false FROM given g WHERE ${revives} AND ${cutoff}
    )
    INSERT INTO users (external_id, username, username_key, username_skeleton, nickname, nickname_key)
      SELECT * FROM given g
        WHERE ${revives} OR NOT EXISTS (SELECT FROM external_token_cutoffs c WHERE ${cutoff})
      ON CONFLICT DO NOTHING RETURNING external_id AS "externalId"`);
  return made.map(({ externalId }) => externalId);
}
