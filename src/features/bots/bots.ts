import { createBotToken } from '../../auth/botTokens.ts';
import { createRefreshToken } from '../../auth/accessTokens.ts';
import { endSessions } from '../../auth/sessions.ts';
import { type BotScope, botScopeNames, isBotScope } from '../../core/botScopes.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { checkNickname, checkUsername, foldName } from '../../core/text/names.ts';
import { skeletonOf } from '../../core/text/skeleton.ts';
import { type Database, sql } from '../../platform/database/database.ts';
import type { User } from '../../platform/database/generated/client.ts';
import { finishDeletion } from '../accounts/deletion.ts';
import { findTakenUsername, requireUser } from '../users/users.ts';

/** Maximum number of bots of one owner. */
export const MAX_BOTS = 10;

/** Expiry of the refresh token that keeps the session of a bot active. */
const NEVER = '9999-01-01T00:00:00Z';

/** A bot as its owner sees it. */
export interface OwnBot {
  userId: string;
  scopes: BotScope[];
  createdAt: Date;
}

/** A bot, and its new token. */
export interface BotWithToken {
  bot: User;
  token: string;
}

/**
 * Creates a bot that belongs to the viewer.
 *
 * @throws ChatError `BAD_USER_INPUT`, `USERNAME_TAKEN`; `LIMIT_REACHED` if the viewer has 10 bots
 */
export async function createBot(
  context: Context,
  input: { name: string; nickname?: string | null | undefined; scopes: readonly string[] },
): Promise<BotWithToken> {
  const { userId: ownerId } = requireViewer(context);
  const username = checkUsername(input.name, 'input.name');
  const nickname = input.nickname == null ? username : checkNickname(input.nickname, 'input.nickname');
  const scopes = checkScopes(input.scopes);
  const { token, hash } = createBotToken();
  const made = await context.database.transaction(async (query) => {
    await lockOwner(query, ownerId);
    const [owned] = await query<{ count: number }>(sql`
      SELECT count(*)::int AS count FROM bots WHERE owner_id = ${ownerId}::uuid`);
    if ((owned?.count ?? 0) >= MAX_BOTS)
      throw new ChatError('LIMIT_REACHED', `You have ${MAX_BOTS} bots. Delete one first.`, { limit: MAX_BOTS });
    const [user] = await query<{ id: string }>(sql`
      INSERT INTO users (username, username_key, username_skeleton, nickname, nickname_key, is_bot)
        VALUES (${username}, ${foldName(username)}, ${skeletonOf(username)}, ${nickname}, ${foldName(nickname)}, true)
        ON CONFLICT DO NOTHING RETURNING id`);
    if (!user) return null;
    await query(sql`
      INSERT INTO bots (user_id, owner_id, scopes) VALUES (${user.id}::uuid, ${ownerId}::uuid, ${scopes}::text[])`);
    await storeToken(query, user.id, hash);
    return user;
  });
  if (made) return { bot: await requireUser(context, made.id), token };
  throw (
    (await findTakenUsername(context.database.query, username)) ??
    new ChatError('USERNAME_TAKEN', 'Someone has this username. Choose another.')
  );
}

/**
 * Replaces the token of one of the viewer's bots. The sockets and streams of the previous token end within a second.
 *
 * @param botId null for an id that names no user
 * @throws ChatError `NOT_FOUND` if the viewer has no such bot; `FORBIDDEN` if the bot is suspended
 */
export async function rotateBotToken(context: Context, botId: string | null): Promise<BotWithToken> {
  const { userId: ownerId } = requireViewer(context);
  const { token, hash } = createBotToken();
  const id = await context.database.transaction(async (query) => {
    await lockOwner(query, ownerId);
    const [bot] = await query<{ id: string }>(sql`
      SELECT user_id AS id FROM bots WHERE user_id = ${botId}::uuid AND owner_id = ${ownerId}::uuid FOR UPDATE`);
    if (!bot) throw notFound('bot');
    // A concurrent suspension waits for this lock, and then ends the new session.
    const [active] = await query(sql`
      SELECT FROM users WHERE id = ${bot.id}::uuid AND suspended_at IS NULL FOR NO KEY UPDATE`);
    if (!active) throw new ChatError('FORBIDDEN', 'This bot is suspended. Ask an operator of the server.');
    await endSessions(query, sql`user_id = ${bot.id}::uuid`);
    await storeToken(query, bot.id, hash);
    return bot.id;
  });
  context.changePoller.requestPoll();
  return { bot: await requireUser(context, id), token };
}

/**
 * Deletes one of the viewer's bots, like an account. Its messages remain without a sender.
 *
 * @param botId null for an id that names no user
 * @throws ChatError `NOT_FOUND` if the viewer has no such bot
 */
export async function deleteBot(context: Context, botId: string | null): Promise<string> {
  const { userId: ownerId } = requireViewer(context);
  // A trigger ends the session of the bot, and queues the deletion of its account in case this request does not finish it.
  const [deleted] = await context.database.query<{ id: string }>(sql`
    DELETE FROM bots WHERE user_id = ${botId}::uuid AND owner_id = ${ownerId}::uuid RETURNING user_id AS id`);
  if (!deleted) throw notFound('bot');
  context.changePoller.requestPoll();
  await finishDeletion(context, { userId: deleted.id }, Date.now() + DELETION_TIMEOUT_MS);
  return deleted.id;
}

/** Time that a request spends on the deletion of a bot, in milliseconds. A job finishes the rest. */
const DELETION_TIMEOUT_MS = 5_000;

/** Lists the viewer's bots, in the order of their creation. At most 10. */
export async function listBots(context: Context): Promise<OwnBot[]> {
  const { userId } = requireViewer(context);
  const bots = await context.database.query<{ userId: string; scopes: string[]; createdAt: Date }>(sql`
    SELECT user_id AS "userId", scopes, created_at AS "createdAt" FROM bots
      WHERE owner_id = ${userId}::uuid ORDER BY created_at, user_id`);
  return bots.map((bot) => ({ ...bot, scopes: bot.scopes.filter(isBotScope) }));
}

function checkScopes(names: readonly string[]): BotScope[] {
  const path = 'input.scopes';
  const unknown = names.find((name) => !isBotScope(name));
  const known = `The scopes of a bot are: ${botScopeNames.join(', ')}.`;
  if (unknown !== undefined) throw badInput(path, `There is no scope "${unknown.slice(0, 50)}". ${known}`);
  if (names.length === 0) throw badInput(path, `A bot needs a scope. ${known}`);
  return botScopeNames.filter((name) => names.includes(name));
}

/**
 * Locks the row of an owner. Two calls at once can therefore not exceed the limit, and a suspension that comes first
 * prevents the new token.
 */
async function lockOwner(query: Database['query'], ownerId: string): Promise<void> {
  const [owner] = await query(sql`
    SELECT FROM users WHERE id = ${ownerId}::uuid AND suspended_at IS NULL FOR NO KEY UPDATE`);
  if (!owner) throw new ChatError('UNAUTHENTICATED', 'This session has ended. Sign in again.');
}

/**
 * Stores the token of a bot, and starts its session. Jobs end a session without a valid refresh token, also on nodes of the
 * previous release. The session therefore has one that nobody knows and that does not expire.
 */
async function storeToken(query: Database['query'], botId: string, hash: Buffer): Promise<void> {
  await query(sql`
    WITH session AS (
      INSERT INTO sessions (user_id, user_agent) VALUES (${botId}::uuid, 'Bot token') RETURNING id
    ), refresh AS (
      INSERT INTO refresh_tokens (hash, session_id, expires_at)
        SELECT ${createRefreshToken().hash}, id, ${NEVER}::timestamptz FROM session
    )
    UPDATE bots SET token_hash = ${hash}, session_id = (SELECT id FROM session) WHERE user_id = ${botId}::uuid`);
}
