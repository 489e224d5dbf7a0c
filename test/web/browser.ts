import { access } from 'node:fs/promises';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import { PASSWORD } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';

export const CHROMIUM = '/usr/bin/chromium';
export const hasChromium = await access(CHROMIUM).then(
  () => true,
  () => false,
);

export async function openBrowser(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'],
      // A page that a test fulfils has no IP address, so Chromium would block its requests to local addresses.
      '--disable-features=LocalNetworkAccessChecks',
    ],
  });
  onTestFinished(() => browser.close());
  return browser;
}

/**
 * Opens a window with separate cookies. A logged warning or error fails the test, and so does a request to a server that is
 * neither the one of `url` nor one of `servers`.
 */
export async function openPage(
  browser: Browser,
  url: string,
  {
    offline = false,
    servers = [],
    prepare,
    ...options
  }: BrowserContextOptions & {
    offline?: boolean;
    servers?: readonly string[];
    prepare?: (page: Page) => Promise<unknown>;
  } = {},
): Promise<Page> {
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // The browser logs each failed connection and request itself, which offline tests expect.
    if (offline && /ERR_|WebSocket connection|status of 503/.test(message.text())) return;
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('request', (request) => {
    const { origin } = new URL(request.url());
    if (![new URL(url).origin, ...servers].includes(origin)) complaints.push(`asks ${request.url()}`);
  });
  onTestFinished(async () => {
    const shown = await page.locator('body').innerText();
    expect(shown).not.toMatch(/\[object|undefined|NaN|Invalid Date/);
    expect(complaints).toEqual([]);
    await context.close();
  });
  await prepare?.(page);
  await page.goto(url);
  return page;
}

/** Signs in with username and password, and waits for the rooms. */
export async function enter(page: Page, username: string): Promise<void> {
  await page.getByLabel('Username or e-mail address').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('navigation', { name: 'Rooms' }).waitFor();
}

/** Opens a room from the list, and waits until its composer is usable. */
export async function openRoom(page: Page, name: string | RegExp): Promise<void> {
  await page.getByRole('navigation', { name: 'Rooms' }).getByRole('link', { name }).click();
  await box(page).waitFor();
}

export const box = (page: Page) => page.getByRole('textbox', { name: /^Message to/ });

/** Sends a message in the open room. */
export async function write(page: Page, text: string): Promise<void> {
  await box(page).fill(text);
  await box(page).press('Enter');
}

/** Returns the displayed bodies of the open room's messages, in order. */
export const bodies = (page: Page) => page.locator('.history .body').allInnerTexts();

/** Returns a message of the open room by its text. */
export const messageOf = (page: Page, text: string) => page.locator('.message', { hasText: text });

/** Runs an action of a message's menu in the open room. */
export async function act(page: Page, text: string, action: string): Promise<void> {
  const message = messageOf(page, text);
  await message.hover();
  await message.getByRole('button', { name: /^Actions for message/ }).click();
  await message.getByRole('button', { name: action }).click();
}

/** Starts a server, and opens ann's page with the room that she shares with ben. */
export async function openPageOfAnn(
  options: Parameters<typeof openPage>[2],
  serverOptions: Parameters<typeof startTestServer>[0] = {},
) {
  const server = await startTestServer(serverOptions);
  const people = await world(server);
  const page = await openPage(await openBrowser(), server.url, options);
  await enter(page, 'ann');
  await openRoom(page, /A room/);
  return { ...people, server, page };
}
