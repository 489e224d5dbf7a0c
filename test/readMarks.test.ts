import { describe, expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { publishReadMarks } from '../src/features/readReceipts/readMarks.ts';
import { type Person, signUp } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createRoom, DELETE_ROOM } from './support/rooms.ts';
import { createTestDatabase, startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, send } from './support/world.ts';

const MARKS = `subscription ($id: ID!) { readMarksChanged(chatroomId: $id) {
  chatroom { id } members { lastReadNumber user { username } } } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }`;
const keyOfUser = ({ id }: Person) => keyOf('User', id) ?? '';

/** Creates a room of ann with `others` other members. */
async function roomOf(server: TestServer, others: number) {
  const names = Array.from({ length: others }, (_, i) => `reader${i}`);
  const [ann, ...readers] = await Promise.all(['ann', ...names].map((name) => signUp(server.url, name)));
  if (!ann) throw new Error('Ann has not signed up.');
  const { createChatroom } = await ann.ask(CREATE_CHATROOM, {
    input: { kind: 'GROUP', memberIds: readers.map(({ id }) => id) },
  });
  return { ann, readers, room: createChatroom.chatroom.id as string };
}

async function follow(person: Person, room: string) {
  const stream = person.connect().subscribe(MARKS, { id: room });
  await stream.ready();
  return {
    ...stream,
    /** Returns the latest reported mark of each member. */
    marks: () =>
      Object.fromEntries(
        stream.received.flatMap(({ members }) => members.map((m: any) => [m.user.username, m.lastReadNumber])),
      ),
  };
}

describe('readMarksChanged', () => {
  test('reports each member who reads or sends', async () => {
    const server = await startTestServer();
    const { ann, readers, room } = await roomOf(server, 3);
    const stream = await follow(ann, room);
    const one = await send(ann, room, 'one');
    const two = await send(ann, room, 'two');
    await readers[0]?.ask(READ, { id: one.id });
    await readers[1]?.ask(READ, { id: two.id });
    await expect.poll(stream.marks).toEqual({ ann: 2, reader0: 1, reader1: 2 });
    // Not all members have read the earlier messages, so their senders are not notified.
    await send(readers[2] as Person, room, 'three');
    await expect.poll(stream.marks).toEqual({ ann: 2, reader0: 1, reader1: 2, reader2: 3 });
    await send(readers[0] as Person, room, 'four');
    await expect.poll(stream.marks).toEqual({ ann: 2, reader0: 4, reader1: 2, reader2: 3 });
    expect(stream.received[0].chatroom).toEqual({ id: room });
  });

  test('reports the mark of a member who hides a DIRECT room', async () => {
    const server = await startTestServer();
    const { ann, readers } = await roomOf(server, 1);
    const [reader] = readers as [Person];
    const direct = await createRoom(ann, { kind: 'DIRECT', memberIds: [reader.id] });
    const stream = await follow(ann, direct);
    const seen = ann
      .connect()
      .subscribe(`subscription ($id: ID!) { messageSeen(chatroomId: $id) { message { id } } }`, {
        id: direct,
      });
    await seen.ready();
    const { id } = await send(ann, direct, 'one');
    await reader.ask(DELETE_ROOM, { id: direct });
    await expect.poll(stream.marks).toMatchObject({ reader0: 1 });
    expect(await seen.next()).toEqual({ message: { id } });
  });

  test('does not report a mark that moves back', async () => {
    const server = await startTestServer();
    const { ann, readers, room } = await roomOf(server, 1);
    const [reader] = readers as [Person];
    const { id } = await send(ann, room, 'one');
    const stream = await follow(ann, room);
    await reader.ask(READ, { id });
    await expect.poll(stream.marks).toMatchObject({ reader0: 1 });
    await reader.ask(`mutation ($id: ID!) { markUnread(input: { messageId: $id }) { viewer { id } } }`, { id });
    publishReadMarks(server.node.bus, keyOf('Chatroom', room) ?? '', [keyOfUser(reader)]);
    await expect
      .poll(() => stream.received.at(-1).members)
      .toEqual([{ lastReadNumber: 1, user: { username: 'reader0' } }]);
  });

  test('takes a constant number of statements per batch', async () => {
    const server = await startTestServer();
    const { ann, readers, room } = await roomOf(server, 8);
    const key = keyOf('Chatroom', room) ?? '';
    const streams = [await follow(ann, room)];
    async function statementsOf(moved: Person[]): Promise<number> {
      const before = streams.map(({ received }) => received.length);
      server.statements();
      publishReadMarks(server.node.bus, key, moved.map(keyOfUser));
      await expect.poll(() => streams.map(({ received }) => received.length)).toEqual(before.map((count) => count + 1));
      return server.statements().length;
    }
    // The first batch may coincide with statements of starting streams.
    await statementsOf([ann]);
    const few = await statementsOf(readers.slice(0, 1));
    for (const reader of readers) streams.push(await follow(reader, room));
    await statementsOf([ann]);
    const executions = server.node.counters.websocket.shared;
    expect(await statementsOf(readers)).toBe(few);
    expect(server.node.counters.websocket.shared).toBe(executions + 1);
  });

  test('loads nothing without subscribers', async () => {
    const server = await startTestServer();
    const { ann, readers, room } = await roomOf(server, 1);
    const { id } = await send(ann, room, 'one');
    const stream = await follow(ann, room);
    await readers[0]?.ask(READ, { id });
    await expect.poll(stream.marks).toMatchObject({ reader0: 1 });
    expect(server.statements().filter((text) => text.includes('hiddenFrom')).length).toBeGreaterThan(0);
    stream.stop();
    await expect.poll(() => server.node.gauges.conflatedStreams).toBe(0);
    await readers[0]?.ask(READ, { id: (await send(ann, room, 'two')).id });
    publishReadMarks(server.node.bus, keyOf('Chatroom', room) ?? '', readers.map(keyOfUser));
    expect(server.statements().filter((text) => text.includes('hiddenFrom'))).toEqual([]);
  });

  test('sends nothing in a room of more than 100 members', async () => {
    const server = await startTestServer();
    const { ann, readers, room } = await roomOf(server, 1);
    const key = keyOf('Chatroom', room) ?? '';
    const { database, bus } = server.node;
    await database.query(sql`
      WITH crowd AS (
        INSERT INTO users (username, username_key, nickname, nickname_key)
          SELECT 'crowd' || n, 'crowd' || n, 'crowd', 'crowd' FROM generate_series(1, 99) n RETURNING id
      )
      INSERT INTO members (chatroom_id, user_id) SELECT ${key}::uuid, id FROM crowd`);
    const stream = await follow(ann, room);
    server.statements();
    publishReadMarks(bus, key, readers.map(keyOfUser));
    await expect.poll(() => server.statements().some((text) => text.includes('hiddenFrom'))).toBe(true);
    await database.query(sql`
      DELETE FROM members WHERE (chatroom_id, user_id) IN (
        SELECT m.chatroom_id, m.user_id FROM members m JOIN users u ON u.id = m.user_id WHERE u.username = 'crowd1')`);
    publishReadMarks(bus, key, [keyOfUser(ann)]);
    expect((await stream.next()).members).toMatchObject([{ user: { username: 'ann' } }]);
  });

  test.skipIf(!hasRedis())('reaches other nodes with Redis (skipped without a redis-server)', async () => {
    const { url: redisUrl } = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl });
    const there = await startTestServer({ databaseUrl, redisUrl });
    const { ann, readers, room } = await roomOf(here, 1);
    const { id } = await send(ann, room, 'one');
    const stream = await follow(ann.at(there.url), room);
    await readers[0]?.ask(READ, { id });
    await expect.poll(stream.marks).toMatchObject({ reader0: 1 });
  });
});
