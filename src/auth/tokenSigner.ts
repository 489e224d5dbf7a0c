import { createHmac } from 'node:crypto';
import { type JWTHeaderParameters, type JWTPayload, jwtVerify, SignJWT } from 'jose';

/** Issuer of the server's own tokens. */
export const OWN_ISSUER = 'parley';
// Only tokens with these values and this algorithm are accepted.
const PINNED = { issuer: OWN_ISSUER, audience: 'parley' } as const;
const ALGORITHM = 'HS256';

/** Signs tokens of one type with one secret, and verifies tokens signed with any accepted secret. */
export interface TokenSigner {
  /** Signs a token. Adds the type, issuer, audience, time and expiry to its claims. */
  sign(token: SignJWT, expiresAt: Date | string): Promise<string>;
  /**
   * Verifies a token and returns its claims.
   *
   * @throws RetiredKey if no key of this server has signed the token; an error of `jose` for any other invalid token
   */
  verify<Claims = unknown>(
    token: string,
    options: { subject?: string; requiredClaims: string[] },
  ): Promise<JWTPayload & Claims>;
}

/** Thrown for a token that was signed with a key that this server does not accept. */
export class RetiredKey extends Error {}

/**
 * Creates the object that signs and verifies the tokens of one type.
 *
 * @param typ type of the tokens. A token of one type is not accepted in place of another.
 * @param secret signs new tokens
 * @param accepted other secrets that tokens may be signed with: during a key rotation, the next and the previous secret
 */
export function createTokenSigner(typ: string, secret: string, accepted: readonly string[]): TokenSigner {
  const keyId = keyIdOf(secret);
  const keys = new Map([secret, ...accepted].map((each) => [keyIdOf(each), new TextEncoder().encode(each)]));

  function keyOf(kid = keyId): Uint8Array {
    const key = keys.get(kid);
    if (!key) throw new RetiredKey('No key of this server has signed the token.');
    return key;
  }

  return {
    sign: (token, expiresAt) =>
      token
        .setProtectedHeader({ alg: ALGORITHM, typ, kid: keyId })
        .setIssuer(PINNED.issuer)
        .setAudience(PINNED.audience)
        .setIssuedAt()
        .setExpirationTime(expiresAt)
        .sign(keyOf()),
    async verify<Claims>(token: string, options: { subject?: string; requiredClaims: string[] }) {
      const key = ({ kid }: JWTHeaderParameters) => keyOf(kid);
      const { payload } = await jwtVerify<Claims>(token, key, { ...PINNED, typ, algorithms: [ALGORITHM], ...options });
      return payload;
    },
  };
}

/** Returns the time after some seconds, in whole seconds, as tokens contain it. */
export function inSeconds(seconds: number): Date {
  return new Date((Math.floor(Date.now() / 1000) + seconds) * 1000);
}

/**
 * Returns the key id of a secret, which tokens carry in `kid`. The id is an HMAC keyed with the secret and does not
 * reveal the secret.
 */
function keyIdOf(secret: string): string {
  return createHmac('sha256', secret).update('parley key id').digest('base64url').slice(0, 8);
}
