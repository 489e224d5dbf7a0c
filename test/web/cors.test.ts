import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { build } from 'esbuild';
import { chromium, type Page } from 'playwright-core';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { startTestServer } from '../support/server.ts';
import { CHROMIUM, hasChromium } from './browser.ts';

let script: string;

beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: ['client/index.ts'],
    ...{ bundle: true, write: false, format: 'iife', globalName: 'parley', platform: 'browser' },
  });
  script = outputFiles[0]?.text ?? '';
});

/** An empty page whose origin is neither the server's nor that of a development server. */
async function openForeignPage(): Promise<Page> {
  const pages = createServer((_, response) =>
    response.setHeader('content-type', 'text/html').end('<title>An app</title>'),
  );
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP app.example 127.0.0.1'],
  });
  onTestFinished(async () => {
    await browser.close();
    pages.close();
  });
  const page = await browser.newPage();
  await page.goto(`http://app.example:${(pages.address() as AddressInfo).port}/`);
  await page.addScriptTag({ content: script });
  return page;
}

/** Runs a query in the page, and returns its data or the error message. */
const ask = (page: Page, url: string) =>
  page.evaluate((address) => {
    const client = (globalThis as any).parley.createChatClient({
      url: `${address}/graphql`,
      getAccessToken: () => null,
    });
    return client.execute('{ __typename }', {}).catch((error: Error) => error.message);
  }, url);

describe.skipIf(!hasChromium)('a page of another origin', () => {
  test('gets an error that names ALLOWED_ORIGINS', async () => {
    const { url } = await startTestServer();
    const page = await openForeignPage();
    const { origin } = new URL(page.url());
    expect(await ask(page, url)).toBe(
      `The server runs, but may not allow pages of ${origin}. Add this origin to ALLOWED_ORIGINS of the server.`,
    );
  });

  test('gets data if ALLOWED_ORIGINS includes its origin', async () => {
    const page = await openForeignPage();
    const { url } = await startTestServer({ env: { ALLOWED_ORIGINS: new URL(page.url()).origin } });
    expect(await ask(page, url)).toEqual({ __typename: 'Query' });
  });

  test('gets an error if no server responds at the address', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    expect(await ask(await openForeignPage(), url)).toBe(
      'The server cannot be reached. Check the connection and try again.',
    );
  });
});
