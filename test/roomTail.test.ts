import pino from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { RoomEvent } from '../src/delivery/roomLog.ts';
import { MAX_AGE_MS, RoomTail, type TailOptions } from '../src/delivery/roomTail.ts';
import type { SubscriberGroup } from '../src/delivery/source.ts';
import { startTestServer } from './support/server.ts';

const ROOM = '00000000-0000-4000-8000-000000000001';

function eventAt(seq: number): RoomEvent {
  const event = { chatroomId: ROOM, seq, kind: 'MESSAGE_ADDED', number: seq, userId: null, actorId: null } as const;
  return { ...event, isShared: true, roomKind: 'GROUP', cursor: `${seq}`, message: null };
}

/** A log of the events 1 to `last`, which counts its reads. */
function logOf(last: number) {
  const reads: number[] = [];
  const readPage: TailOptions['readPage'] = (_, seq) => {
    reads.push(seq);
    return Promise.resolve(Array.from({ length: last - seq }, (_, i) => eventAt(seq + 1 + i)));
  };
  return { reads, readPage };
}

async function tailAt(seq: number, readPage: TailOptions['readPage']) {
  const { node } = await startTestServer();
  return new RoomTail(ROOM, seq, { database: node.database, log: pino({ level: 'silent' }), readPage });
}

test('many followers at one position share one read of the log', async () => {
  const { reads, readPage } = logOf(20);
  const tail = await tailAt(0, readPage);
  let woken = 0;
  tail.add({ group: null, wake: () => (woken += 1) });
  tail.advance(20);
  await expect.poll(() => woken).toBeGreaterThan(0);
  expect(reads).toEqual([0]);
  expect(await tail.read(17)).toMatchObject([{ seq: 18 }, { seq: 19 }, { seq: 20 }]);
  expect(reads).toEqual([0]);
});

test('an event is kept as long as its read took', async () => {
  let answer: (events: RoomEvent[]) => void = () => undefined;
  let reads = 0;
  const tail = await tailAt(5, () => {
    reads += 1;
    return new Promise((resolve) => (answer = resolve));
  });
  tail.add({ group: null, wake: () => undefined });
  vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  tail.advance(6);
  await vi.advanceTimersByTimeAsync(3_000);
  answer([eventAt(6)]);
  await vi.waitFor(() => {
    expect(tail.hasMore(5)).toBe(true);
  });
  await vi.advanceTimersByTimeAsync(2_900);
  expect(await tail.read(5)).toMatchObject([{ seq: 6 }]);
  expect(reads).toBe(1);
  await vi.advanceTimersByTimeAsync(200);
  const [first, second] = [tail.read(5), tail.read(5)];
  expect(reads).toBe(2);
  answer([eventAt(6)]);
  expect(await first).toBe(await second);
});

test('the latest event about a message is known after it has left the memory', async () => {
  const tail = await tailAt(0, () => Promise.resolve([]));
  tail.add({ group: null, wake: () => undefined });
  vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const edit = { ...eventAt(3), kind: 'MESSAGE_EDITED', number: 1 } as const;
  const events = [eventAt(1), eventAt(2), edit];
  tail.offer(events);
  tail.advance(3);
  expect(tail.latestEventOf(1)).toBe(edit);
  await vi.advanceTimersByTimeAsync(MAX_AGE_MS + 1);
  expect(tail.latestEventOf(1)).toBeUndefined();
  expect(events.map((event) => tail.isLatest(event))).toEqual([false, true, true]);
});

test('the members of a group are woken once, after the execution', async () => {
  const { readPage } = logOf(1);
  const tail = await tailAt(0, readPage);
  let finish: () => void = () => undefined;
  let running: Promise<void> | null = null;
  const group: SubscriberGroup = { pending: () => running };
  const woken: string[] = [];
  const begin = () => {
    woken.push('first');
    running = new Promise((resolve) => (finish = resolve));
  };
  tail.add({ group, wake: begin });
  for (const name of ['second', 'third']) tail.add({ group, wake: () => woken.push(name) });
  tail.add({ group: null, wake: () => woken.push('alone') });
  tail.advance(1);
  await expect.poll(() => woken).toEqual(['first', 'alone']);
  finish();
  await expect.poll(() => woken).toEqual(['first', 'alone', 'second', 'third']);
});

test('a tail without followers is closed and reads nothing more', async () => {
  const { reads, readPage } = logOf(3);
  const tail = await tailAt(0, readPage);
  const follower = { group: null, wake: () => undefined };
  tail.add(follower);
  expect(tail.remove(follower)).toBe(true);
  tail.advance(3);
  expect(reads).toEqual([]);
});
