import { describe, expect, test } from 'vitest';
import { sendFile, textFile } from '../support/files.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { enter, hasChromium, openBrowser, openPage, openRoom } from './browser.ts';

const MARK = `parent.document.title = document.title = 'executed'`;
const FILES = [
  ['page.html', 'text/html', `<!doctype html><script>${MARK}</script>`],
  [
    'drawing.svg',
    'image/svg+xml',
    `<svg xmlns="http://www.w3.org/2000/svg" onload="${MARK}"><script>${MARK}</script></svg>`,
  ],
  ['page.xhtml', 'application/xhtml+xml', `<html xmlns="http://www.w3.org/1999/xhtml"><script>${MARK}</script></html>`],
  ['script.js', 'text/javascript', MARK],
  ['script.txt', 'text/plain', MARK],
] as const;

describe.skipIf(!hasChromium)('a hostile file in a browser (skipped without chromium)', { timeout: 120_000 }, () => {
  test('executes nowhere, neither opened nor embedded by a page of this origin', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const chat = await openPage(await openBrowser(), server.url);
    await enter(chat, 'ben');
    await openRoom(chat, /A room/);
    // Another tab, because the browser logs what it refuses.
    const page = await chat.context().newPage();
    await page.goto(server.url);
    for (const [fileName, mediaType, text] of FILES) {
      const { attachments } = await sendFile(ann, room, { ...textFile(text, fileName), mediaType });
      const { url } = attachments[0];
      // The cookie of the page reads the file.
      expect(await page.evaluate(async (path) => (await fetch(path)).text(), url)).toBe(text);
      // The policy of the page allows scripts of its own origin.
      for (const tag of ['script', 'img', 'embed', 'object', 'iframe']) {
        const done = await page.evaluate(
          async ([name, path]) => {
            const element = document.createElement(name);
            const loaded = new Promise<string>((resolve) => {
              for (const type of ['load', 'error']) element.addEventListener(type, () => resolve(type));
              document.addEventListener('securitypolicyviolation', () => resolve('refused'));
            });
            element.setAttribute(name === 'object' ? 'data' : 'src', path);
            document.body.append(element);
            const outcome = await loaded;
            element.remove();
            return outcome;
          },
          [tag, url] as const,
        );
        // An image of an SVG runs no script.
        expect([fileName, tag, done]).toEqual([
          fileName,
          tag,
          expect.stringMatching(tag === 'img' ? /./ : /error|refused/),
        ]);
      }
      const tab = await page.context().newPage();
      const downloading = tab.waitForEvent('download');
      await tab.goto(`${server.url}${url}`).catch(() => undefined);
      expect((await downloading).suggestedFilename()).toBe(fileName);
      expect(tab.url()).toBe('about:blank');
      await tab.close();
      expect(await page.title()).not.toContain('executed');
    }
  });
});
