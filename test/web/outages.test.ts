import { describe, expect, test } from 'vitest';
import { startEndpoint } from '../support/endpoint.ts';
import { freePort } from '../support/ports.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';
import { bodies, enter, hasChromium, openBrowser, openPage, openRoom, write } from './browser.ts';

/** Starts a server whose database can be taken away, and opens ann's page in a room. */
async function openPageWithDatabase() {
  const databaseUrl = await createTestDatabase();
  const port = Number(new URL(databaseUrl).port);
  const endpoint = await startEndpoint(port);
  const server = await startTestServer({ databaseUrl: databaseUrl.replace(`:${port}/`, `:${endpoint.port}/`) });
  const people = await world(server);
  let sends = 0;
  const count = (text: string | Buffer | null) => {
    if (text?.toString().includes('sendMessage')) sends += 1;
  };
  const page = await openPage(await openBrowser(), server.url, {
    offline: true,
    prepare: (opened) => {
      opened.on('request', (request) => {
        count(request.postData());
      });
      opened.on('websocket', (socket) => {
        socket.on('framesent', ({ payload }) => {
          count(payload);
        });
      });
      return Promise.resolve();
    },
  });
  await enter(page, 'ann');
  await openRoom(page, /A room/);
  return {
    ...{ ...people, page },
    sends: () => sends,
    begin: async () => {
      endpoint.moveTo(await freePort());
      endpoint.cut();
    },
    end: () => {
      endpoint.moveTo(port);
    },
  };
}

describe.skipIf(!hasChromium)('an outage of the database (skipped without chromium)', { timeout: 120_000 }, () => {
  test('a page that is reloaded meanwhile shows the room afterwards', async () => {
    const { page, ben, room, begin, end } = await openPageWithDatabase();
    await send(ben, room, 'before');
    await expect.poll(() => bodies(page)).toEqual(['before']);
    await begin();
    await page.reload();
    await page.getByText('The server is temporarily unavailable.').waitFor();
    expect(await page.getByRole('button', { name: 'Sign in' }).count()).toBe(0);
    end();
    await expect.poll(() => bodies(page)).toEqual(['before']);
    await page.getByRole('navigation', { name: 'Rooms' }).getByText('before').waitFor();
  });

  test('a message that is written meanwhile waits, and is sent afterwards', async () => {
    const { page, ann, room, sends, begin, end } = await openPageWithDatabase();
    await begin();
    await write(page, 'hello');
    // More requests than for a message that the server cannot store.
    await expect.poll(sends).toBeGreaterThan(6);
    expect(await page.getByText('sending…').count()).toBe(1);
    end();
    await expect.poll(() => page.getByText('sending…').count()).toBe(0);
    expect(await bodies(page)).toEqual(['hello']);
    const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { lastMessage { body } } }', { id: room });
    expect(chatroom.lastMessage.body).toBe('hello');
  });
});
