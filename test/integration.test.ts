import { spawn } from 'node:child_process';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createServiceToken } from '../src/auth/serviceTokens.ts';
import { request } from './support/client.ts';
import { freePort } from './support/ports.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { hasChromium, openBrowser } from './web/browser.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The scopes that docs/integration.md gives to the service. */
const SCOPES = 'users:write,users:token,rooms:write,messages:write,messages:read,webhooks:write';

/** A project outside the checkout, with the packed package. */
let project: string;
let guide: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'parley-integration-'));
  guide = await readFile(join(root, 'docs/integration.md'), 'utf8');
  // Packs a copy of the checkout, because other tests use the files of the original.
  const checkout = join(project, 'checkout');
  await mkdir(checkout);
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'server-sdk'])
    await cp(join(root, name), join(checkout, name), { recursive: true, filter: (path) => !path.endsWith('/dist') });
  await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'));
  await run('npm', ['pack', '-w', 'server-sdk', '--silent', '--pack-destination', project], checkout);
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', './parley-server-0.1.0.tgz'], project);
}, 300_000);

afterAll(() => rm(project, { recursive: true }));

async function run(command: string, args: string[], cwd: string): Promise<void> {
  await promisify(execFile)(command, args, { cwd, timeout: 240_000 });
}

/** Starts a server as the guide says, and returns it with the token of a service. */
async function startForService(origin = ''): Promise<{ server: TestServer; token: string }> {
  const env = { SIGN_UP: 'off', WEBHOOK_ALLOW: '127.0.0.1', ALLOWED_ORIGINS: origin };
  const server = await startTestServer({ env });
  return { server, token: await createServiceToken(server.node.database, 'shop', SCOPES.split(',')) };
}

/** Runs a program of the project until the end of the test, and returns its output so far. */
function startProgram(path: string, env: Record<string, string>): () => string {
  const child = spawn(process.execPath, [path], { cwd: project, env: { PATH: process.env['PATH'], ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return () => output;
}

const HISTORY = `query ($id: ID!) { chatroom(id: $id) { name messages(first: 20) { nodes {
  body sender { nickname } noticeAuthor { name } } } } }`;
const SEND =
  'mutation ($id: ID!, $body: String!) { sendMessage(input: { chatroomId: $id, body: $body }) { message { id } } }';

const linesOf = (data: any) =>
  data.chatroom.messages.nodes.flatMap(({ body, sender, noticeAuthor }: any) =>
    body === null ? [] : [`${sender?.nickname ?? noticeAuthor?.name}: ${body}`],
  );

test('the command of docs/integration.md gives the scopes of this test', () => {
  expect(guide).toContain(`create-service-token shop --scopes ${SCOPES}\n`);
});

test('the program of docs/integration.md runs step by step', { timeout: 60_000 }, async () => {
  const { server, token } = await startForService();
  const steps = [...guide.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code);
  expect(steps.length).toBeGreaterThan(6);
  const report = 'console.log(JSON.stringify({ order, message, accessToken, expiresAt, webhook }));';
  await writeFile(join(project, 'guide.mjs'), [...steps, report].join('\n'));
  const port = String(await freePort());
  const output = startProgram('guide.mjs', {
    PARLEY_URL: `${server.url}/graphql`,
    PARLEY_TOKEN: token,
    RECEIVER_URL: `http://127.0.0.1:${port}/`,
    RECEIVER_PORT: port,
  });
  await expect.poll(output, { timeout: 30_000 }).toMatch(/^\{.*\}\n/m);
  const { order, message, accessToken, webhook } = JSON.parse(output().split('\n')[0] ?? '');
  expect(order).toMatchObject({ externalId: 'order-7', name: 'Order 7' });
  expect(message.body).toBe('Thank you! When may we deliver?');
  expect(webhook).toMatchObject({ name: 'orders', state: 'ACTIVE' });

  const headers = { authorization: `Bearer ${accessToken}` };
  const { data } = await request(server.url, HISTORY, { id: order.id }, headers);
  expect(linesOf(data)).toEqual(['shop: Order 7 was placed.', 'The shop: Thank you! When may we deliver?']);
  const sent = await request(server.url, SEND, { id: order.id, body: 'Tomorrow, please.' }, headers);
  expect(sent.errors).toBeUndefined();
  await expect.poll(output, { timeout: 30_000 }).toContain('Tomorrow, please.');
});

describe('examples/shop', () => {
  async function startShop() {
    const port = String(await freePort());
    const shop = `http://127.0.0.1:${port}`;
    const { server, token } = await startForService(shop);
    await cp(join(root, 'examples/shop'), join(project, 'shop'), { recursive: true });
    const env = { PARLEY_URL: `${server.url}/graphql`, PARLEY_TOKEN: token, PORT: port };
    const output = startProgram('shop/shop.mjs', env);
    await expect.poll(output, { timeout: 30_000 }).toContain('The shop is at');
    const place = async (customer: string, item: string) => {
      const response = await fetch(`${shop}/orders`, { method: 'POST', body: JSON.stringify({ customer, item }) });
      expect(response.status, output()).toBe(201);
      return (await response.json()) as { order: string; url: string };
    };
    return { server, shop, place };
  }

  test('has at most 60 lines', async () => {
    const text = await readFile(join(root, 'examples/shop/shop.mjs'), 'utf8');
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
  });

  test('gives each order a chat, and answers the customer once', { timeout: 60_000 }, async () => {
    const { server, shop, place } = await startShop();
    const [first, second] = [await place('ann', 'a lamp'), await place('ben', 'a chair')];
    expect(first.order).not.toBe(second.order);
    const chat = await (await fetch(`${shop}/orders/${first.order}/chat`)).json();
    const headers = { authorization: `Bearer ${chat.accessToken}` };
    const lines = async () => linesOf((await request(server.url, HISTORY, { id: chat.chatroomId }, headers)).data);
    expect(await lines()).toEqual(['shop: Order 1 was placed: a lamp.']);
    await request(server.url, SEND, { id: chat.chatroomId, body: 'When?' }, headers);
    await expect.poll(lines, { timeout: 30_000 }).toHaveLength(3);
    expect((await lines()).slice(1)).toEqual(['ann: When?', 'The shop: Thank you. We look into "When?".']);
    // The chat of another order is hidden.
    const other = await (await fetch(`${shop}/orders/${second.order}/chat`)).json();
    expect((await request(server.url, HISTORY, { id: other.chatroomId }, headers)).data.chatroom).toBeNull();
  });

  test.skipIf(!hasChromium)('shows the chat on the page of the customer', { timeout: 90_000 }, async () => {
    const { place } = await startShop();
    const { url } = await place('cem', 'a table');
    const browser = await openBrowser();
    const page = await browser.newPage();
    await page.goto(url);
    await page.getByText('shop: Order 1 was placed: a table.').waitFor();
    await page.getByLabel('Message').fill('Is it oak?');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText('cem: Is it oak?', { exact: true }).waitFor();
    await page.getByText('The shop: Thank you. We look into "Is it oak?".').waitFor();
    const folder = process.env['SCREENSHOTS'];
    if (folder) await page.screenshot({ path: join(folder, 'shop.png') });
  });
});
