import { readFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Page } from 'playwright-core';
import { sendAll, chatOf, bodies } from '../clients/chatOf.ts';
import { startRestarting } from '../clients/restarting.ts';
import { startProxy } from '../faults/proxy.ts';
import { PNG, sendFile, type TestFile, textFile } from '../support/files.ts';
import { startTestServer } from '../support/server.ts';
import { servePages } from '../support/web.ts';
import { CREATE_CHATROOM, send, world } from '../support/world.ts';
import { hasChromium, openBrowser } from './browser.ts';
import { buildExample, CACHES, numbersOf, openExample, textsOf } from './react.ts';

const EDIT =
  'mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "two and a half" }) { message { id } } }';
const DELETE = 'mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }';
const REACT = 'mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "🎉" }) { message { id } } }';
const LEAVE = 'mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }';
const BEFRIEND = 'mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }';
const BLOCK = 'mutation ($id: ID!) { blockUser(input: { userId: $id }) { user { id } } }';
const UNBLOCK = 'mutation ($id: ID!) { unblockUser(input: { userId: $id }) { user { id } } }';
const MARK_READ = 'mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }';
const ADD_MEMBER =
  'mutation ($id: ID!, $userId: ID!) { addChatroomMembers(input: { chatroomId: $id, userIds: [$userId] }) { chatroom { id } } }';
const READ = 'query ($id: ID!) { chatroom(id: $id) { unreadCount viewerMembership { lastReadNumber } } }';

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

async function openRoom(page: Page, name = 'A room'): Promise<void> {
  await page.getByRole('button', { name }).click();
  await page.locator('main').waitFor();
}

test.each([
  ...['apollo.tsx', 'urql.tsx', 'App.tsx', 'Composer.tsx', 'Files.tsx', 'Avatar.tsx', 'LinkPreviews.tsx'],
  'fragments.ts',
])('docs/react.md quotes examples/react/%s unchanged', async (name) => {
  const file = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
  expect(await file('docs/react.md')).toContain(await file(`examples/react/${name}`));
});

describe.skipIf(!hasChromium).each(CACHES)(
  'the hooks over %s (skipped without chromium)',
  { timeout: 120_000 },
  (cache) => {
    const bundle = buildExample(cache);

    test('a room shows messages, edits, deletions, reactions and typing', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      const browser = await openBrowser();
      const [annPage, benPage] = await Promise.all(
        [ann, ben].map(async (who) => openExample(browser, await bundle, who)),
      );
      await openRoom(annPage!);
      await openRoom(benPage!);
      await annPage!.getByRole('status').filter({ hasText: 'live' }).waitFor();
      await annPage!.getByLabel('Message').fill('one');
      await benPage!.getByText('ann is typing…').waitFor();
      await annPage!.getByLabel('Message').press('Enter');
      // The message is stored, so later messages of others follow it.
      await annPage!.locator('#message-1', { hasText: '✓' }).waitFor();
      const two = await send(ben, room, 'two');
      const three = await send(ann, room, 'three');
      await expect.poll(() => textsOf(annPage!)).toEqual(['one', 'two', 'three']);
      await ben.ask(EDIT, { id: two.id });
      await ben.ask(REACT, { id: two.id });
      await ann.ask(DELETE, { id: three.id });
      for (const page of [annPage!, benPage!]) {
        await expect.poll(() => textsOf(page)).toEqual(['one', 'two and a half', 'Message deleted']);
        await page.locator('#message-2', { hasText: '🎉 1' }).waitFor();
      }
      await annPage!.locator('#message-1', { hasText: '✓' }).waitFor();
      expect(await annPage!.getByText('is typing').count()).toBe(0);
    });

    test('a room pages, jumps to a message and returns without gaps', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      await sendAll(chatOf(ben), room, 130);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      await expect.poll(() => numbersOf(page)).toEqual(upTo(130, 111));
      await page.getByRole('button', { name: 'Earlier messages' }).click();
      await expect.poll(() => numbersOf(page)).toEqual(upTo(130, 91));
      await page.getByRole('button', { name: 'First message' }).click();
      await expect.poll(() => numbersOf(page)).toEqual(upTo(11));
      const { id } = await ben
        .ask('query ($room: ID!) { chatroom(id: $room) { message(number: 2) { id } } }', { room })
        .then((data) => data.chatroom.message);
      await ben.ask(EDIT, { id });
      await page.locator('#message-2', { hasText: 'two and a half' }).waitFor();
      await page.getByRole('button', { name: 'Newest messages' }).click();
      await expect.poll(async () => (await numbersOf(page)).at(-1)).toBe(130);
      const numbers = await numbersOf(page);
      expect(numbers).toEqual(upTo(130, numbers[0]));
      await page.getByRole('button', { name: 'First message' }).click();
      await expect.poll(() => numbersOf(page)).toEqual(upTo(11));
      // New messages are not shown next to messages far away from them.
      await send(ben, room, '131');
      for (const last of [31, 51, 71]) {
        await page.getByRole('button', { name: 'Later messages' }).click();
        await expect.poll(() => numbersOf(page)).toEqual(upTo(last));
      }
      await page.getByRole('button', { name: 'Later messages' }).click();
      await expect.poll(() => numbersOf(page)).toEqual(upTo(131));
      expect(await page.getByRole('button', { name: 'Later messages' }).count()).toBe(0);
    });

    test('a reopened room has no gap', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: 'Elsewhere', memberIds: [ben.id] } });
      await sendAll(chatOf(ben), room, 60);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      await page.getByRole('button', { name: 'Earlier messages' }).click();
      await expect.poll(() => numbersOf(page)).toEqual(upTo(60, 21));
      await openRoom(page, 'Elsewhere');
      await expect.poll(() => numbersOf(page)).toEqual([]);
      await sendAll(chatOf(ben), room, 120, 61);
      await openRoom(page);
      await expect.poll(() => numbersOf(page)).toEqual(upTo(120, 101));
      for (const first of [81, 61, 41, 21, 1]) {
        await page.getByRole('button', { name: 'Earlier messages' }).click();
        await expect.poll(() => numbersOf(page)).toEqual(upTo(120, first));
      }
    });

    test('rooms appear, vanish, sort by last message, and count unread messages', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      const page = await openExample(await openBrowser(), await bundle, ann);
      const rooms = () => page.locator('nav li').allInnerTexts();
      await expect.poll(() => server.node.gauges.streams).toBe(3);
      const { createChatroom } = await ben.ask(CREATE_CHATROOM, {
        input: { kind: 'GROUP', name: 'A second room', memberIds: [ann.id] },
      });
      await expect.poll(async () => (await rooms()).length).toBe(2);
      await send(ben, room, 'hello');
      await expect.poll(rooms).toEqual(['A room1 hello', expect.stringContaining('A second room')]);
      await send(ben, createChatroom.chatroom.id, 'here too');
      await expect.poll(rooms).toEqual(['A second room1 here too', 'A room1 hello']);
      await page.getByText('Rooms (2 unread)').waitFor();
      await openRoom(page);
      await page.getByText('Rooms (1 unread)').waitFor();
      await expect.poll(async () => (await ann.ask(READ, { id: room })).chatroom).toMatchObject({ unreadCount: 0 });
      await ann.ask(LEAVE, { id: createChatroom.chatroom.id });
      await expect.poll(async () => (await rooms()).length).toBe(1);
    });

    test('messages are marked read only while the page is visible', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      await page.evaluate(() => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
        document.dispatchEvent(new Event('visibilitychange'));
      });
      await send(ben, room, 'unseen');
      await expect.poll(() => textsOf(page)).toEqual(['unseen']);
      await page.getByText('Rooms (1 unread)').waitFor();
      await page.evaluate(() => {
        Reflect.deleteProperty(document, 'visibilityState');
        document.dispatchEvent(new Event('visibilitychange'));
      });
      await page.getByText('Rooms (0 unread)').waitFor();
    });

    test('a message shows its readers while members read, join and leave', async () => {
      const server = await startTestServer();
      const { ann, ben, eve, room } = await world(server);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      const { id } = await send(ann, room, 'one');
      const readers = page.locator('#message-1 small');
      const shown = async () => (await readers.innerText()).trim();
      await expect.poll(shown).toBe('read by 0 of 1');
      // Later read marks arrive by the stream only.
      await expect.poll(() => server.node.gauges.streams).toBe(7);
      await ben.ask(MARK_READ, { id });
      await expect.poll(shown).toBe('read by 1 of 1');
      expect(await readers.getAttribute('title')).toBe('ben');
      await ann.ask(ADD_MEMBER, { id: room, userId: eve.id });
      // Joining marks all earlier messages as read.
      await expect.poll(shown).toBe('read by 2 of 2');
      await eve.ask(LEAVE, { id: room });
      await expect.poll(shown).toBe('read by 1 of 1');
      await ann.ask(BLOCK, { id: ben.id });
      await page.reload();
      await openRoom(page);
      await expect.poll(shown).toBe('read by 0 of 0');
    });

    test('messages marked as unread stay unread until the room is opened again', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: 'Elsewhere', memberIds: [ben.id] } });
      for (const body of ['one', 'two', 'three']) await send(ben, room, body);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      await page.getByText('Rooms (0 unread)').waitFor();
      await page.locator('#message-2').getByRole('button', { name: 'Mark as unread' }).click();
      await page.getByText('Rooms (2 unread)').waitFor();
      await send(ben, room, 'four');
      await page.getByText('Rooms (3 unread)').waitFor();
      await openRoom(page, 'Elsewhere');
      await openRoom(page);
      await page.getByText('Rooms (0 unread)').waitFor();
    });

    test('friends come online and go offline', async () => {
      const server = await startTestServer();
      const { ann, ben } = await world(server);
      await ann.ask(BEFRIEND, { id: ben.id });
      const browser = await openBrowser();
      const annPage = await openExample(browser, await bundle, ann);
      await annPage.getByText('Online: nobody').waitFor();
      const benPage = await openExample(browser, await bundle, ben);
      await annPage.getByText('Online: ben').waitFor();
      await benPage.goto('about:blank');
      await annPage.getByText('Online: nobody').waitFor();
    });

    test('a room has each message once and in order after a restart', async () => {
      const server = await startRestarting();
      const { ann, ben, room } = await world(server);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      const sending = sendAll(chatOf(ben), room, 60);
      await expect.poll(async () => (await textsOf(page)).length).toBeGreaterThan(10);
      await server.stop();
      await server.start();
      await sending;
      await expect.poll(() => textsOf(page), { timeout: 40_000 }).toEqual(bodies(60));
      await page.getByText('Rooms (0 unread)').waitFor();
    });

    test('messages written offline are pending and then arrive in order', async () => {
      const server = await startTestServer();
      const { ann, ben, room } = await world(server);
      const port = Number(new URL(server.url).port);
      const proxy = await startProxy(port);
      onTestFinished(() => proxy.close());
      const page = await openExample(await openBrowser(), await bundle, ann, `http://127.0.0.1:${proxy.port}`);
      await openRoom(page);
      await page.getByRole('status').filter({ hasText: 'live' }).waitFor();
      // Port 1 has no listener. Open connections are reset, and new ones refused.
      proxy.aim(1);
      proxy.reset();
      await page.getByRole('status').filter({ hasText: 'offline' }).waitFor();
      for (const body of ['one', 'two', 'three']) {
        await page.getByLabel('Message').fill(body);
        await page.getByLabel('Message').press('Enter');
      }
      await expect.poll(() => page.getByText('sending…').count()).toBe(3);
      await send(ben, room, 'meanwhile');
      proxy.aim(port);
      await expect.poll(() => textsOf(page), { timeout: 40_000 }).toEqual(['meanwhile', 'one', 'two', 'three']);
      await expect.poll(() => numbersOf(page)).toEqual(upTo(4));
    });

    test('a rejected message shows the reason and can be sent again', async () => {
      const server = await startTestServer();
      const { ann, ben } = await world(server);
      await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } });
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page, 'ben');
      await ben.ask(BLOCK, { id: ann.id });
      await page.getByLabel('Message').fill('Are you there?');
      await page.getByLabel('Message').press('Enter');
      await page.getByText(/block/i).waitFor();
      await ben.ask(UNBLOCK, { id: ann.id });
      await page.getByRole('button', { name: 'Try again' }).click();
      await expect.poll(() => numbersOf(page)).toEqual([1]);
      expect(await textsOf(page)).toEqual(['Are you there?']);
    });

    test('a picture is uploaded, sent and shown to another member', async () => {
      const server = await startTestServer();
      const { ann, ben } = await world(server);
      const browser = await openBrowser();
      const [annPage, benPage] = await Promise.all(
        [ann, ben].map(async (who) => openExample(browser, await bundle, who)),
      );
      await openRoom(annPage!);
      await openRoom(benPage!);
      const choose = ({ fileName, mediaType, bytes }: TestFile) =>
        annPage!
          .getByLabel('Files', { exact: true })
          .setInputFiles({ name: fileName, mimeType: mediaType, buffer: bytes });
      const send = annPage!.getByRole('button', { name: 'Send' });
      const remove = annPage!.getByRole('button', { name: 'Remove' });
      // A rejected file must be removed before the message can be sent.
      await choose({ ...PNG, fileName: 'fake.png', bytes: Buffer.from('no picture') });
      await annPage!.getByRole('alert').filter({ hasText: 'contradicts its name' }).waitFor();
      await annPage!.getByLabel('Message').fill('A dot');
      expect(await send.isDisabled()).toBe(true);
      await remove.click();
      await choose(PNG);
      await annPage!.getByText('dot.png is ready').waitFor();
      await send.click();
      const picture = benPage!.getByRole('img', { name: 'dot.png' });
      await expect.poll(() => picture.evaluate((element: HTMLImageElement) => element.naturalWidth)).toBe(1);
      expect(await remove.count()).toBe(0);
      expect(await textsOf(benPage!)).toEqual(['A dot']);
    });

    test('avatars and link previews are shown, and a preview can be removed', async () => {
      const { web, urlOf } = await servePages((_, response) => {
        response.writeHead(200, { 'content-type': 'text/html' }).end('<title>An article</title>');
      });
      const { ann, ben } = await world(await startTestServer({ web }));
      const browser = await openBrowser();
      const pages = await Promise.all([ann, ben].map(async (who) => openExample(browser, await bundle, who)));
      const [annPage, benPage] = [pages[0]!, pages[1]!];
      for (const page of pages) await openRoom(page);
      const picture = { name: PNG.fileName, mimeType: PNG.mediaType, buffer: PNG.bytes };
      expect(await benPage.getByLabel('Avatar of the room').count()).toBe(0);
      await annPage.getByLabel('Avatar of the room').setInputFiles(picture);
      for (const page of pages) await page.locator('nav li img').waitFor();
      await annPage.getByLabel('My avatar').setInputFiles(picture);
      const avatar = async () => (await ben.ask('{ user(username: "ann") { avatar { url } } }')).user.avatar;
      await expect.poll(avatar).not.toBeNull();
      await annPage.getByLabel('Message').fill(`see ${urlOf('/')}`);
      await annPage.getByLabel('Message').press('Enter');
      for (const page of pages) {
        await page.locator('main li img').waitFor();
        await page.locator('blockquote').getByText('An article').waitFor();
      }
      expect(await benPage.getByRole('button', { name: 'Remove the preview' }).count()).toBe(0);
      await annPage.getByRole('button', { name: 'Remove the preview' }).click();
      for (const page of pages) await expect.poll(() => page.locator('blockquote').count()).toBe(0);
    });

    test('the URL of a file is renewed before its ticket expires', async () => {
      const server = await startTestServer();
      const { ann, room } = await world(server);
      await sendFile(ann, room, textFile());
      const page = await openExample(await openBrowser(), await bundle, ann);
      let tickets = 0;
      page.on('request', (request) => {
        if (request.postData()?.includes('fileTicket')) tickets += 1;
      });
      await page.clock.install();
      await openRoom(page);
      await expect.poll(() => page.getByRole('link', { name: 'note.txt' }).getAttribute('href')).toContain('ticket=');
      await page.clock.runFor('50:00');
      expect(tickets).toBe(1);
      await page.clock.runFor('09:00');
      // The server's clock stands still, so that its new tickets seem to expire at once.
      await expect.poll(() => tickets).toBeGreaterThan(1);
    });

    test('a lost room shows the loss', async () => {
      const server = await startTestServer();
      const { ann, room } = await world(server);
      const page = await openExample(await openBrowser(), await bundle, ann);
      await openRoom(page);
      await ann.ask(LEAVE, { id: room });
      await page.getByRole('alert').waitFor();
      await expect.poll(() => page.locator('nav li').count()).toBe(0);
    });
  },
);
