import { describe, expect, test } from 'vitest';
import { PNG } from '../support/files.ts';
import { servePages } from '../support/web.ts';
import { hasChromium, messageOf, openPageOfAnn, write } from './browser.ts';

describe.skipIf(!hasChromium)('link previews in a browser (skipped without chromium)', { timeout: 120_000 }, () => {
  test('a sent link shows what its page says, until it is removed', async () => {
    const title = 'A &lt;img src=x onerror=alert(1)&gt; page';
    const { web, urlOf } = await servePages(({ url }, response) => {
      if (url === '/photo.png') response.writeHead(200, { 'content-type': 'image/png' }).end(PNG.bytes);
      else
        response
          .writeHead(200, { 'content-type': 'text/html' })
          .end(
            `<title>${title}</title><meta name="description" content="About it"><meta property="og:site_name" content="My Bank"><meta property="og:image" content="/photo.png">`,
          );
    });
    const { page } = await openPageOfAnn({ viewport: { width: 390, height: 740 } }, { web });
    await write(page, `see ${urlOf('/article')}`);
    const preview = messageOf(page, 'see').getByRole('list', { name: 'Link previews' }).getByRole('link');
    await preview.getByText('A <img src=x onerror=alert(1)> page').waitFor();
    await preview.getByText('About it').waitFor();
    // A page may call itself whatever it likes, so its host is shown as well.
    await preview.getByText(`${new URL(urlOf('/')).host} · My Bank`).waitFor();
    const image = preview.locator('img');
    await expect.poll(() => image.evaluate((element: HTMLImageElement) => element.naturalWidth)).toBe(1);
    expect(await preview.getAttribute('href')).toBe(urlOf('/article'));
    const bounds = await preview.boundingBox();
    expect(bounds!.x + bounds!.width).toBeLessThanOrEqual(390);
    await messageOf(page, 'see')
      .getByRole('button', { name: /^Remove the preview of A/ })
      .click();
    await expect.poll(() => preview.count()).toBe(0);
  });
});
