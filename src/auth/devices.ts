import { jwtVerify, type JWTHeaderParameters, SignJWT } from 'jose';
import { createUuid } from '../ids.ts';
import { ALGORITHM, keyIdOf, keysOf } from './tokens.ts';

/** Longest time that browsers keep a cookie (RFC 6265bis), in days. Each sign-in issues a new device token. */
export const DEVICE_TOKEN_DAYS = 400;
/** A longer text is no device token and is not parsed. */
const MAX_LENGTH = 1_000;

const PINNED = { issuer: 'parley', audience: 'parley', typ: 'device+jwt' } as const;

/**
 * Device tokens prove that a device has signed in to an account before ("device cookies" of OWASP). A device with one still
 * gets in while others guess the password of its account. It needs the password all the same.
 */
export interface DeviceTokens {
  sign(userId: string): Promise<string>;
  /** Returns the id of the device, or null for a token that is not valid for this account. */
  verify(token: string, userId: string): Promise<string | null>;
}

/**
 * @param secret signs tokens
 * @param accepted other secrets whose tokens are valid
 */
export function createDeviceTokens(secret: string, accepted: readonly string[] = []): DeviceTokens {
  const keyId = keyIdOf(secret);
  const keys = keysOf([secret, ...accepted]);
  function keyOf(kid = keyId): Uint8Array {
    const key = keys.get(kid);
    if (!key) throw new Error('No key of this server has signed the token.');
    return key;
  }
  return {
    sign: (userId) =>
      new SignJWT()
        .setProtectedHeader({ alg: ALGORITHM, typ: PINNED.typ, kid: keyId })
        .setSubject(userId)
        .setJti(createUuid())
        .setIssuer(PINNED.issuer)
        .setAudience(PINNED.audience)
        .setIssuedAt()
        .setExpirationTime(`${DEVICE_TOKEN_DAYS} days`)
        .sign(keyOf()),
    async verify(token, userId) {
      if (token.length > MAX_LENGTH) return null;
      return jwtVerify(token, ({ kid }: JWTHeaderParameters) => keyOf(kid), {
        ...PINNED,
        algorithms: [ALGORITHM],
        subject: userId,
        requiredClaims: ['jti', 'exp'],
      }).then(
        ({ payload }) => payload.jti ?? null,
        () => null,
      );
    },
  };
}
