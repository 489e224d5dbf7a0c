import { expect, test } from 'vitest';
import { codes, generateKey, signedIn, signInWith, startWithProvider } from './support/openid.ts';

test("the provider's keys may change while the server runs", { timeout: 90_000 }, async () => {
  const { url, provider } = await startWithProvider();
  const old = await provider.token();
  const { user } = await signedIn(url, old);
  const second = await generateKey('second');
  provider.published = [second.jwk];
  const fresh = await provider.token({}, {}, second);
  // The keys are not fetched anew within half a minute, so that made-up tokens are no way to flood the provider.
  await expect
    .poll(async () => (await signInWith(url, fresh)).data?.signInWithIdToken?.viewer.user, {
      timeout: 60_000,
      interval: 500,
    })
    .toEqual(user);
  expect(codes(await signInWith(url, old))).toEqual(['INVALID_CREDENTIALS']);
});
