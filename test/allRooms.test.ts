import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Person } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { SEED } from './support/seed.ts';
import { createTestDatabase, holdTransaction, startTestServer, waitForPoll } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, send, world } from './support/world.ts';

const ALL = `subscription ($after: String) { messageAdded(after: $after) { cursor chatroom { id } message { number body } } }`;
const CURSOR = `{ viewer { cursor } }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

const makeRoom = async (person: Person, input: object): Promise<string> =>
  (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
const cursorOf = async (person: Person): Promise<string> => (await person.ask(CURSOR)).viewer.cursor;
const bodies = (events: any[]) => events.map((event) => event.message.body);

describe('messageAdded over all rooms', () => {
  test('delivers messages of all rooms to all devices, the sender’s included', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const other = await makeRoom(ben, { kind: 'GROUP', memberIds: [ann.id] });
    const devices = [ann, ann, ben].map((person) => person.connect().subscribe(ALL));
    for (const device of devices) await device.ready();
    await send(ann, room, 'here');
    await send(ben, other, 'there');
    for (const device of devices) expect(bodies(await device.take(2)).sort()).toEqual(['here', 'there']);
  });

  test('adds joined rooms and drops lost rooms while the stream continues', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const stream = eve.connect().subscribe(ALL);
    await stream.ready();
    await send(ann, room, 'before eve');
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'with eve');
    // The join itself produces a SYSTEM message in the room.
    expect(bodies(await stream.take(2))).toEqual([null, 'with eve']);
    const direct = await makeRoom(ben, { kind: 'DIRECT', memberIds: [eve.id] });
    await send(ben, direct, 'to eve alone');
    expect((await stream.next()).message.body).toBe('to eve alone');
    await ann.ask(REMOVE, { id: room, user: eve.id });
    await send(ann, room, 'without eve');
    await send(ben, direct, 'still there?');
    expect((await stream.next()).message.body).toBe('still there?');
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'eve again');
    expect(bodies(await stream.take(2))).toEqual([null, 'eve again']);
    expect(bodies(stream.received)).not.toContain('without eve');
  });

  test('adds a rejoined room although polls repeat an earlier join', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    // While a transaction is open, every poll finds all later transactions again.
    await holdTransaction(server, 'SELECT pg_current_xact_id()');
    const stream = eve.connect().subscribe(ALL);
    await stream.ready();
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'with eve');
    expect(bodies(await stream.take(2))).toEqual([null, 'with eve']);
    await ann.ask(REMOVE, { id: room, user: eve.id });
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
    await waitForPoll(server);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'eve again');
    expect(bodies(await stream.take(2))).toEqual([null, 'eve again']);
    expect(bodies(stream.received)).toEqual([null, 'with eve', null, 'eve again']);
  });

  test('continues if a room is lost between event and execution', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const other = await makeRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    const stream = ben
      .connect()
      .subscribe('subscription { messageAdded { message { body } chatroom { unreadCount } } }');
    await stream.ready();
    await send(ann, room, 'first');
    expect((await stream.next()).message.body).toBe('first');
    const { database } = server.node;
    const { prepared } = database;
    // The removal happens exactly when the message's room is looked up.
    let removed = false;
    database.prepared = async (statement) => {
      if (!removed && /"viewerRole"|"isShared"/.test(statement.text)) {
        removed = true;
        await ann.ask(REMOVE, { id: room, user: ben.id });
      }
      return prepared(statement);
    };
    await send(ann, room, 'lost');
    await expect.poll(() => removed).toBe(true);
    await send(ann, other, 'goes on');
    expect((await stream.next()).message.body).toBe('goes on');
  });

  test('resumes with missed messages of every room, newly joined rooms included', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const quiet = await makeRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    await send(ann, room, 'known');
    const first = ben.connect();
    const stream = first.subscribe(ALL, { after: await cursorOf(ben) });
    await send(ann, room, 'live');
    const { cursor } = await stream.next();
    first.cut();
    await first.closed;
    await send(ann, room, 'missed');
    await send(ann, quiet, 'missed too');
    const late = await makeRoom(eve, { kind: 'GROUP', memberIds: [] });
    await send(eve, late, 'before ben');
    await eve.ask(ADD, { id: late, users: [ben.id] });
    await send(eve, late, 'with ben');
    const resumed = ben.connect().subscribe(ALL, { after: cursor });
    await send(ann, room, 'live again');
    const wanted = ['missed', 'missed too', 'with ben', 'live again'];
    const heard = new Map<string, string>();
    while (!wanted.every((body) => [...heard.values()].includes(body))) {
      const { chatroom, message } = await resumed.next();
      heard.set(`${chatroom.id} ${message.number}`, message.body);
    }
    expect([...heard.values()]).not.toContain('before ben');
    expect([...heard.values()]).not.toContain('known');
    // Messages of each room must arrive in order.
    const numbers = resumed.received.filter((event) => event.chatroom.id === room).map((event) => event.message.number);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  test('loses nothing if a client queries Viewer.cursor, then subscribes', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const rooms = [room, await makeRoom(ann, { kind: 'GROUP', memberIds: [ben.id] })];
    let sending = true;
    const senders = rooms.map(async (id, i) => {
      for (let n = 0; sending; n += 1) await send(ann, id, `${i} ${n}`);
    });
    for (let round = 0; round < 10; round += 1) {
      const { viewer } = await ben.ask(
        '{ viewer { cursor chatrooms { nodes { id messages(last: 1) { nodes { number } } lastMessage { number } } } } }',
      );
      const known = new Map<string, number>(
        viewer.chatrooms.nodes.map((seen: any) => [seen.id, seen.messages.nodes[0]?.number ?? 0]),
      );
      const connection = ben.connect();
      const stream = connection.subscribe(ALL, { after: viewer.cursor });
      const next = new Map(known);
      while ([...known].some(([id, number]) => (next.get(id) ?? 0) < number + 3)) {
        const { chatroom, message } = await stream.next();
        const last = next.get(chatroom.id) ?? 0;
        // A known message may be repeated, but none between it and the next may be missing.
        expect(message.number).toBeLessThanOrEqual(last + 1);
        next.set(chatroom.id, Math.max(last, message.number));
      }
      await connection.client.dispose();
    }
    sending = false;
    await Promise.all(senders);
  });

  test('loses nothing for a client that disconnects at random and resumes', { timeout: 90_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const rooms = [room];
    for (let i = 0; i < 3; i += 1) rooms.push(await makeRoom(ann, { kind: 'GROUP', memberIds: [ben.id] }));
    let after = await cursorOf(ben);
    const heard = new Map(rooms.map((id) => [id, new Set<number>()]));
    const sent = new Map(rooms.map((id) => [id, 0]));
    const script = fc.sample(fc.record({ room: fc.nat(rooms.length - 1), take: fc.nat(3), wait: fc.boolean() }), {
      numRuns: 120,
    });
    let connection = ben.connect();
    let stream = connection.subscribe(ALL, { after });
    for (const step of script) {
      const id = rooms[step.room] ?? room;
      await send(ann, id, 'more');
      sent.set(id, (sent.get(id) ?? 0) + 1);
      if (step.wait) await stream.next();
      for (const event of stream.received) {
        heard.get(event.chatroom.id)?.add(event.message.number);
        after = event.cursor;
      }
      if (step.take > 0) continue;
      connection.cut();
      connection = ben.connect();
      stream = connection.subscribe(ALL, { after });
    }
    await expect
      .poll(
        () => {
          for (const event of stream.received) heard.get(event.chatroom.id)?.add(event.message.number);
          return rooms.map((id) => heard.get(id)?.size);
        },
        { message: `SEED=${SEED}` },
      )
      .toEqual(rooms.map((id) => sent.get(id)));
  });

  test('receives messages and joins by polling if nodes have no bus', async () => {
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl });
    const there = await startTestServer({ databaseUrl });
    const { ann, eve, room } = await world(here);
    const stream = eve.at(there.url).connect().subscribe(ALL);
    await stream.ready();
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'across');
    expect(bodies(await stream.take(2))).toEqual([null, 'across']);
  });

  test.skipIf(!hasRedis())('reaches all nodes with Redis (skipped without a redis-server)', async () => {
    const { url: redisUrl } = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl });
    const there = await startTestServer({ databaseUrl, redisUrl });
    const { ann, eve, room } = await world(here);
    const stream = eve.at(there.url).connect().subscribe(ALL);
    await stream.ready();
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'across');
    expect(bodies(await stream.take(2))).toEqual([null, 'across']);
  });

  test('hides blocked messages, and refuses invalid cursors and signed-out clients', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const after = await cursorOf(ann);
    await send(ben, room, 'of ben');
    await ann.ask(BLOCK, { id: ben.id });
    await send(ben, room, 'more of ben');
    await send(ann, room, 'of ann');
    const stream = ann.connect().subscribe(ALL, { after });
    expect((await stream.next()).message.body).toBe('of ann');

    const refusal = async (variables: object) => codeOf(await ann.connect().subscribe(ALL, variables).ended);
    const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
    expect(await refusal({ after: chatroom.cursor })).toBe('BAD_USER_INPUT');
    expect(await refusal({ after: 'junk' })).toBe('BAD_USER_INPUT');
    expect(codeOf(await ann.connect().subscribe(MESSAGE_ADDED, { room, after }).ended)).toBe('BAD_USER_INPUT');
    const forge = (change: (parts: string[]) => void) => {
      const parts = Buffer.from(after, 'base64url').toString().split(' ');
      change(parts);
      return Buffer.from(parts.join(' ')).toString('base64url');
    };
    expect(await refusal({ after: forge((parts) => (parts[1] = 'AAAAAAAA')) })).toBe('RESYNC_REQUIRED');
    expect(await refusal({ after: forge((parts) => (parts[2] = '99999999:99999999:')) })).toBe('RESYNC_REQUIRED');
    for (const bad of ['0:1:', '9:1:', 'x', '1:5:9', '1:5:3,2'])
      expect(await refusal({ after: forge((parts) => (parts[2] = bad)) })).toBe('BAD_USER_INPUT');
    expect(await ann.on({ accessToken: 'x' }).connect().closed).toBe(4401);
  });

  test('fails with RESYNC_REQUIRED before any event if events were pruned', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const old = await cursorOf(ben);
    await send(ann, room, 'one');
    await send(ann, room, 'two');
    const cursor = await cursorOf(ben);
    await server.node.database.prisma.event.deleteMany({ where: { number: 1 } });
    const stream = ben.connect().subscribe(ALL, { after: old });
    expect(codeOf(await stream.ended)).toBe('RESYNC_REQUIRED');
    expect(stream.received).toEqual([]);
    await send(ann, room, 'three');
    expect((await ben.connect().subscribe(ALL, { after: cursor }).next()).message.body).toBe('three');
  });

  test('releases all resources when the last subscriber leaves', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    await makeRoom(ann, { kind: 'GROUP', memberIds: [] });
    const connection = ann.connect();
    const stream = connection.subscribe(ALL);
    await expect.poll(() => server.node.roomTails.size()).toBe(2);
    await send(ann, room, 'heard');
    await stream.next();
    connection.cut();
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });
});
