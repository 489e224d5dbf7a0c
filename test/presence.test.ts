import { describe, expect, test } from 'vitest';
import { acknowledged, type Person } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createTestDatabase, startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const PRESENCE = `query ($name: String!) { user(username: $name) { presence { status lastSeenAt } } }`;
const FRIENDS = `query ($status: PresenceStatus) { viewer { friends(status: $status) { nodes { username } } } }`;
const CHANGED = `subscription ($ids: [ID!]) { presenceChanged(userIds: $ids) { user { username } presence { status lastSeenAt } } }`;

/** So that a test sees within a second what takes ten in the world. */
const presenceTimes = { leaseMs: 1_500, graceMs: 300 };

const presence = async (person: Person, of: Person) =>
  (await person.ask(PRESENCE, { name: of.username })).user.presence?.status ?? null;

/** Opens a socket as a device that is there. */
async function arrive(person: Person) {
  const socket = person.connect();
  await socket.ask('{ viewer { id } }');
  return socket;
}

/** Two nodes and three people, of whom ann and ben are friends. */
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

  test('friends see one another come and go, with several devices, on any node; who is soon back was never gone', async ({
    skip,
  }) => {
    const server = await redis(skip);
    const { there, ann, ben } = await friendsOnTwoNodes(server?.url);
    expect(await presence(ann, ben)).toBe('OFFLINE');
    const changes = ann.connect().subscribe(CHANGED);
    await changes.taken();
    const phone = await arrive(ben);
    expect(await changes.next()).toEqual({
      user: { username: 'ben' },
      presence: { status: 'ONLINE', lastSeenAt: null },
    });
    const laptop = await arrive(ben.at(there.url));
    phone.cut();
    await phone.closed;
    // The other device lives: nothing is said, and nothing changes.
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

  test('strangers, and both sides of a block, see no presence and hear of none', async ({ skip }) => {
    const server = await redis(skip);
    const { ann, ben, eve } = await friendsOnTwoNodes(server?.url);
    await arrive(ben);
    expect([await presence(ann, ben), await presence(eve, ben), await presence(ben, ben)]).toEqual([
      'ONLINE',
      null,
      'ONLINE',
    ]);
    const streams = [ann, eve].map((person) => person.connect().subscribe(CHANGED, { ids: [ben.id, eve.id, ann.id] }));
    for (const stream of streams) await stream.taken();
    await ann.ask(BLOCK, { id: ben.id });
    expect([await presence(ann, ben), await presence(ben, ann)]).toEqual([null, null]);
    // Ann and eve become friends: that is the first that either hears, of all that has happened.
    const more = await arrive(ben);
    more.cut();
    await ann.ask(FRIEND, { id: eve.id });
    expect((await streams[0]?.next()).user.username).toBe('eve');
    expect((await streams[1]?.next()).user.username).toBe('ann');
  });

  test('friends are listed by whether they are there, and a new socket is told who is', async ({ skip }) => {
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

  test('no more sockets than MAX_SOCKETS_PER_USER: one more is closed with 4420, whose place is free again after', async ({
    skip,
  }) => {
    const server = await redis(skip);
    const databaseUrl = await createTestDatabase();
    const env = { MAX_SOCKETS_PER_USER: '1' };
    const options = { databaseUrl, redisUrl: server?.url, presenceTimes, env };
    const here = await startTestServer(options);
    const there = server ? await startTestServer(options) : here;
    const { ann, ben } = await world(here);
    const first = await arrive(ann);
    expect(await ann.at(there.url).connect().closed).toBe(4420);
    // Somebody else has places of their own, and the first goes on.
    await arrive(ben);
    expect((await first.ask('{ viewer { user { username } } }')).data.viewer.user.username).toBe('ann');
    first.cut();
    await first.closed;
    await expect.poll(() => settledCode(ann.at(there.url))).toBe('open');
  });
});

test.skipIf(!hasRedis())(
  'presence heals (skipped without a redis-server): after FLUSHALL the living are back, and the users of a node that died go',
  { timeout: 60_000 },
  async () => {
    const redis = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl: redis.url, presenceTimes });
    const { ann, ben, eve } = await world(here);
    for (const friend of [ben, eve]) await ann.ask(FRIEND, { id: friend.id });
    await arrive(ben);
    // A lease that nobody renews is what a killed node leaves behind.
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
  'while Redis stands still presence does too (skipped without a redis-server), and nobody is gone when it is back',
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
    await changes.taken();
    redis.signal('SIGSTOP');
    const stopped = Date.now();
    // All leases run out meanwhile, which is no reason to lie.
    while (Date.now() - stopped < 7_000) expect(await presence(ann, ben)).toBe('ONLINE');
    redis.signal('SIGCONT');
    const resumed = Date.now();
    while (Date.now() - resumed < 3_000) expect(await presence(ann, ben)).toBe('ONLINE');
    expect(changes.received.filter((change) => change.presence.status === 'OFFLINE')).toEqual([]);
  },
);

/** Whether a new socket is let in, or the code with which it is closed. */
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
