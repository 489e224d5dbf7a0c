import { Redis } from 'ioredis';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Bus, createBus } from '../src/platform/redis/bus.ts';
import { connectRedis } from '../src/platform/redis/clients.ts';
import { hasRedis, startRedis } from './support/redis.ts';

const log = pino({ level: 'silent' });

/** Creates a bus in memory, or two that share a Redis. Tests publish on the last one. */
const ENGINES = [
  { name: 'in memory', isShared: false },
  { name: 'over Redis (skipped without a redis-server)', isShared: true },
];

async function startBuses(isShared: boolean) {
  if (!isShared) {
    const bus = createBus({ redis: null, log });
    return { here: bus, there: bus, redis: null };
  }
  const redis = await startRedis();
  const connect = () => {
    const connections = connectRedis(redis.url, log);
    onTestFinished(() => {
      connections.close();
    });
    return createBus({ redis: connections, log });
  };
  return { here: connect(), there: connect(), redis };
}

/** Publishes until a condition holds, because the other bus may not be connected yet. */
const publishUntil = (bus: Bus, topic: string, condition: () => boolean) =>
  expect
    .poll(() => {
      bus.publish(topic, { again: true });
      return condition();
    })
    .toBe(true);

describe.each(ENGINES)('a bus $name', ({ isShared }) => {
  const run = test.skipIf(isShared && !hasRedis());

  run('delivers a payload once to each subscriber of its topic', async () => {
    const { here, there } = await startBuses(isShared);
    const received: unknown[] = [];
    for (const name of ['a', 'b']) await here.listen('room 1', (payload) => received.push([name, payload]));
    await here.listen('room 2', () => received.push('wrong'));
    await publishUntil(there, 'ready', () => true);
    there.publish('room 1', { seq: 1 });
    await expect.poll(() => received).toHaveLength(2);
    there.publish('room 1', { seq: 2 });
    await expect.poll(() => received).toHaveLength(4);
    expect(received).toEqual([
      ['a', { seq: 1 }],
      ['b', { seq: 1 }],
      ['a', { seq: 2 }],
      ['b', { seq: 2 }],
    ]);
  });

  run('delivers at once on its own node', async () => {
    const { here } = await startBuses(isShared);
    const received: unknown[] = [];
    here.subscribe(
      'room',
      (payload) => received.push(payload),
      () => undefined,
    );
    here.publish('room', { seq: 1 });
    expect(received).toEqual([{ seq: 1 }]);
  });

  run('delivers nothing to a subscriber that has unsubscribed', async () => {
    const { here, there } = await startBuses(isShared);
    const received: string[] = [];
    const unsubscribe = await here.listen('room', () => received.push('first'));
    await here.listen('room', () => received.push('second'));
    unsubscribe();
    unsubscribe();
    await publishUntil(there, 'room', () => received.includes('second'));
    expect(received).not.toContain('first');
    expect(here.topics()).toBe(1);
  });

  run('delivers to the others if a subscriber throws', async () => {
    const { here, there } = await startBuses(isShared);
    const received: unknown[] = [];
    await here.listen('room', () => {
      throw new Error('planted');
    });
    await here.listen('room', (payload) => received.push(payload));
    await publishUntil(there, 'room', () => received.length > 0);
  });

  run('subscribes to a topic again right after the last subscriber left', async () => {
    const { here, there } = await startBuses(isShared);
    const received: unknown[] = [];
    for (let i = 0; i < 20; i += 1)
      here.subscribe(
        'room',
        () => undefined,
        () => undefined,
      )();
    await here.listen('room', (payload) => received.push(payload));
    await publishUntil(there, 'room', () => received.length > 0);
    expect(here.topics()).toBe(1);
  });
});

describe.skipIf(!hasRedis())('a bus over Redis (skipped without a redis-server)', () => {
  test('ignores messages of other programs on its channels', async () => {
    const { here, there, redis } = await startBuses(true);
    const received: unknown[] = [];
    await here.listen('room', (payload) => received.push(payload));
    for (const junk of ['', 'null', '1', '"text"', '{', '[]', '\u0000', '{"payload":']) {
      await redis?.command('PUBLISH', 'parley:room', junk);
    }
    await publishUntil(there, 'room', () => received.some((payload) => payload !== undefined));
    expect(received.filter((payload) => payload !== undefined)[0]).toEqual({ again: true });
  });

  test('reports that it is ready after each lost connection', async () => {
    const { here, redis } = await startBuses(true);
    let ready = 0;
    here.subscribe(
      'room',
      () => undefined,
      () => (ready += 1),
    );
    await expect.poll(() => ready).toBe(1);
    await redis?.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await expect.poll(() => ready).toBe(2);
  });

  test('listens without Redis after 1 s, and recovers with Redis', async () => {
    const { here, there, redis } = await startBuses(true);
    await publishUntil(there, 'ready', () => true);
    redis?.signal('SIGSTOP');
    const received: unknown[] = [];
    await here.listen('room', (payload) => received.push(payload));
    here.publish('room', { seq: 1 });
    expect(received).toEqual([{ seq: 1 }]);
    redis?.signal('SIGCONT');
    await publishUntil(there, 'room', () => received.length > 1);
  });

  test('leaves a channel when its last subscriber has left', async () => {
    const { here, redis } = await startBuses(true);
    const client = new Redis(redis?.url ?? '');
    onTestFinished(() => {
      client.disconnect();
    });
    const subscribers = async () => Number((await client.pubsub('NUMSUB', 'parley:room'))[1]);
    const first = await here.listen('room', () => undefined);
    const second = await here.listen('room', () => undefined);
    expect(await subscribers()).toBe(1);
    first();
    second();
    await expect.poll(subscribers).toBe(0);
    expect(here.topics()).toBe(0);
  });
});
