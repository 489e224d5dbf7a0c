/**
 * Takes screenshots of the chat page: `npm run build`, then `npm run screenshots`. Requires Chromium, and fonts for the
 * languages and emoji of the demo.
 *
 * Without an argument, writes the screenshots of the documents to docs/images. With a folder as argument, writes every
 * screen to that folder, at four widths, light and dark.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import sharp from 'sharp';
import { DEMO_PASSWORD } from '../src/server/demo/people.ts';

const IMAGES = new URL('../docs/images/', import.meta.url).pathname;
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
/** Maximum size of a screenshot in bytes, because readers of the documents download it. */
const MAX_BYTES = 150_000;

const HEIGHT = 840;
const WIDTHS = [320, 390, 768, 1280];
const SCHEMES = ['light', 'dark'] as const;

/** The picture that Ann sends, and the file that Chloé sends. */
const [PICTURE, RECIPE] = ['tomatoes.jpg', 'recipe.txt'];
const picture = await sharp(new URL('tomatoes.svg', import.meta.url).pathname)
  .jpeg({ quality: 85 })
  .toBuffer();
const recipe = Buffer.from('Tomatoes, thyme, and two hours of patience.\n');

const TALK = [
  ['chloe', 'Who brings what on Friday? I bake, as always.'],
  ['minjun', '저는 김치전을 만들게요!'],
  ['noa', 'חומוס, פיתות וסלט גדול'],
  ['ann', 'Tomatoes, finally ripe. All of them.'],
  ['chloe', 'All of them? Then I make a tart as well 🍅'],
] as const;

const SIGN_IN = 'mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }';
const SEND = 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }';
const CREATE_UPLOAD = `mutation ($input: CreateUploadInput!) {
  createUpload(input: $input) { upload { id method url headers { name value } } }
}`;
const COMPLETE_UPLOAD = 'mutation ($id: ID!) { completeUpload(input: { uploadId: $id }) { attachment { id } } }';
const REACT = 'mutation ($input: ReactionInput!) { addReaction(input: $input) { message { id } } }';

const folder = process.argv[2];
const dataDir = await mkdtemp(join(tmpdir(), 'parley-screenshots-'));
await chmod(dataDir, 0o755);
const server = spawn(process.execPath, ['dist/main.js'], {
  env: { PATH: process.env['PATH'], PORT: '0', DATA_DIR: dataDir, LOG_LEVEL: 'warn' },
  stdio: ['ignore', 'pipe', 'inherit'],
});
try {
  const url = await listening();
  await prepare(url);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  await (folder === undefined ? shootDocuments(browser, url) : shootEverything(browser, url, resolve(folder)));
  await browser.close();
} finally {
  server.kill('SIGTERM');
  await once(server, 'exit');
  await rm(dataDir, { recursive: true, force: true });
}

/** Takes the screenshots of the documents. */
async function shootDocuments(browser: Browser, url: string): Promise<void> {
  const save = async (page: Page, name: string) => {
    const path = `${IMAGES}${name}.png`;
    await page.screenshot({ path, caret: 'hide' });
    const { size } = await stat(path);
    console.log(`${name}.png, ${Math.round(size / 1024)} KB`);
    if (size > MAX_BYTES) throw new Error(`${name}.png is too large. Show less in it.`);
  };
  const wide: BrowserContextOptions = { viewport: { width: 1200, height: HEIGHT } };
  // Another user has to be online.
  const chloe = await openAs(browser, url, wide, 'Chloé');
  await openRoom(chloe, /Friday kitchen/);
  const ann = await openAs(browser, url, wide, 'Ann');
  await openRoom(ann, /Friday kitchen/);
  await chloe.getByRole('textbox', { name: /^Message to/ }).pressSequentially('And who brings');
  await ann.getByText('Chloé is typing…').waitFor();
  await save(ann, 'room');

  const phone = await openAs(
    browser,
    url,
    { viewport: { width: 390, height: HEIGHT }, colorScheme: 'dark', hasTouch: true, isMobile: true },
    'Ann',
  );
  await openRoom(phone, /Friday kitchen/);
  await save(phone, 'room-narrow-dark');
}

/** Takes a screenshot of every screen, at every width, light and dark. */
async function shootEverything(browser: Browser, url: string, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  const chloe = await openAs(browser, url, {}, 'Chloé');
  await openRoom(chloe, /Friday kitchen/);
  for (const colorScheme of SCHEMES) {
    for (const width of WIDTHS) {
      const options: BrowserContextOptions = { viewport: { width, height: HEIGHT }, colorScheme };
      const save = async (page: Page, name: string) => {
        await page.screenshot({ path: join(into, `${name}-${width}-${colorScheme}.png`), caret: 'hide' });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (overflow > 0) console.error(`${name} is ${overflow} px too wide at ${width} px.`);
      };
      await shootSignedOut(browser, url, options, save);
      await shootSignedIn(browser, url, options, save);
      console.log(`${width} px, ${colorScheme}`);
    }
  }
}

type Save = (page: Page, name: string) => Promise<void>;

async function shootSignedOut(browser: Browser, url: string, options: BrowserContextOptions, save: Save) {
  const page = await open(browser, url, options);
  await page.getByRole('button', { name: 'Ann', exact: true }).waitFor();
  await save(page, 'sign-in');
  await page.getByRole('button', { name: 'Sign up' }).click();
  await page.getByLabel('Username').fill('ann');
  await page.getByLabel('Password').fill(DEMO_PASSWORD);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await page.getByRole('alert').filter({ hasText: /./ }).waitFor();
  await save(page, 'sign-up-refused');
  await page.getByRole('button', { name: 'Reset password' }).click();
  await save(page, 'forgot-password');
  await page.goto(`${url}/?verifyEmail=none`);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByRole('alert').filter({ hasText: /./ }).waitFor();
  await save(page, 'verify-email');
  await page.goto(`${url}/?resetPassword=none`);
  await page.getByRole('textbox', { name: 'New password' }).waitFor();
  await save(page, 'reset-password');
  await page.context().close();
}

async function shootSignedIn(browser: Browser, url: string, options: BrowserContextOptions, save: Save) {
  const page = await openAs(browser, url, options, 'Ann');
  await save(page, 'rooms');
  for (const name of ['Your profile: Ann', 'Friends', 'New room', 'Find rooms', 'Search messages']) {
    await page.getByRole('button', { name }).click();
    await page.getByRole('dialog').waitFor();
    await waitForLists(page);
    const slug = name.toLowerCase().replaceAll(/[^a-z]+/g, '-');
    if (name === 'Search messages') {
      await page.getByRole('searchbox').fill('tom');
      await page.getByText(/found$/).waitFor();
    }
    await save(page, slug);
    if (name === 'Your profile: Ann') {
      await page.getByText('Where you are signed in').click();
      await page.getByText('This browser').waitFor();
      await page.getByRole('button', { name: 'Sign out', exact: true }).last().scrollIntoViewIfNeeded();
      await save(page, `${slug}-sessions`);
    }
    await page.keyboard.press('Escape');
  }
  await openRoom(page, /Friday kitchen/);
  await page.getByRole('button', { name: /^Read by/ }).waitFor();
  await save(page, 'room');
  await page.getByRole('button', { name: `View ${PICTURE}` }).click();
  await page.getByRole('dialog').locator('img').waitFor();
  await page.waitForLoadState('networkidle');
  await save(page, 'picture');
  await page.keyboard.press('Escape');
  await page.locator('.composer input[type=file]').setInputFiles([
    { name: PICTURE, mimeType: 'image/jpeg', buffer: picture },
    { name: RECIPE, mimeType: 'text/plain', buffer: recipe },
  ]);
  await page.getByRole('button', { name: 'Send' }).and(page.locator(':enabled')).waitFor();
  await save(page, 'room-files-to-send');
  for (const name of [PICTURE, RECIPE]) await page.getByRole('button', { name: `Remove ${name}` }).click();
  await page.getByRole('button', { name: /^Read by/ }).hover();
  await page.getByRole('tooltip').waitFor();
  await save(page, 'room-read-by');
  const message = page.locator('.message', { hasText: 'Then I make a tart' }).first();
  await message.hover();
  await message.getByRole('button', { name: /^Actions for/ }).click();
  await page.locator('.menu').waitFor();
  await save(page, 'room-menu');
  await page.getByRole('button', { name: 'Reply' }).click();
  await save(page, 'room-reply');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'About this room' }).click();
  await page.getByRole('dialog').getByText('Chloé').waitFor();
  await save(page, 'about-room');
  await page.keyboard.press('Escape');
  await page.context().setOffline(true);
  await page.locator('.connection[data-state=offline]').waitFor({ timeout: 60_000 });
  await page.getByRole('textbox', { name: /^Message to/ }).fill('I am in the shed, where there is no signal.');
  await page.keyboard.press('Enter');
  await page.getByText('sending…').waitFor();
  await save(page, 'offline');
  await page.context().close();
}

/** Waits for the lists of a dialog, which are loaded when it opens. */
async function waitForLists(page: Page): Promise<void> {
  await page.getByText('Loading…').waitFor({ state: 'detached' });
  await page.waitForLoadState('networkidle');
}

async function open(browser: Browser, url: string, options: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext({ ...options, locale: 'en-GB' });
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** Opens a window in which a demo user is signed in. */
async function openAs(browser: Browser, url: string, options: BrowserContextOptions, name: string): Promise<Page> {
  const page = await open(browser, url, options);
  await page.getByRole('button', { name, exact: true }).click();
  await page.locator('.connection[data-state=live]').waitFor({ state: 'attached' });
  return page;
}

/** Opens a room, and waits until the pictures in it are displayed. */
async function openRoom(page: Page, name: RegExp): Promise<void> {
  await page.getByRole('link', { name }).click();
  await page.getByRole('textbox', { name: /^Message to/ }).waitFor();
  await page.getByRole('button', { name: `View ${PICTURE}` }).waitFor();
  await page.locator('.pictures canvas').waitFor({ state: 'detached' });
}

/** Sends today's messages. */
async function prepare(url: string): Promise<void> {
  const tokens = new Map<string, string>();
  for (const username of new Set(TALK.map(([name]) => name))) {
    const { signIn } = await ask(url, null, SIGN_IN, { input: { usernameOrEmail: username, password: DEMO_PASSWORD } });
    tokens.set(username, signIn.accessToken);
  }
  const token = (username: string) => tokens.get(username) ?? null;
  const { viewer } = await ask(url, token('ann'), '{ viewer { chatrooms { nodes { id name } } } }');
  const room = viewer.chatrooms.nodes.find(({ name }: { name: string | null }) => name === 'Friday kitchen');
  const ids: string[] = [];
  for (const [username, body] of TALK) {
    const attachmentIds: string[] = [];
    if (body.startsWith('Tomatoes'))
      attachmentIds.push(await upload(url, token(username), PICTURE, 'image/jpeg', picture));
    if (body.endsWith('🍅')) attachmentIds.push(await upload(url, token(username), RECIPE, 'text/plain', recipe));
    const input = { chatroomId: room.id, body, attachmentIds };
    const { sendMessage } = await ask(url, token(username), SEND, { input });
    ids.push(sendMessage.message.id);
  }
  for (const username of ['chloe', 'noa'])
    await ask(url, token(username), REACT, { input: { messageId: ids[3], emoji: '🎉' } });
  await ask(url, token('noa'), SEND, { input: { chatroomId: room.id, body: 'כן!', replyToId: ids[4] } });
}

/** Uploads a file, and returns the id of the attachment. */
async function upload(
  url: string,
  token: string | null,
  fileName: string,
  mediaType: string,
  bytes: Buffer,
): Promise<string> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const input = { fileName, mediaType, byteSize: bytes.length, sha256 };
  const { createUpload } = await ask(url, token, CREATE_UPLOAD, { input });
  const { id, method, url: target, headers } = createUpload.upload;
  const init = {
    method,
    headers: headers.map(({ name, value }: Header) => [name, value]),
    body: new Uint8Array(bytes),
  };
  const response = await fetch(new URL(target, url), init);
  if (!response.ok) throw new Error(`The file was refused with ${response.status}.`);
  const { completeUpload } = await ask(url, token, COMPLETE_UPLOAD, { id });
  return completeUpload.attachment.id;
}

interface Header {
  name: string;
  value: string;
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
      reject(new Error(`The server exited. Run npm run build first.\n${output}`));
    });
  });
}
