import { access } from 'node:fs/promises';
import { type Browser, chromium, type Page } from 'playwright-core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DEMO_PASSWORD } from '../src/demo/people.ts';
import { DEMO_ROOM, seedDemo } from '../src/demo/seed.ts';
import { encodeId } from '../src/ids.ts';
import { createProgress } from '../src/progress.ts';
import { request, signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, SEND } from './support/world.ts';

const CHROMIUM = '/usr/bin/chromium';
const hasChromium = await access(CHROMIUM).then(
  () => true,
  () => false,
);

const TABS = ['SignIn', 'Send', 'Listen', 'Page', 'Fail'];

async function openBrowser(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  onTestFinished(() => browser.close());
  return browser;
}

/** GraphiQL in a window, and what it has sent. */
interface Window {
  page: Page;
  /** Requests to other hosts. */
  elsewhere: string[];
  /** What it sent over its WebSockets. */
  frames: string[];
}

async function openGraphiQL(url: string): Promise<Window> {
  const page = await (await openBrowser()).newPage({ viewport: { width: 1280, height: 800 } });
  const elsewhere: string[] = [];
  const frames: string[] = [];
  page.on('request', (sent) => {
    if (!sent.url().startsWith(`${url}/`) && !/^(?:data|blob):/.test(sent.url())) elsewhere.push(sent.url());
  });
  page.on('websocket', (socket) => {
    if (!socket.url().startsWith(`${url.replace(/^http/, 'ws')}/`)) elsewhere.push(socket.url());
    socket.on('framesent', ({ payload }) => frames.push(payload.toString()));
  });
  await page.goto(`${url}/graphql`);
  await ready(page);
  return { page, elsewhere, frames };
}

/** The editors come later than the tabs, and take nothing up before. */
async function ready(page: Page): Promise<void> {
  for (const editor of ['.graphiql-query-editor', '.graphiql-editor-tool', '.graphiql-response'])
    await page.locator(`${editor} .monaco-editor`).first().waitFor();
}

async function tabNames(page: Page): Promise<string[]> {
  return (await page.locator('button.graphiql-tab-button').allInnerTexts()).map((name) => name.trim());
}

/** The text in a part of the page; its editors show spaces that do not break. */
async function textIn(page: Page, part: string): Promise<string> {
  return (await page.locator(part).first().innerText()).replaceAll('\u00a0', ' ');
}

const answer = (page: Page) => textIn(page, '.graphiql-response');

async function openTab(page: Page, name: string): Promise<void> {
  // The tabs can be dragged, and take the driver's quick press and release for the beginning of that.
  await page.locator('button.graphiql-tab-button', { hasText: name }).dispatchEvent('click');
  await expect
    .poll(() => textIn(page, '.graphiql-query-editor'))
    .toMatch(new RegExp(`(mutation|subscription|query) ${name}`));
}

async function pressRun(page: Page): Promise<void> {
  await page.locator('.graphiql-query-editor .view-lines').first().click();
  await page.keyboard.press('Control+Enter');
}

/** Opens one of the tabs and runs it until it shows a text: right after opening, GraphiQL still runs the one before. */
async function run(page: Page, name: string, text: string): Promise<void> {
  await openTab(page, name);
  const shown = async () => {
    await pressRun(page);
    // Running it clears the answer, and the next run comes only when this one has been answered.
    await expect.poll(() => answer(page), { timeout: 10_000 }).not.toBe('');
    return answer(page);
  };
  await expect.poll(shown, { timeout: 40_000, interval: 500 }).toContain(text);
}

/** Runs the open tab until its subscription is on its way. */
async function listen({ page, frames }: Window): Promise<void> {
  const sent = async () => {
    // While it runs, the same keys would stop it.
    if (!(await page.getByRole('button', { name: /stop/i }).isVisible())) await pressRun(page);
    return frames.some((frame) => frame.includes('"type":"subscribe"') && frame.includes('Listen'));
  };
  await expect.poll(sent, { timeout: 20_000, interval: 500 }).toBe(true);
}

/** Replaces what one of the small editors holds. */
async function write(page: Page, editor: 'Variables' | 'Headers', value: object): Promise<void> {
  await page.getByRole('button', { name: editor, exact: true }).click();
  await page.locator('.graphiql-editor-tool .view-lines:visible').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(JSON.stringify(value));
}

/** Sends until it is heard: the page does not say when the server has taken the subscription up. */
async function heard(page: Page, send: () => Promise<unknown>, body: string): Promise<void> {
  const answered = async () => {
    await send();
    return answer(page);
  };
  await expect.poll(answered, { timeout: 20_000, interval: 500 }).toContain(body);
}

describe.skipIf(!hasChromium)('GraphiQL in a browser (skipped without /usr/bin/chromium)', () => {
  test('with demo data its tabs run from left to right, live, after a reload, and without the internet', async () => {
    const server = await startTestServer();
    const { database, passwords } = server.node;
    await seedDemo({ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) });
    const window = await openGraphiQL(server.url);
    const { page, elsewhere } = window;

    expect(await tabNames(page)).toEqual(TABS);
    await run(page, 'SignIn', '"accessToken"');
    await run(page, 'Send', '"number": 200');
    await openTab(page, 'Listen');
    await listen(window);
    const { data } = await request(
      server.url,
      'mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }',
      { input: { usernameOrEmail: 'ben', password: DEMO_PASSWORD } },
    );
    const ben = { authorization: `Bearer ${data.signIn.accessToken}` };
    const input = { chatroomId: encodeId('Chatroom', DEMO_ROOM), body: 'live from elsewhere' };
    await heard(page, () => request(server.url, SEND, { input }, ben), 'live from elsewhere');
    await run(page, 'Page', '"name": "The garden"');
    await run(page, 'Fail', '"code": "NOT_FOUND"');

    await openTab(page, 'Send');
    // Kept a moment later, and without the token.
    await expect
      .poll(() => page.evaluate(() => JSON.stringify(localStorage)), { timeout: 10_000 })
      .toContain('\\"activeTabIndex\\":1');
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain('Bearer');
    await page.reload();
    await ready(page);
    expect(await tabNames(page)).toEqual(TABS);
    await run(page, 'Send', '"deduplicated": false');
    expect(elsewhere).toEqual([]);
  }, 120_000);

  test('without demo data it has nobody’s token, and a WebSocket opens with the Headers of the tab', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: 'A room' } });
    const room = createChatroom.chatroom.id as string;
    const window = await openGraphiQL(server.url);
    const { page, elsewhere, frames } = window;

    expect(await tabNames(page)).toEqual(TABS);
    expect(/"defaultHeaders":"[^}]*\}/.exec(await page.content())?.[0]).toContain('Bearer TOKEN');
    await run(page, 'SignIn', '"code": "INVALID_CREDENTIALS"');
    await openTab(page, 'Listen');
    await write(page, 'Headers', { Authorization: `Bearer ${ann.accessToken}` });
    await write(page, 'Variables', { room });
    await listen(window);
    const input = { chatroomId: room, body: 'to one who signed up' };
    await heard(page, () => ann.ask(SEND, { input }), 'to one who signed up');
    const [init = ''] = frames.filter((frame) => frame.includes('connection_init'));
    expect(JSON.parse(init).payload).toEqual({ authorization: `Bearer ${ann.accessToken}` });
    expect(elsewhere).toEqual([]);
  }, 120_000);
});
