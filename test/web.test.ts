import { describe, expect, onTestFinished, test } from 'vitest';
import { createToken } from '../src/auth/accessTokens.ts';
import { sql } from '../src/platform/database/database.ts';
import { seedDemo } from '../src/cli/demo/seedDemo.ts';
import { createWebApp } from '../src/server/webApp.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { startProxy } from './faults/proxy.ts';
import { PASSWORD, request } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, SEND, send, world } from './support/world.ts';
import { focused, tabTo, violations } from './web/access.ts';
import {
  act,
  bodies,
  box,
  enter,
  hasChromium,
  messageOf,
  openBrowser,
  openPage,
  openRoom,
  write,
} from './web/browser.ts';

const BLOCK = 'mutation ($id: ID!) { blockUser(input: { userId: $id }) { user { id } } }';
const UNBLOCK = 'mutation ($id: ID!) { unblockUser(input: { userId: $id }) { user { id } } }';
const ADD_MEMBERS =
  'mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }';
const SIGN_OUT = 'mutation { signOut { ok } }';
const REVOKE_ALL =
  'mutation ($new: String!) { changePassword(input: { currentPassword: "correct horse", newPassword: $new }) { ok } }';
const NARROW = { viewport: { width: 360, height: 740 } };

async function seed({ node: { database, passwords } }: TestServer): Promise<void> {
  await seedDemo({ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) });
}

/** Opens the shared room of ann and ben in a separate window for each. */
async function talk(server: TestServer) {
  const people = await world(server);
  const browser = await openBrowser();
  const ann = await openPage(browser, server.url);
  const ben = await openPage(browser, server.url);
  await Promise.all([enter(ann, 'ann'), enter(ben, 'ben')]);
  await Promise.all([openRoom(ann, /A room/), openRoom(ben, /A room/)]);
  // Each window opens three streams for all rooms and four for this one. A typing hint only reaches open streams.
  await expect.poll(() => server.node.gauges.streams).toBe(14);
  return { people, ann, ben };
}

describe('the page’s files', () => {
  test('are cached forever except the first, under a strict content security policy', async () => {
    const { url } = await startTestServer();
    const first = await fetch(`${url}/`);
    const html = await first.text();
    expect(first.headers.get('cache-control')).toBe('no-cache');
    expect(first.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/);
    const again = await fetch(`${url}/`, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
    expect(again.status).toBe(304);
    const [, script = ''] = /src="(\/assets\/[^"]+\.js)"/.exec(html) ?? [];
    const { status, headers } = await fetch(url + script);
    expect([status, headers.get('content-encoding')]).toEqual([200, 'gzip']);
    expect(headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  });

  test('stay inside their folder', async () => {
    const page = createWebApp();
    const answers = ['/../main.js', '/assets/../../main.js', '/%2e%2e/main.js', '/assets', '/demo'].map((pathname) =>
      page.respond({ pathname, acceptEncoding: undefined, ifNoneMatch: undefined, demo: false }),
    );
    expect(await Promise.all(answers)).toEqual([null, null, null, null, null]);
  });

  test('do not offer the demo users unless the server says so', async () => {
    const page = createWebApp();
    const request = { acceptEncoding: undefined, ifNoneMatch: undefined };
    const bodyOf = async (pathname: string, demo: boolean) =>
      (await page.respond({ ...request, pathname, demo }))?.body.toString();
    expect(await bodyOf('/', true)).toContain('data-demo');
    expect(await bodyOf('/', false)).not.toContain('data-demo');
    for (const pathname of ['/demo.html', '/demo', 'demo'])
      expect(await page.respond({ ...request, pathname, demo: false })).toBeNull();
  });

  test('return 503 with instructions if they were not built', async () => {
    const page = createWebApp('/nowhere/');
    const request = { pathname: '/', acceptEncoding: undefined, ifNoneMatch: undefined, demo: false };
    const answer = await page.respond(request);
    expect(answer?.status).toBe(503);
    expect(answer?.body).toContain('npm run build');
  });

  test('offer the demo users only if they exist', async () => {
    const server = await startTestServer();
    const first = async () => (await fetch(`${server.url}/`)).text();
    expect(await first()).not.toContain('data-demo');
    await seed(server);
    expect(await first()).toContain('data-demo');
  });
});

describe.skipIf(!hasChromium)('the page in a browser (skipped without chromium)', { timeout: 120_000 }, () => {
  test('two people exchange messages, typing hints and read marks', async () => {
    const { ann, ben } = await talk(await startTestServer());
    await box(ben).pressSequentially('Hel');
    await ann.getByText('ben is typing…').waitFor();
    await write(ben, 'Hello Ann');
    await messageOf(ann, 'Hello Ann').waitFor();
    await write(ann, 'שלום Ben');
    await messageOf(ben, 'שלום Ben').waitFor();
    expect(
      await messageOf(ben, 'שלום')
        .locator('.body')
        .evaluate((body) => getComputedStyle(body).direction),
    ).toBe('rtl');
    expect(
      await messageOf(ann, 'Hello')
        .locator('.body')
        .evaluate((body) => getComputedStyle(body).direction),
    ).toBe('ltr');
    await messageOf(ann, 'שלום Ben').getByText('Read by everyone').waitFor();
    expect(await bodies(ann)).toEqual(['Hello Ann', 'שלום Ben']);
    expect(await bodies(ben)).toEqual(['Hello Ann', 'שלום Ben']);
  });

  test('reactions, replies, edits and deletions reach the other window', async () => {
    const { ann, ben } = await talk(await startTestServer());
    await write(ann, 'Tea at four?');
    await act(ben, 'Tea at four?', 'React with 👍');
    await messageOf(ann, 'Tea at four?').getByRole('button', { name: '👍, 1' }).click();
    await messageOf(ben, 'Tea at four?').getByRole('button', { name: '👍, 2' }).waitFor();
    await act(ben, 'Tea at four?', 'Reply');
    await write(ben, 'With pleasure');
    expect(await messageOf(ann, 'With pleasure').locator('.quote').innerText()).toContain('Tea at four?');
    // Only a message in the loaded history can be edited. Ann's page may have received it before ben's page.
    await expect.poll(() => ben.getByText('sending…').count()).toBe(0);
    await box(ben).press('ArrowUp');
    await expect.poll(() => box(ben).inputValue()).toBe('With pleasure');
    await write(ben, 'With great pleasure');
    await messageOf(ann, 'With great pleasure').getByText('edited').waitFor();
    await act(ben, 'With great pleasure', 'Delete');
    await messageOf(ann, 'Message deleted').waitFor();
    expect(await ann.getByText('With great pleasure').count()).toBe(0);
  });

  test('after a cut, missed and pending messages arrive once', async () => {
    const server = await startTestServer();
    const { ann: annAccount, ben: benAccount, room } = await world(server);
    const port = Number(new URL(server.url).port);
    const proxy = await startProxy(port);
    onTestFinished(() => proxy.close());
    const browser = await openBrowser();
    const ann = await openPage(browser, `http://127.0.0.1:${proxy.port}`, { offline: true });
    await enter(ann, 'ann');
    await openRoom(ann, /A room/);
    await send(benAccount, room, 'before');
    await messageOf(ann, 'before').waitFor();

    // Port 1 has no listener. Open connections are reset, and new ones refused.
    proxy.aim(1);
    proxy.reset();
    await ann.locator('.connection[data-state=offline]').waitFor();
    for (const body of ['one', 'two', 'three']) await send(benAccount, room, body);
    await write(ann, 'from the tunnel');
    await messageOf(ann, 'from the tunnel').getByText('sending…').waitFor();
    expect(await bodies(ann)).toEqual(['before', 'from the tunnel']);

    proxy.aim(port);
    await ann.locator('.connection[data-state=live]').waitFor({ state: 'attached', timeout: 40_000 });
    await expect
      .poll(() => bodies(ann), { timeout: 40_000 })
      .toEqual(['before', 'one', 'two', 'three', 'from the tunnel']);
    await expect.poll(() => ann.getByText('sending…').count()).toBe(0);
    const { chatroom } = await annAccount.ask(
      'query ($room: ID!) { chatroom(id: $room) { messages { nodes { body } } } }',
      { room },
    );
    expect(chatroom.messages.nodes.map(({ body }: { body: string }) => body)).toEqual(await bodies(ann));
  });

  test('a refused message can be sent again, and is stored once', async () => {
    const server = await startTestServer();
    const { ann: annAccount, ben: benAccount } = await world(server);
    const headers = { authorization: `Bearer ${annAccount.accessToken}` };
    const {
      createChatroom: { chatroom },
    } = await annAccount.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [benAccount.id] } });
    const ann = await openPage(await openBrowser(), server.url);
    await enter(ann, 'ann');
    await openRoom(ann, /^ben/);
    await benAccount.ask(BLOCK, { id: annAccount.id });
    await write(ann, 'Are you there?');
    const refused = messageOf(ann, 'Are you there?').getByRole('alert');
    await refused.waitFor();
    const { errors } = await request(server.url, SEND, { input: { chatroomId: chatroom.id, body: '?' } }, headers);
    expect(await refused.innerText()).toContain(errors?.[0]?.message);
    await benAccount.ask(UNBLOCK, { id: annAccount.id });
    await ann.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(() => messageOf(ann, 'Are you there?').locator('time').count()).toBe(1);
    expect(await bodies(ann)).toEqual(['Are you there?']);
  });

  test('a long history pages backwards without moving the visible messages', async () => {
    const server = await startTestServer();
    await seed(server);
    const ann = await openPage(await openBrowser(), server.url);
    await ann.getByRole('button', { name: 'Ann', exact: true }).click();
    await openRoom(ann, /The garden/);
    const history = ann.getByRole('group', { name: 'Messages' });
    const lowest = () =>
      ann
        .locator('.message, .system')
        .first()
        .getAttribute('id')
        .then((id) => Number(id?.slice(8)));
    expect(await lowest()).toBe(1961);
    await history.evaluate((element) => (element.scrollTop = -500));
    const seen = messageOf(ann, '').nth(25);
    const place = async () => (await seen.boundingBox())?.y;
    const id = await seen.getAttribute('id');
    const before = await ann.locator(`#${id}`).boundingBox();
    await ann.getByRole('button', { name: 'Earlier messages' }).dispatchEvent('click');
    await expect.poll(lowest).toBeLessThanOrEqual(1921);
    expect(Math.abs(((await ann.locator(`#${id}`).boundingBox())?.y ?? 0) - (before?.y ?? -999))).toBeLessThan(2);
    expect(await place()).toBeDefined();
    // Scrolling alone loads further pages.
    await expect
      .poll(
        async () => {
          await history.evaluate((element) => (element.scrollTop = -element.scrollHeight));
          return lowest();
        },
        { timeout: 60_000, interval: 50 },
      )
      .toBeLessThan(1500);
    await ann.getByRole('button', { name: 'Newest' }).click();
    // Back at the end, the page discards messages far above.
    await expect.poll(() => ann.locator('.message').count()).toBeLessThanOrEqual(40);
    expect(await lowest()).toBe(1961);
  });

  test('the keyboard suffices to sign in, send and reply', async () => {
    const server = await startTestServer();
    const { ben: benAccount, room } = await world(server);
    await send(benAccount, room, 'Hello from Ben');
    const ann = await openPage(await openBrowser(), server.url);
    await tabTo(ann, 'Username or e-mail address');
    await ann.keyboard.type('ann');
    await ann.keyboard.press('Tab');
    await ann.keyboard.type(PASSWORD);
    await ann.keyboard.press('Enter');
    await ann.getByRole('navigation', { name: 'Rooms' }).waitFor();
    await tabTo(ann, 'Friends');
    await ann.keyboard.press('Enter');
    await ann.getByRole('dialog', { name: 'Friends' }).waitFor();
    await ann.keyboard.press('Escape');
    await expect.poll(() => focused(ann)).toBe('Friends');
    await tabTo(ann, /A room/);
    await ann.keyboard.press('Enter');
    await expect.poll(() => focused(ann)).toMatch(/^Message to/);
    await ann.keyboard.type('First line');
    await ann.keyboard.press('Shift+Enter');
    await ann.keyboard.type('second line');
    await ann.keyboard.press('Enter');
    await expect.poll(() => bodies(ann)).toEqual(['Hello from Ben', 'First line\nsecond line']);
    await tabTo(ann, /^Actions for message 2 by you/, 'Shift+Tab');
    await ann.keyboard.press('ArrowUp');
    await tabTo(ann, /^Actions for message 1 by ben/);
    await ann.keyboard.press('Enter');
    await tabTo(ann, 'Reply');
    await ann.keyboard.press('Enter');
    await expect.poll(() => focused(ann)).toMatch(/^Message to/);
    await ann.keyboard.type('an answer');
    await ann.keyboard.press('Enter');
    await messageOf(ann, 'an answer').locator('.quote', { hasText: 'Hello from Ben' }).waitFor();
  });

  test('a narrow screen shows the list or one room, without overflow', async () => {
    const server = await startTestServer();
    const { ben, room } = await world(server);
    await send(ben, room, `${'wide'.repeat(200)} ${'many words '.repeat(80)}`);
    const ann = await openPage(await openBrowser(), server.url, NARROW);
    await enter(ann, 'ann');
    const width = () => ann.evaluate(() => document.documentElement.scrollWidth);
    expect(await width()).toBe(360);
    await openRoom(ann, /A room/);
    await messageOf(ann, 'many words').waitFor();
    expect(await ann.getByRole('navigation', { name: 'Rooms' }).isVisible()).toBe(false);
    expect(await width()).toBe(360);
    expect(await ann.locator('.history').evaluate((element) => element.scrollWidth)).toBeLessThanOrEqual(360);
    await ann.getByRole('link', { name: 'All rooms' }).click();
    await ann.getByRole('navigation', { name: 'Rooms' }).waitFor();
  });

  test('a removed member is notified, and a new room appears', async () => {
    const server = await startTestServer();
    const { ann: annAccount, ben, room } = await world(server);
    const page = await openPage(await openBrowser(), server.url);
    await enter(page, 'ben');
    await openRoom(page, /A room/);
    const ids = { id: room, userId: ben.id };
    await annAccount.ask(
      'mutation ($id: ID!, $userId: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $userId }) { chatroom { id } } }',
      ids,
    );
    await page.getByText('You were removed from this room.').waitFor();
    await annAccount.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: 'A second room', memberIds: [ben.id] } });
    await page.getByRole('link', { name: /A second room/ }).waitFor();
  });

  test('direction controls in a name do not reorder the text around it', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    await ann.ask(ADD_MEMBERS, { id: room, users: [eve.id] });
    // New names cannot contain direction controls, but older and imported rows may.
    const names = ['Eve\u202e', '\u202enimdA', '\u2067Mallory', 'נועה'];
    const page = await openPage(await openBrowser(), server.url);
    await enter(page, 'ann');
    await openRoom(page, /A room/);
    for (const name of names) {
      await server.node.database.query(sql`UPDATE users SET nickname = ${name} WHERE username = 'eve'`);
      await page.reload();
      const row = page.locator('.system', { hasText: 'joined' }).last();
      await row.waitFor();
      expect(await row.locator('bdi').textContent()).toBe(name);
      const [nameBox, wordBox] = await row.locator('span').evaluate((span) => {
        const boxOf = (node: Node) => {
          const range = document.createRange();
          range.selectNodeContents(node);
          const { left, right } = range.getBoundingClientRect();
          return { left, right };
        };
        return [...span.childNodes].map(boxOf);
      });
      expect(wordBox?.left, `"joined" stands right of ${JSON.stringify(name)}`).toBeGreaterThanOrEqual(
        nameBox!.right - 1,
      );
    }
  });

  test('a reload keeps the session, and revoking it signs out the page', async () => {
    const server = await startTestServer();
    const { ann: annAccount } = await world(server);
    const ann = await openPage(await openBrowser(), server.url);
    await enter(ann, 'ann');
    await ann.reload();
    await ann.getByRole('navigation', { name: 'Rooms' }).waitFor();
    // Scripts can read the id of the viewer, but no token.
    const readable = await ann.evaluate(() => ({ cookie: document.cookie, ...localStorage, ...sessionStorage }));
    expect(readable).toEqual({ cookie: '', 'parley viewer': annAccount.id });
    await ann.locator('.connection[data-state=live]').waitFor({ state: 'attached' });
    await annAccount.ask(REVOKE_ALL, { new: 'another password' });
    await ann.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
    expect(await annAccount.ask(SIGN_OUT)).toBeDefined();
  });

  test('the mailed link sets a password, and its token leaves the address', async () => {
    const server = await startTestServer();
    const { ann: annAccount } = await world(server);
    const { token, hash } = createToken();
    await server.node.database.query(
      sql`UPDATE users SET email = 'a@example.org', email_key = 'a@example.org' WHERE username = 'ann'`,
    );
    await server.node.database.query(sql`
      INSERT INTO mail_tokens (hash, user_id, purpose, email_key, expires_at)
        SELECT ${hash}, id, 'RESET_PASSWORD', email_key, now() + interval '1 hour' FROM users WHERE username = ${annAccount.username}`);
    const ann = await openPage(await openBrowser(), `${server.url}/?resetPassword=${token}`);
    await ann.getByRole('textbox', { name: 'New password' }).fill('a new password');
    expect(ann.url()).toBe(`${server.url}/`);
    await ann.getByRole('button', { name: 'Set password' }).click();
    await ann.getByText('Your password is set.').waitFor();
    await ann.getByRole('button', { name: 'Sign in' }).click();
    await ann.getByLabel('Username or e-mail address').fill('ann');
    await ann.getByLabel('Password', { exact: true }).fill('a new password');
    await ann.getByRole('button', { name: 'Sign in', exact: true }).click();
    await ann.getByRole('navigation', { name: 'Rooms' }).waitFor();
  });

  test.each(['light', 'dark'] as const)('axe finds no problem on any screen (%s)', async (colorScheme) => {
    const server = await startTestServer();
    await seed(server);
    const ann = await openPage(await openBrowser(), server.url, { colorScheme });
    await ann.getByRole('button', { name: 'Ann', exact: true }).waitFor();
    expect(await violations(ann)).toEqual([]);
    await ann.getByRole('button', { name: 'Ann', exact: true }).click();
    await openRoom(ann, /Friday kitchen/);
    await write(ann, 'A message of mine');
    await messageOf(ann, 'A message of mine').locator('time').waitFor();
    expect(await violations(ann)).toEqual([]);
    for (const name of ['Friends', 'New room', 'Find rooms', 'Search messages', 'Your profile', 'About this room']) {
      await ann.getByRole('button', { name }).click();
      await ann.getByRole('dialog').waitFor();
      expect(await violations(ann)).toEqual([]);
      await ann.keyboard.press('Escape');
    }
  });
});
