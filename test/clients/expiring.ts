import { decodeJwt, SignJWT } from 'jose';
import type { Person } from '../support/client.ts';
import { AUTH_SECRET } from '../support/server.ts';

/** A person's access token as it would be so many seconds before it runs out; less than none for one that has. */
export async function expiring({ accessToken }: Person, seconds: number): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...decodeJwt(accessToken), iat: now - 60, exp: now + seconds })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .sign(new TextEncoder().encode(AUTH_SECRET));
}

/** Trades a refresh token once; a second time ends the session. */
export const REFRESH = `mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken refreshToken }
}`;
