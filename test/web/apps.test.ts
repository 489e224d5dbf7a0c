import { describe, expect, test } from 'vitest';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { buildApp, openApp } from './apps.ts';
import { hasChromium, openBrowser } from './browser.ts';

describe.skipIf(!hasChromium)('apps in Chromium (skipped without chromium)', () => {
  test('a page reloads when another user signs in in another tab', async () => {
    const { ann, ben } = await world(await startTestServer());
    const [browser, script] = [await openBrowser(), await buildApp('apollo')];
    const page = await openApp(browser, script, ann);
    const other = await page.context().newPage();
    await other.goto(ann.url);
    const reloaded = page.waitForEvent('framenavigated');
    const { id, username, accessToken, refreshToken } = ben;
    await other.evaluate(
      (tokens) => {
        localStorage.setItem('parley tokens', tokens);
      },
      JSON.stringify({ accessToken, refreshToken, user: { id, username } }),
    );
    expect((await reloaded).url()).toBe(`${ann.url}/app`);
  });
});
