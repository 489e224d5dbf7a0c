import { jwtVerify, type JWTHeaderParameters, SignJWT } from 'jose';
import type { AccessClaims } from '../core/context.ts';
import { ALGORITHM, keyIdOf, keysOf } from './accessTokens.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    fileTokens: FileTokens;
  }
}

/** Lifetime of a file ticket, in seconds. */
export const FILE_TICKET_SECONDS = 60 * 60;
/** Time in which an upload can be sent to its URL, in seconds. */
export const UPLOAD_SECONDS = 15 * 60;

const PINNED = { issuer: 'parley', audience: 'parley' } as const;
// The types differ from those of access and device tokens, so that neither is accepted in place of the other.
const TICKET = { ...PINNED, typ: 'file+jwt' } as const;
const UPLOAD = { ...PINNED, typ: 'upload+jwt' } as const;

/** Signs and verifies the tokens in URLs of files. */
export interface FileTokens {
  /** Signs a ticket with which files can be read on behalf of a session. */
  signTicket(viewer: Pick<AccessClaims, 'userId' | 'sessionId'>): Promise<{ value: string; expiresAt: Date }>;
  /** Returns the claims of a valid ticket, or null. The caller must check whether the session is still active. */
  verifyTicket(token: string): Promise<AccessClaims | null>;
  /** Signs the permission to upload the bytes of one upload. */
  signUpload(uploadId: string): Promise<string>;
  /** Returns the time at which the permission expires. Null if it is invalid, or for another upload. */
  verifyUpload(token: string, uploadId: string): Promise<Date | null>;
}

/**
 * Creates the object that signs and verifies the file tokens of one node.
 *
 * @param secret signs new tokens
 * @param accepted other secrets that tokens may be signed with
 */
export function createFileTokens(secret: string, accepted: readonly string[] = []): FileTokens {
  const keyId = keyIdOf(secret);
  const keys = keysOf([secret, ...accepted]);
  function keyOf(kid = keyId): Uint8Array {
    const key = keys.get(kid);
    if (!key) throw new Error('No key of this server has signed the token.');
    return key;
  }
  const sign = (token: SignJWT, typ: string, expiresAt: Date) =>
    token
      .setProtectedHeader({ alg: ALGORITHM, typ, kid: keyId })
      .setIssuer(PINNED.issuer)
      .setAudience(PINNED.audience)
      .setIssuedAt()
      .setExpirationTime(expiresAt)
      .sign(keyOf());
  const verify = async <Claims>(token: string, options: typeof TICKET | typeof UPLOAD, requiredClaims: string[]) => {
    const { payload } = await jwtVerify<Claims>(token, ({ kid }: JWTHeaderParameters) => keyOf(kid), {
      ...options,
      algorithms: [ALGORITHM],
      requiredClaims: ['sub', 'exp', ...requiredClaims],
    });
    return { ...payload, sub: payload.sub ?? '', expiresAt: new Date((payload.exp ?? 0) * 1000) };
  };
  return {
    async signTicket({ userId, sessionId }) {
      const expiresAt = inSeconds(FILE_TICKET_SECONDS);
      const token = new SignJWT({ sid: sessionId }).setSubject(userId);
      return { value: await sign(token, TICKET.typ, expiresAt), expiresAt };
    },
    verifyTicket: (token) =>
      verify<{ sid: string }>(token, TICKET, ['sid']).then(
        ({ sub, sid, expiresAt }) => ({ userId: sub, sessionId: sid, expiresAt }),
        () => null,
      ),
    signUpload: (uploadId) => sign(new SignJWT().setSubject(uploadId), UPLOAD.typ, inSeconds(UPLOAD_SECONDS)),
    verifyUpload: (token, uploadId) =>
      verify(token, UPLOAD, []).then(
        ({ sub, expiresAt }) => (sub === uploadId ? expiresAt : null),
        () => null,
      ),
  };
}

/** Returns a time in whole seconds, as tokens contain it. */
function inSeconds(seconds: number): Date {
  return new Date((Math.floor(Date.now() / 1000) + seconds) * 1000);
}
