import { createHash, createHmac, randomBytes } from 'node:crypto';
import { errors, jwtVerify, type JWTHeaderParameters, SignJWT } from 'jose';
import { ChatError } from '../errors.ts';

/** How long an access token is good for. It is checked against its session on each use besides. */
export const ACCESS_TOKEN_SECONDS = 15 * 60;

/** How long a refresh token waits for its one use. */
export const REFRESH_TOKEN_DAYS = 30;

/** How many tokens a node knows to be good, at half a kilobyte each. */
const MOST_REMEMBERED = 10_000;

/** What an access token says, once it has been verified. */
export interface AccessClaims {
  userId: string;
  sessionId: string;
  expiresAt: Date;
}

// All four are pinned: a token made for something else, or with another algorithm, is none of ours.
const PINNED = { issuer: 'parley', audience: 'parley', typ: 'at+jwt' } as const;
export const ALGORITHM = 'HS256';

/** Signs access tokens with one secret, and verifies those of some. */
export interface AccessTokens {
  sign(userId: string, sessionId: string): Promise<{ token: string; expiresAt: Date }>;
  /**
   * @throws ChatError `TOKEN_EXPIRED`, also where its key is not in use any more: the session goes on with a new token;
   *   `UNAUTHENTICATED` for whatever is no token of ours
   */
  verify(token: string): Promise<AccessClaims>;
}

/**
 * @param secret what is signed with
 * @param accepted other secrets whose tokens count: while a secret is replaced, the next one and the former one
 */
export function createAccessTokens(secret: string, accepted: readonly string[] = []): AccessTokens {
  const keyId = keyIdOf(secret);
  const keys = keysOf([secret, ...accepted]);

  function keyOf(kid = keyId): Uint8Array {
    const key = keys.get(kid);
    if (!key) {
      throw new ChatError(
        'TOKEN_EXPIRED',
        'The access token was signed with a key that is not in use any more. Call refreshSession for a new one.',
      );
    }
    return key;
  }

  /** What has been verified: a token comes with each of many requests. The oldest are forgotten first. */
  const verified = new Map<string, AccessClaims>();
  function remember(token: string, claims: AccessClaims): AccessClaims {
    const [oldest] = verified.keys();
    if (verified.size >= MOST_REMEMBERED && oldest !== undefined) verified.delete(oldest);
    verified.set(token, claims);
    return claims;
  }

  return {
    async sign(userId, sessionId) {
      const expiresAt = new Date((Math.floor(Date.now() / 1000) + ACCESS_TOKEN_SECONDS) * 1000);
      const token = await new SignJWT({ sid: sessionId })
        .setProtectedHeader({ alg: ALGORITHM, typ: PINNED.typ, kid: keyId })
        .setSubject(userId)
        .setIssuer(PINNED.issuer)
        .setAudience(PINNED.audience)
        .setIssuedAt()
        .setExpirationTime(expiresAt)
        .sign(keyOf());
      return { token, expiresAt };
    },
    async verify(token) {
      const known = verified.get(token);
      if (known && known.expiresAt.getTime() > Date.now()) return known;
      try {
        const { payload } = await jwtVerify<{ sid: string }>(token, ({ kid }: JWTHeaderParameters) => keyOf(kid), {
          ...PINNED,
          algorithms: [ALGORITHM],
          requiredClaims: ['sub', 'sid', 'exp'],
        });
        const { sub = '', sid, exp = 0 } = payload;
        return remember(token, { userId: sub, sessionId: sid, expiresAt: new Date(exp * 1000) });
      } catch (error) {
        if (error instanceof ChatError) throw error;
        if (error instanceof errors.JWTExpired) {
          throw new ChatError('TOKEN_EXPIRED', 'The access token has run out. Call refreshSession for a new one.');
        }
        throw new ChatError('UNAUTHENTICATED', 'The access token is not one of ours. Sign in for a new one.');
      }
    },
  };
}

/** Names a key in the tokens that it signs. It tells of the secret what the signature beside it tells: nothing. */
export function keyIdOf(secret: string): string {
  return createHmac('sha256', secret).update('parley key id').digest('base64url').slice(0, 8);
}

/** The keys of some secrets, by the id that stands in the tokens that they sign. */
export function keysOf(secrets: readonly string[]): ReadonlyMap<string, Uint8Array> {
  return new Map(secrets.map((secret) => [keyIdOf(secret), new TextEncoder().encode(secret)]));
}

/**
 * The token of an Authorization header or of a WebSocket's `authorization` parameter.
 *
 * @returns null where there is none
 * @throws ChatError `UNAUTHENTICATED` for anything but `Bearer TOKEN`
 */
export function bearerToken(header: unknown): string | null {
  if (header === undefined || header === null || header === '') return null;
  const [, token] = (typeof header === 'string' && /^Bearer +([\w.~+/=-]+) *$/i.exec(header)) || [];
  if (token === undefined) {
    throw new ChatError('UNAUTHENTICATED', 'The Authorization header cannot be read. Send "Bearer TOKEN".');
  }
  return token;
}

/** A new refresh token of 256 bits, and what is stored of it. */
export function createRefreshToken(): { token: string; hash: Buffer; expiresAt: Date } {
  return { ...createToken(), expiresAt: new Date(Date.now() + REFRESH_TOKEN_DAYS * 86_400_000) };
}

/** 256 random bits that nobody can guess, and what is stored of them. */
export function createToken(): { token: string; hash: Buffer } {
  const token = randomBytes(32).toString('base64url');
  return { token, hash: hashToken(token) };
}

/** No salt and no stretching: 256 random bits cannot be guessed. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
