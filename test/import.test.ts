import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { formatSummary, importPath } from '../src/cli/import/importPath.ts';
import { seedDemo } from '../src/cli/demo/seedDemo.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { checkBody } from '../src/core/text/body.ts';
import { checkNickname, checkRoomName, checkUsername } from '../src/core/text/names.ts';
import { request, signUp } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { MESSAGE_ADDED, send } from './support/world.ts';

/** Folder of real chats beside the project, which may be absent. */
const DATA = new URL('../../shared/data/', import.meta.url).pathname;
const hasData = await access(DATA).then(
  () => true,
  () => false,
);

const quiet = createProgress({ isTTY: false, write: () => true });
const importing = ({ node }: TestServer) => ({ database: node.database, passwords: node.passwords, progress: quiet });

async function folderOf(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-import-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

const ROOMS = `{ viewer { chatrooms(first: 4) { nodes { id kind name memberCount members(first: 100) { nodes { role user { username nickname } } }
  messages(first: 100) { nodes { number body createdAt deletedAt sender { nickname } } } } } } }`;

describe('importing IRC logs', () => {
  const LOGS = {
    '2004-12-25.raw.txt': `=== ann [~a@host] has joined #ubuntu\n[23:58] <|Quad-|> hello\n[23:59] <Ed> hi |Quad-|\n[23:59]  * ED waves\n=== Ed is now known as Eddie\n[00:01] <|Quad-|>\nnoise\n`,
    '2004-12-31.raw.txt': '[10:00] <|quad-|> back\n[09:59] <x\0y> clock set back\n',
    'LICENSE.md': 'not a log',
  };

  test('creates messages in order, users for nicks, and midnight changes', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const summary = await importPath(importing(server), await folderOf(LOGS), ['ANN']);
    expect(summary).toMatchObject({ users: 3, chatrooms: 1, messages: 6 });
    expect(summary.skipped).toEqual({
      'a user joined': 1,
      'a user changed nick': 1,
      'a line in another format': 1,
    });
    expect(formatSummary(summary)).toMatch(/messages +6\n/);

    const [room] = (await ann.ask(ROOMS)).viewer.chatrooms.nodes;
    expect(room).toMatchObject({ kind: 'OPEN', name: '#ubuntu', memberCount: 4 });
    expect(room.members.nodes.filter((member: any) => member.role === 'OWNER')[0].user).toEqual({
      username: 'Quad',
      nickname: '|Quad-|',
    });
    expect(room.members.nodes.map((member: any) => member.user.username)).toContain('Ed.irc');
    expect(
      room.messages.nodes.map((message: any) => [
        message.number,
        message.sender.nickname,
        message.body,
        message.createdAt.slice(0, 16),
      ]),
    ).toEqual([
      [1, '|Quad-|', 'hello', '2004-12-25T23:58'],
      [2, 'Ed', 'hi |Quad-|', '2004-12-25T23:59'],
      [3, 'Ed', '/me waves', '2004-12-25T23:59'],
      [4, '|Quad-|', null, '2004-12-26T00:01'],
      [5, '|Quad-|', 'back', '2004-12-31T10:00'],
      [6, 'xy', 'clock set back', '2004-12-31T10:00'],
    ]);
    expect(room.messages.nodes[3].deletedAt).toBe(room.messages.nodes[3].createdAt);
  });

  test('is idempotent, completes a partial import, and keeps later messages', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const folder = await folderOf(LOGS);
    await importPath(importing(server), join(folder, '2004-12-25.raw.txt'), ['ann']);
    const [{ id }] = (await ann.ask(ROOMS)).viewer.chatrooms.nodes;
    const { number, cursor } = await send(ann, id, 'between');
    expect(number).toBe(5);
    expect(await importPath(importing(server), folder, [])).toMatchObject({ users: 1, chatrooms: 0, messages: 2 });
    expect(await importPath(importing(server), folder, [])).toMatchObject({ users: 0, chatrooms: 0, messages: 0 });
    const missed = await ann.connect().subscribe(MESSAGE_ADDED, { room: id, after: cursor }).take(2);
    expect(missed.map((event) => event.message.body)).toEqual(['back', 'clock set back']);
  });

  test('refuses invalid files and unknown members in one sentence', async () => {
    const server = await startTestServer();
    const folder = await folderOf({ ...LOGS, 'other.json': '{"users":[]}' });
    await expect(importPath(importing(server), join(folder, 'LICENSE.md'), [])).rejects.toThrow('neither an IRC log');
    await expect(importPath(importing(server), join(folder, 'other.json'), [])).rejects.toThrow('neither an IRC log');
    await expect(importPath(importing(server), folder, ['nobody'])).rejects.toThrow('There is no user "nobody"');
  });

  test.skipIf(!hasData)(
    'pages #ubuntu (skipped without the archive) back at constant cost',
    { timeout: 180_000 },
    async () => {
      const server = await startTestServer();
      const ann = await signUp(server.url, 'ann');
      expect(await importPath(importing(server), `${DATA}ubuntu-irc`, ['ann'])).toMatchObject({
        chatrooms: 1,
        messages: 31_032,
      });
      const [{ id }] = (await ann.ask('{ viewer { chatrooms { nodes { id } } } }')).viewer.chatrooms.nodes;
      const PAGE = `query ($id: ID!, $before: String) { chatroom(id: $id) { messages(last: 50, before: $before) { nodes { number createdAt body sender { username } } pageInfo { startCursor hasPreviousPage } } } }`;
      const seen: { number: number; createdAt: string }[] = [];
      const costs = new Set<number>();
      for (let before: string | undefined; ;) {
        server.statements();
        const { nodes, pageInfo } = (await ann.ask(PAGE, { id, before })).chatroom.messages;
        costs.add(server.statements().length);
        seen.unshift(...nodes);
        if (!pageInfo.hasPreviousPage) break;
        before = pageInfo.startCursor;
      }
      expect(seen.map(({ number }) => number)).toEqual(Array.from({ length: 31_032 }, (_, i) => i + 1));
      expect(seen.every(({ createdAt }, i) => i === 0 || createdAt >= (seen[i - 1]?.createdAt ?? ''))).toBe(true);
      // Room, messages and senders; and the session, while the change poller lags.
      expect(Math.max(...costs)).toBeLessThanOrEqual(4);
      expect(await importPath(importing(server), `${DATA}ubuntu-irc`, [])).toMatchObject({
        users: 0,
        chatrooms: 0,
        messages: 0,
      });
    },
  );
});

describe('importing demo data', () => {
  const KUROI = {
    users: [
      { id: 1, username: '{ここ自分の名前に変えてね}', password: 'long enough' },
      { id: 2, username: 'sei', password: 'short' },
      { id: 3, username: 'ren', password: 'ren100000' },
    ],
    friends: [{ user_id: 1, friend_id: 2 }],
    messages: [
      { datetime: '2021-11-13T04:19:47', sender_id: 3, receiver_id: 1, message: 'おやすみなさい' },
      { datetime: '2021-03-23T20:40:26', sender_id: 1, receiver_id: 3, message: 'こんにちは' },
    ],
    groups: [{ id: 7, name: 'myjlab' }],
    groups_members: [
      { group_id: 7, user_id: 3 },
      { group_id: 7, user_id: 2 },
    ],
    groups_messages: [{ datetime: '2021-01-01T00:00:00', group_id: 7, sender_id: 2, message: 'ありがとう' }],
  };

  test('creates users, one room per pair, messages by time, and groups', async () => {
    const server = await startTestServer();
    const folder = await folderOf({ 'kuroi.json': JSON.stringify(KUROI) });
    expect(await importPath(importing(server), join(folder, 'kuroi.json'), [])).toMatchObject({
      users: 3,
      chatrooms: 2,
      messages: 3,
      skipped: { 'an invalid password: its user cannot sign in': 1 },
    });
    expect(await importPath(importing(server), join(folder, 'kuroi.json'), [])).toMatchObject({
      users: 0,
      chatrooms: 0,
      messages: 0,
    });
    const { data } = await request(
      server.url,
      `mutation { signIn(input: { usernameOrEmail: "ren", password: "ren100000" }) { viewer {
      chatrooms { nodes { kind name opponent { username nickname } messages { nodes { body createdAt } } } } } } }`,
    );
    expect(data.signIn.viewer.chatrooms.nodes).toEqual([
      {
        kind: 'DIRECT',
        name: null,
        opponent: { username: 'user1', nickname: '{ここ自分の名前に変えてね}' },
        messages: {
          nodes: [
            { body: 'こんにちは', createdAt: '2021-03-23T20:40:26.000Z' },
            { body: 'おやすみなさい', createdAt: '2021-11-13T04:19:47.000Z' },
          ],
        },
      },
      {
        kind: 'GROUP',
        name: 'myjlab',
        opponent: null,
        messages: { nodes: [{ body: 'ありがとう', createdAt: '2021-01-01T00:00:00.000Z' }] },
      },
    ]);
  });

  test.skipIf(!hasData)('imports both files of the origins (skipped where they are absent), twice', async () => {
    const server = await startTestServer();
    expect(await importPath(importing(server), `${DATA}kuroi_demo_data.json`, [])).toMatchObject({
      users: 7,
      messages: 15,
    });
    expect(await importPath(importing(server), `${DATA}my_messenger_fake_data.json`, [])).toMatchObject({
      users: 4,
      chatrooms: 4,
      messages: 2,
    });
    const marks = await server.node.database.prisma.member.findMany({ where: { lastReadNumber: { gt: 0 } } });
    expect(marks.length).toBeGreaterThanOrEqual(4);
    for (const file of ['kuroi_demo_data.json', 'my_messenger_fake_data.json']) {
      expect(await importPath(importing(server), DATA + file, [])).toMatchObject({
        users: 0,
        chatrooms: 0,
        messages: 0,
      });
    }
  });

  test('the seed is deterministic, and a second run adds nothing', async () => {
    const [here, there] = [await startTestServer(), await startTestServer()];
    const history = ({ node }: TestServer) =>
      node.database.prisma.message.findMany({
        select: { chatroomId: true, number: true, body: true, createdAt: true, senderId: true },
        orderBy: [{ chatroomId: 'asc' }, { number: 'asc' }],
      });
    expect(await seedDemo(importing(here))).toMatchObject({ users: 8, chatrooms: 5, messages: 2_016 });
    expect(await seedDemo(importing(here))).toMatchObject({ users: 0, chatrooms: 0, messages: 0 });
    await seedDemo(importing(there));
    expect(await history(here)).toEqual(await history(there));
    expect((await history(here)).some(({ body }) => /[{}]/.test(body ?? ''))).toBe(false);
  });
});

test('hostile names, texts and dates are stored as by the API', async () => {
  const server = await startTestServer();
  const names = [
    ...['evil\u001b[31m', '\u202enimdA', '\u3164\u3164\u3164', '\ud800x', 'a\u0000b', 'x'.repeat(5_000)],
    ...[`a${'\u0315'.repeat(24_000)}`, '', 'same', 'SAME', '__proto__', '😀'.repeat(64), 'e\u0301'.repeat(40)],
  ];
  const dates = ['9999-12-31T00:00:00Z', '-000001-01-01T00:00:00Z', 'nonsense'];
  const users = names.map((name, i) => ({ id: `u${i}`, name, email: 'a,b\n@evil', password: 'p' }));
  const texts = [...names, 'y'.repeat(24_000)];
  const chats = names.map((name, i) => ({ id: `c${i}`, name, type: 1 }));
  const folder = await folderOf({
    'chat.json': JSON.stringify({
      ...{ users, chats, message_seen_status: [] },
      chat_members: chats.map(({ id }) => ({ user_id: 'u0', chat_id: id })),
      groups: [],
      messages: texts.map((text, i) => ({
        ...{ id: i === 1 ? `${'m'.repeat(5_000)}\u0000` : `m${i}`, sender_id: 'u0', chat_id: 'c0', text },
        timestamp: dates[i] ?? '2026-01-01T00:00:00Z',
      })),
    }),
  });
  const path = join(folder, 'chat.json');
  const { changed, ...summary } = await importPath(importing(server), path, []);
  expect(summary).toMatchObject({ users: names.length, chatrooms: names.length, messages: texts.length });
  expect(changed).toEqual({
    'a date in the future: set to now': 1,
    'a date that cannot be read: set to 1970': 2,
  });
  const { prisma } = server.node.database;
  for (const { username, nickname, email } of await prisma.user.findMany()) {
    expect(checkUsername(username, '')).toBe(username);
    expect(checkNickname(nickname, '')).toBe(nickname);
    expect(email).toBeNull();
  }
  for (const { name } of await prisma.chatroom.findMany()) expect(checkRoomName(name, '')).toBe(name);
  const messages = await prisma.message.findMany();
  for (const { body } of messages) if (body !== null) checkBody(body, '');
  expect(messages.filter(({ body }) => body === null)).toHaveLength(2);
  expect(await importPath(importing(server), path, [])).toMatchObject({ users: 0, chatrooms: 0, messages: 0 });
});
