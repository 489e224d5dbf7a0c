import { describe, expect, onTestFinished, test } from 'vitest';
import { OperationSlots } from '../../src/platform/rateLimits/slots.ts';
import { bearer, codesOf, type GraphQLResult, request } from '../support/client.ts';
import { expectAllClosed, readMetrics } from '../support/metrics.ts';
import { createTestDatabase, holdTransaction, startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, SEND, world } from '../support/world.ts';

describe('slots', () => {
  const create = () => {
    const gauges = { operations: 0, operationsWaiting: 0 };
    const slots = new OperationSlots(gauges);
    const gone = new Set<string>();
    const started: string[] = [];
    const acquire = async (name: string, options: { key?: string; maxWaitMs?: number } = {}) => {
      const { key = 'ann', maxWaitMs = 60_000 } = options;
      const release = await slots.acquire({ key, max: 2, maxWaitMs, isDisconnected: () => gone.has(name) });
      started.push(name);
      return release;
    };
    return { gauges, gone, started, acquire };
  };
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  test('are assigned to waiting operations in order of arrival', async () => {
    const { gauges, started, acquire } = create();
    const releases = await Promise.all([acquire('1'), acquire('2')]);
    const waiting = ['3', '4', '5'].map((name) => acquire(name));
    await settled();
    expect(started).toEqual(['1', '2']);
    expect(gauges).toEqual({ operations: 2, operationsWaiting: 3 });
    releases[1]?.();
    // Releasing a slot twice frees only one.
    releases[1]?.();
    (await waiting[0])?.();
    await settled();
    expect(started).toEqual(['1', '2', '3', '4']);
    releases[0]?.();
    for (const release of await Promise.all(waiting)) release();
    expect(started).toEqual(['1', '2', '3', '4', '5']);
    expect(gauges).toEqual({ operations: 0, operationsWaiting: 0 });
  });

  test('of one client do not delay another client', async () => {
    const { acquire, started } = create();
    await Promise.all([acquire('1'), acquire('2')]);
    acquire('3').catch(() => undefined);
    await acquire('4', { key: 'ben' });
    expect(started).toEqual(['1', '2', '4']);
  });

  test('have a queue of 50 per client, and refuse more', async () => {
    const { gauges, gone, acquire } = create();
    const releases = await Promise.all([acquire('1'), acquire('2')]);
    const waiting = Array.from({ length: 50 }, (_, i) => acquire(`${i + 3}`));
    await expect(acquire('53')).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs: 1_000 } });
    // A disconnected client frees its place in the queue.
    gone.add('10');
    const late = acquire('54');
    await expect(waiting[7]).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    expect(gauges.operationsWaiting).toBe(50);
    for (const release of releases) release();
    const others = [...waiting.filter((_, i) => i !== 7), late];
    for (const each of others) (await each)();
    expect(gauges).toEqual({ operations: 0, operationsWaiting: 0 });
  });

  test('are not assigned to disconnected clients, and time out', async () => {
    const { gauges, gone, started, acquire } = create();
    const releases = await Promise.all([acquire('1'), acquire('2')]);
    await expect(acquire('3', { maxWaitMs: 1 })).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    const [left, next] = [acquire('4'), acquire('5')];
    gone.add('4');
    releases[0]?.();
    await expect(left).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    releases[1]?.();
    (await next)();
    expect(started).toEqual(['1', '2', '5']);
    expect(gauges).toEqual({ operations: 0, operationsWaiting: 0 });
  });
});

const ROOMS = '{ viewer { chatrooms { nodes { id } } } }';
/** A query that reads no room. */
const ME = '{ viewer { id } }';

/** Creates users on a server without limits. Starts a server with limits on the same database. */
async function limitedWorld(env: Record<string, string>) {
  const databaseUrl = await createTestDatabase();
  const free = await startTestServer({ databaseUrl });
  const people = await world(free);
  const server = await startTestServer({ databaseUrl, env: { RATE_LIMITS: 'on', EXECUTION_SECONDS: '60', ...env } });
  /** Blocks statements that read rooms. Returns a function that unblocks them. */
  const hold = () => holdTransaction(server, 'LOCK TABLE chatrooms, members IN ACCESS EXCLUSIVE MODE');
  const open = (operations: number, operationsWaiting: number) =>
    expect.poll(() => server.node.gauges).toMatchObject({ operations, operationsWaiting });
  return { server, people, hold, open };
}

async function startSse(url: string, token: string, query: string, variables: object): Promise<Response> {
  const abort = new AbortController();
  onTestFinished(() => {
    abort.abort();
  });
  return fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
    signal: abort.signal,
  });
}

test('HTTP, SSE and WebSocket operations of a user share slots', { timeout: 90_000 }, async () => {
  const { server, people, hold, open } = await limitedWorld({ MAX_OPERATIONS_PER_USER: '2' });
  const { room } = people;
  const [ann, ben] = [people.ann.at(server.url), people.ben.at(server.url)];
  const socket = ann.connect();
  const stream = socket.subscribe(MESSAGE_ADDED, { room });
  await stream.ready();
  await open(0, 0);
  const release = await hold();
  const overHttp = ann.ask(ROOMS);
  await open(1, 0);
  const overSse = startSse(server.url, ann.accessToken, MESSAGE_ADDED, { room });
  await open(2, 0);
  const overWebSocket = socket.ask(ME);
  const another = socket.subscribe(MESSAGE_ADDED, { room });
  const third = ann.ask(ME);
  await open(2, 3);
  // Other clients of the same address do not wait.
  expect((await ben.ask(ME)).viewer.id).toBeTruthy();
  expect((await request(server.url, ME)).data).toEqual({ viewer: null });
  await release();
  expect((await overHttp).viewer.chatrooms.nodes).toHaveLength(1);
  expect((await overWebSocket).data.viewer.id).toBeTruthy();
  expect((await third).viewer.id).toBeTruthy();
  await another.ready();
  await (await overSse).body?.cancel();
  await open(0, 0);
  const metrics = await readMetrics(server.url);
  expect([metrics.get('parley_operations'), metrics.get('parley_operations_waiting')]).toEqual([0, 0]);
  await socket.client.dispose();
  await expectAllClosed(server.url);
});

test('50 operations wait for a slot, and further ones are RATE_LIMITED', async () => {
  const { server, people, hold, open } = await limitedWorld({ MAX_OPERATIONS_PER_USER: '1' });
  const ann = people.ann.at(server.url);
  const release = await hold();
  const first = ann.ask(ROOMS);
  await open(1, 0);
  const waiting = Array.from({ length: 50 }, () => ann.ask(ME));
  await open(1, 50);
  const refused = await request(server.url, ME, {}, bearer(ann));
  expect(refused.errors?.[0]?.extensions).toEqual({ code: 'RATE_LIMITED', retryAfterMs: 1_000 });
  const stream = ann.connect().subscribe(MESSAGE_ADDED, { room: people.room });
  expect(await stream.ended).toMatchObject([{ extensions: { code: 'RATE_LIMITED' } }]);
  await release();
  await Promise.all([first, ...waiting]);
  await open(0, 0);
});

test('an operation that waits half of EXECUTION_SECONDS is RATE_LIMITED', async () => {
  const { server, people, hold, open } = await limitedWorld({ MAX_OPERATIONS_PER_USER: '1', EXECUTION_SECONDS: '2' });
  const ann = people.ann.at(server.url);
  const release = await hold();
  const first = request(server.url, ROOMS, {}, bearer(ann));
  await open(1, 0);
  expect(await ann.askForErrorCode(ME)).toBe('RATE_LIMITED');
  expect(codesOf(await first)).toEqual(['INTERNAL_SERVER_ERROR']);
  // The abandoned operation still runs in the database, so it still uses its slot.
  expect(server.node.gauges.operations).toBe(1);
  await release();
  await open(0, 0);
  expect((await ann.ask(ME)).viewer.id).toBeTruthy();
});

test('a waiting operation is not executed after its client disconnects', async () => {
  const { server, people, hold, open } = await limitedWorld({ MAX_OPERATIONS_PER_USER: '1' });
  const ann = people.ann.at(server.url);
  const release = await hold();
  const first = ann.ask(ROOMS);
  await open(1, 0);
  const socket = ann.connect();
  const input = { chatroomId: people.room, body: 'nobody waits for this' };
  void socket.ask(SEND, { input }).catch(() => undefined);
  await open(1, 1);
  socket.cut();
  await expect.poll(() => server.node.gauges.sockets).toBe(0);
  await release();
  await first;
  await open(0, 0);
  const { chatroom } = await ann.ask('query ($id: ID!) { chatroom(id: $id) { messages { nodes { id } } } }', {
    id: people.room,
  });
  expect(chatroom.messages.nodes).toEqual([]);
});

test('a signed-out client that uses all slots delays no signed-in user', async () => {
  const { server, people, open } = await limitedWorld({ MAX_OPERATIONS_PER_ADDRESS: '2' });
  const ann = people.ann.at(server.url);
  const release = await holdTransaction(server, 'LOCK TABLE users IN ACCESS EXCLUSIVE MODE');
  const nobodys = Array.from({ length: 4 }, (_, i) =>
    request(
      server.url,
      `mutation { signIn(input: { usernameOrEmail: "nobody${i}", password: "a b c d" }) { accessToken } }`,
    ),
  );
  await open(2, 2);
  expect((await ann.ask('{ __typename }')).__typename).toBe('Query');
  await release();
  for (const result of await Promise.all(nobodys)) expect(codesOf(result)).toEqual(['INVALID_CREDENTIALS']);
  await open(0, 0);
});

test('a user can send 20 messages at once', async () => {
  const { server, people } = await limitedWorld({});
  const ann = people.ann.at(server.url);
  const socket = ann.connect();
  const input = (i: number) => ({ chatroomId: people.room, body: `message ${i}` });
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? ann.ask(SEND, { input: input(i) }) : socket.ask(SEND, { input: input(i) }).then(dataOf),
    ),
  );
  const numbers = results.map(({ sendMessage }) => sendMessage.message.number as number);
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
});

function dataOf({ data }: GraphQLResult): any {
  return data;
}
