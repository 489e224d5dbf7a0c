import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Context } from '../src/core/context.ts';
import { encodeAllRoomsCursor } from '../src/delivery/cursor.ts';
import { findPositions, findPositionsSince } from '../src/delivery/resumePositions.ts';
import { countAllUnread } from '../src/features/readReceipts/unreadCounts.ts';
import { findChangesSince } from '../src/features/viewerEvents/missedChanges.ts';
import { createContext } from '../src/graphql/operation.ts';
import { sql } from '../src/platform/database/database.ts';
import { changedAmong } from '../src/features/chatroomEvents/allRoomsStream.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { reindex } from '../src/features/search/reindex.ts';
import { createAccounts } from './support/accounts.ts';
import { bearer, signUp } from './support/client.ts';
import { createRoom } from './support/rooms.ts';
import { startTestServer, waitForPoll } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const progress = createProgress({ isTTY: false, write: () => true });
const REACT = `mutation ($id: ID!, $emoji: String!) { addReaction(input: { messageId: $id, emoji: $emoji }) { message { reactions { emoji count viewerHasReacted } } } }`;
const OPEN = `query ($search: String, $first: Int, $after: String) { openChatrooms(search: $search, first: $first, after: $after) { nodes { name } pageInfo { hasNextPage endCursor } } }`;
/** Emoji that are one code point each. */
const emojiOf = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => String.fromCodePoint(from + i));

describe('the cost of a page', () => {
  test('is one statement each for seenBy and seenByAll', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    for (let i = 0; i < 10; i += 1) await send(i % 2 ? ann : ben, room, `${i}`);
    const page = (fields: string) =>
      ann.ask(`query ($id: ID!) { chatroom(id: $id) { messages(last: 100) { nodes { number ${fields} } } } }`, {
        id: room,
      });
    await page('');
    server.statements();
    await page('');
    const without = server.statements().length;
    const { chatroom } = await page('seenByAll seenBy(first: 1) { nodes { username } pageInfo { hasNextPage } }');
    expect(server.statements()).toHaveLength(without + 2);
    // The last message is ann's. Each member has read everything before their own last message.
    expect(chatroom.messages.nodes.map(({ seenByAll }: any) => seenByAll)).toEqual([...Array(9).fill(true), false]);
    expect(chatroom.messages.nodes.map(({ seenBy }: any) => seenBy.nodes[0]?.username)).toEqual([
      ...Array.from({ length: 9 }, (_, i) => (i % 2 ? 'ben' : 'ann')),
      undefined,
    ]);
  });

  test('is one statement for the members of all rooms', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    for (let i = 0; i < 5; i += 1)
      await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: i % 2 ? [ben.id] : [] } });
    const page = (fields: string) => ann.ask(`{ viewer { chatrooms(first: 100) { nodes { id ${fields} } } } }`, {});
    await page('');
    server.statements();
    await page('');
    const without = server.statements().length;
    const { viewer } = await page('memberCount');
    expect(server.statements()).toHaveLength(without + 1);
    expect(viewer.chatrooms.nodes.map(({ memberCount }: any) => memberCount)).toEqual([1, 2, 1, 2, 1, 2]);
  });

  test('is one statement for the nodes of each type', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const rooms = [room, await createRoom(ann, { kind: 'GROUP' }), await createRoom(ann, { kind: 'GROUP' })];
    const hidden = await createRoom(eve, { kind: 'GROUP' });
    const messages: string[] = [];
    for (let i = 0; i < 5; i += 1) messages.push((await send(i % 2 ? ann : ben, room, `${i}`)).id);
    messages.push((await send(ann, rooms[1] ?? '', 'elsewhere')).id);
    const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { members { nodes { id } } } }', {
      id: room,
    });
    const members: string[] = chatroom.members.nodes.map(({ id }: any) => id);
    const find = async (ids: string[]) =>
      (await ann.ask('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids })).nodes.map((node: any) => node?.id);

    await find([]);
    server.statements();
    await find([]);
    const without = server.statements().length;
    expect(await find([rooms, members, messages].map(([id = '']) => id))).toHaveLength(3);
    expect(server.statements()).toHaveLength(without + 3);
    const secret = (await send(eve, hidden, 'secret')).id;
    server.statements();
    expect(await find([...messages, hidden, ...members, ...rooms, secret, ...rooms])).toEqual([
      ...[...messages, undefined, ...members, ...rooms, undefined, ...rooms],
    ]);
    expect(server.statements()).toHaveLength(without + 3);
  });

  test('an all-rooms stream walks the smaller of two room lists', () => {
    let steps = 0;
    class Counted extends Map<string, number> {
      override *keys(): ReturnType<Map<string, number>['keys']> {
        for (const key of super.keys()) {
          steps += 1;
          yield key;
        }
        return undefined;
      }
    }
    const many = new Counted(Array.from({ length: 10_000 }, (_, i) => [`${i}`, i]));
    const few = new Counted([
      ['17', 17],
      ['none', 0],
    ]);
    expect([...changedAmong(many, few)]).toEqual([['17', 17]]);
    expect([...changedAmong(few, many)]).toEqual([['17', 17]]);
    expect(steps).toBe(4);
  });
});

describe('the cost of a send', () => {
  const sendWith = (fields: string) =>
    `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { ${fields} } } }`;
  const IDS = 'id number chatroom { id } sender { __typename ...Id }';

  test('is one statement, and one more with a cursor', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const statementsOf = async (query: string) => {
      server.statements();
      const { sendMessage } = await ann.ask(query, { input: { chatroomId: room, body: 'hello' } });
      expect(sendMessage.message).toMatchObject({ chatroom: { id: room }, sender: { __typename: 'User', id: ann.id } });
      return server.statements({ sessionChecks: true });
    };
    // The session is not cached while a poll is due.
    const fragment = ' fragment Id on User { id }';
    await expect
      .poll(() => statementsOf(sendWith(IDS) + fragment))
      .toEqual([expect.stringContaining('store_messages')]);
    expect(await statementsOf(sendWith(`${IDS} cursor`) + fragment)).toEqual([
      expect.stringContaining('flushed_snapshot'),
      expect.stringContaining('store_messages'),
    ]);
  });
});

describe('many users whose clients start together', () => {
  const USERS = 30;

  test.each([
    ['positions', (context: Context) => findPositions(context)],
    ['positions since a cursor', (context: Context, snapshot: string) => findPositionsSince(context, snapshot)],
    [
      'changes since a cursor',
      (context: Context, snapshot: string) =>
        findChangesSince(context, encodeAllRoomsCursor(context.databaseId, snapshot)),
    ],
    ['unread counts', (context: Context) => countAllUnread(context)],
  ])('load their %s with few statements, none for all users', async (_, load) => {
    const server = await startTestServer();
    const names = Array.from({ length: USERS }, (_, i) => `user${i}`);
    const people = await createAccounts(server.node, server.url, names);
    const contexts = await Promise.all(
      people.map((person) => createContext(server.node, { authorization: bearer(person).authorization })),
    );
    const snapshot = server.node.changePoller.snapshot();
    server.statements();
    await Promise.all(contexts.map((context) => load(context, snapshot)));
    const { length } = server.statements();
    expect(length).toBeGreaterThan(1);
    expect(length).toBeLessThan(USERS / 4);
  });
});

describe('bounds', () => {
  test('one user adds at most 20 emoji to a message', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { id } = await send(ann, room, 'hello');
    const emoji = emojiOf(0x1f600, 21);
    for (const each of emoji.slice(0, 20)) await ben.ask(REACT, { id, emoji: each });
    expect(await ben.askForErrorCode(REACT, { id, emoji: emoji[20] })).toBe('BAD_USER_INPUT');
    const { addReaction } = await ben.ask(REACT, { id, emoji: emoji[3] });
    expect(addReaction.message.reactions).toEqual(
      emoji.slice(0, 20).map((each) => ({ emoji: each, count: 1, viewerHasReacted: true })),
    );
  });

  test('a message has at most 50 kinds of emoji', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { id } = await send(ann, room, 'hello');
    await server.node.database.query(sql`
      INSERT INTO reactions (chatroom_id, number, user_id, emoji)
        SELECT m.chatroom_id, m.number, u.id, e.emoji FROM messages m, users u, unnest(${emojiOf(0x1f600, 50)}::text[]) e (emoji)
          WHERE u.username = 'ben' AND m.body = 'hello'`);
    expect(await ann.askForErrorCode(REACT, { id, emoji: '👍' })).toBe('BAD_USER_INPUT');
    await ann.ask(REACT, { id, emoji: '😀' });
  });
});

describe('open rooms', () => {
  test('are paged by their keys, rooms without a key included', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const names = ['ΟΔΟΣ', 'ΟΔΟΣ Α', 'İstanbul', 'ice', 'Zebra', 'ﷺ'.repeat(100), 'ß', 'SS', 'ａ', 'B'];
    for (const name of names) await ann.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name } });
    const found: string[] = [];
    for (let after: string | undefined; ;) {
      const { openChatrooms } = await ann.ask(OPEN, { first: 1, after });
      found.push(openChatrooms.nodes[0].name);
      if (!openChatrooms.pageInfo.hasNextPage) break;
      after = openChatrooms.pageInfo.endCursor;
    }
    expect(found.toSorted()).toEqual(names.toSorted());
    // Renames a room as a node of the previous release does: without a key.
    await server.node.database.query(sql`UPDATE chatrooms SET name = 'Ωmega' WHERE name = 'Zebra'`);
    expect((await ann.ask(OPEN, { search: 'ωM' })).openChatrooms.nodes).toEqual([{ name: 'Ωmega' }]);
    expect((await ann.ask(OPEN, { search: 'zeb' })).openChatrooms.nodes).toEqual([]);
  });
});

describe('dates', () => {
  test('a date ahead of the clock does not affect later messages', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    await send(ann, room, 'one');
    await server.node.database.query(
      sql`UPDATE chatrooms SET last_message_at = now() + interval '1 year', active_at = now() + interval '1 year'`,
    );
    await send(ann, room, 'two');
    const { chatroom } = await ann.ask(
      'query ($id: ID!) { chatroom(id: $id) { lastMessageAt messages(last: 1) { nodes { createdAt } } } }',
      { id: room },
    );
    for (const date of [chatroom.lastMessageAt, chatroom.messages.nodes[0].createdAt])
      expect(Date.parse(date)).toBeLessThanOrEqual(Date.now() + 1_000);
  });

  test('an import sets future dates to now and counts them', async () => {
    const server = await startTestServer();
    const folder = await mkdtemp(join(tmpdir(), 'parley-future-'));
    const year = new Date().getUTCFullYear() + 1;
    await writeFile(join(folder, `${year}-12-25.txt`), '[10:00] <ann> from the future\n');
    await writeFile(join(folder, '2004-12-25.txt'), '[10:00] <ann> from the past\n');
    const summary = await importPath(
      { database: server.node.database, passwords: server.node.passwords, progress },
      folder,
      [],
    );
    expect(summary).toMatchObject({ messages: 2, changed: { 'a date in the future: set to now': 1 } });
    const rows = await server.node.database.query(sql`SELECT FROM messages WHERE created_at > now()`);
    expect(rows).toEqual([]);
  });
});

test('reindexing rewrites only entries that differ', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  for (const body of ['❤️thanks', 'plain']) await send(ann, room, body);
  const { database } = server.node;
  await database.query(sql`UPDATE messages SET search = '''other'':1' WHERE body = '❤️thanks'`);
  expect(await reindex(database, progress)).toBe(1);
  expect(await reindex(database, progress)).toBe(0);
  const { viewer } = await ann.ask('{ viewer { searchMessages(query: "thanks") { nodes { body } } } }', {});
  expect(viewer.searchMessages.nodes).toEqual([{ body: '❤️thanks' }]);
});

test('a forged all-rooms cursor is refused before any read', async () => {
  // With a single connection, the statistics are complete as soon as they are queried.
  const server = await startTestServer({ env: { DATABASE_POOL_SIZE: '1' } });
  const ann = await signUp(server.url, 'ann');
  for (let i = 0; i < 3; i += 1) {
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP' } });
    await server.node.database.query(sql`
      WITH said AS (
        INSERT INTO events (chatroom_id, seq, kind) SELECT id, last_seq + n, 'CHATROOM_UPDATED' FROM chatrooms, generate_series(1, 20000) n
          WHERE id = ${keyOf('Chatroom', createChatroom.chatroom.id)}::uuid RETURNING chatroom_id)
      UPDATE chatrooms SET last_seq = last_seq + 20000 WHERE id IN (SELECT chatroom_id FROM said)`);
  }
  const { viewer } = await ann.ask('{ viewer { cursor } }', {});
  const [, mark] = Buffer.from(viewer.cursor, 'base64url').toString().split(' ');
  const after = Buffer.from(`all ${mark} 3:3:`).toString('base64url');
  const countRead = async () => {
    await server.node.database.query(sql`SELECT pg_stat_force_next_flush()`);
    const [read] = await server.node.database.query<{ rows: number }>(sql`
      SELECT (seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_user_tables WHERE relname = 'events'`);
    return read?.rows ?? 0;
  };
  // Lets the change poller process the writes so far.
  await waitForPoll(server);
  const before = await countRead();
  const stream = ann
    .connect()
    .subscribe('subscription ($after: String) { messageAdded(after: $after) { cursor } }', { after });
  expect(((await stream.ended) as any)[0].extensions.code).toBe('RESYNC_REQUIRED');
  expect((await countRead()) - before).toBeLessThan(100);
});
