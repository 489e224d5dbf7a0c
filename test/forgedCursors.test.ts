import { expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import type { Person } from './support/client.ts';
import { createRoom } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { cursorOf, send, world } from './support/world.ts';

const STREAMS = {
  room: `subscription ($room: ID!, $after: String, $snapshot: Boolean!) {
    result: chatroomEvents(chatroomId: $room, after: $after, snapshot: $snapshot) {
      __typename ... on RoomSnapshot { reason } } }`,
  viewer: `subscription ($after: String, $snapshot: Boolean!) {
    result: viewerEvents(after: $after, snapshot: $snapshot) { __typename } }`,
  all: `subscription ($after: String, $snapshot: Boolean!) {
    result: events(after: $after, snapshot: $snapshot) { __typename ... on AppSnapshot { reason } } }`,
} as const;
type Name = keyof typeof STREAMS;

/** Returns the code of the error with which a stream ends, or the type of its first event. */
async function outcomeOf(person: Person, name: Name, room: string, after: string, snapshot: boolean): Promise<string> {
  const client = person.connect();
  const variables = name === 'room' ? { room, after, snapshot } : { after, snapshot };
  const stream = client.subscribe(STREAMS[name], variables);
  const outcome = await Promise.race([
    stream.ended.then((errors: any) => String(errors?.[0]?.extensions?.code ?? 'ENDED')),
    // If the stream fails, `ended` has the reason.
    stream.next().then(
      (event: any) => [event.__typename, event.reason].filter(Boolean).join(' '),
      () => new Promise<never>(() => {}),
    ),
  ]);
  stream.stop();
  await client.client.dispose();
  return outcome;
}

const textOf = (cursor: string) => Buffer.from(cursor, 'base64url').toString();
const cursorFrom = (text: string) => Buffer.from(text).toString('base64url');

test('a forged cursor is refused, or leads to a snapshot', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  await send(ann, room, 'a message');
  const foreign = await cursorOf(ann, await createRoom(ann, { kind: 'GROUP', name: 'Another' }));
  const [, database] = textOf(await cursorOf(ann, room)).split(' ');
  const key = keyOf('Chatroom', room);
  const roomCursor = (rest: string, kind = 'room') => cursorFrom(`${kind} ${database} ${key} ${rest}`);
  const allCursor = (snapshot: string) => cursorFrom(`all ${database} ${snapshot}`);
  const HUGE = '9'.repeat(18);

  const invalid: [Name, string][] = [
    ['room', ''],
    ['room', 'x'],
    ['room', foreign],
    ['room', allCursor('5:5:')],
    ['room', roomCursor('0 -1 ')],
    ['room', roomCursor('0 2147483648 ')],
    ['room', roomCursor('0 1 9:5:')],
    ['room', roomCursor("0 1 1:5:'")],
    ['room', roomCursor('0 1 1:5:3,3')],
    ['room', roomCursor('0 1 ', 'other')],
    ...(['viewer', 'all'] as const).flatMap((name): [Name, string][] => [
      [name, ''],
      [name, foreign],
      [name, allCursor('0:5:')],
      [name, allCursor(`5:5:${HUGE}`)],
      [name, allCursor(`5:${HUGE}9:`)],
    ]),
  ];
  for (const [name, after] of invalid) {
    for (const snapshot of [true, false]) {
      const outcome = await outcomeOf(ann, name, room, after, snapshot);
      expect([name, textOf(after), outcome]).toEqual([name, textOf(after), 'BAD_USER_INPUT']);
    }
  }
  const future: [Name, string, string][] = [
    ['room', roomCursor('0 2147483647 '), 'RoomSnapshot RESYNC'],
    ['room', roomCursor('2147483647 2147483647 ', 'message'), 'RoomSnapshot RESYNC'],
    ['room', roomCursor(`0 1 1:${HUGE}:`), 'RoomSnapshot RESYNC'],
    ['room', roomCursor(`0 1 ${HUGE}:${HUGE}:`), 'RoomSnapshot RESYNC'],
    ['all', allCursor(`1:${HUGE}:`), 'AppSnapshot RESYNC'],
    ['all', allCursor(`${HUGE}:${HUGE}:`), 'AppSnapshot RESYNC'],
    ['viewer', allCursor(`${HUGE}:${HUGE}:`), 'ViewerSnapshot'],
  ];
  for (const [name, after, expected] of future) {
    expect([name, textOf(after), await outcomeOf(ann, name, room, after, true)]).toEqual([
      name,
      textOf(after),
      expected,
    ]);
    expect(await outcomeOf(ann, name, room, after, false)).toBe('RESYNC_REQUIRED');
  }
  // Nobody has learned anything about a room of others.
  expect(await outcomeOf(ann, 'room', `${room}x`, foreign, true)).toBe('NOT_FOUND');
});

test('a very old cursor leads to the present, or is refused', async () => {
  const { ann, room } = await world(await startTestServer());
  await send(ann, room, 'a message');
  const [, database] = textOf(await cursorOf(ann, room)).split(' ');
  const oldest = cursorFrom(`all ${database} 1:1:`);
  for (const snapshot of [true, false]) {
    expect(await outcomeOf(ann, 'all', room, oldest, snapshot)).not.toMatch(/INTERNAL|ENDED/);
    expect(await outcomeOf(ann, 'viewer', room, oldest, snapshot)).not.toMatch(/INTERNAL|ENDED/);
  }
});
