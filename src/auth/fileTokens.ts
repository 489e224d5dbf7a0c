import { type JWTPayload, SignJWT } from 'jose';
import type { AccessClaims } from '../core/context.ts';
import { createTokenSigner, inSeconds } from './tokenSigner.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    fileTokens: FileTokens;
  }
}

/** Lifetime of a file ticket, in seconds. */
const FILE_TICKET_SECONDS = 60 * 60;
/** Time in which the request that sends an upload must begin, in seconds. */
export const UPLOAD_SECONDS = 15 * 60;

/** Signs and verifies the tokens in URLs of files. */
export interface FileTokens {
  /** Signs a ticket with which files can be read on behalf of a session. */
  signTicket(viewer: Pick<AccessClaims, 'userId' | 'sessionId'>): Promise<{ value: string; expiresAt: Date }>;
  /** Returns the claims of a valid ticket, or null. The caller must check whether the session is still active. */
  verifyTicket(token: string): Promise<AccessClaims | null>;
  /** Signs the permission to upload the bytes of one upload. */
  signUpload(uploadId: string): Promise<string>;
  /** Returns whether a permission is valid for an upload now. */
  verifyUpload(token: string, uploadId: string): Promise<boolean>;
}

/**
 * Creates the object that signs and verifies the file tokens of one node.
 *
 * @param secret signs new tokens
 * @param accepted other secrets that tokens may be signed with
 */
export function createFileTokens(secret: string, accepted: readonly string[] = []): FileTokens {
  const tickets = createTokenSigner('file+jwt', secret, accepted);
  const uploads = createTokenSigner('upload+jwt', secret, accepted);
  return {
    async signTicket({ userId, sessionId }) {
      const expiresAt = inSeconds(FILE_TICKET_SECONDS);
      const token = new SignJWT({ sid: sessionId }).setSubject(userId);
      return { value: await tickets.sign(token, expiresAt), expiresAt };
    },
    verifyTicket: (token) =>
      tickets.verify<{ sid: string }>(token, { requiredClaims: ['sub', 'exp', 'sid'] }).then(
        (claims) => ({ userId: claims.sub ?? '', sessionId: claims.sid, expiresAt: expiryOf(claims) }),
        () => null,
      ),
    signUpload: (uploadId) => uploads.sign(new SignJWT().setSubject(uploadId), inSeconds(UPLOAD_SECONDS)),
    verifyUpload: (token, uploadId) =>
      uploads.verify(token, { subject: uploadId, requiredClaims: ['sub', 'exp'] }).then(
        () => true,
        () => false,
      ),
  };
}

function expiryOf({ exp = 0 }: JWTPayload): Date {
  return new Date(exp * 1000);
}
