import { createHash } from 'node:crypto';
import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify, type JWTVerifyOptions } from 'jose';
import { LRUCache } from 'lru-cache';
import type { AccessClaims, ClientInfo } from '../core/context.ts';
import { ChatError } from '../core/errors.ts';
import { isStorable } from '../core/text/text.ts';
import { ASYMMETRIC_ALGORITHMS, isProviderFailure } from './openIdProvider.ts';
import { OWN_ISSUER } from './tokenSigner.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    /** Null if the server accepts only its own access tokens. */
    externalTokens: ExternalTokens | null;
  }
}

/** Verified access token of the company's own issuer. */
export interface ExternalClaims {
  /** Claim `sub`: external id of the user. */
  externalId: string;
  /** Id of the session of the token. The same token has the same session on every node. */
  sessionId: string;
  /** Null if the token does not say. */
  issuedAt: Date | null;
  expiresAt: Date;
  /** Candidates for the username of a new user, in order of preference. */
  names: string[];
  /** Full name, which becomes the nickname of a new user. */
  name: string | null;
}

/**
 * Stores the session of a token that the server sees for the first time, and creates the user if there is none.
 *
 * @returns the key of the user
 * @throws ChatError `UNAUTHENTICATED` if the user was deleted or deactivated, or if the token was revoked
 */
type Admit = (claims: ExternalClaims, client: ClientInfo) => Promise<string>;

/** Accepts access tokens of the company's own issuer. */
export interface ExternalTokens {
  /** Returns whether a token must be verified here, because it is not one of the server's own tokens. */
  accepts(token: string): boolean;
  /**
   * Verifies a token and returns its claims. Does not check whether the session is still active.
   *
   * @throws ChatError `TOKEN_EXPIRED` if the token has expired, `UNAUTHENTICATED` for any other invalid token
   * @throws Error if the keys of the issuer cannot be loaded
   */
  verify(token: string, client: ClientInfo): Promise<AccessClaims>;
}

export interface ExternalTokenOptions {
  /** Required claim `iss`; any if undefined. */
  issuer: string | undefined;
  /** Required claim `aud`; any if undefined. */
  audience: string | undefined;
  /** URL of the public keys, or a shared secret. */
  keys: { jwksUrl: string } | { secret: string };
  admit: Admit;
}

/** Maximum number of verified tokens that a node caches. Each takes about a kilobyte. */
const MAX_CACHED_TOKENS = 10_000;
/**
 * Maximum lifetime of a token, in seconds. A token works without its issuer until it expires. Sessions that ended are kept
 * longer than this time, so that an ended session never begins again.
 */
export const MAX_TOKEN_SECONDS = 86_400;
/** Tolerated difference between the clocks of the issuer and of this node, in seconds. Makes no token live longer. */
const CLOCK_TOLERANCE_SECONDS = 60;
const TIMEOUT_MS = 5_000;
/** Types of access tokens in the header `typ`, in lower case. ID tokens, logout tokens and others are refused. */
const TYPES = new Set(['jwt', 'at+jwt', 'application/at+jwt']);

/** Creates the object that accepts access tokens of the company's own issuer. */
export function createExternalTokens({ issuer, audience, keys, admit }: ExternalTokenOptions): ExternalTokens {
  const cache = new LRUCache<string, AccessClaims>({ max: MAX_CACHED_TOKENS });
  /** Verifications that are running. A client sends its first requests at the same time. */
  const running = new Map<string, Promise<AccessClaims>>();
  const verifySignature = createVerifier(keys, {
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
    requiredClaims: ['sub', 'exp'],
    // For `nbf`, which many issuers set to the time of the issue. readClaims checks `exp` without tolerance.
    clockTolerance: CLOCK_TOLERANCE_SECONDS,
  });

  async function verifyAndAdmit(token: string, client: ClientInfo): Promise<AccessClaims> {
    const claims = await verifyClaims(token, verifySignature);
    const userId = await admit(claims, client);
    const viewer = { userId, sessionId: claims.sessionId, expiresAt: claims.expiresAt };
    cache.set(token, viewer);
    return viewer;
  }

  return {
    accepts: (token) => cache.has(token) || issuerOf(token) !== OWN_ISSUER,
    async verify(token, client) {
      const cached = cache.get(token);
      if (cached && cached.expiresAt.getTime() > Date.now()) return cached;
      let verification = running.get(token);
      if (!verification) {
        verification = verifyAndAdmit(token, client).finally(() => running.delete(token));
        running.set(token, verification);
      }
      return verification;
    },
  };
}

type VerifySignature = (token: string) => Promise<{ payload: JWTPayload; protectedHeader: { typ?: string } }>;

/**
 * Returns a function that verifies signatures. The kind of the key decides which algorithms are accepted. Otherwise a
 * forger could sign with HS256 and the text of a public key as the secret (RFC 8725, section 2.1).
 */
function createVerifier(keys: ExternalTokenOptions['keys'], options: JWTVerifyOptions): VerifySignature {
  if ('secret' in keys) {
    const secret = new TextEncoder().encode(keys.secret);
    return (token) => jwtVerify(token, secret, { ...options, algorithms: ['HS256'] });
  }
  const keySet = createRemoteJWKSet(new URL(keys.jwksUrl), { timeoutDuration: TIMEOUT_MS });
  return (token) => jwtVerify(token, keySet, { ...options, algorithms: ASYMMETRIC_ALGORITHMS });
}

async function verifyClaims(token: string, verifySignature: VerifySignature): Promise<ExternalClaims> {
  try {
    const { payload, protectedHeader } = await verifySignature(token);
    if (!TYPES.has((protectedHeader.typ ?? 'JWT').toLowerCase()))
      throw new RefusedClaim('its "typ" is not that of an access token');
    return readClaims(token, payload);
  } catch (error) {
    if (error instanceof errors.JWTExpired)
      throw new ChatError('TOKEN_EXPIRED', `The access token has expired. ${ADVICE}`);
    if (isProviderFailure(error)) throw error;
    if (error instanceof errors.JOSEError) throw new ChatError('UNAUTHENTICATED', `${reasonOf(error)} ${ADVICE}`);
    throw error;
  }
}

const ADVICE = 'Get a new one from your application.';

/**
 * Returns a sentence that says what is wrong with a token. Claims are checked after the signature, so only the issuer's own
 * tokens get a sentence about a claim. It never contains the value that the server expects.
 */
function reasonOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.reason === 'missing') return `The access token is invalid: it has no "${error.claim}".`;
    if (error.claim === 'iss') return 'The access token is invalid: its "iss" is not JWT_ISSUER.';
    if (error.claim === 'aud') return 'The access token is invalid: its "aud" does not contain JWT_AUDIENCE.';
    return `The access token is invalid: its "${error.claim}" is refused.`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed)
    return 'The access token is invalid: its "alg" is none that JWT_SECRET or JWT_JWKS_URL accepts.';
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return 'The access token is invalid: its signature does not match JWT_SECRET or the key of JWT_JWKS_URL.';
  return error instanceof RefusedClaim
    ? `The access token is invalid: ${error.message}.`
    : 'The access token is invalid.';
}

/** A token of the issuer that the server refuses. The message is the second half of a sentence. */
class RefusedClaim extends errors.JWTInvalid {}

function readClaims(token: string, payload: JWTPayload): ExternalClaims {
  const { sub, exp = 0, iat } = payload;
  if (typeof sub !== 'string' || sub.length < 1 || sub.length > 255 || !isStorable(sub))
    throw new RefusedClaim('its "sub" must be a text of 1 to 255 characters');
  const now = Math.floor(Date.now() / 1_000);
  if (exp <= now) throw new errors.JWTExpired('The token has expired.', payload, 'exp');
  const begin = Math.min(iat ?? now, now);
  if (exp - begin > MAX_TOKEN_SECONDS + CLOCK_TOLERANCE_SECONDS)
    throw new RefusedClaim('it is valid for more than 24 hours');
  if (iat !== undefined && iat > now + CLOCK_TOLERANCE_SECONDS) throw new RefusedClaim('its "iat" is in the future');
  const text = (claim: string) => (typeof payload[claim] === 'string' ? payload[claim] : null);
  const names = [text('preferred_username'), text('nickname'), text('email')?.split('@')[0] ?? null, text('name')];
  return {
    externalId: sub,
    sessionId: sessionIdOf(token),
    issuedAt: iat === undefined ? null : new Date(iat * 1_000),
    expiresAt: new Date(exp * 1_000),
    names: names.filter((name) => name !== null),
    name: text('name'),
  };
}

/**
 * Returns the session id of a token: a UUID (version 8) from a hash of the signed part. The signature is left out, because
 * one token has several valid spellings of it. The token of an ended session would be valid again in another spelling.
 */
function sessionIdOf(token: string): string {
  const bytes = createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest();
  bytes[6] = 0x80 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = bytes.toString('hex', 0, 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Returns the claim `iss` of a token that is not verified. Undefined for a text that is no token. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
