import { expect, test } from 'vitest';
import { codes, generateKey, signedIn, signInWith, startWithProvider } from './support/openid.ts';

test('a running server accepts new keys of its provider', { timeout: 90_000 }, async () => {
  const { url, provider } = await startWithProvider();
  const old = await provider.token();
  const { user } = await signedIn(url, old);
  const second = await generateKey('second');
  provider.published = [second.jwk];
  const fresh = await provider.token({}, {}, second);
  // Keys are fetched at most once per half minute, so that forged tokens cannot flood the provider.
  await expect
    .poll(async () => (await signInWith(url, fresh)).data?.signInWithIdToken?.viewer.user, {
      timeout: 60_000,
      interval: 500,
    })
    .toEqual(user);
  expect(codes(await signInWith(url, old))).toEqual(['INVALID_CREDENTIALS']);
});
