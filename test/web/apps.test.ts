import { describe, expect, test } from 'vitest';
import { PNG, sendFile } from '../support/files.ts';
import { startTestServer } from '../support/server.ts';
import { servePages } from '../support/web.ts';
import { world } from '../support/world.ts';
import { buildApp, openApp, write } from './apps.ts';
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
    await page.getByLabel('File', { exact: true }).setInputFiles({
      ...{ name: 'dot.png', mimeType: 'image/png', buffer: PNG.bytes },
    });
    const width = () =>
      page
        .getByRole('img', { name: 'dot.png' })
        .evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth);
    await expect.poll(width).toBe(1);
    expect(progress[0]).toBe('dot.png: 0 %');
    expect(progress).toContain('dot.png: 100 %');
    expect(await page.locator('li').textContent()).toBe('ann: ');
  });

  test.each(['apollo', 'urql'] as const)('avatars, files and link previews are shown with %s', async (name) => {
    // The two streams of a page have no common order, so the preview is found after both have delivered the message.
    let serve = () => {};
    const shown = new Promise<void>((resolve) => (serve = resolve));
    const { web, urlOf } = await servePages((_, response) => {
      void shown.then(() => response.writeHead(200, { 'content-type': 'text/html' }).end('<title>An article</title>'));
    });
    const { ann, ben, room } = await world(await startTestServer({ web }));
    const [browser, script] = [await openBrowser(), await buildApp(name)];
    const [page, other] = await Promise.all([openApp(browser, script, ann), openApp(browser, script, ben)]);
    const picture = { name: 'dot.png', mimeType: 'image/png', buffer: PNG.bytes };
    const choose = (label: string, file = picture) => page.getByLabel(label, { exact: true }).setInputFiles(file);
    await choose('Avatar of the room');
    for (const each of [page, other]) await each.locator('nav button img').waitFor();
    await choose('My avatar');
    const avatar = async () => (await ben.ask('{ user(username: "ann") { avatar { url } } }')).user.avatar;
    await expect.poll(avatar).not.toBeNull();
    await write(page, `see ${urlOf('/')}`);
    for (const each of [page, other]) await each.locator('li > img').waitFor();
    serve();
    for (const each of [page, other]) await each.locator('blockquote').getByText('An article').waitFor();
    expect(await other.getByRole('button', { name: 'Remove the preview' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Remove the preview' }).click();
    await expect.poll(() => other.locator('blockquote').count()).toBe(0);
    await choose('File', { name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('a note') });
    const file = other.getByRole('link', { name: 'note.txt (text/plain, 1 KB)' });
    await expect.poll(() => file.getAttribute('href')).toContain('ticket=');
    await sendFile(ben, room, PNG);
    await expect.poll(() => page.getByRole('link', { name: 'dot.png' }).getAttribute('href')).toContain('/original');
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
