import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import type WebSocket from 'ws';
import { connect, type Connection, PASSWORD, type Person, request } from './support/client.ts';
import { PRODUCTION } from './support/config.ts';
import { expectAllClosed, readMetrics, readOpen } from './support/metrics.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createTestDatabase, startTestServer, WIDE_LIMITS } from './support/server.ts';
import { MESSAGE_ADDED, send, world } from './support/world.ts';

const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken refreshToken } }`;
const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const SET_TYPING = `mutation ($id: ID!, $typing: Boolean!) { setTyping(input: { chatroomId: $id, typing: $typing }) { ok } }`;
const UPDATE = `mutation ($id: ID!, $topic: String) { updateChatroom(input: { chatroomId: $id, topic: $topic }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const ADD = `mutation ($id: ID!, $user: ID!) { addChatroomMembers(input: { chatroomId: $id, userIds: [$user] }) { chatroom { id } } }`;

/** Opens a stream over SSE. Without `reads`, the response is never read. */
async function openSse(person: Person, query: string, variables: object, reads: boolean): Promise<ClientRequest> {
  const asking = httpRequest(`${person.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: `Bearer ${person.accessToken}`,
    },
  });
  asking.on('error', () => undefined);
  onTestFinished(() => void asking.destroy());
  asking.end(JSON.stringify({ query, variables }));
  const [response] = (await once(asking, 'response')) as [NodeJS.ReadableStream];
  response.on('error', () => undefined);
  if (reads) response.resume();
  return asking;
}

describe('access to /metrics', () => {
  const ask = async (url: string, authorization?: string) => {
    const response = await fetch(`${url}/metrics`, { headers: authorization === undefined ? {} : { authorization } });
    return [response.status, (await response.text()).split(' ')[0]];
  };

  test('requires METRICS_TOKEN if it is set', async () => {
    const { url } = await startTestServer({ env: { METRICS_TOKEN: 'a token of 16 and more' } });
    expect(await ask(url)).toEqual([401, 'Send']);
    expect(await ask(url, 'Bearer another token')).toEqual([401, 'Send']);
    expect(await ask(url, 'Bearer a token of 16 and more')).toEqual([200, '#']);
  });

  test('without METRICS_TOKEN is public, except in production', async () => {
    expect(await ask((await startTestServer()).url)).toEqual([200, '#']);
    expect(await ask((await startTestServer({ env: PRODUCTION })).url)).toEqual([404, 'Metrics']);
  });
});

test('requests are labelled by root field and error code', async () => {
  const server = await startTestServer();
  const { ann, eve, room } = await world(server);
  const before = await readMetrics(server.url);
  const since = async (name: string) => ((await readMetrics(server.url)).get(name) ?? 0) - (before.get(name) ?? 0);
  for (let i = 0; i < 5; i += 1) await ann.ask(`query MadeUp${i} { user(username: "ben") { id } }`);
  await ann.ask('query { ...F } fragment F on Query { ... { user(username: "ben") { id } } }');
  await ann.ask('{ viewer { id } user(username: "ben") { id } }');
  await ann.connect().ask('{ user(username: "ben") { id } }');
  expect(await eve.askForErrorCode(MESSAGE_ADDED, { room })).toBe('NOT_FOUND');
  const stream = eve.connect().subscribe(MESSAGE_ADDED, { room });
  await stream.ended;
  expect(await ann.askForErrorCode('{ nothing }')).toBe('BAD_USER_INPUT');
  expect(await ann.askForErrorCode('{')).toBe('BAD_USER_INPUT');
  expect(await since('parley_requests_total{operation="user",code="OK"}')).toBe(7);
  expect(await since('parley_request_duration_seconds_count{operation="user"}')).toBe(7);
  expect(await since('parley_request_duration_seconds_sum{operation="user"}')).toBeGreaterThan(0);
  expect(await since('parley_requests_total{operation="several",code="OK"}')).toBe(1);
  expect(await since('parley_requests_total{operation="messageAdded",code="NOT_FOUND"}')).toBe(2);
  expect(await since('parley_requests_total{operation="refused",code="BAD_USER_INPUT"}')).toBe(2);
  const names = [...(await readMetrics(server.url)).keys()].join('\n');
  expect(names).not.toContain('MadeUp');
  expect(names).not.toContain('nothing');
});

test('a request that the database fails has its client’s error code', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  // An operation that selects a cursor checks its session in the database.
  server.node.database.prepared = () => Promise.reject(new Error('The database is away.'));
  expect(await ann.askForErrorCode('{ viewer { cursor } }')).toBe('INTERNAL_SERVER_ERROR');
  const metrics = await readMetrics(server.url);
  expect(metrics.get('parley_requests_total{operation="refused",code="INTERNAL_SERVER_ERROR"}')).toBe(1);
});

test('sends, deliveries, executions and jobs are counted, retries are not', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const streams = [ann, ben, ben].map((person) => person.connect().subscribe(MESSAGE_ADDED, { room }));
  await openSse(ann, MESSAGE_ADDED, { room }, true);
  await expect.poll(() => server.node.gauges).toMatchObject({ streams: 4, sse: 1 });
  for (const body of ['one', 'two', 'two']) await send(ann, room, body, { clientMessageId: body });
  for (const stream of streams) await stream.take(2);
  const told = async (name: string) => (await readMetrics(server.url)).get(name);
  expect(await told('parley_messages_sent_total')).toBe(2);
  await expect.poll(() => told('parley_deliveries_total{transport="websocket"}')).toBe(6);
  await expect.poll(() => told('parley_deliveries_total{transport="sse"}')).toBe(2);
  const metrics = await readMetrics(server.url);
  const executions = ['websocket', 'sse'].flatMap((transport) =>
    ['shared', 'own'].map((kind) =>
      metrics.get(`parley_event_executions_total{transport="${transport}",kind="${kind}"}`),
    ),
  );
  expect(executions.reduce((sum = 0, count = 0) => sum + count)).toBe(
    process.env['SHARED_EXECUTION'] === 'off' ? 8 : 2,
  );
  expect(metrics.get('parley_database_connections{state="idle"}')).toBeGreaterThan(0);
  expect(metrics.get('parley_ready')).toBe(1);
  expect(metrics.get('process_resident_memory_bytes')).toBeGreaterThan(1e6);
  expect(metrics.has('nodejs_eventloop_lag_p99_seconds')).toBe(true);
  await ann.ask('mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }', {
    id: room,
  });
  await expect.poll(() => told('parley_jobs_total{task="clear_chatroom",outcome="done"}')).toBe(1);
});

test('the dashboard only queries existing metrics', async () => {
  const { url } = await startTestServer();
  const dashboard = await readFile(new URL('../deploy/grafana/parley.json', import.meta.url), 'utf8');
  const asked = dashboard.match(/\b(parley|nodejs|process)_[a-z0-9_]+/g)?.map((name) => name.replace(/_bucket$/, ''));
  const text = await (await fetch(`${url}/metrics`)).text();
  const told = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  expect(asked?.length).toBeGreaterThan(20);
  expect(asked?.filter((name) => !told.has(name))).toEqual([]);
});

describe.skipIf(!hasRedis())('with a Redis (skipped without a redis-server)', () => {
  test('notifications are timed, and messages recovered by a poll are counted', async () => {
    const redis = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl: redis.url });
    const there = await startTestServer({ databaseUrl, redisUrl: redis.url });
    const { ann, ben, room } = await world(here);
    const stream = ben.at(there.url).connect().subscribe(MESSAGE_ADDED, { room });
    await stream.ready();
    const told = async (name: string) => (await readMetrics(there.url)).get(name) ?? 0;
    await expect
      .poll(async () => (await send(ann, room, 'hello'), told('parley_nudge_lag_seconds_count')))
      .toBeGreaterThan(0);
    const healed = await told('parley_healed_events_total');
    redis.signal('SIGKILL');
    const { number } = await send(ann, room, 'still there');
    while ((await stream.next()).message.number !== number);
    expect(await told('parley_healed_events_total')).toBeGreaterThan(healed);
    // Other programs may publish anything on a shared Redis.
    here.node.bus.publish('room:x', { seq: 1, at: -1e300 });
    expect(await told('parley_nudge_lag_seconds_sum')).toBeLessThan(1e6);
  });
});

/** One subscription of each kind. `wide` selects so much that a client that does not read falls behind soon. */
const wide = (field: string) => Array.from({ length: 300 }, (_, i) => `f${i}: ${field}`).join(' ');
const KINDS = [
  `subscription ($room: ID!) { messageAdded(chatroomId: $room) { message { body } chatroom { ${wide('topic')} } } }`,
  `subscription { messageAdded { message { body } chatroom { ${wide('topic')} } } }`,
  `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) { __typename chatroom { ${wide('topic')} } } }`,
  `subscription ($room: ID!) { typingChanged(chatroomId: $room) { typing chatroom { ${wide('topic')} } } }`,
  'subscription ($room: ID) { messageSeen(chatroomId: $room) { message { id } } }',
  'subscription { presenceChanged { user { id } } }',
  'subscription { viewerEvents { __typename } }',
];

test('a node holds no resources after a storm of subscribers', { timeout: 420_000 }, async () => {
  const server = await startTestServer({
    presenceTimes: { leaseMs: 30_000, graceMs: 1 },
    env: WIDE_LIMITS,
  });
  const { ann, ben, eve, room } = await world(server);
  await ann.ask(FRIEND, { id: ben.id });
  await ann.ask(UPDATE, { id: room, topic: 'x'.repeat(500) });
  await expectAllClosed(server.url);
  const most: Record<string, number> = {};
  const look = async () => {
    for (const [name, value] of Object.entries(await readOpen(server.url)))
      most[name] = Math.max(most[name] ?? 0, value);
  };
  /** Sockets that do not read but answer pings, so that they stay open until their buffers are full. */
  const mute = new Set<WebSocket>();
  /** Causes an event for each kind of stream. */
  const happen = async () => {
    for (const socket of mute) if (socket.readyState === socket.OPEN) socket.pong();
    await send(ann, room, 'hello');
    for (const typing of [true, false]) await ann.ask(SET_TYPING, { id: room, typing });
    await look();
  };
  const all = (person: Person) => {
    const connection = person.connect();
    return { connection, streams: KINDS.map((query) => connection.subscribe(query, { room })) };
  };

  for (let round = 0; round < 2; round += 1) {
    const polite = all(ben);
    const closed = all(ben);
    const cut = all(ben);
    const paused: Connection[] = [];
    mute.clear();
    // On a busy machine, a socket may not be accepted in time.
    while (mute.size < 3) {
      const connection = ben.connect();
      paused.push(connection);
      const isIn = new Promise<void>((resolve) => {
        connection.client.on('connected', (socket) => {
          (socket as WebSocket).pause();
          mute.add(socket as WebSocket);
          resolve();
        });
      });
      for (const query of KINDS) connection.subscribe(query, { room });
      await Promise.race([isIn, connection.closed]);
    }
    // Disconnects during setup: before the subscription is sent, and right after.
    for (const moment of ['opened', 'connected'] as const) {
      const early = all(ben).connection;
      early.client.on(moment, () =>
        setImmediate(() => {
          early.cut();
        }),
      );
    }
    const reading = await Promise.all(KINDS.map((query) => openSse(ben, query, { room }, true)));
    const unread = await Promise.all(KINDS.map((query) => openSse(ben, query, { room }, false)));

    await ann.ask(ADD, { id: room, user: eve.id });
    const { signIn } = (await request(server.url, SIGN_IN, { input: { usernameOrEmail: 'eve', password: PASSWORD } }))
      .data;
    const guest = eve.on(signIn);
    const removed = all(guest);
    const removedSse = await Promise.all(KINDS.map((query) => openSse(guest, query, { room }, true)));
    await expect.poll(() => server.node.gauges.streams, { timeout: 60_000 }).toBeGreaterThan(KINDS.length * 6);

    // Refused operations must not leave anything behind either.
    const wrong = ben.connect();
    for (const [query, variables] of [
      ['subscription { nothing }', {}],
      [MESSAGE_ADDED, { room: 'nowhere' }],
      [MESSAGE_ADDED, { room, after: 'nonsense' }],
      ['subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { cursor } }', { id: ben.id }],
    ] as const)
      await wrong.subscribe(query, variables).ended;
    expect(await guest.askForErrorCode(MESSAGE_ADDED, { room: 'nowhere' })).toBe('NOT_FOUND');
    await connect(server.url, 'no token').closed;

    await expect
      .poll(async () => (await happen(), most['parley_subscriptions_waiting']), { timeout: 120_000 })
      .toBeGreaterThan(0);
    await ann.ask(REMOVE, { id: room, user: eve.id });
    await happen();
    // Streams of all rooms, presence and viewer events continue until their session ends.
    await guest.ask('mutation { signOut { ok } }');
    await removed.connection.closed;

    for (const stream of polite.streams) stream.stop();
    await Promise.all(polite.streams.map((stream) => stream.ended));
    await polite.connection.client.dispose();
    await closed.connection.client.dispose();
    cut.connection.cut();
    for (const connection of [wrong, ...paused]) connection.cut();
    for (const asking of [...reading, ...unread, ...removedSse]) asking.destroy();
    await expectAllClosed(server.url);
  }
  // Precondition: every gauge was above zero during the storm.
  for (const [name, value] of Object.entries(most)) expect(value, name).toBeGreaterThan(0);
});
