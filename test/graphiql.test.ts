import { access } from 'node:fs/promises';
import { type Browser, chromium, type Page } from 'playwright-core';
import { expect, onTestFinished, test } from 'vitest';
import { seedDemo } from '../src/cli/demo/seedDemo.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { PRODUCTION } from './support/config.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { startTestServer } from './support/server.ts';

const CHROMIUM = '/usr/bin/chromium';
const hasChromium = await access(CHROMIUM).then(
  () => true,
  () => false,
);

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

/** Returns the response that GraphiQL shows. */
const answer = async (page: Page) => (await page.locator('.graphiql-response').innerText()).replace(/\u00a0/g, ' ');

/** Opens a tab with a single click. */
async function openTab(page: Page, name: string): Promise<void> {
  const tab = page.locator('button.graphiql-tab-button', { hasText: name });
  await tab.click();
  await page.locator('.graphiql-tab-active', { hasText: name }).waitFor({ timeout: 5_000 });
}

/**
 * Opens a tab and runs it until the response contains a text. Right after opening, GraphiQL may still run the previous
 * tab.
 */
async function run(page: Page, name: string, text: string): Promise<void> {
  await openTab(page, name);
  const shown = async () => {
    await page.getByRole('button', { name: /execute/i }).click();
    // A run clears the response, so the next run starts only after this one has a response.
    await expect.poll(() => answer(page), { timeout: 10_000 }).not.toBe('');
    return answer(page);
  };
  await expect.poll(shown, { timeout: 40_000, interval: 500 }).toContain(text);
}

test.skipIf(!hasChromium)(
  'GraphiQL in a browser (skipped without chromium) runs its tabs offline',
  { timeout: 120_000 },
  async () => {
    const server = await startTestServer();
    const { database, passwords } = server.node;
    await seedDemo({ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) });
    const page = await (await openBrowser()).newPage({ viewport: { width: 1280, height: 800 } });
    const elsewhere: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !/^(?:data|blob):/.test(request.url()))
        elsewhere.push(request.url());
    });
    await page.goto(`${server.url}/graphql`);
    await page.getByRole('tab', { name: 'SignIn' }).waitFor();
    expect(
      (await page.getByRole('tab').allInnerTexts())
        .map((name) => name.trim())
        .filter((name) => /^(?:SignIn|Send|Listen|Page|Fail)$/.test(name)),
    ).toEqual(['SignIn', 'Send', 'Listen', 'Page', 'Fail']);
    await run(page, 'SignIn', 'accessToken');
    await run(page, 'Send', '"number": 200');
    await openTab(page, 'Listen');
    await page.getByText('subscription Listen').waitFor();
    // Sends repeatedly until an event arrives, because the page does not show when the subscription is active.
    const [, token = ''] = /"authorization":"Bearer ([^"]+)"/.exec(await page.content()) ?? [];
    const SEND =
      'mutation ($room: ID!) { sendMessage(input: { chatroomId: $room, body: "live from elsewhere" }) { message { number } } }';
    const room = Buffer.from(
      `Chatroom:${(await database.prisma.chatroom.findFirstOrThrow({ where: { kind: 'OPEN' } })).id}`,
    ).toString('base64url');
    await expect
      .poll(
        async () => {
          await fetch(`${server.url}/graphql`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
            body: JSON.stringify({ query: SEND, variables: { room } }),
          });
          const execute = page.getByRole('button', { name: /execute/i });
          if (await execute.isVisible()) await execute.click();
          return answer(page);
        },
        { timeout: 20_000, interval: 500 },
      )
      .toContain('live from elsewhere');
    await page.getByRole('button', { name: /stop/i }).click();
    await run(page, 'Page', '"name": "The garden"');
    await run(page, 'Fail', '"code": "NOT_FOUND"');
    expect(elsewhere).toEqual([]);
  },
);

test('GraphiQL does not sign in after the demo password was changed', async () => {
  const server = await startTestServer();
  const { database, passwords } = server.node;
  await seedDemo({ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) });
  const html = async () => (await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } })).text();
  expect(await html()).toContain('Bearer ey');
  await database.prisma.$executeRaw`UPDATE users SET password_hash = ${await passwords.hash('a password of my own')}`;
  expect(await html()).not.toContain('Bearer ey');
});

test.skipIf(!hasRedis())('GraphiQL signs nobody in if NODE_ENV is production', async () => {
  const { url: redisUrl } = await startRedis();
  const server = await startTestServer({ redisUrl, env: { ...PRODUCTION, REDIS_URL: redisUrl, GRAPHIQL: 'on' } });
  const { database, passwords } = server.node;
  await seedDemo({ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) });
  const page = await fetch(`${server.url}/graphql`, { headers: { accept: 'text/html' } });
  expect(await page.text()).not.toContain('Bearer ey');
  expect(await database.prisma.session.count()).toBe(0);
});
