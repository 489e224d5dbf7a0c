import { expect, test } from 'vitest';
import { request } from './support/client.ts';
import { startIssuer } from './support/issuer.ts';
import { generateKey } from './support/openid.ts';
import { codeOf } from './support/operations.ts';
import { startTestServer } from './support/server.ts';

test('a running server follows the keys of the issuer of its access tokens', { timeout: 90_000 }, async () => {
  const issuer = await startIssuer();
  const { url } = await startTestServer({ env: { JWT_ISSUER: issuer.issuer, JWT_JWKS_URL: issuer.jwksUrl } });
  const outcome = async (token: string) => {
    const { data, errors } = await request(url, '{ viewer { id } }', {}, { authorization: `Bearer ${token}` });
    return codeOf(errors) ?? (data.viewer ? 'accepted' : 'nobody');
  };
  const known = await issuer.token('u1');
  expect(await outcome(known)).toBe('accepted');
  const second = await generateKey('second', 'ES256');
  issuer.published = [second.jwk];
  const fresh = await issuer.token('u1', { jti: '2' }, {}, second);
  // Keys are fetched at most once per half minute, so that forged tokens cannot flood the issuer.
  await expect.poll(() => outcome(fresh), { timeout: 60_000, interval: 500 }).toBe('accepted');
  expect(issuer.requests).toBe(2);
  expect(await outcome(await issuer.token('u1', { jti: '3' }))).toBe('UNAUTHENTICATED');
  // A token that was verified before is accepted until it expires.
  expect(await outcome(known)).toBe('accepted');
});
