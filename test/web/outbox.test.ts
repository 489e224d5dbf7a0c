import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { bodies as texts } from '../clients/chatOf.ts';
import { startProxy } from '../faults/proxy.ts';
import { startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { bodies, buildPage, enter, hasChromium, openBrowser, openPage, openRoom, write } from './browser.ts';

/** A port at which nobody listens. */
const NOWHERE = 1;
const STORED = `query ($room: ID!) {
  chatroom(id: $room) { messages(first: 100) { nodes { body kind } } }
}`;

/** The page in an open room, and the network between it and the server. */
async function openPageBehindProxy() {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const port = Number(new URL(server.url).port);
  const proxy = await startProxy(port);
  onTestFinished(() => {
    proxy.close();
  });
  const url = `http://127.0.0.1:${proxy.port}`;
  const page = await openPage(await openBrowser(), url, { offline: true });
  await enter(page, 'ann');
  await openRoom(page, /A room/);
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

/** When the page has sent requests, in milliseconds. */
function timesOf(page: Page): number[] {
  const times: number[] = [];
  page.on('request', () => times.push(performance.now()));
  return times;
}

describe.skipIf(!hasChromium)('the outbox of the page (skipped without chromium)', { timeout: 180_000 }, () => {
  beforeAll(buildPage, 120_000);

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
});
