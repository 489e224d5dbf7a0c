import { build } from 'esbuild';
import type { Browser, Page } from 'playwright-core';

import type { Person } from '../support/client.ts';
import { openPage } from './browser.ts';

export const CACHES = ['apollo', 'urql'] as const;
export type CacheName = (typeof CACHES)[number];

const client = new URL('../../client/', import.meta.url).pathname;

/** Bundles the example of the hooks with one of the caches, from the client's sources. */
export async function buildExample(cache: CacheName): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../../examples/react/${cache}.tsx`, import.meta.url).pathname],
    ...{ bundle: true, write: false, format: 'esm', jsx: 'automatic', logLevel: 'error' },
    define: { 'process.env.NODE_ENV': '"development"' },
    alias: {
      '@parley/client/react/apollo': `${client}react/apollo.ts`,
      '@parley/client/react/urql': `${client}react/urql.ts`,
      '@parley/client/react': `${client}react/index.ts`,
      '@parley/client/apollo': `${client}apollo.ts`,
      '@parley/client/urql': `${client}urql.ts`,
      '@parley/client': `${client}index.ts`,
    },
  });
  return outputFiles[0]!.text;
}

/** Opens the example under the server's origin, signed in as a person. Any logged message fails the test. */
export async function openExample(browser: Browser, script: string, person: Person, url = person.url): Promise<Page> {
  const html = '<!doctype html><body><script type="module" src="/example.js"></script>';
  const page = await openPage(browser, `${url}/example#${person.accessToken}`, {
    offline: true,
    async prepare(opened) {
      await opened.route(`${url}/example`, (route) => route.fulfill({ contentType: 'text/html', body: html }));
      await opened.route(`${url}/example.js`, (route) =>
        route.fulfill({ contentType: 'text/javascript', body: script }),
      );
    },
  });
  await page.getByText('Rooms (').waitFor();
  return page;
}

/** Returns the numbers of the displayed messages, in order. */
export const numbersOf = (page: Page) =>
  page.locator('main li[id]').evaluateAll((rows) => rows.map(({ id }) => Number(id.slice('message-'.length))));

/** Returns the bodies of the displayed messages, in order. */
export const textsOf = (page: Page) => page.locator('main li span').allInnerTexts();
