import { createRemoteJWKSet, errors, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { ChatError } from '../core/errors.ts';
import { isStorable } from '../core/text/text.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    /** Null if no OpenID provider is configured. */
    openId: OpenIdProvider | null;
  }
}

/** Claims of a verified ID token. */
export interface OpenIdClaims {
  issuer: string;
  subject: string;
  /** Time at which the token was issued, in seconds since 1970. */
  issuedAt: number;
  /** E-mail address, or null if the provider has not verified it. */
  email: string | null;
  /** Candidates for the username of a new account, in order of preference. */
  names: string[];
  /** Full name, which becomes the nickname of a new account. */
  name: string | null;
}

/** OpenID provider that issues the ID tokens with which users sign in. */
export interface OpenIdProvider {
  /**
   * Verifies an ID token and returns its claims.
   *
   * @throws ChatError `INVALID_CREDENTIALS` if the token is invalid, expired or issued for another client
   * @throws Error if the provider does not respond or returns no keys
   */
  verify(idToken: string): Promise<OpenIdClaims>;
}

/** Accepted signature algorithms for public keys. A symmetric algorithm would take a public key for a secret. */
export const ASYMMETRIC_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
];
const TIMEOUT_MS = 5_000;

const discovery = z.object({ issuer: z.string(), jwks_uri: z.url() });
const claims = z.object({
  iss: z.string(),
  iat: z.number(),
  sub: z.string().min(1).max(255).refine(isStorable),
  email: z.string().optional(),
  email_verified: z.union([z.boolean(), z.literal('true')]).optional(),
  preferred_username: z.string().optional(),
  nickname: z.string().optional(),
  name: z.string().optional(),
});

/**
 * Creates an OpenID provider. The first `verify` loads the provider's keys (OpenID Connect Discovery 1.0), and later
 * calls reuse them.
 */
export function createOpenIdProvider({ issuer, audience }: { issuer: string; audience: string }): OpenIdProvider {
  let keys: Promise<JWTVerifyGetKey> | null = null;

  async function discover(): Promise<JWTVerifyGetKey> {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const found = discovery.parse(await response.json());
    if (found.issuer !== issuer) throw new Error(`${url} names the issuer ${found.issuer}. Set OIDC_ISSUER to it.`);
    return createRemoteJWKSet(new URL(found.jwks_uri), { timeoutDuration: TIMEOUT_MS });
  }

  return {
    async verify(idToken) {
      keys ??= discover().catch((error: unknown) => {
        keys = null;
        throw error;
      });
      const key = await keys;
      try {
        const { payload, protectedHeader } = await jwtVerify(idToken, key, {
          issuer,
          audience,
          algorithms: ASYMMETRIC_ALGORITHMS,
          requiredClaims: ['sub', 'exp', 'iat'],
        });
        // The provider signs access tokens (RFC 9068) and logout tokens with the same keys as ID tokens. Without this
        // check, an access token or logout token would pass as an ID token (RFC 8725, section 3.11).
        if (protectedHeader.typ !== undefined && protectedHeader.typ.toUpperCase() !== 'JWT')
          throw new errors.JWTInvalid('The token is not an ID token.');
        // In a token for several audiences, `azp` names the client that requested the token (OpenID Connect Core 1.0,
        // section 3.1.3.7).
        if (Array.isArray(payload.aud) && payload.aud.length > 1 && payload['azp'] !== audience)
          throw new errors.JWTInvalid('The token was issued to another client.');
        const parsed = claims.parse(payload);
        const names = [parsed.preferred_username, parsed.nickname, parsed.email?.split('@')[0], parsed.name];
        return {
          issuer,
          subject: parsed.sub,
          issuedAt: parsed.iat,
          email: parsed.email_verified && parsed.email ? parsed.email : null,
          names: names.filter((name) => name !== undefined),
          name: parsed.name ?? null,
        };
      } catch (error) {
        if (isProviderFailure(error)) throw error;
        if (error instanceof errors.JOSEError || error instanceof z.ZodError) {
          throw new ChatError(
            'INVALID_CREDENTIALS',
            'The ID token is invalid, expired, or issued for another client. Get a new one from the OpenID provider.',
          );
        }
        throw error;
      }
    },
  };
}

/** Returns true if the provider's keys could not be loaded. In this case, the token may still be valid. */
export function isProviderFailure(error: unknown): boolean {
  return (
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    // jose throws this code if the response is not 200 or not JSON.
    (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC')
  );
}
