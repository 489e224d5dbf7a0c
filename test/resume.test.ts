import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Database, sql } from '../src/platform/database/database.ts';
import { followAllRooms } from '../src/features/chatroomEvents/allRoomsStream.ts';
import { findPositionsSince, findCheckpoints } from '../src/delivery/resumePositions.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { createContext } from '../src/graphql/operation.ts';
import { decodeAllRoomsCursor } from '../src/delivery/cursor.ts';
import { createSnapshotProgress } from '../src/delivery/snapshotProgress.ts';
import type { Person } from './support/client.ts';
import { SEED } from './support/seed.ts';
import { startTestServer, waitForPoll, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, send, world } from './support/world.ts';

const ALL = `subscription ($after: String) { messageAdded(after: $after) { cursor message { number body } } }`;
const EVENTS = `subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { __typename ... on MessageAdded { message { number } } ... on ReactionsChanged { message { number } } } }`;
const UNREAD = `subscription { viewerEvents { __typename ... on UnreadChanged { unreadCount } } }`;
const CURSORS = `query ($id: ID!) { viewer { cursor } chatroom(id: $id) { cursor unreadCount } }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

/** Removes ben from ann's room and adds him again. Returns his cursors and the missed messages. */
async function sentAwayAndBack() {
  const server = await startTestServer();
  const w = await world(server);
  await send(w.ann, w.room, 'known');
  const { viewer, chatroom } = await w.ben.ask(CURSORS, { id: w.room });
  await send(w.ann, w.room, 'before');
  await w.ann.ask(REMOVE, { id: w.room, user: w.ben.id });
  await send(w.ann, w.room, 'away');
  await w.ann.ask(ADD, { id: w.room, users: [w.ben.id] });
  await send(w.ann, w.room, 'after');
  return { server, ...w, everywhere: viewer.cursor as string, here: chatroom.cursor as string };
}

const contextOf = ({ node }: TestServer, { accessToken }: Person) =>
  createContext(node, { authorization: `Bearer ${accessToken}` });

const makeRoom = async (person: Person, memberIds: string[]): Promise<string> =>
  (await person.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds } })).createChatroom.chatroom.id;

/** Appends `count` events to a room's log. */
const append = (query: Database['query'], chatroomId: string, count = 1) =>
  query(sql`
    WITH room AS (
      UPDATE chatrooms SET last_seq = last_seq + ${count} WHERE id = ${chatroomId}::uuid RETURNING id, last_seq - ${count} AS seq
    )
    INSERT INTO events (chatroom_id, seq, kind) SELECT id, seq + n, 'CHATROOM_UPDATED' FROM room, generate_series(1, ${count}) n`);
const happen = (server: TestServer, room: string, count: number) =>
  append(server.node.database.query, keyOf('Chatroom', room) ?? '', count);

/** Counts events of a room after `seq` that an all-rooms cursor would skip. */
async function skipped({ node }: TestServer, cursor: string, chatroomId: string, seq: number): Promise<number> {
  const snapshot = decodeAllRoomsCursor(node.databaseId, cursor, 'after');
  const { query }: Pick<Database, 'query'> = node.database;
  return (
    await query(sql`
      SELECT FROM events WHERE chatroom_id = ${chatroomId}::uuid AND seq > ${seq}
        AND pg_visible_in_snapshot(xid, ${snapshot}::pg_snapshot)`)
  ).length;
}

describe('a member removed and added again before the resume', () => {
  test('misses nothing of the room', async () => {
    const { ann, ben, room, here } = await sentAwayAndBack();
    const stream = ben.connect().subscribe(MESSAGE_ADDED, { room, after: here });
    // The SYSTEM messages of the leave and the join are in between.
    const events = await stream.take(5);
    expect(events.map((event) => event.message.body)).toEqual(['before', null, 'away', null, 'after']);
    expect(events.map((event) => event.message.number)).toEqual([2, 3, 4, 5, 6]);
    await send(ann, room, 'live');
    expect((await stream.next()).message.body).toBe('live');
    // Another removal ends the stream.
    await ann.ask(REMOVE, { id: room, user: ben.id });
    expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
  });

  test('misses nothing over all rooms, after one and two resumes', async () => {
    const { ann, ben, room, everywhere } = await sentAwayAndBack();
    const first = ben.connect();
    const stream = first.subscribe(ALL, { after: everywhere });
    const numbers = new Set<number>();
    while (!numbers.has(6)) numbers.add((await stream.next()).message.number);
    expect([...numbers]).toEqual([2, 3, 4, 5, 6]);
    first.cut();
    await first.closed;
    await send(ann, room, 'missed');
    const resumed = ben.connect().subscribe(ALL, { after: stream.received.at(-1).cursor });
    while (!numbers.has(7)) numbers.add((await resumed.next()).message.number);
  });

  test('receives no cursor ahead of the delivered events', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const id = keyOf('Chatroom', room) ?? '';
    const events = await followAllRooms(await contextOf(server, ben), null);
    await send(ann, room, 'before');
    await ann.ask(REMOVE, { id: room, user: ben.id });
    await send(ann, room, 'away');
    await ann.ask(ADD, { id: room, users: [ben.id] });
    const { number: last } = await send(ann, room, 'after');
    for (;;) {
      await waitForPoll(server);
      const { value } = await events.next();
      if (!value) throw new Error('The stream has ended.');
      expect(await skipped(server, value.cursor, id, value.event.seq), value.event.kind).toBe(0);
      if ('number' in value.event && value.event.number === last) break;
    }
    await events.return?.();
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });
});

test('a stream finishes any backlog without new notifications', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const { viewer, chatroom } = await ben.ask(CURSORS, { id: room });
  await happen(server, room, 1_000);
  await send(ann, room, 'last');
  // No notification and no poll report the events any more.
  await waitForPoll(server);
  const here = ben.connect().subscribe(MESSAGE_ADDED, { room, after: chatroom.cursor });
  expect((await here.next()).message.body).toBe('last');
  const everywhere = ben.connect().subscribe(ALL, { after: viewer.cursor });
  expect((await everywhere.next()).message.body).toBe('last');
});

describe('an all-rooms cursor', () => {
  test('advances for a subscriber that is always slightly behind', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const events = await followAllRooms(await contextOf(server, ben), null);
    const cursors = new Set<string>();
    await send(ann, room, 'ahead');
    for (let round = 0; round < 6; round += 1) {
      await send(ann, room, 'ahead');
      await waitForPoll(server);
      const { value } = await events.next();
      cursors.add(value?.cursor ?? '');
    }
    expect(cursors.size).toBeGreaterThan(2);
    await events.return?.();
  });

  test('moves from one snapshot to the next, with at most two pending', () => {
    const read = new Map([['a', 0]]);
    const reach = createSnapshotProgress('start', (room, seq) => (read.get(room) ?? seq) < seq);
    const readTo = (seq: number) => {
      read.set('a', seq);
      reach.advance('a');
      return reach.snapshot();
    };
    reach.require('first', [['a', 2]]);
    reach.require('second', [['a', 4]]);
    reach.require('third', [['a', 6]]);
    expect([readTo(1), readTo(2), readTo(5), readTo(6)]).toEqual(['start', 'first', 'first', 'third']);
    // A room that is no longer followed does not delay the cursor.
    reach.require('fourth', [['b', 9]]);
    expect(reach.snapshot()).toBe('fourth');
  });

  test('advances during a long backlog, so a cut reader can resume', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const other = await makeRoom(ann, [ben.id]);
    const { viewer } = await ben.ask(CURSORS, { id: room });
    for (let round = 0; round < 150; round += 1) for (const id of [room, other]) await happen(server, id, 10);
    await send(ann, room, 'last');
    const context = await contextOf(server, ben);
    const heard = new Set<string>();
    let cursor: string = viewer.cursor;
    // There are 3,001 events, and the stream is cut after 1,500 each time. A reader that restarted would never finish.
    while (heard.size < 3_001) {
      const events = await followAllRooms(context, cursor);
      for (let i = 0; i < 1_500 && heard.size < 3_001; i += 1) {
        const { value } = await events.next();
        cursor = value?.cursor ?? '';
        heard.add(`${value?.event.chatroomId} ${value?.event.seq}`);
      }
      await events.return?.();
    }
    expect(heard.size).toBe(3_001);
  });

  test('is never ahead of delivered events, for any transaction order', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { database } = server.node;
    const rooms = [room, await makeRoom(ann, [ben.id]), await makeRoom(ann, [ben.id])];
    const keys = rooms.map((id) => keyOf('Chatroom', id) ?? '');
    const { viewer } = await ben.ask(CURSORS, { id: room });
    const since = decodeAllRoomsCursor(server.node.databaseId, viewer.cursor, 'after');
    // Some transactions take their number long before they write, and some are still open when positions are read.
    const pick = fc.sample(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 4 }), fc.boolean()), { numRuns: 160 });
    let release = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    const late: Promise<void>[] = [];
    for (const [i, [which, count, waits]] of pick.entries()) {
      const write = (run: Database['query'], until: Promise<unknown>) => async () => {
        await run(sql`SELECT pg_current_xact_id()`);
        await until;
        for (let n = 0; n < count; n += 1) await append(run, keys[which] ?? '');
      };
      if (i % 40 === 39) late.push(database.transaction((run) => write(run, released)()));
      else if (waits) {
        const next = database.transaction((run) => write(run, new Promise((resolve) => setImmediate(resolve)))());
        await Promise.all([next, database.transaction((run) => write(run, Promise.resolve())())]);
      } else await database.transaction((run) => write(run, Promise.resolve())());
    }
    const context = await contextOf(server, ben);
    const places = await findPositionsSince(context, since);
    release();
    await Promise.all(late);
    const steps = await findCheckpoints(database, places, 10);
    expect(steps.length, `SEED=${SEED}`).toBeGreaterThan(5);
    const read = new Map(places.rooms.map(({ chatroomId, seq }) => [chatroomId, seq]));
    for (const step of steps) {
      for (const [chatroomId, seq] of step.rooms) read.set(chatroomId, Math.max(seq, read.get(chatroomId) ?? 0));
      const resumed = await findPositionsSince(await contextOf(server, ben), step.snapshot);
      for (const { chatroomId, seq } of resumed.rooms)
        expect(seq, `SEED=${SEED}, ${step.snapshot}`).toBeLessThanOrEqual(read.get(chatroomId) ?? 0);
    }
  });

  test('fails with RESYNC_REQUIRED only if more than 50,000 events behind', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'known');
    const { viewer: old } = await ben.ask(CURSORS, { id: room });
    await happen(server, room, 49_990);
    const { viewer: newer } = await ben.ask(CURSORS, { id: room });
    const resumed = ben.connect().subscribe(ALL, { after: old.cursor });
    await send(ann, room, 'reached');
    expect((await resumed.next()).message.body).toBe('reached');
    await happen(server, room, 20);
    const stream = ben.connect().subscribe(ALL, { after: old.cursor });
    expect(codeOf(await stream.ended)).toBe('RESYNC_REQUIRED');
    expect(stream.received).toEqual([]);
    await send(ann, room, 'on');
    const events = await ben.connect().subscribe(ALL, { after: newer.cursor }).take(2);
    expect(events.map((event) => event.message.body)).toEqual(['reached', 'on']);
  });
});

test('adding an existing member marks nothing as read', async () => {
  const server = await startTestServer();
  const { ann, ben, eve, room } = await world(server);
  await send(ann, room, 'unread');
  await ann.ask(ADD, { id: room, users: [ben.id] });
  await ann.ask(ADD, { id: room, users: [ben.id, eve.id] });
  expect((await ben.ask(CURSORS, { id: room })).chatroom.unreadCount).toBe(1);
  expect((await eve.ask(CURSORS, { id: room })).chatroom.unreadCount).toBe(0);
});

describe('activity of a blocked user', () => {
  test('includes neither messages nor reactions in a group', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    const said = await send(ann, room, 'of ann');
    await ann.ask(BLOCK, { id: ben.id });
    const unread = ann.connect().subscribe(UNREAD);
    const events = ann.connect().subscribe(EVENTS, { id: room });
    await events.ready();
    const expected: object[] = [];
    for (let round = 1; round <= 5; round += 1) {
      const hidden = await send(ben, room, 'of ben');
      for (const { id } of [hidden, said]) await ben.ask(REACT, { id });
      const shown = await send(eve, room, 'of eve');
      expect(await unread.next()).toEqual({ __typename: 'UnreadChanged', unreadCount: round });
      await eve.ask(REACT, { id: shown.id });
      for (const __typename of ['MessageAdded', 'ReactionsChanged'])
        expected.push({ __typename, message: { number: shown.number } });
    }
    expect(await events.take(expected.length)).toEqual(expected);
    expect(unread.received).toHaveLength(5);
  });
});
