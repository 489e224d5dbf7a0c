import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { createEventSeal, type EventSeal } from '../src/delivery/eventSeal.ts';
import type { RoomEvent } from '../src/delivery/roomLog.ts';
import { readEventPage } from '../src/features/chatroomEvents/eventPage.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { countEvents } from './support/rooms.ts';
import { AUTH_SECRET, startTestNodes, startTestServer, type TestServer } from './support/server.ts';
import { cursorOf, MESSAGE_ADDED, send, world } from './support/world.ts';

// A notification carries the event of a sent message, so that the nodes need not read it from the log.

const COUNT = 20;
/**
 * Maximum number of reads for {@link COUNT} messages. A poll that finds a message before its notification causes a read.
 * There is one poll per second.
 */
const MAX_READS = 5;

/** Returns how often the server has read the log of a room since the last call. */
const readsOf = (server: TestServer) => server.statements().filter((text) => /FROM events WHERE/.test(text)).length;

test('a message reaches the subscribers of its node without a read', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const stream = ben.connect().subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
  await send(ann, room, 'first');
  await stream.next();
  readsOf(server);
  for (let i = 0; i < COUNT; i += 1) await send(ann, room, `${i}`);
  const received = await stream.take(COUNT);
  expect(received.map(({ message }) => message.number)).toEqual(Array.from({ length: COUNT }, (_, i) => i + 2));
  expect(readsOf(server)).toBeLessThan(MAX_READS);
});

test('a message after one of another node is read with it', async () => {
  const [here, there] = await startTestNodes();
  const { ann, ben, room } = await world(here);
  const stream = ben
    .at(there.url)
    .connect()
    .subscribe(MESSAGE_ADDED, { room, after: await cursorOf(ben, room) });
  await send(ann.at(there.url), room, 'one');
  await stream.next();
  await send(ann, room, 'two');
  await send(ann.at(there.url), room, 'three');
  expect((await stream.take(2)).map(({ message }) => message.body)).toEqual(['two', 'three']);
});

describe.skipIf(!hasRedis())('with Redis (skipped without a redis-server)', () => {
  async function twoNodes() {
    const redis = await startRedis();
    const [here, there] = await startTestNodes(redis.url);
    const w = await world(here);
    const after = await cursorOf(w.ben, w.room);
    const stream = w.ben.at(there.url).connect().subscribe(MESSAGE_ADDED, { room: w.room, after });
    await send(w.ann, w.room, 'first');
    await stream.next();
    return { here, there, stream, ...w };
  }

  test('a message reaches the subscribers of other nodes without a read', async () => {
    const { there, stream, ann, room } = await twoNodes();
    readsOf(there);
    for (let i = 0; i < COUNT; i += 1) await send(ann, room, `${i}`);
    const received = await stream.take(COUNT);
    expect(received.map(({ message }) => `${message.sender.username} ${message.body}`)).toEqual(
      Array.from({ length: COUNT }, (_, i) => `ann ${i}`),
    );
    expect(readsOf(there)).toBeLessThan(MAX_READS);
  });

  test('a message of more than 8 KB is read from the log', async () => {
    const { there, stream, ann, room } = await twoNodes();
    readsOf(there);
    await send(ann, room, '雨'.repeat(4_000));
    expect((await stream.next()).message.body).toHaveLength(4_000);
    expect(readsOf(there)).toBeGreaterThan(0);
  });

  test('forged events and those of another room or database are not delivered', async () => {
    const { here, stream, ann, room } = await twoNodes();
    const chatroomId = keyOf('Chatroom', room) ?? '';
    const seq = await countEvents(here, room);
    const [last] = await readEventPage(here.node, chatroomId, seq - 1);
    const forge = (change: object, secret = AUTH_SECRET, databaseId = here.node.databaseId) =>
      createEventSeal(secret, databaseId).seal([{ ...last, seq: seq + 1, ...change } as RoomEvent]);
    const forged = [
      'junk',
      7,
      null,
      { seq: seq + 1 },
      forge({}, 'another secret, which no node of the test has'),
      forge({}, AUTH_SECRET, 'another database'),
      forge({ chatroomId: 'another room' }),
      // An event that is not next waits for those before it, which the tail reads.
      forge({ seq: 400 }),
    ];
    for (const events of forged) here.node.bus.publish(`room:${chatroomId}`, { seq: seq + 1, at: Date.now(), events });
    await setImmediate();
    await send(ann, room, 'genuine');
    expect((await stream.next()).message.body).toBe('genuine');
  });
});

test('a seal opens only what the same secret has sealed', () => {
  const [one, other] = ['a', 'b'].map((letter) => createEventSeal(letter.repeat(32), 'database')) as [
    EventSeal,
    EventSeal,
  ];
  const events = [{ seq: 1, at: new Date(5) }] as unknown as RoomEvent[];
  const sealed = one.seal(events) ?? '';
  expect(one.open(sealed)).toEqual(events);
  expect(other.open(sealed)).toEqual([]);
  const bytes = Buffer.from(sealed, 'base64');
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(one.open(changed.toString('base64'))).toEqual([]);
    expect(one.open(bytes.subarray(0, at).toString('base64'))).toEqual([]);
  }
  expect(one.seal([{ body: 'x'.repeat(8_192) }] as unknown as RoomEvent[])).toBeUndefined();
});
