import { describe, expect, test } from 'vitest';
import { storeFriendships, storeUsers } from '../src/cli/import/bulkInsert.ts';
import { derivedId, keyOf } from '../src/core/globalIds.ts';
import { createMemoryLeases } from '../src/platform/redis/leases.ts';
import { acknowledged, type Person } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createTestDatabase, startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const PRESENCE = `query ($name: String!) { user(username: $name) { presence { status lastSeenAt } } }`;
const FRIENDS = `query ($status: PresenceStatus) { viewer { friends(status: $status) { nodes { username } } } }`;
const CHANGED = `subscription ($ids: [ID!]) { presenceChanged(userIds: $ids) { user { username } presence { status lastSeenAt } } }`;

/** Short times, so that a test sees within a second what takes ten seconds in production. */
const presenceTimes = { leaseMs: 1_500, graceMs: 300 };

const presence = async (person: Person, of: Person) =>
  (await person.ask(PRESENCE, { name: of.username })).user.presence?.status ?? null;

/** Opens a socket as a device does. Returns once the user is online. */
async function arrive(person: Person) {
  const socket = person.connect();
  await socket.ask('{ viewer { id } }');
  return socket;
}

/** Starts two nodes with three users. Ann and ben are friends. */
async function friendsOnTwoNodes(redisUrl: string | undefined) {
  const databaseUrl = await createTestDatabase();
  const here = await startTestServer({ databaseUrl, redisUrl, presenceTimes });
  const there = redisUrl === undefined ? here : await startTestServer({ databaseUrl, redisUrl, presenceTimes });
  const { ann, ben, eve } = await world(here);
  await ann.ask(FRIEND, { id: ben.id });
  return { here, there, ann, ben, eve };
}

describe.each(['memory', 'Redis'])('presence in %s', (where) => {
  const redis = async (skip: (note: string) => void) => {
    if (where === 'memory') return undefined;
    if (!hasRedis()) skip('There is no redis-server.');
    return startRedis();
  };

  test('is visible to friends across devices and nodes, without flapping', async ({ skip }) => {
    const server = await redis(skip);
    const { there, ann, ben } = await friendsOnTwoNodes(server?.url);
    expect(await presence(ann, ben)).toBe('OFFLINE');
    const changes = ann.connect().subscribe(CHANGED);
    await changes.ready();
    const phone = await arrive(ben);
    expect(await changes.next()).toEqual({
      user: { username: 'ben' },
      presence: { status: 'ONLINE', lastSeenAt: null },
    });
    const laptop = await arrive(ben.at(there.url));
    phone.cut();
    await phone.closed;
    // The other device is connected, so nothing is reported and the status stays.
    await expect.poll(() => presence(ann, ben)).toBe('ONLINE');
    laptop.cut();
    await laptop.closed;
    await expect.poll(() => presence(ann, ben)).toBe('OFFLINE');
    const back = await arrive(ben);
    expect(await presence(ann, ben)).toBe('ONLINE');
    back.cut();
    const { presence: gone } = await changes.next();
    expect(gone.status).toBe('OFFLINE');
    expect(Math.abs(Date.now() - Date.parse(gone.lastSeenAt))).toBeLessThan(10_000);
    expect(changes.received).toHaveLength(2);
  });

  test('is hidden from strangers and both sides of a block', async ({ skip }) => {
    const server = await redis(skip);
    const { ann, ben, eve } = await friendsOnTwoNodes(server?.url);
    await arrive(ben);
    expect([await presence(ann, ben), await presence(eve, ben), await presence(ben, ben)]).toEqual([
      'ONLINE',
      null,
      'ONLINE',
    ]);
    const streams = [ann, eve].map((person) => person.connect().subscribe(CHANGED, { ids: [ben.id, eve.id, ann.id] }));
    for (const stream of streams) await stream.ready();
    await ann.ask(BLOCK, { id: ben.id });
    expect([await presence(ann, ben), await presence(ben, ann)]).toEqual([null, null]);
    // Ann and eve become friends. Both see this event first, so earlier changes were not reported.
    const more = await arrive(ben);
    more.cut();
    await ann.ask(FRIEND, { id: eve.id });
    expect((await streams[0]?.next()).user.username).toBe('eve');
    expect((await streams[1]?.next()).user.username).toBe('ann');
  });

  test('filters friends, and new sockets receive online friends', async ({ skip }) => {
    const server = await redis(skip);
    const { there, ann, ben, eve } = await friendsOnTwoNodes(server?.url);
    await ann.ask(FRIEND, { id: eve.id });
    await arrive(ben.at(there.url));
    const names = async (status?: string) =>
      (await ann.ask(FRIENDS, { status })).viewer.friends.nodes.map((user: any) => user.username);
    expect([await names('ONLINE'), await names('OFFLINE'), await names()]).toEqual([['ben'], ['eve'], ['ben', 'eve']]);
    expect(await acknowledged(ann)).toEqual({
      onlineFriends: [{ id: ben.id, username: 'ben', nickname: 'ben' }],
    });
    expect(await acknowledged(eve)).toMatchObject({ onlineFriends: [{ username: 'ann' }] });
    expect(await acknowledged(ben)).toMatchObject({ onlineFriends: [{ username: 'ann' }] });
  });

  test('counts at most MAX_SOCKETS_PER_USER sockets, and closes more with 4420', async ({ skip }) => {
    const server = await redis(skip);
    const databaseUrl = await createTestDatabase();
    const env = { MAX_SOCKETS_PER_USER: '1' };
    const options = { databaseUrl, redisUrl: server?.url, presenceTimes, env };
    const here = await startTestServer(options);
    const there = server ? await startTestServer(options) : here;
    const { ann, ben } = await world(here);
    const first = await arrive(ann);
    expect(await ann.at(there.url).connect().closed).toBe(4420);
    // Another user has a separate limit, and the first socket stays open.
    await arrive(ben);
    expect((await first.ask('{ viewer { user { username } } }')).data.viewer.user.username).toBe('ann');
    first.cut();
    await first.closed;
    await expect.poll(() => settledCode(ann.at(there.url))).toBe('open');
  });
});

test.skipIf(!hasRedis())(
  'presence recovers (skipped without a redis-server) after FLUSHALL and node crashes',
  { timeout: 60_000 },
  async () => {
    const redis = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl: redis.url, presenceTimes });
    const { ann, ben, eve } = await world(here);
    for (const friend of [ben, eve]) await ann.ask(FRIEND, { id: friend.id });
    await arrive(ben);
    // A killed node leaves a lease that nobody renews.
    await redis.command(
      'ZADD',
      'parley:{presence}:leases',
      String(Date.now() + 5_000),
      `${await userIdOf(here, eve)} dead`,
    );
    await redis.command('HINCRBY', 'parley:{presence}:counts', await userIdOf(here, eve), '1');
    expect(await presence(ann, eve)).toBe('ONLINE');
    const changes = ann.connect().subscribe(CHANGED, { ids: [eve.id] });
    expect(await changes.next()).toMatchObject({ user: { username: 'eve' }, presence: { status: 'OFFLINE' } });
    await redis.command('FLUSHALL');
    await expect.poll(() => presence(ann, ben)).toBe('ONLINE');
  },
);

test.skipIf(!hasRedis())(
  'presence does not change while Redis is frozen (skipped without a redis-server)',
  { timeout: 60_000 },
  async () => {
    const redis = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({
      databaseUrl,
      redisUrl: redis.url,
      presenceTimes: { leaseMs: 3_000, graceMs: 300 },
    });
    const there = await startTestServer({
      databaseUrl,
      redisUrl: redis.url,
      presenceTimes: { leaseMs: 3_000, graceMs: 300 },
    });
    const { ann, ben } = await world(here);
    await ann.ask(FRIEND, { id: ben.id });
    await arrive(ben.at(there.url));
    expect(await presence(ann, ben)).toBe('ONLINE');
    const changes = ann.connect().subscribe(CHANGED);
    await changes.ready();
    redis.signal('SIGSTOP');
    const stopped = Date.now();
    // All leases expire during the freeze. Presence must still not report anyone as offline.
    while (Date.now() - stopped < 7_000) expect(await presence(ann, ben)).toBe('ONLINE');
    redis.signal('SIGCONT');
    const resumed = Date.now();
    while (Date.now() - resumed < 3_000) expect(await presence(ann, ben)).toBe('ONLINE');
    expect(changes.received.filter((change) => change.presence.status === 'OFFLINE')).toEqual([]);
  },
);

test('connection_ack lists at most 100 online friends, by name', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const annKey = keyOf('User', ann.id) ?? '';
  const friends = Array.from({ length: 103 }, (_, i) => ({
    id: derivedId('presence', `friend ${i}`),
    name: `friend${1000 + i}`,
    suffix: 'x',
  }));
  await storeUsers(server.node.database, friends);
  await storeFriendships(
    server.node.database,
    friends.map(({ id }) => [annKey, id] as const),
  );
  const leaving = await Promise.all(friends.map(({ id }) => server.node.presence.register(id, 1)));
  expect(leaving.every((leave) => leave !== null)).toBe(true);
  const { client } = ann.connect();
  const acknowledgement = await new Promise<any>((resolve) =>
    client.on('connected', (_socket, payload) => resolve(payload)),
  );
  expect(acknowledgement.onlineFriends.map((friend: any) => friend.username)).toEqual(
    friends.slice(0, 100).map(({ name }) => name),
  );
  for (const leave of leaving) leave?.();
});

test('a closed node without Redis has released all leases', async () => {
  const left: string[] = [];
  const listener = {
    onArrived: () => undefined,
    onLeft: (userId: string) => left.push(userId),
    onGone: () => undefined,
  };
  const leases = createMemoryLeases(listener, { leaseMs: 1_500, graceMs: 300 });
  for (const socket of ['phone', 'laptop']) expect(await leases.acquire('ann', socket, 2)).toBe(true);
  await leases.close();
  expect(left).toEqual(['ann']);
  expect(leases.size()).toBe(0);
  leases.release('ann', 'phone');
  expect(left).toEqual(['ann']);
});

/** Returns `open` if a new socket is accepted, else its close code. */
async function settledCode(person: Person): Promise<number | 'open'> {
  const socket = person.connect();
  const open = socket.ask('{ viewer { id } }').then(
    () => 'open' as const,
    () => socket.closed,
  );
  return open;
}

async function userIdOf(server: { node: { database: { prisma: any } } }, person: Person): Promise<string> {
  return (await server.node.database.prisma.user.findUnique({ where: { usernameKey: person.username } })).id;
}
