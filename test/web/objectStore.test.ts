import { readFile } from 'node:fs/promises';
import { AwsClient } from 'aws4fetch';
import { describe, expect, test } from 'vitest';
import { photo } from '../files/inputs.ts';
import { startS3 } from '../support/s3.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { box, enter, hasChromium, openBrowser, openPage, openRoom } from './browser.ts';

/** Allows the pages of an origin to use the bucket, by the rule of docs/operations.md. */
async function allowOrigin(env: Record<string, string>, origin: string): Promise<void> {
  const guide = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const [rule = ''] = /<CORSConfiguration>.*<\/CORSConfiguration>/s.exec(guide) ?? [];
  const accessKeyId = env['S3_ACCESS_KEY_ID'] ?? '';
  const secretAccessKey = env['S3_SECRET_ACCESS_KEY'] ?? '';
  const client = new AwsClient({ accessKeyId, secretAccessKey, service: 's3', region: 'us-east-1' });
  const body = rule.replace('https://chat.example.org', origin);
  const response = await client.fetch(`${env['S3_ENDPOINT']}/${env['S3_BUCKET']}?cors`, { method: 'PUT', body });
  expect([response.status, await response.text()]).toEqual([200, '']);
}

describe.skipIf(!hasChromium)('an object store and a browser (skipped without chromium)', { timeout: 60_000 }, () => {
  test('the page sends a picture to the store, and shows it from there', async () => {
    const { env } = await startS3();
    const server = await startTestServer({ env });
    await world(server);
    await allowOrigin(env, new URL(server.url).origin);
    const store = env['S3_ENDPOINT'] ?? '';
    const browser = await openBrowser();
    const open = async (name: string) => {
      const page = await openPage(browser, server.url, { servers: [store] });
      await enter(page, name);
      await openRoom(page, /A room/);
      return page;
    };
    const [page, bens] = [await open('ann'), await open('ben')];
    const requested: string[] = [];
    for (const each of [page, bens])
      each.on('request', (request) => requested.push(`${request.method()} ${new URL(request.url()).origin}`));
    const buffer = await photo(640, 480).jpeg().toBuffer();
    await page.locator('.composer input[type=file]').setInputFiles({ name: 'a.jpg', mimeType: 'image/jpeg', buffer });
    await box(page).fill('from the hill');
    await page.getByRole('button', { name: 'Send' }).and(page.locator(':enabled')).click();
    for (const each of [page, bens]) {
      await each.getByRole('button', { name: 'View a.jpg' }).waitFor();
      const width = () => each.locator('.pictures img').evaluate((image: HTMLImageElement) => image.naturalWidth);
      await expect.poll(width).toBeGreaterThan(300);
    }
    expect(requested).toContain(`PUT ${store}`);
    expect(requested).toContain(`GET ${store}`);
  });
});
