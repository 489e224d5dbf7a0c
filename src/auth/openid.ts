import { createRemoteJWKSet, errors, jwtVerify, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { ChatError } from '../errors.ts';
import { isStorable } from '../text/text.ts';

/** What a provider says of someone. */
export interface OpenIdClaims {
  issuer: string;
  subject: string;
  /** When the token was issued, in seconds since 1970. */
  issuedAt: number;
  /** An address that the provider has verified. */
  email: string | null;
  /** Candidates for a username, the likeliest first. */
  names: string[];
  /** Full name to show, which becomes the nickname of a new account. */
  name: string | null;
}

/** The OpenID provider whose tokens sign in. */
export interface OpenIdProvider {
  /** @throws ChatError `INVALID_CREDENTIALS` for whatever is no token of the provider for this server */
  verify(idToken: string): Promise<OpenIdClaims>;
}

/** Signed with the provider's private key, so that its public keys are all we need: never HS256 or none. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
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

/** Finds the provider's keys when the first token comes (OpenID Connect Discovery 1.0), and then keeps them. */
export function createOpenIdProvider({ issuer, audience }: { issuer: string; audience: string }): OpenIdProvider {
  let keys: Promise<JWTVerifyGetKey> | null = null;

  async function discover(): Promise<JWTVerifyGetKey> {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const found = discovery.parse(await response.json());
    if (found.issuer !== issuer) throw new Error(`${url} names another issuer, ${found.issuer}.`);
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
          algorithms: ALGORITHMS,
          requiredClaims: ['sub', 'exp', 'iat'],
        });
        // The same keys sign access tokens (RFC 9068) and logout tokens, which say so in `typ` (RFC 8725, section 3.11).
        if (protectedHeader.typ !== undefined && protectedHeader.typ.toUpperCase() !== 'JWT')
          throw new errors.JWTInvalid('The token is not an ID token.');
        // A token for several audiences was requested by one of them (OpenID Connect Core 1.0, section 3.1.3.7).
        if (Array.isArray(payload.aud) && payload.aud.length > 1 && payload['azp'] !== audience)
          throw new errors.JWTInvalid('The token was issued to another client.');
        const said = claims.parse(payload);
        const names = [said.preferred_username, said.nickname, said.email?.split('@')[0], said.name];
        return {
          issuer,
          subject: said.sub,
          issuedAt: said.iat,
          email: said.email_verified && said.email ? said.email : null,
          names: names.filter((name) => name !== undefined),
          name: said.name ?? null,
        };
      } catch (error) {
        if (isProvidersFault(error)) throw error;
        if (error instanceof errors.JOSEError || error instanceof z.ZodError) {
          throw new ChatError('INVALID_CREDENTIALS', 'This is no token of the OpenID provider for this server.');
        }
        throw error;
      }
    },
  };
}

/** A provider that does not answer, or not with keys, is no reason to call the token bad. */
function isProvidersFault(error: unknown): boolean {
  return (
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    // What jose throws where the answer is not 200, or no JSON.
    (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC')
  );
}
