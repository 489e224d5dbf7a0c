import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import WebSocket from 'ws';
import { requireMembership } from '../src/features/chatrooms/chatrooms.ts';
import { type Sql, sql } from '../src/platform/database/database.ts';
import { followChatroom } from '../src/features/chatroomEvents/chatroomStream.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { createContext } from '../src/graphql/operation.ts';
import { connectRedis } from '../src/platform/redis/clients.ts';
import { createRedisLeases } from '../src/platform/redis/redisLeases.ts';
import { type Person, request } from './support/client.ts';
import { createDataDir, startProcess } from './support/process.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import {
  createTestDatabase,
  holdTransaction,
  startTestServer,
  type TestServer,
  WIDE_LIMITS,
} from './support/server.ts';
import { MESSAGE_ADDED, send, world } from './support/world.ts';

const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const DELETE = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }`;
const UPDATE = `mutation ($id: ID!, $topic: String) { updateChatroom(input: { chatroomId: $id, topic: $topic }) { chatroom { id } } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }`;
const SET_TYPING = `mutation ($id: ID!, $typing: Boolean!) { setTyping(input: { chatroomId: $id, typing: $typing }) { ok } }`;
const PRESENCE = `query ($name: String!) { user(username: $name) { presence { status } } }`;
const CURSOR = 'query ($id: ID!) { chatroom(id: $id) { cursor } }';
const log = pino({ level: 'silent' });

/** Returns ids of the server's connections that wait for a lock in such a statement. */
async function waiting({ node }: TestServer, statement: string): Promise<number[]> {
  const found = await node.database.query<{ pid: number }>(sql`
    SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE ${`%${statement}%`}`);
  return found.map(({ pid }) => pid);
}

function openSse({ url, accessToken }: Person, room: string, signal: AbortSignal | null = null): Promise<string> {
  return fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: `Bearer ${accessToken}`,
    },
    body: JSON.stringify({ query: MESSAGE_ADDED, variables: { room } }),
    signal,
  }).then((response) => response.text());
}

/** Collects errors that would have crashed the process. */
function watchForCrashes(): unknown[] {
  const crashes: unknown[] = [];
  const onCrash = (error: unknown) => crashes.push(error);
  process.on('uncaughtException', onCrash);
  onTestFinished(() => void process.off('uncaughtException', onCrash));
  return crashes;
}

/** Expects that no stream holds resources once one more stream has opened and closed. */
async function expectNothingLeft(server: TestServer, person: Person, room: string): Promise<void> {
  const after = (await person.ask(CURSOR, { id: room })).chatroom.cursor as string;
  const last = person.connect();
  const stream = last.subscribe(MESSAGE_ADDED, { room, after });
  await send(person, room, 'last');
  await stream.next();
  last.cut();
  await expect.poll(() => [server.node.gauges.streams, server.node.roomTails.size()]).toEqual([0, 0]);
}

describe('failures of one connection', () => {
  test('a refused WebSocket that the client resets does not crash the process', { timeout: 120_000 }, async () => {
    const server = await startProcess(await createDataDir());
    const port = Number(new URL(server.url).port);
    const refusals = ['GET /nope HTTP/1.1', 'GET /graphql HTTP/1.1\r\nOrigin: https://elsewhere.example'];
    for (const [i, refusal] of Array.from({ length: 10 }, () => refusals)
      .flat()
      .entries()) {
      const socket = createConnection(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write(
        `${refusal}\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      // Every other client does not even wait for the response.
      if (i % 4 < 2) expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 40[34]/);
      socket.resetAndDestroy();
      await once(socket, 'close');
      expect((await request(server.url, '{ __typename }')).data).toEqual({ __typename: 'Query' });
    }
    expect(server.output()).not.toContain('ECONNRESET');
    expect(await server.end('SIGTERM')).toBe(0);
  });

  test('a database connection lost in a transaction fails only that request', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const crashes = watchForCrashes();
    const pair = [ann, ben].map(({ id }) => keyOf('User', id)).sort();
    const release = await holdTransaction(
      server,
      'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))',
      pair.join(':'),
    );
    const refused = ann.askForErrorCode(FRIEND, { id: ben.id });
    await expect.poll(() => waiting(server, 'pg_advisory_xact_lock')).toHaveLength(1);
    const [pid] = await waiting(server, 'pg_advisory_xact_lock');
    await server.node.database.query(sql`SELECT pg_terminate_backend(${pid}::int)`);
    expect(await refused).toBe('INTERNAL_SERVER_ERROR');
    await release();
    for (const friend of [ben, eve])
      expect((await ann.ask(FRIEND, { id: friend.id })).addFriend.status).toBe('ACCEPTED');
    expect(crashes).toEqual([]);
  });

  test('dropped database connections are reopened, and streams continue', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const crashes = watchForCrashes();
    const stream = ben.connect().subscribe(MESSAGE_ADDED, { room });
    await stream.ready();
    const drop = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await (
      await holdTransaction(server, drop)
    )();
    await expect.poll(() => send(ann, room, 'still there').catch(() => null)).not.toBeNull();
    expect((await stream.next()).message.body).toBe('still there');
    expect(crashes).toEqual([]);
  });

  test.each([
    ['viewerEvents', 'subscription { viewerEvents { __typename } }'],
    ['presenceChanged', 'subscription { presenceChanged { user { id } } }'],
    ['typingChanged', 'subscription ($room: ID!) { typingChanged(chatroomId: $room) { typing } }'],
    ['readMarksChanged', 'subscription ($room: ID!) { readMarksChanged(chatroomId: $room) { members { id } } }'],
    ['messageSeen', 'subscription ($room: ID) { messageSeen(chatroomId: $room) { message { id } } }'],
  ])('%s whose sources fail at the start leaves no conflated stream', async (_, query) => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    server.node.bus.listen = () => Promise.reject(new Error('planted'));
    const stream = ann.connect().subscribe(query, { room });
    expect(await stream.ended).toMatchObject([{ extensions: { code: 'INTERNAL_SERVER_ERROR' } }]);
    const { gauges, roomTails } = server.node;
    expect([gauges.conflatedStreams, roomTails.followers(), gauges.streams]).toEqual([0, 0, 0]);
  });

  test('a failing listener of the change poller does not affect others', async () => {
    const lines: string[] = [];
    const server = await startTestServer({ log: pino({ level: 'error' }, { write: (line) => lines.push(line) }) });
    const { ann } = await world(server);
    const { sessionId } = await server.node.accessTokens.verify(ann.accessToken);
    const failed = vi.fn(() => {
      throw new Error('planted');
    });
    onTestFinished(server.node.changePoller.listen(failed));
    let heard = false;
    onTestFinished(server.node.changePoller.listen(({ ended }) => (heard ||= ended.includes(sessionId))));
    await ann.ask('mutation { signOut { ok } }');
    await expect.poll(() => heard).toBe(true);
    expect(failed).toHaveBeenCalled();
    expect(lines.join()).toContain('planted');
    expect(lines.join()).not.toContain('database');
  });

  test('a member deleted during a list query is left out', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { database } = server.node;
    const { query } = database;
    let members = 0;
    // Runs between the statement that finds the members and the one that loads their users.
    database.query = async <Row extends object>(statement: Sql) => {
      const rows = await query<Row>(statement);
      if (/ORDER BY m.joined_at/.test(statement.text) && (members += 1) === 1)
        await ben.ask('mutation { deleteAccount(input: { password: "correct horse" }) { __typename } }');
      return rows;
    };
    const MEMBERS = 'query ($id: ID!) { chatroom(id: $id) { members { nodes { user { username } } } } }';
    const { chatroom } = await ann.ask(MEMBERS, { id: room });
    expect(chatroom.members.nodes).toEqual([{ user: { username: 'ann' } }]);
    expect(members).toBe(2);
  });

  test('clients that disconnect during subscription setup leave nothing open', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const release = await holdTransaction(server, 'LOCK TABLE members IN ACCESS EXCLUSIVE MODE');
    const hangUp = new AbortController();
    const held = Array.from({ length: 4 }, () => openSse(ann, room, hangUp.signal));
    const sockets = Array.from({ length: 3 }, () => ann.connect());
    for (const socket of sockets) socket.subscribe(MESSAGE_ADDED, { room });
    // Setups that arrive together share a statement.
    await expect.poll(async () => (await waiting(server, 'members')).length).toBeGreaterThan(0);
    hangUp.abort();
    for (const { status } of await Promise.allSettled(held)) expect(status).toBe('rejected');
    for (const socket of sockets) socket.cut();
    for (const socket of sockets) await socket.closed;
    await release();
    await expectNothingLeft(server, ann, room);
    for (const delays of fc.sample(fc.array(fc.nat(39), { minLength: 15, maxLength: 15 }), 10)) {
      const streams = delays.map((ms) => openSse(ann, room, AbortSignal.timeout(ms)));
      for (const { status } of await Promise.allSettled(streams)) expect(status).toBe('rejected');
    }
    await expectNothingLeft(server, ann, room);
  });

  test('an SSE stream ends if its session ends during setup', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { sessionId } = await server.node.accessTokens.verify(ann.accessToken);
    let told = false;
    server.node.changePoller.listen((swept) => (told = swept.ended.includes(sessionId)));
    const first = await holdTransaction(server, 'LOCK TABLE chatrooms IN ACCESS EXCLUSIVE MODE');
    const ended = openSse(ann, room, AbortSignal.timeout(20_000));
    await expect.poll(() => waiting(server, 'chatrooms')).toHaveLength(1);
    await ann.ask('mutation { signOut { ok } }');
    await expect.poll(() => told).toBe(true);
    // Polls report the ending again while a transaction older than the ending is open.
    const second = await holdTransaction(server, 'LOCK TABLE members IN ACCESS EXCLUSIVE MODE');
    await first();
    await expect.poll(() => told).toBe(false);
    await second();
    expect(await ended).toContain('UNAUTHENTICATED');
    await expect.poll(() => [server.node.gauges.streams, server.node.roomTails.size()]).toEqual([0, 0]);
  });

  test.each([
    ['nothing else', 'is being cleared away', () => Promise.resolve()],
    ['a message', 'is being cleared away', (ann: Person, room: string) => send(ann, room, 'last words')],
    ['a topic', 'is being cleared away', (ann: Person, id: string) => ann.ask(UPDATE, { id, topic: 'The end' })],
    ['a topic', 'is gone', (ann: Person, id: string) => ann.ask(UPDATE, { id, topic: 'The end' })],
  ])('a stream opened during deletion (after %s) fails while the room %s', async (_, state, happen) => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const context = await createContext(server.node, { authorization: `Bearer ${ben.accessToken}` });
    const id = keyOf('Chatroom', room);
    // The stream has checked ben's membership, and has not read the log yet.
    await requireMembership(context, id);
    await happen(ann, room);
    const release = await holdTransaction(server, 'LOCK TABLE messages IN SHARE MODE');
    let told = false;
    server.node.changePoller.listen((swept) => (told ||= swept.ended.includes(id ?? '')));
    await ann.ask(DELETE, { id: room });
    await expect.poll(() => told).toBe(true);
    if (state === 'is gone') {
      await release();
      await expect.poll(() => server.node.database.query(sql`SELECT FROM chatrooms`)).toEqual([]);
      told = false;
      await expect.poll(() => told).toBe(true);
    }
    const events = await followChatroom(context, id, null, { only: 'MESSAGE_ADDED' });
    const drain = async () => {
      while (!(await events.next()).done);
    };
    await expect(drain()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await release();
    await events.return?.();
    expect(server.node.roomTails.size()).toBe(0);
  });
});

/** Each kind of stream, with events of a megabyte, so that a client that does not read them falls behind soon. */
const many = (field: string) => Array.from({ length: 2_000 }, (_, i) => `f${i}: ${field}`).join(' ');
const KINDS = {
  'messageAdded of a room': `subscription ($room: ID!) { messageAdded(chatroomId: $room) { chatroom { ${many('topic')} } } }`,
  'messageAdded of all rooms': `subscription { messageAdded { chatroom { ${many('topic')} } } }`,
  chatroomEvents: `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) { chatroom { ${many('topic')} } } }`,
  presenceChanged: `subscription { presenceChanged { user { ${many('bio')} } } }`,
  typingChanged: `subscription ($room: ID!) { typingChanged(chatroomId: $room) { chatroom { ${many('topic')} } } }`,
  messageSeen: `subscription ($room: ID) { messageSeen(chatroomId: $room) { message { ${many('body')} } } }`,
  viewerEvents: `subscription { viewerEvents { __typename ... on UnreadChanged { chatroom { ${many('topic')} } } } }`,
};
const LONG = 'x'.repeat(500);

/** Causes an event for ann in each kind of stream. */
async function happen(ann: Person, ben: Person, room: string): Promise<void> {
  const device = ben.connect();
  await device.ask('{ viewer { id } }');
  await send(ben, room, LONG);
  await ben.ask(READ, { id: (await send(ann, room, LONG)).id });
  for (const typing of [true, false]) await ben.ask(SET_TYPING, { id: room, typing });
  device.cut();
  await device.closed;
}

test('a client that does not read delays no shutdown', { timeout: 20_000 }, async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const { client } = ann.connect();
  await new Promise<void>((resolve) =>
    client.on('connected', (socket) => {
      (socket as WebSocket).pause();
      resolve();
    }),
  );
  await server.stop();
  expect(server.node.gauges.sockets).toBe(0);
});

test.each(Object.entries(KINDS))(
  'a stalled or dead subscriber of %s frees its resources when cut',
  { timeout: 60_000 },
  async (_, query) => {
    const server = await startTestServer({ env: WIDE_LIMITS, presenceTimes: { leaseMs: 30_000, graceMs: 1 } });
    const { ann, ben, room } = await world(server);
    await ann.ask(FRIEND, { id: ben.id });
    await ann.ask(UPDATE, { id: room, topic: LONG });
    await ben.ask('mutation ($bio: String) { updateProfile(input: { bio: $bio }) { viewer { id } } }', { bio: LONG });
    const reading = ann.connect();
    const gone = ann.connect();
    const slow = Array.from({ length: 3 }, () => ann.connect());
    const paused = slow.map(
      ({ client }) =>
        new Promise<void>((resolve) =>
          client.on('connected', (socket) => {
            (socket as WebSocket).pause();
            resolve();
          }),
        ),
    );
    const [stream, , ...unread] = [reading, gone, ...slow].map((connection) => connection.subscribe(query, { room }));
    await Promise.all(paused);
    await stream?.ready();
    gone.cut();
    await expect.poll(() => server.node.gauges.streams).toBe(4);
    for (let round = 0; round < 8; round += 1) {
      await happen(ann, ben, room);
      await expect.poll(() => stream?.received.length).toBeGreaterThan(round);
    }
    expect(unread.map(({ received }) => received)).toEqual([[], [], []]);
    for (const connection of [reading, ...slow]) connection.cut();
    await expect.poll(() => [server.node.gauges.streams, server.node.roomTails.size()]).toEqual([0, 0]);
  },
);

describe.skipIf(!hasRedis())('with a Redis (skipped without a redis-server)', () => {
  /** Starts two nodes. Ann and ben are friends and share a room. */
  async function twoNodes(presenceTimes?: { leaseMs: number; graceMs: number }) {
    const redis = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl: redis.url, presenceTimes, env: WIDE_LIMITS });
    const there = await startTestServer({ databaseUrl, redisUrl: redis.url, presenceTimes, env: WIDE_LIMITS });
    const w = await world(here);
    await w.ann.ask(FRIEND, { id: w.ben.id });
    return { redis, here, there, ...w };
  }

  test('notifications use bounded memory while Redis hangs, and resume later', async () => {
    const { redis, here, there, room } = await twoNodes();
    const id = keyOf('Chatroom', room) ?? '';
    const heard: number[] = [];
    there.node.bus.subscribe(
      `room:${id}`,
      (nudge) => heard.push((nudge as { seq: number }).seq),
      () => undefined,
    );
    await expect.poll(() => (here.node.roomTails.notify(id, -1), heard)).toContain(-1);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heap = () => (collect(), process.memoryUsage().heapUsed / 1024 / 1024);
    const before = heap();
    redis.signal('SIGSTOP');
    for (let nudges = 0; nudges < 50_000; nudges += 1) {
      here.node.roomTails.notify(id, -2);
      if (nudges % 50 === 0) await setImmediate();
    }
    // Notifications that wait for a response are released while Redis hangs.
    await expect.poll(() => heap() - before).toBeLessThan(20);
    redis.signal('SIGCONT');
    await expect.poll(() => (here.node.roomTails.notify(id, -3), heard)).toContain(-3);
  });

  test('a bus closed with pending subscriptions causes no unhandled rejection', async () => {
    const redis = await startRedis();
    const program = `
      import { pino } from 'pino';
      import { createBus } from './src/platform/redis/bus.ts';
      import { connectRedis } from './src/platform/redis/clients.ts';
      const log = pino({ level: 'silent' });
      const redis = connectRedis('${redis.url}', log);
      const bus = createBus({ redis, log });
      await bus.listen('early', () => {});
      console.log('ready');
      process.stdin.once('data', () => {
        for (const topic of ['a', 'b']) bus.subscribe(topic, () => {}, () => {})();
        bus.subscribe('c', () => {}, () => {});
        void bus.listen('d', () => {});
        bus.publish('c', {});
        redis.close();
        process.stdin.unref();
      });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program]);
    onTestFinished(() => void child.kill('SIGKILL'));
    let complaints = '';
    child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    redis.signal('SIGSTOP');
    child.stdin.write('go');
    expect(await exited).toEqual([0, null]);
    expect(complaints).toBe('');
  });

  test('a lease released during a renewal is not taken again', { timeout: 60_000 }, async () => {
    const redis = await startRedis();
    const left: string[] = [];
    const listener = {
      onArrived: () => undefined,
      onLeft: (userId: string) => left.push(userId),
      onGone: () => undefined,
    };
    const connections = connectRedis(redis.url, log);
    const leases = createRedisLeases(connections.commands, listener, { leaseMs: 6_000, graceMs: 1_000 }, log);
    onTestFinished(async () => {
      await leases.close();
      connections.close();
    });
    const users = Array.from({ length: 2_000 }, (_, i) => `user${i}`);
    const runsOut = (user?: string) => redis.command('ZSCORE', 'parley:{presence}:leases', `${user} socket`);
    // The first poll of an empty Redis extends all leases, as a renewal does.
    await expect.poll(() => redis.command('EXISTS', 'parley:{presence}:looked')).toBe(1);
    for (const user of users) expect(await leases.acquire(user, 'socket', 1)).toBe(true);
    const before = await runsOut(users[0]);
    // The first leases are renewed, and the others are about to be.
    while ((await runsOut(users[0])) === before);
    const kept = users.pop();
    for (const user of users) leases.release(user, 'socket');
    const renewed = await runsOut(kept);
    while ((await runsOut(kept)) === renewed);
    await expect.poll(() => left.length).toBe(users.length);
    expect(await redis.command('ZCARD', 'parley:{presence}:leases')).toBe(1);
  });

  test('presence recovers soon after FLUSHALL, whatever the lease time', async () => {
    // Leases are renewed after a third of this time, so the renewal cannot be the reason for the recovery.
    const { redis, there, ann, ben } = await twoNodes({ leaseMs: 600_000, graceMs: 300 });
    const presence = async () =>
      (await ann.at(there.url).ask(PRESENCE, { name: 'ben' })).user.presence.status as string;
    const socket = ben.connect();
    await socket.ask('{ viewer { id } }');
    expect(await presence()).toBe('ONLINE');
    await redis.command('FLUSHALL');
    await expect.poll(presence).toBe('ONLINE');
  });

  test('invalid payloads on topics of open streams have no effect', async () => {
    const { redis, here, there, ann, ben, room } = await twoNodes({ leaseMs: 30_000, graceMs: 300 });
    const streams = Object.values(KINDS).map((query) => ann.connect().subscribe(query, { room }));
    for (const stream of streams) await stream.ready();
    const crashes = watchForCrashes();
    const ended: unknown[] = [];
    for (const [i, kind] of Object.keys(KINDS).entries()) void streams[i]?.ended.then((how) => ended.push([kind, how]));
    const junk = [null, 1, 'junk', [], {}, [[]], { seq: 'x' }, { seq: 1e300 }, { seq: -1 }, { seq: null }];
    const ids = {
      chatroomId: 'junk',
      userId: 'junk',
      typing: true,
      number: 1,
      body: 1,
      sentAt: 'junk',
      status: 'junk',
    };
    for (const kind of ['PRESENCE', 'FRIENDSHIP', 'UNREAD', 'SEEN', 'NOTICE', 'junk'])
      junk.push({ kind } as object, { kind, ...ids } as object);
    const topics = [
      ...['room', 'typing'].map((topic) => `${topic}:${keyOf('Chatroom', room)}`),
      `user:${keyOf('User', ann.id)}`,
      'sweep',
    ];
    const texts = ['null', '{}', '[]', '"', ...junk.map((payload) => JSON.stringify({ from: 'x', payload }))];
    for (const topic of topics) {
      // Waits until Redis has subscribers, because an open stream does not wait for its subscription to other nodes.
      await expect.poll(() => redis.command('PUBLISH', `parley:${topic}`, 'hello')).toBeGreaterThan(0);
      for (const text of texts) await redis.command('PUBLISH', `parley:${topic}`, text);
    }
    expect(ended).toEqual([]);
    const before = streams.map((stream) => stream.received.length);
    await happen(ann.at(there.url), ben.at(there.url), room);
    await expect
      .poll(() => streams.map((stream, i) => stream.received.length > (before[i] ?? 0)))
      .toEqual(streams.map(() => true));
    expect(ended).toEqual([]);
    expect(here.node.gauges.streams).toBe(streams.length);
    expect(crashes).toEqual([]);
  });
});
