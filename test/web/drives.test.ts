import { setTimeout as pass } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { chatOf } from '../clients/chatOf.ts';
import { mulberry32 } from '../faults/schedule.ts';
import { type Person, signUp } from '../support/client.ts';
import { freePort } from '../support/ports.ts';
import { type ServerProcess, startProgram } from '../support/process.ts';
import { createTestDatabase } from '../support/server.ts';
import { CREATE_CHATROOM } from '../support/world.ts';
import { APPS, buildApp, openApp, screenOf, write } from './apps.ts';
import { hasChromium, openBrowser } from './browser.ts';

/** Number of messages per person, and milliseconds between two of them. */
const COUNT = 30;
const INTERVAL_MS = 120;
const KILLS = 3;

const ROWS = `query ($room: ID!, $before: String) {
  viewer { unreadCount chatrooms(first: 30) { nodes { title unreadCount } } }
  chatroom(id: $room) {
    messages(last: 100, before: $before) {
      nodes { number body editedAt deletedAt sender { username } reactions { emoji count } }
      pageInfo { startCursor hasPreviousPage }
    }
  }
}`;
const CHANGES = {
  edit: `mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "edited" }) { message { id } } }`,
  remove: `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`,
  react: `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "🎉" }) { message { id } } }`,
};
const DELETE_ROOM = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }`;

/** Returns the state that a page should show, from the server. */
async function truthOf(person: Person, room: string) {
  const { viewer, chatroom } = await person.ask(ROWS, { room });
  const nodes = [...chatroom.messages.nodes];
  for (let { pageInfo } = chatroom.messages; pageInfo.hasPreviousPage;) {
    const older = (await person.ask(ROWS, { room, before: pageInfo.startCursor })).chatroom.messages;
    nodes.unshift(...older.nodes);
    pageInfo = older.pageInfo;
  }
  return {
    title: `Rooms (${viewer.unreadCount} unread)`,
    rooms: viewer.chatrooms.nodes.map(({ title, unreadCount }: any) => `${title} ${unreadCount || ''}`.trim()),
    messages: nodes.map(({ sender, body, editedAt, deletedAt, reactions }: any) =>
      [
        `${sender.username}: ${deletedAt ? 'Message deleted' : body}`,
        ...(editedAt && !deletedAt ? ['(edited)'] : []),
        ...reactions.map(({ emoji, count }: any) => `${emoji} ${count}`),
      ].join(' '),
    ),
  };
}

/** Starts a server process that can be killed and restarted at the same address. */
async function startKillable() {
  const env = {
    ...{
      DATABASE_URL: await createTestDatabase(),
      PORT: String(await freePort()),
      RATE_LIMITS: 'off',
      LOG_LEVEL: 'warn',
    },
    ...{ AUTH_SECRET: 'a secret of this test, which guards nothing', MAX_COMPLEXITY: '100000' },
  };
  let server: ServerProcess = await startProgram(env);
  return {
    url: `http://127.0.0.1:${env.PORT}`,
    async restart() {
      await server.end('SIGKILL');
      server = await startProgram(env);
    },
  };
}

describe.skipIf(!hasChromium)('apps in Chromium (skipped without chromium)', () => {
  const builds = Promise.all(APPS.map(buildApp));

  test.each([1, 2, 3])('show the stored messages after kills (seed %i)', { timeout: 300_000 }, async (seed) => {
    const random = mulberry32(seed);
    const server = await startKillable();
    const [ann, ben, eve, dan] = (await Promise.all(
      ['ann', 'ben', 'eve', 'dan'].map((name) => signUp(server.url, name)),
    )) as [Person, Person, Person, Person];
    const people = [ann, ben, eve];
    const memberIds = people.map(({ id }) => id);
    const create = async (name: string) =>
      (await dan.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name, memberIds } })).createChatroom.chatroom
        .id as string;
    const room = await create('A room');
    const short = await create('A short room');
    const browser = await openBrowser();
    const scripts = await builds;
    const pages = await Promise.all(people.map((person, i) => openApp(browser, scripts[i] as string, person)));
    const others = [...people, dan].map((person) => chatOf(person));
    const chat = others[3]!;

    const pending: Promise<unknown>[] = [];
    const stored: { id: string; sender: number }[] = [];
    const added = chatOf(dan).subscribe<any>(
      `subscription ($room: ID!, $after: String) {
        messageAdded(chatroomId: $room, after: $after) { cursor message { id sender { id } } }
      }`,
      { room },
    );
    void (async () => {
      for await (const { messageAdded } of added) {
        const { id, sender } = messageAdded.message;
        stored.push({ id, sender: [...people, dan].findIndex((person) => person.id === sender.id) });
      }
    })();
    const pick = <Value>(values: readonly Value[]) => values[Math.floor(random() * values.length)];
    /** Changes one of the latest messages on another device of its sender. */
    const change = () => {
      const kind = pick(['edit', 'remove', 'react', 'react'] as const)!;
      const message = pick(stored.slice(-20));
      if (!message) return;
      const who = kind === 'react' ? pick(others)! : others[message.sender]!;
      // The message may have been deleted.
      pending.push(who.request(CHANGES[kind], { id: message.id }, { retry: true }));
    };
    const kills = Array.from({ length: KILLS }, (_, i) => Math.floor(((i + 0.2 + random() * 0.6) * COUNT) / KILLS));
    let restarts = Promise.resolve();
    let created = '';
    const kill = async (first: boolean) => {
      if (first) await dan.ask(DELETE_ROOM, { id: short });
      await server.restart();
      if (first) created = await create('A new room');
    };

    for (let i = 1; i <= COUNT; i += 1) {
      if (kills.includes(i)) restarts = restarts.then(() => kill(i === Math.min(...kills)));
      for (const [index, page] of pages.entries()) pending.push(write(page, `${people[index]!.username} ${i}`));
      pending.push(chat.send({ chatroomId: room, body: `dan ${i}` }));
      if (random() < 0.5) change();
      await pass(INTERVAL_MS * (0.5 + random()));
    }
    await restarts;
    await Promise.all(pending);
    // The pages may still be sending messages.
    const count = async () => (await truthOf(ann, room)).messages.length;
    await expect.poll(count, { timeout: 60_000 }).toBe(4 * COUNT);
    for (const body of ['one', 'two']) await chat.send({ chatroomId: created, body });
    for (const [i, page] of pages.entries()) {
      // Queried for each comparison, because the pages may still be marking messages as read.
      const truth = await vi.waitFor(
        async () => {
          const expected = await truthOf(people[i]!, room);
          expect(expected.rooms).toEqual(['A new room 2', 'A room']);
          expect(await screenOf(page), APPS[i]).toEqual(expected);
          return expected;
        },
        { timeout: 30_000, interval: 200 },
      );
      expect(truth.messages).toHaveLength(4 * COUNT);
      for (const { username } of [...people, dan]) {
        const own = truth.messages
          .map((text: string) => new RegExp(`^${username}: ${username} (\\d+)`).exec(text)?.[1])
          .filter((number: string | undefined) => number !== undefined)
          .map(Number);
        expect(own).toEqual(own.toSorted((a: number, b: number) => a - b));
      }
    }
  });
});
