import { createHash, randomBytes } from 'node:crypto';
import { errors, SignJWT } from 'jose';
import type { AccessClaims } from '../core/context.ts';
import { ChatError } from '../core/errors.ts';
import { createTokenSigner, inSeconds, RetiredKey } from './tokenSigner.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    accessTokens: AccessTokens;
  }
}

/** Lifetime of an access token, in seconds. A token becomes invalid earlier if its session ends. */
const ACCESS_TOKEN_SECONDS = 15 * 60;

/** Lifetime of an unused refresh token, in days. The session ends when the token expires. */
export const REFRESH_TOKEN_DAYS = 30;

/** Maximum number of verified tokens that a node caches. Each takes half a kilobyte. */
const MAX_CACHED_TOKENS = 10_000;

/** Signs access tokens with one secret, and verifies tokens signed with any accepted secret. */
export interface AccessTokens {
  /** @param seconds lifetime of the token */
  sign(userId: string, sessionId: string, seconds?: number): Promise<{ token: string; expiresAt: Date }>;
  /**
   * Verifies a token and returns its claims. Does not check whether the session is still active.
   *
   * @throws ChatError `TOKEN_EXPIRED` if the token has expired or was signed with a retired key. The client can refresh
   *   the session.
   * @throws ChatError `UNAUTHENTICATED` for any other invalid token
   */
  verify(token: string): Promise<AccessClaims>;
}

/**
 * Creates the object that signs and verifies the access tokens of one node.
 *
 * @param secret signs new tokens
 * @param accepted other secrets that tokens may be signed with: during a key rotation, the next and the previous secret
 */
export function createAccessTokens(secret: string, accepted: readonly string[] = []): AccessTokens {
  const signer = createTokenSigner('at+jwt', secret, accepted);

  /**
   * Cache of verified tokens, because a client sends the same token with many requests. Evicts the oldest entry first.
   */
  const verified = new Map<string, AccessClaims>();
  function cache(token: string, claims: AccessClaims): AccessClaims {
    const [oldest] = verified.keys();
    if (verified.size >= MAX_CACHED_TOKENS && oldest !== undefined) verified.delete(oldest);
    verified.set(token, claims);
    return claims;
  }

  return {
    async sign(userId, sessionId, seconds = ACCESS_TOKEN_SECONDS) {
      const expiresAt = inSeconds(seconds);
      const token = await signer.sign(new SignJWT({ sid: sessionId }).setSubject(userId), expiresAt);
      return { token, expiresAt };
    },
    async verify(token) {
      const cached = verified.get(token);
      if (cached && cached.expiresAt.getTime() > Date.now()) return cached;
      try {
        const claims = await signer.verify<{ sid: string }>(token, { requiredClaims: ['sub', 'sid', 'exp'] });
        const { sub = '', sid, exp = 0 } = claims;
        return cache(token, { userId: sub, sessionId: sid, expiresAt: new Date(exp * 1000) });
      } catch (error) {
        if (error instanceof RetiredKey) {
          throw new ChatError(
            'TOKEN_EXPIRED',
            'The access token was signed with a retired key. Call refreshSession for a new one.',
          );
        }
        if (error instanceof errors.JWTExpired) {
          throw new ChatError('TOKEN_EXPIRED', 'The access token has expired. Call refreshSession for a new one.');
        }
        throw new ChatError('UNAUTHENTICATED', 'The access token is invalid. Sign in for a new one.');
      }
    },
  };
}

/**
 * Returns the token of an Authorization header, or of the `authorization` parameter of a WebSocket.
 *
 * @returns null if the header is absent or empty
 * @throws ChatError `UNAUTHENTICATED` for anything but `Bearer TOKEN`
 */
export function bearerToken(header: unknown): string | null {
  if (header === undefined || header === null || header === '') return null;
  const token = typeof header === 'string' ? /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1] : undefined;
  if (token === undefined) {
    throw new ChatError('UNAUTHENTICATED', 'The Authorization header is malformed. Send "Bearer TOKEN".');
  }
  return token;
}

/** Returns a new refresh token of 256 random bits, the hash to store, and the expiry. */
export function createRefreshToken(): { token: string; hash: Buffer; expiresAt: Date } {
  return { ...createToken(), expiresAt: new Date(Date.now() + REFRESH_TOKEN_DAYS * 86_400_000) };
}

/** Returns a new token of 256 random bits and the hash to store. */
export function createToken(): { token: string; hash: Buffer } {
  const token = randomBytes(32).toString('base64url');
  return { token, hash: hashToken(token) };
}

/** Hashes with plain SHA-256. Salt and stretching are unnecessary because 256 random bits cannot be guessed. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
