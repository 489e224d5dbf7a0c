import { describe, expect, test } from 'vitest';
import { startTestServer } from '../support/server.ts';
import { hasChromium, openBrowser, openPage } from './browser.ts';

describe.skipIf(!hasChromium)('the page in a browser (skipped without chromium)', { timeout: 120_000 }, () => {
  test('hides the sign-up form if the server creates no accounts', async () => {
    const browser = await openBrowser();
    for (const [env, count] of [
      [{}, 1],
      [{ SIGN_UP: 'off' }, 0],
    ] as const) {
      const { url } = await startTestServer({ env });
      const page = await openPage(browser, url);
      await page.getByRole('button', { name: 'Reset password' }).waitFor();
      await expect.poll(() => page.getByRole('button', { name: 'Sign up' }).count()).toBe(count);
    }
  });
});
