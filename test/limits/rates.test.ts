import { readFile } from 'node:fs/promises';
import { buildSchema } from '../../src/features/schema.ts';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { addressOf, subnetOf } from '../../src/core/clientAddress.ts';
import { COSTS, STEP_COSTS } from '../../src/platform/rateLimits/rateLimits.ts';
import { connect, type GraphQLResult, handshake, PASSWORD, type Person, request, signUp } from '../support/client.ts';
import { hasRedis, startRedis } from '../support/redis.ts';
import { ADD } from '../support/rooms.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, SEND, send, world } from '../support/world.ts';

const QUERY = '{ viewer { id } }';
const SIGN_UP = `mutation ($name: String!, $password: String!) {
  signUp(input: { username: $name, password: $password }) { accessToken }
}`;
const REFRESH = `mutation ($token: String!) {
  refreshSession(input: { refreshToken: $token }) { accessToken refreshToken }
}`;
/** Returns a log and the lines written to it. */
function logLines() {
  const lines: string[] = [];
  return { log: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }), lines };
}
const bearer = (person: Person) => ({ authorization: `Bearer ${person.accessToken}` });
const codes = ({ errors }: GraphQLResult) => (errors ?? []).map((error) => error.extensions.code);

/** Creates users and a room on a server without limits. Starts a server with limits on the same database. */
async function limitedWorld(env: Record<string, string>, redisUrl?: string) {
  const free = await startTestServer({ databaseUrl: await createTestDatabase(), ...(redisUrl ? { redisUrl } : {}) });
  const made = await world(free);
  const start = () =>
    startTestServer({
      databaseUrl: free.databaseUrl,
      ...(redisUrl ? { redisUrl } : {}),
      env: { RATE_LIMITS: 'on', ...env },
    });
  return { ...made, free, start, server: await start() };
}

/** Returns one operation that sends `count` messages by aliases. */
const sends = (count: number) =>
  `mutation ($room: ID!) { ${Array.from({ length: count }, (_, i) => `m${i}: sendMessage(input: { chatroomId: $room, body: "${i}" }) { message { number } }`).join(' ')} }`;

test('every mutation with its own price exists in the schema', () => {
  const mutations = Object.keys(buildSchema().getMutationType()?.getFields() ?? {});
  expect(Object.keys(COSTS).filter((name) => !mutations.includes(name))).toEqual([]);
});

test('docs/operations.md lists the price of each mutation', async () => {
  const text = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| (.*?) +\| (\d+) +\|$/gm)];
  const priceOf = (name: string) => Number(rows.find(([, names]) => names?.includes(`\`${name}\``))?.[2]);
  const prices = { ...COSTS, ...STEP_COSTS };
  expect(Object.fromEntries(Object.keys(prices).map((name) => [name, priceOf(name)]))).toEqual(prices);
});

describe('charged operations', () => {
  test.each(['HTTP', 'WebSocket'])('over %s each field of a mutation is charged separately', async (transport) => {
    // The document has 230 tokens and is new to the server, which costs 4 points.
    const { ann, ben, room, server, free } = await limitedWorld({ RATE_PER_USER: '34' });
    const there = ann.at(server.url);
    const connection = there.connect();
    const ask = (query: string, variables?: object): Promise<GraphQLResult> =>
      transport === 'HTTP' ? request(server.url, query, variables, bearer(ann)) : connection.ask(query, variables);
    const result = await ask(sends(10), { room });
    expect(codes(result)).toEqual(Array(4).fill('RATE_LIMITED'));
    expect(Object.values(result.data).filter((field) => field !== null)).toHaveLength(6);
    const retryAfterMs = result.errors?.[0]?.extensions['retryAfterMs'];
    expect(retryAfterMs).toBeGreaterThan(0);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
    expect(result.errors?.[0]?.message).toMatch(/^Too many requests\. Try again in \d+ s\.$/);
    // No further operation is accepted, over either transport, reads included.
    expect(codes(await ask(QUERY))).toEqual(['RATE_LIMITED']);
    expect(await there.askForErrorCode(QUERY)).toBe('RATE_LIMITED');
    expect(await connection.subscribe(MESSAGE_ADDED, { room }).ended).toMatchObject([
      { extensions: { code: 'RATE_LIMITED' } },
    ]);
    // Other users continue, and the refused messages were not stored.
    expect((await send(ben.at(server.url), room, 'mine')).number).toBe(7);
    expect((await send(ann.at(free.url), room, 'elsewhere')).number).toBe(8);
  });

  test('a mutation costs as much over WebSocket as over HTTP', async () => {
    const { ann, ben, eve, room, server, free } = await limitedWorld({ RATE_PER_USER: '300' });
    await ann.at(free.url).ask(ADD, { id: room, users: [eve.id] });
    // A document that is new to the server costs more.
    await send(ann.at(server.url), room, 'first');
    const countSends = async (ask: (query: string, variables: object) => Promise<GraphQLResult>) => {
      for (let count = 0; ; count += 1) {
        const result = await ask(SEND, { input: { chatroomId: room, body: String(count) } });
        if (result.errors) return [count, ...codes(result)];
      }
    };
    const socket = eve.at(server.url).connect();
    expect(await countSends((...operation) => request(server.url, ...operation, bearer(ben)))).toEqual([
      ...[60, 'RATE_LIMITED'],
    ]);
    expect(await countSends((...operation) => socket.ask(...operation))).toEqual([60, 'RATE_LIMITED']);
    // The socket stays open.
    expect(codes(await socket.ask(QUERY))).toEqual(['RATE_LIMITED']);
  });

  test('queries and subscription starts cost 1, and events are free', async () => {
    const { ann, ben, room, server, free } = await limitedWorld({ RATE_PER_USER: '4' });
    const there = ann.at(server.url);
    await there.ask(QUERY);
    const stream = there.connect().subscribe(MESSAGE_ADDED, { room });
    await stream.ready();
    for (let i = 0; i < 8; i += 1) await send(ben.at(free.url), room, `${i}`);
    expect(await stream.take(8)).toHaveLength(8);
    await there.ask(QUERY);
    await there.ask(QUERY);
    expect(await there.askForErrorCode(QUERY)).toBe('RATE_LIMITED');
  });
});

test('signed-out clients share their network’s points, refused operations included', async () => {
  const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '640' } });
  await signUp(url, 'ann');
  await signUp(url, 'ben');
  const socket = connect(url);
  expect(codes(await socket.ask(QUERY))).toEqual([]);
  expect(codes(await request(url, SIGN_UP, { name: 'cem', password: PASSWORD }))).toEqual(['RATE_LIMITED']);
  expect(codes(await socket.ask(QUERY))).toEqual(['RATE_LIMITED']);
  // A mutation that needs a user is charged before it is refused.
  const other = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '9' } });
  const nobody = () => request(other.url, SEND, { input: { chatroomId: 'x', body: 'x' } });
  expect(codes(await nobody())).toEqual(['UNAUTHENTICATED']);
  expect(codes(await nobody())).toEqual(['RATE_LIMITED']);
});

describe('a network without signed-out points', () => {
  test('still serves its signed-in users, handshakes, refreshes and sign-outs', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '320' } });
    const ann = await signUp(url, 'ann');
    while (codes(await request(url, QUERY)).length === 0);
    expect(codes(await request(url, QUERY))).toEqual(['RATE_LIMITED']);
    await ann.ask(QUERY);
    expect(codes(await ann.connect().ask(QUERY))).toEqual([]);
    expect(await handshake(url)).toBe(101);
    const refreshed = await request(url, REFRESH, { token: ann.refreshToken });
    expect(codes(refreshed)).toEqual([]);
    const { accessToken } = refreshed.data.refreshSession;
    expect(codes(await request(url, 'mutation { signOut { ok } }', {}, bearer({ ...ann, accessToken })))).toEqual([]);
  });

  test('is not caused by invalid input', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'on' } });
    const many = Array.from(
      { length: 14 },
      (_, i) => `a${i}: signUp(input: { username: "x", password: "x" }) { accessToken }`,
    );
    for (let i = 0; i < 5; i += 1)
      expect(new Set(codes(await request(url, `mutation { ${many.join(' ')} }`)))).toEqual(new Set(['BAD_USER_INPUT']));
    await signUp(url, 'ann');
  });
});

test.each(['HTTP', 'WebSocket'])('over %s each 16 KB of a request cost a point', async (transport) => {
  const { ann, server } = await limitedWorld({ RATE_PER_USER: '40' });
  const there = ann.at(server.url);
  const socket = there.connect();
  const ask = (): Promise<GraphQLResult> => {
    const variables = { unused: 'x'.repeat(200_000) };
    return transport === 'HTTP'
      ? request(server.url, '{ __typename }', variables, bearer(ann))
      : socket.ask('{ __typename }', variables);
  };
  // Three requests, each with 12 points for the bytes and one for the query.
  for (let i = 0; i < 3; i += 1) expect(codes(await ask())).toEqual([]);
  if (transport === 'HTTP') expect(codes(await ask())).toEqual(['RATE_LIMITED']);
  else {
    ask().catch(() => undefined);
    expect(await socket.closed).toBe(1013);
  }
});

test('handshakes have a counter per network and are refused with 429', async () => {
  const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '1' } });
  for (let i = 0; i < 10; i += 1) expect(await handshake(url)).toBe(101);
  expect(await handshake(url)).toBe(429);
  expect(codes(await request(url, QUERY))).toEqual([]);
});

test('a failing rate limiter does not refuse clients as RATE_LIMITED', async () => {
  const { url, node } = await startTestServer();
  node.rateLimits.chargeCredential = () => Promise.reject(new Error('The counter is broken.'));
  expect(await handshake(url)).toBe(503);
});

test('X-Forwarded-For counts behind trusted proxies, in sessions as well', async () => {
  const SIGN_UP = `mutation ($name: String!) { signUp(input: { username: $name, password: "correct horse" }) { viewer { sessions { nodes { ipAddress } } } } }`;
  const from = (url: string, name: string, forwarded: string) =>
    request(url, SIGN_UP, { name }, { 'x-forwarded-for': forwarded });
  const addressIn = ({ data }: GraphQLResult) => data.signUp.viewer.sessions.nodes[0].ipAddress as string;
  const env = { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '500' };
  const direct = await startTestServer({ env });
  expect(addressIn(await from(direct.url, 'ann', '203.0.113.7'))).toBe('127.0.0.1');
  // A client that claims another address is not believed.
  expect(codes(await from(direct.url, 'ben', '203.0.113.8'))).toEqual(['RATE_LIMITED']);
  const behind = await startTestServer({ env: { ...env, TRUSTED_PROXIES: '1' } });
  expect(addressIn(await from(behind.url, 'ann', '198.51.100.1, 203.0.113.7'))).toBe('203.0.113.7');
  expect(codes(await from(behind.url, 'ben', '198.51.100.2, 203.0.113.7'))).toEqual(['RATE_LIMITED']);
  expect(addressIn(await from(behind.url, 'ben', '203.0.113.8'))).toBe('203.0.113.8');
  expect(addressIn(await from(behind.url, 'cem', 'unknown'))).toBe('127.0.0.1');
});

test.each<[entry: string, address: string]>([
  // Proxies write ports, brackets and zones, and IPv4 addresses mapped to IPv6.
  ['203.0.113.7:41234', '203.0.113.7'],
  ['[2001:db8::1]:41234', '2001:db8::1'],
  ['[2001:db8::1]', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['[fe80::1%25eth0]:80', 'fe80::1'],
  ['::ffff:192.0.2.33', '192.0.2.33'],
  ['::ffff:c000:221', '192.0.2.33'],
  ['0:0:0:0:0:FFFF:C000:0221', '192.0.2.33'],
  ['[::ffff:c000:221]:443', '192.0.2.33'],
  ['64:ff9b::c000:221', '192.0.2.33'],
  ['2001:0DB8:0:0:0:0:0:0001', '2001:db8::1'],
  // The address of the proxy counts in place of an invalid entry.
  ...[
    'unknown',
    '',
    '_hidden',
    '203.0.113',
    '203.0.113.256',
    '0x7f.1',
    '[203.0.113.7',
    '2001:db8::1]:80',
    '::1::2',
    ':80',
    '%',
  ].map((garbage) => [garbage, '10.0.0.1'] as [string, string]),
])('an X-Forwarded-For of "%s" is parsed as %s', (entry, address) => {
  expect(addressOf('10.0.0.1', `9.9.9.9, ${entry}`, 1)).toBe(address);
});

test('proxies count from the right, and the socket uses that address', () => {
  expect(addressOf('::ffff:203.0.113.7', undefined, 0)).toBe('203.0.113.7');
  expect(addressOf('::ffff:203.0.113.7', '1.1.1.1', 0)).toBe('203.0.113.7');
  expect(addressOf('10.0.0.1', '1.1.1.1, 2.2.2.2, 3.3.3.3', 2)).toBe('2.2.2.2');
  expect(addressOf('10.0.0.1', '1.1.1.1', 2)).toBe('10.0.0.1');
  expect(addressOf(undefined, undefined, 1)).toBeUndefined();
});

test.each<[address: string | null, network: string]>([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::ffff:cb00:7107', '203.0.113.7'],
  ...[
    '2001:db8:1:2:3:4:5:6',
    '2001:db8:1:2::1',
    '2001:0DB8:0001:0002::',
    '2001:db8:1:2:0:0:0:1%3',
    '[2001:db8:1:2::9]:80',
  ].map((spelling) => [spelling, '2001:db8:1:2::/64'] as [string, string]),
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['1::3:4:5:6:7', '1:0:0:3::/64'],
  ['::1', '0:0:0:0::/64'],
  [null, 'unknown'],
  ['nonsense', 'unknown'],
])('%s belongs to the network %s', (address, network) => {
  expect(subnetOf(address)).toBe(network);
});

test('every spelling of an IPv6 address maps to one network', () => {
  // Hexadecimal digits of a linear congruential generator with a fixed seed.
  let state = 15;
  const group = () => ((state = (state * 1_103_515_245 + 12_345) % 2 ** 31) % 3 === 0 ? 0 : state % 65_536);
  for (let i = 0; i < 500; i += 1) {
    const groups = Array.from({ length: 8 }, group);
    const plain = groups.map((each) => each.toString(16)).join(':');
    const padded = groups.map((each) => each.toString(16).padStart(4, '0').toUpperCase()).join(':');
    const dotted = `${groups
      .slice(0, 6)
      .map((each) => each.toString(16))
      .join(':')}:${[6, 7].flatMap((at) => [(groups[at] ?? 0) >> 8, (groups[at] ?? 0) & 255]).join('.')}`;
    const short = plain.replace(/(?:^|:)0(?::0)+(?::|$)/, '::');
    const expected = `${groups
      .slice(0, 4)
      .map((each) => each.toString(16))
      .join(':')}::/64`;
    for (const spelling of [plain, padded, dotted, short]) expect(subnetOf(spelling), spelling).toBe(expected);
  }
});

test.each(['x-forwarded-for', 'forwarded', 'x-real-ip'])(
  'a node without trusted proxies warns once of %s',
  async (header) => {
    const { log, lines } = logLines();
    const untrusting = await startTestServer({ log });
    for (let i = 0; i < 3; i += 1) await request(untrusting.url, QUERY, {}, { [header]: '203.0.113.7' });
    await handshake(untrusting.url, { [header]: '203.0.113.7' });
    const warnings = () => lines.filter((line) => line.includes('TRUSTED_PROXIES'));
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]).toContain('Set TRUSTED_PROXIES to the number of your proxies.');
    const trusting = await startTestServer({ log, env: { TRUSTED_PROXIES: '1' } });
    await request(trusting.url, QUERY, {}, { [header]: '203.0.113.7' });
    expect(warnings()).toHaveLength(1);
  },
);

test('clients whose proxy writes their port have separate counters', async () => {
  const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', TRUSTED_PROXIES: '1', RATE_PER_ADDRESS: '2' } });
  const from = (forwarded: string) => request(url, QUERY, {}, { 'x-forwarded-for': forwarded });
  for (let i = 0; i < 20; i += 1) expect(codes(await from(`203.0.113.${i}:41234`))).toEqual([]);
  for (const port of [1, 2]) expect(codes(await from(`203.0.113.30:${port}`))).toEqual([]);
  expect(codes(await from('203.0.113.30:3'))).toEqual(['RATE_LIMITED']);
});

describe.skipIf(!hasRedis())('with a Redis (skipped without a redis-server)', () => {
  test('all nodes count together', async () => {
    const redis = await startRedis();
    const { ann, room, server, start } = await limitedWorld({ RATE_PER_USER: '22' }, redis.url);
    const [here, there] = [ann.at(server.url), ann.at((await start()).url)];
    for (const person of [here, there, here, there]) await send(person, room, 'hello');
    expect(await there.askForErrorCode(SEND, { input: { chatroomId: room, body: 'x' } })).toBe('RATE_LIMITED');
    expect(await here.askForErrorCode(QUERY)).toBe('RATE_LIMITED');
  });

  test.each(['SIGKILL', 'SIGSTOP'] as const)(
    'without Redis (%s) nodes count separately and respond without delay',
    async (signal) => {
      const redis = await startRedis();
      const { ann, room, server } = await limitedWorld({ RATE_PER_USER: '22' }, redis.url);
      const there = ann.at(server.url);
      await send(there, room, 'before');
      redis.signal(signal);
      const began = performance.now();
      for (let i = 0; i < 4; i += 1) await send(there, room, 'while it is away');
      // Each send is counted twice, and each count waits at most 0.1 s for Redis. A slow machine needs longer, but far less
      // than Redis's own timeouts.
      expect(performance.now() - began).toBeLessThan(5_000);
      expect(await there.askForErrorCode(SEND, { input: { chatroomId: room, body: 'x' } })).toBe('RATE_LIMITED');
      if (signal === 'SIGSTOP') redis.signal('SIGCONT');
    },
  );
});

describe('the price of a query', () => {
  const ROOMS = '{ viewer { chatrooms(first: 100) { nodes { id name topic kind cursor memberCount unreadCount } } } }';
  const SEARCH = '{ viewer { searchMessages(query: "hello", first: 1) { nodes { id } } } }';
  /** Counts how often a user may run a query with the given points. */
  async function countAnswered(query: string, points: number): Promise<number> {
    const { ann, server } = await limitedWorld({ RATE_PER_USER: `${points}` });
    for (let i = 0; ; i += 1) {
      const result = await request(server.url, query, {}, bearer(ann));
      if (result.errors) {
        expect(codes(result)).toEqual(['RATE_LIMITED']);
        return i;
      }
    }
  }

  test('is 1, and 1 for each 500 points of complexity', async () => {
    // The query has a complexity of 702.
    expect(await countAnswered(ROOMS, 11)).toBe(5);
  });

  test('is 20 for a search', async () => {
    expect(await countAnswered(SEARCH, 65)).toBe(3);
  });
});
