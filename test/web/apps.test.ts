import { describe, expect, test } from 'vitest';
import { PNG } from '../support/files.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { buildApp, openApp } from './apps.ts';
import { hasChromium, openBrowser } from './browser.ts';

describe.skipIf(!hasChromium)('apps in Chromium (skipped without chromium)', () => {
  test.each(['apollo', 'urql'] as const)('a chosen picture is uploaded and shown with %s', async (name) => {
    const { ann } = await world(await startTestServer());
    const [browser, script] = [await openBrowser(), await buildApp(name)];
    const page = await openApp(browser, script, ann);
    const progress: string[] = [];
    await page.exposeFunction('recordProgress', (text: string) => progress.push(text));
    await page.evaluate(`new MutationObserver(() => recordProgress(document.querySelector('output').textContent))
      .observe(document.querySelector('output'), { childList: true })`);
    await page.locator('input[type=file]').setInputFiles({
      ...{ name: 'dot.png', mimeType: 'image/png', buffer: PNG.bytes },
    });
    const width = () =>
      page.locator('li img').evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth);
    await expect.poll(width).toBe(1);
    expect(progress[0]).toBe('dot.png: 0 %');
    expect(progress).toContain('dot.png: 100 %');
    expect(await page.locator('li').textContent()).toBe('ann: ');
  });

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
