import { decodeJwt, SignJWT } from 'jose';
import type { Person } from '../support/client.ts';
import { AUTH_SECRET } from '../support/server.ts';

/** Returns an access token of a person that expires in `seconds`. A negative number gives an expired token. */
export async function expiring({ accessToken }: Person, seconds: number): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...decodeJwt(accessToken), iat: now - 60, exp: now + seconds })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .sign(new TextEncoder().encode(AUTH_SECRET));
}

/** Exchanges a refresh token, which is accepted once. Reusing an older token ends the session. */
export const REFRESH = `mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken refreshToken }
}`;
