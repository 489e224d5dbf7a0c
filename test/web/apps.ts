import { build, type Rolldown } from 'vite';
import type { Browser, Page } from 'playwright-core';
import type { Person } from '../support/client.ts';
import { openPage } from './browser.ts';

export const APPS = ['apollo', 'urql', 'byHand'] as const;
export type AppName = (typeof APPS)[number];

const pathOf = (path: string) => new URL(`../../${path}`, import.meta.url).pathname;

/** Builds a page of examples/app, or the page without a client library, from the client's sources. */
export async function buildApp(name: AppName): Promise<string> {
  const output = await build({
    ...{ configFile: false, mode: 'production', logLevel: 'error' },
    define: { 'process.env.NODE_ENV': '"production"' },
    plugins: [
      {
        name: 'address',
        // Serves the page under the server's origin.
        transform: (code) => code.replace('http://localhost:4000/graphql', '/graphql'),
      },
    ],
    resolve: {
      alias: [
        { find: /^@parley\/client$/, replacement: pathOf('client/index.ts') },
        { find: /^@parley\/client\/(apollo|urql)$/, replacement: pathOf('client/$1.ts') },
      ],
    },
    build: {
      ...{ write: false, target: 'es2022', modulePreload: false, minify: false },
      rollupOptions: { input: pathOf(name === 'byHand' ? 'test/web/byHand.mjs' : `examples/app/src/${name}Page.ts`) },
    },
  });
  const { output: files } = output as Rolldown.RolldownOutput;
  if (files.length !== 1) throw new Error('The build has more than one file.');
  return files[0].code;
}

/** Opens an app's page, signed in as a person, with a room open. */
export async function openApp(browser: Browser, script: string, person: Person): Promise<Page> {
  const html = '<!doctype html><meta charset="utf-8"><body><script type="module" src="/app.js"></script>';
  const { id, username, accessToken, refreshToken } = person;
  const tokens = JSON.stringify({ accessToken, refreshToken, user: { id, username } });
  const page = await openPage(browser, `${person.url}/app`, {
    offline: true,
    async prepare(opened) {
      await opened.addInitScript((text) => {
        localStorage.setItem('parley tokens', text);
      }, tokens);
      await opened.route('**/app', (route) => route.fulfill({ contentType: 'text/html', body: html }));
      await opened.route('**/app.js', (route) => route.fulfill({ contentType: 'text/javascript', body: script }));
    },
  });
  await page.getByRole('button', { name: 'A room' }).click();
  return page;
}

/** Sends a message in the open room. */
export const write = (page: Page, body: string) =>
  page.getByPlaceholder('Message').evaluate((input, text) => {
    (input as unknown as { value: string }).value = text;
    input.dispatchEvent(new Event('change'));
  }, body);

/** Returns the displayed number of unread messages, rooms and messages. */
export async function screenOf(page: Page) {
  const [title, rooms, messages] = await Promise.all([
    page.locator('h1').innerText(),
    page.locator('nav button').allInnerTexts(),
    page.locator('ol li').allInnerTexts(),
  ]);
  return { title, rooms, messages };
}
