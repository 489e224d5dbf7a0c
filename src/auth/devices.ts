import { SignJWT } from 'jose';
import { createUuid } from '../core/globalIds.ts';
import { createTokenSigner } from './tokenSigner.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    deviceTokens: DeviceTokens;
  }
}

/**
 * Lifetime of a device token, in days: the longest time that browsers keep a cookie (RFC 6265bis). Each sign-in issues
 * a new device token.
 */
export const DEVICE_TOKEN_DAYS = 400;
/** Maximum length of a device token, in characters. Longer texts are refused without being parsed. */
const MAX_LENGTH = 1_000;

/**
 * Signs and verifies device tokens ("device cookies" of OWASP). A device token proves that the device has signed in to
 * the account before. Failed sign-ins from other devices do not lock out a device with a token. The device still needs
 * the password.
 */
export interface DeviceTokens {
  sign(userId: string): Promise<string>;
  /** Returns the id of the device, or null if the token is invalid or belongs to another account. */
  verify(token: string, userId: string): Promise<string | null>;
}

/**
 * Creates the object that signs and verifies the device tokens of one node.
 *
 * @param secret signs new tokens
 * @param accepted other secrets that tokens may be signed with
 */
export function createDeviceTokens(secret: string, accepted: readonly string[] = []): DeviceTokens {
  const signer = createTokenSigner('device+jwt', secret, accepted);
  return {
    sign: (userId) => signer.sign(new SignJWT().setSubject(userId).setJti(createUuid()), `${DEVICE_TOKEN_DAYS} days`),
    async verify(token, userId) {
      if (token.length > MAX_LENGTH) return null;
      return signer.verify(token, { subject: userId, requiredClaims: ['jti', 'exp'] }).then(
        ({ jti }) => jti ?? null,
        () => null,
      );
    },
  };
}
