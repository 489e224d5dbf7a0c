/**
 * Takes the pictures in docs/images of the page to chat in: `npm run build`, then `npm run screenshots`. It wants a chromium,
 * and fonts for the languages and emoji of the demo.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { DEMO_PASSWORD } from '../src/demo/people.ts';

const IMAGES = new URL('../docs/images/', import.meta.url).pathname;
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
/** They are shown on a page that loads all of them. */
const MOST_BYTES = 150_000;

const WIDE: BrowserContextOptions = { viewport: { width: 1200, height: 760 } };
const NARROW: BrowserContextOptions = { viewport: { width: 390, height: 760 } };
const DARK: BrowserContextOptions = { colorScheme: 'dark' };

const TALK = [
  ['chloe', 'Who brings what on Friday? I bake, as always.'],
  ['minjun', '저는 김치전을 만들게요!'],
  ['noa', 'חומוס, פיתות וסלט גדול'],
  ['ann', 'Tomatoes, finally ripe. All of them.'],
  ['chloe', 'All of them? Then I make a tart as well 🍅'],
] as const;

const SIGN_IN = 'mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }';
const SEND = 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }';
const REACT = 'mutation ($input: ReactionInput!) { addReaction(input: $input) { message { id } } }';

const dataDir = await mkdtemp(join(tmpdir(), 'parley-screenshots-'));
await chmod(dataDir, 0o755);
const server = spawn(process.execPath, ['dist/main.js'], {
  env: { PATH: process.env['PATH'], PORT: '0', DATA_DIR: dataDir, LOG_LEVEL: 'warn' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
try {
  const url = await listening();
  await mkdir(IMAGES, { recursive: true });
  await prepare(url);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  await shoot(browser, url);
  await browser.close();
} finally {
  server.kill('SIGTERM');
  await once(server, 'exit');
  await rm(dataDir, { recursive: true, force: true });
}

async function shoot(browser: Browser, url: string): Promise<void> {
  const visitor = await open(browser, url, WIDE);
  await visitor.getByRole('button', { name: 'Ann', exact: true }).waitFor();
  await save(visitor, 'sign-in');

  // Somebody has to be online.
  const chloe = await open(browser, url, WIDE, 'Chloé');
  await chloe.getByRole('link', { name: /Friday kitchen/ }).click();

  const ann = await open(browser, url, WIDE, 'Ann');
  await ann.getByRole('link', { name: /Friday kitchen/ }).click();
  await chloe.getByRole('textbox', { name: /^Message to/ }).fill('And who brings');
  await ann.getByText('Chloé is typing…').waitFor();
  await save(ann, 'room');

  const phone = await open(browser, url, { ...NARROW, ...DARK }, 'Ann');
  await phone.getByRole('link', { name: /Friday kitchen/ }).waitFor();
  await save(phone, 'rooms-narrow-dark');
  await phone.getByRole('link', { name: /The garden/ }).click();
  await phone.getByRole('textbox', { name: /^Message to/ }).waitFor();
  await save(phone, 'room-narrow-dark');

  await ann.context().setOffline(true);
  await ann.locator('.connection[data-state=offline]').waitFor({ timeout: 60_000 });
  await ann.getByRole('textbox', { name: /^Message to/ }).fill('I am in the shed, where there is no signal.');
  await ann.keyboard.press('Enter');
  await ann.getByText('sending…').waitFor();
  await save(ann, 'offline');

  const night = await open(browser, url, { ...WIDE, ...DARK }, 'Ann');
  await night.getByRole('link', { name: /The garden/ }).click();
  await night.getByRole('textbox', { name: /^Message to/ }).waitFor();
  await night.getByRole('button', { name: 'Search this room' }).click();
  await night.getByRole('searchbox').fill('toad');
  await night.getByText(/found$/).waitFor();
  await save(night, 'search-dark');
}

/** A window; with a name, one in which one of the demo's people is signed in. */
async function open(browser: Browser, url: string, options: BrowserContextOptions, name?: string): Promise<Page> {
  const context = await browser.newContext({ ...options, locale: 'en-GB' });
  const page = await context.newPage();
  await page.goto(url);
  if (name !== undefined) {
    await page.getByRole('button', { name, exact: true }).click();
    await page.locator('.connection[data-state=live]').waitFor({ state: 'attached' });
  }
  return page;
}

async function save(page: Page, name: string): Promise<void> {
  const path = `${IMAGES}${name}.png`;
  await page.screenshot({ path, caret: 'hide' });
  const { size } = await stat(path);
  console.log(`${name}.png, ${Math.round(size / 1024)} KB`);
  if (size > MOST_BYTES) throw new Error(`${name}.png is too large. Show less in it.`);
}

/** Something is said today. */
async function prepare(url: string): Promise<void> {
  const tokens = new Map<string, string>();
  for (const [username] of TALK) {
    const { signIn } = await ask(url, null, SIGN_IN, { input: { usernameOrEmail: username, password: DEMO_PASSWORD } });
    tokens.set(username, signIn.accessToken);
  }
  const token = (username: string) => tokens.get(username) ?? null;
  const { viewer } = await ask(url, token('ann'), '{ viewer { chatrooms { nodes { id name } } } }');
  const room = viewer.chatrooms.nodes.find(({ name }: { name: string | null }) => name === 'Friday kitchen');
  const ids: string[] = [];
  for (const [username, body] of TALK) {
    const { sendMessage } = await ask(url, token(username), SEND, { input: { chatroomId: room.id, body } });
    ids.push(sendMessage.message.id);
  }
  for (const username of ['chloe', 'noa'])
    await ask(url, token(username), REACT, { input: { messageId: ids[3], emoji: '🎉' } });
  await ask(url, token('noa'), SEND, { input: { chatroomId: room.id, body: 'כן!', replyToId: ids[4] } });
}

async function ask(url: string, token: string | null, query: string, variables: object = {}): Promise<any> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== null && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as { data?: unknown; errors?: { message: string }[] };
  if (errors?.[0]) throw new Error(errors[0].message);
  return data;
}

function listening(): Promise<string> {
  let output = '';
  return new Promise((resolve, reject) => {
    server.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const [, url] = /HTTP, SSE +(http\S+)\/graphql/.exec(output) ?? [];
      if (url !== undefined) resolve(url);
    });
    server.once('exit', () => {
      reject(new Error(`The server ended: run npm run build first.\n${output}`));
    });
  });
}
