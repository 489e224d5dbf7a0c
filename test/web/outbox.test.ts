import { build } from 'esbuild';
import type { Page, Request } from 'playwright-core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { bodies as texts } from '../clients/chatOf.ts';
import { startProxy } from '../faults/proxy.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import {
  bodies,
  box,
  enter,
  hasChromium,
  messageOf,
  openBrowser,
  openPage,
  openPageOfAnn,
  openRoom,
  write,
} from './browser.ts';

/** A port without a listener. */
const NOWHERE = 1;
const STORED = `query ($room: ID!) {
  chatroom(id: $room) { messages(first: 100) { nodes { body kind } } }
}`;

/** Opens the page in a room, behind a proxy to the server. */
async function openPageBehindProxy() {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const port = Number(new URL(server.url).port);
  const proxy = await startProxy(port);
  onTestFinished(() => {
    proxy.close();
  });
  const url = `http://127.0.0.1:${proxy.port}`;
  const underWay = new Set<Request>();
  const page = await openPage(await openBrowser(), url, {
    offline: true,
    prepare: (opened) => {
      opened.on('request', (request) => underWay.add(request));
      for (const end of ['requestfinished', 'requestfailed'] as const)
        opened.on(end as 'requestfinished', (request) => underWay.delete(request));
      return Promise.resolve();
    },
  });
  await enter(page, 'ann');
  await openRoom(page, /A room/);
  // Interrupted queries are retried as well as messages.
  await expect.poll(() => server.node.gauges.streams).toBe(7);
  await expect.poll(() => underWay.size).toBe(0);
  return {
    ...{ page, url },
    leave: async () => {
      proxy.aim(NOWHERE);
      proxy.reset();
      await page.locator('.connection[data-state=offline]').waitFor();
    },
    comeBack: () => {
      proxy.aim(port);
    },
    stored: async (): Promise<string[]> => {
      const { chatroom } = await ann.ask(STORED, { room });
      return chatroom.messages.nodes.filter(({ kind }: any) => kind === 'USER').map(({ body }: any) => body);
    },
  };
}

async function signOut(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Your profile' }).click();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByLabel('Username or e-mail address').waitFor();
}

/** Times at which the page sent requests, in milliseconds. */
function timesOf(page: Page): number[] {
  const times: number[] = [];
  page.on('request', () => times.push(performance.now()));
  return times;
}

describe.skipIf(!hasChromium)('the outbox of the page (skipped without chromium)', { timeout: 180_000 }, () => {
  test('messages written offline arrive in order, with few requests meanwhile', async () => {
    const { page, leave, comeBack, stored } = await openPageBehindProxy();
    await leave();
    const times = timesOf(page);
    for (const text of texts(30)) await write(page, text);
    await expect.poll(() => bodies(page)).toEqual(texts(30));
    await expect.poll(() => times.length).toBeGreaterThanOrEqual(6);
    const away = [...times];
    comeBack();
    await expect.poll(stored, { timeout: 60_000 }).toEqual(texts(30));
    await expect.poll(() => page.getByText('sending…').count()).toBe(0);
    expect(await bodies(page)).toEqual(texts(30));
    const perSecond = away.map((from) => away.filter((time) => time >= from && time < from + 1_000).length);
    expect(Math.max(...perSecond)).toBeLessThanOrEqual(3);
  });

  test('messages written offline survive a reload, and arrive in order', async () => {
    const { page, url, leave, comeBack, stored } = await openPageBehindProxy();
    await leave();
    for (const text of texts(30)) await write(page, text);
    await page.goto('about:blank');
    comeBack();
    await page.goto(url);
    await openRoom(page, /A room/);
    await expect.poll(stored, { timeout: 60_000 }).toEqual(texts(30));
    await expect.poll(() => bodies(page)).toEqual(texts(30));
    await expect.poll(() => page.getByText('sending…').count()).toBe(0);
    expect(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('outbox')))).toEqual([]);
  });

  test('a message that another tab sends stays visible until its event arrives', async () => {
    const { page, server } = await openPageOfAnn({});
    const events: (() => void)[] = [];
    let isHeld = false;
    const other = await page.context().newPage();
    await other.routeWebSocket(/graphql/, (socket) => {
      const upstream = socket.connectToServer();
      upstream.onMessage((message) => {
        const pass = () => {
          socket.send(message);
        };
        if (isHeld) events.push(pass);
        else pass();
      });
    });
    await other.goto(server.url);
    await openRoom(other, /A room/);
    await other.locator('.connection[data-state=live]').waitFor({ state: 'attached' });
    isHeld = true;
    await write(page, 'hello');
    await messageOf(page, 'hello').locator('time').waitFor();
    await expect.poll(() => bodies(other)).toEqual(['hello']);
    // The other tab no longer waits for the lock under which messages are sent.
    await expect.poll(() => other.evaluate(async () => (await navigator.locks.query()).pending!.length)).toBe(0);
    expect(await other.evaluate(() => Object.keys(localStorage).some((key) => key.includes('outbox')))).toBe(false);
    expect(await bodies(other)).toEqual(['hello']);
    isHeld = false;
    for (const pass of events) pass();
    await messageOf(other, 'hello').locator('time').waitFor();
    expect(await bodies(other)).toEqual(['hello']);
  });

  test('a tab of the previous user sends nothing as the next one', async () => {
    const server = await startTestServer();
    const { ben, room } = await world(server);
    const page = await openPage(await openBrowser(), server.url, {
      offline: true,
      // Like a suspended tab, this tab learns of no change by the other one.
      async prepare(opened) {
        await opened.addInitScript('BroadcastChannel.prototype.addEventListener = () => undefined');
        await opened.routeWebSocket(/graphql/, (socket) => {
          socket.connectToServer().onClose(() => undefined);
        });
      },
    });
    await enter(page, 'ann');
    await openRoom(page, /A room/);
    const other = await page.context().newPage();
    await other.goto(server.url);
    await signOut(other);
    await enter(other, 'ben');
    await write(page, 'draft');
    await page.getByText('not sent').waitFor();
    await openRoom(other, /A room/);
    await write(other, 'hello');
    await other.locator('.message time').waitFor();
    const { chatroom } = await ben.ask(STORED, { room });
    expect(chatroom.messages.nodes.filter(({ kind }: any) => kind === 'USER')).toEqual([
      { kind: 'USER', body: 'hello' },
    ]);
  });

  test('signing out deletes drafts and unsent messages', async () => {
    const { page } = await openPageOfAnn({
      prepare: (opened) =>
        opened.routeWebSocket(/graphql/, (socket) => {
          const server = socket.connectToServer();
          socket.onMessage((message) => {
            if (!message.includes('sendMessage')) server.send(message);
          });
        }),
    });
    await page.locator('.connection[data-state=live]').waitFor({ state: 'attached' });
    await write(page, 'never sent');
    await page.getByText('sending…').waitFor();
    await box(page).fill('half a thou');
    await signOut(page);
    expect(await page.evaluate(() => Object.keys(localStorage))).toEqual([]);
  });

  test('an IndexedDB store keeps, replaces and deletes entries', async () => {
    const { run } = await openStore();
    const found = await run(`
      for (const each of [entry('a', 'waiting'), entry('b', 'waiting'), entry('b', 'failed')]) await store.put(each);
      await store.delete(entry('a'));
      const again = stores.indexedDbOutbox('outbox of ann');
      const others = await stores.indexedDbOutbox('outbox of ben').load();
      return [await again.load(), await again.has(entry('a')), await again.has(entry('b')), others];`);
    expect(found).toEqual([
      [{ chatroomId: 'room', clientMessageId: 'b', body: 'b', state: 'failed' }],
      false,
      true,
      [],
    ]);
  });

  test('an IndexedDB store reports a write that is not committed', async () => {
    const { run } = await openStore();
    const outcome = await run(`
      const { put } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = function (value) {
        const request = put.call(this, value);
        request.addEventListener('success', () => this.transaction.abort());
        return request;
      };
      return store.put(entry('a', 'waiting')).then(() => 'stored', () => 'failed');`);
    expect(outcome).toBe('failed');
  });

  test('an IndexedDB store opens again after its database was closed', async () => {
    const { page, run } = await openStore();
    const deleted = await run(`
      await store.put(entry('a', 'waiting'));
      await new Promise((resolve, reject) =>
        Object.assign(indexedDB.deleteDatabase('outbox of ann'), { onsuccess: resolve, onblocked: reject }));
      await store.put(entry('b', 'waiting'));
      globalThis.kept = store;
      return (await store.load()).map(({ body }) => body);`);
    expect(deleted).toEqual(['b']);
    const devTools = await page.context().newCDPSession(page);
    const { origin } = new URL(page.url());
    await devTools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
    const cleared = await run(`
      await kept.put(entry('c', 'waiting'));
      return (await kept.load()).map(({ body }) => body);`);
    expect(cleared).toEqual(['c']);
  });

  test.each(['indexedDbOutbox', 'localStorageOutbox'])('%s reports changes by another tab', async (name) => {
    const { page, other, run } = await openStore();
    const subscribe = `
      globalThis.shared = stores.${name}('shared');
      globalThis.changes = 0;
      globalThis.unsubscribe = shared.subscribe(() => { changes += 1; });`;
    const otherTab = await other();
    for (const each of [run, otherTab.run]) await each(subscribe);
    const changes = () => Promise.all([page, otherTab.page].map((each) => each.evaluate('changes')));
    await run(`await shared.put(entry('a', 'failed'));`);
    await expect.poll(changes).toEqual([0, 1]);
    await otherTab.run(`await shared.delete(entry('a'));`);
    await expect.poll(changes).toEqual([1, 1]);
  });
});

/**
 * Opens a page. `run` runs code there, with `stores`, the module, and `store`, an IndexedDB store. `other` opens another
 * tab.
 */
async function openStore() {
  const server = await startTestServer();
  const page = await openPage(await openBrowser(), server.url);
  const { outputFiles } = await build({
    entryPoints: [new URL('../../client/outboxStore.ts', import.meta.url).pathname],
    ...{ bundle: true, write: false, format: 'iife', globalName: 'stores' },
  });
  const runIn =
    (tab: Page) =>
    (code: string): Promise<unknown> =>
      tab.evaluate(`(async () => {
      ${outputFiles[0]?.text ?? ''}
      const entry = (clientMessageId, state) => ({ chatroomId: 'room', clientMessageId, body: clientMessageId, state });
      const store = stores.indexedDbOutbox('outbox of ann');
      ${code}
    })()`);
  async function other() {
    const tab = await page.context().newPage();
    await tab.goto(page.url());
    return { page: tab, run: runIn(tab) };
  }
  return { page, run: runIn(page), other };
}
