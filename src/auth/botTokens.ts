import { LRUCache } from 'lru-cache';
import { type BotScope, isBotScope } from '../core/botScopes.ts';
import type { AccessClaims } from '../core/context.ts';
import { ChatError } from '../core/errors.ts';
import { type Database, sql } from '../platform/database/database.ts';
import { createToken, hashToken } from './accessTokens.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    botTokens: BotTokens;
  }
}

/** Prefix that distinguishes the token of a bot from an access token. */
const PREFIX = 'parley-bot-';

/** Maximum number of verified tokens that a node caches. Each takes half a kilobyte. */
const MAX_CACHED_TOKENS = 10_000;

/** A token of a bot does not expire. It ends with its session. */
const NEVER = new Date(Date.UTC(9999, 0));

/** Verifies the tokens of bots on one node. */
export interface BotTokens {
  /**
   * Returns the claims of a token. Does not check whether the session of the token is still active.
   *
   * @throws ChatError `UNAUTHENTICATED` for a token that is unknown or was replaced
   */
  verify(token: string): Promise<AccessClaims>;
  /** Returns the claims of a token that this node has verified before, else null. Reads only local memory. */
  verified(token: string): AccessClaims | null;
}

export function isBotToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

/** Returns a new token for a bot and the hash to store. */
export function createBotToken(): { token: string; hash: Buffer } {
  const token = PREFIX + createToken().token;
  return { token, hash: hashToken(token) };
}

/**
 * Creates the object that verifies the tokens of bots. The claims of a token never change, so that they are cached. A
 * request of a bot therefore needs no more statements than one of a person. A token that was replaced stays cached, and
 * is refused because its session has ended.
 */
export function createBotTokens(database: Database): BotTokens {
  const cache = new LRUCache<string, AccessClaims>({ max: MAX_CACHED_TOKENS });
  return {
    verified: (token) => cache.get(token) ?? null,
    async verify(token) {
      const cached = cache.get(token);
      if (cached) return cached;
      const [found] = await database.query<{
        userId: string;
        sessionId: string;
        ownerId: string;
        scopes: string[];
      }>(sql`
        SELECT user_id AS "userId", session_id AS "sessionId", owner_id AS "ownerId", scopes FROM bots
          WHERE token_hash = ${hashToken(token)} AND session_id IS NOT NULL`);
      if (!found)
        throw new ChatError(
          'UNAUTHENTICATED',
          'The token of the bot is unknown or was replaced. The owner of the bot gets another with `rotateBotToken`.',
        );
      const { userId, sessionId, ownerId, scopes } = found;
      const bot = { ownerId, scopes: scopes.filter(isBotScope) satisfies readonly BotScope[] };
      const claims = { userId, sessionId, expiresAt: NEVER, bot };
      cache.set(token, claims);
      return claims;
    },
  };
}
