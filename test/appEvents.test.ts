import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { codesOf, PASSWORD, type Person, request, type Stream } from './support/client.ts';
import { ADD, BLOCK, createRoom, DELETE_ROOM, FRIEND, MARK_READ, REACT, REMOVE } from './support/rooms.ts';
import { startTestNodes, startTestServer, type TestServer, waitForPoll } from './support/server.ts';
import { cursorOf, send, world } from './support/world.ts';

const EVENTS = `subscription ($after: String, $snapshot: Boolean! = false) { events(after: $after, snapshot: $snapshot) {
  __typename cursor
  ... on AppSnapshot { reason viewer { chatrooms { nodes { id } } friends { nodes { id } } } }
  ... on ChatroomEvent { seq chatroom { id } }
  ... on MessageAdded { message { body } }
  ... on ChatroomAppeared { chatroom { id } }
  ... on ChatroomVanished { chatroomId why: reason }
  ... on FriendshipChanged { userId status }
  ... on BlockChanged { userId blocked }
  ... on UnreadChanged { unreadCount chatroom { id } }
} }`;
const UNBLOCK = `mutation ($id: ID!) { unblockUser(input: { userId: $id }) { viewer { id } } }`;
const SET_BIO = `mutation ($bio: String) { updateProfile(input: { bio: $bio }) { viewer { id } } }`;
const DELETE_ACCOUNT = `mutation ($password: String) { deleteAccount(input: { password: $password }) { ok } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;
const open = (person: Person, variables: object = {}) => person.connect().subscribe(EVENTS, variables);
const allRooms = async (person: Person): Promise<string> => (await person.ask('{ viewer { cursor } }')).viewer.cursor;

/** Resolves with the next event that is not of the type `UnreadChanged`, which arrives at an arbitrary time. */
async function next(stream: Stream): Promise<any> {
  for (;;) {
    const event = await stream.next();
    if (event.__typename !== 'UnreadChanged') return event;
  }
}

/** Resolves with the types of the next events, up to one that `isLast` accepts. */
async function typesUntil(stream: Stream, isLast: (event: any) => boolean): Promise<string[]> {
  const types: string[] = [];
  for (;;) {
    const event = await next(stream);
    types.push(event.__typename);
    if (isLast(event)) return types;
  }
}

/** Deletes the log of a room except its last event, as pruning does. */
const prune = ({ node }: TestServer, room: string) =>
  node.database.query(sql`
    DELETE FROM events e USING chatrooms c
      WHERE e.chatroom_id = ${keyOf('Chatroom', room)}::uuid AND c.id = e.chatroom_id AND e.seq < c.last_seq`);

describe('events', () => {
  test('carry the events of all rooms and of the viewer', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const other = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    const stream = open(ben);
    await stream.ready();
    const { id } = await send(ann, room, 'here');
    expect(await next(stream)).toMatchObject({ __typename: 'MessageAdded', chatroom: { id: room }, seq: 3 });
    await ann.ask(REACT, { id });
    expect(await next(stream)).toMatchObject({ __typename: 'ReactionsChanged', seq: 4 });
    await send(ann, other, 'there');
    expect(await next(stream)).toMatchObject({ chatroom: { id: other }, message: { body: 'there' } });
    await ann.ask(FRIEND, { id: ben.id });
    expect(await next(stream)).toMatchObject({ __typename: 'FriendshipChanged', status: 'ACCEPTED' });
    await expect
      .poll(() => stream.received.filter((event) => event.__typename === 'UnreadChanged').map((e) => e.chatroom.id))
      .toEqual(expect.arrayContaining([room, other]));
  });

  test('of a joined room follow ChatroomAppeared, and end with ChatroomVanished', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const direct = await createRoom(ben, { kind: 'DIRECT', memberIds: [eve.id] });
    const stream = open(eve);
    await stream.ready();
    await send(ann, room, 'before eve');
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(ann, room, 'with eve');
    const isWithEve = (event: any) => event.message?.body === 'with eve';
    const joined = await typesUntil(stream, isWithEve);
    expect(joined.slice(0, 2)).toEqual(['ChatroomAppeared', 'MemberJoined']);
    await ann.ask(REMOVE, { id: room, user: eve.id });
    await send(ann, room, 'without eve');
    expect(await typesUntil(stream, ({ __typename }) => __typename === 'ChatroomVanished')).not.toContain('MemberLeft');
    expect(stream.received.at(-1)).toMatchObject({ chatroomId: room, why: 'REMOVED' });
    await send(ben, direct, 'first');
    expect(await typesUntil(stream, ({ message }) => message?.body === 'first')).toEqual([
      'ChatroomAppeared',
      'MessageAdded',
    ]);
    expect(JSON.stringify(stream.received)).not.toMatch(/before eve|without eve/);
  });

  test('leave out what a block hides', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const stream = open(ann);
    await stream.ready();
    await ann.ask(BLOCK, { id: ben.id });
    expect(await next(stream)).toMatchObject({ __typename: 'BlockChanged', userId: ben.id, blocked: true });
    await send(ben, room, 'hidden');
    await send(ann, room, 'own');
    expect(await next(stream)).toMatchObject({ message: { body: 'own' } });
  });

  test('repeat after a resume with the same room and position', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const stream = open(ben, { after: await allRooms(ben) });
    for (const body of ['one', 'two', 'three']) await send(ann, room, body);
    const isThird = (event: any) => event.message?.body === 'three';
    await typesUntil(stream, isThird);
    const seqs = (events: any[]) =>
      Object.fromEntries(events.filter((e) => e.message).map((e) => [e.message.body, e.seq]));
    const first = seqs(stream.received);
    expect(Object.values(first)).toEqual([3, 4, 5]);
    for (const { cursor } of stream.received) {
      const resumed = open(ben, { after: cursor });
      await typesUntil(resumed, isThird);
      expect(first).toMatchObject(seqs(resumed.received));
    }
  });

  test('after a resume report what was missed', async () => {
    const [here, there] = await startTestNodes();
    const { ann, ben, eve, room } = await world(here);
    const gone = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    const after = await allRooms(ben);
    await send(ann, room, 'missed');
    await ann.ask(FRIEND, { id: ben.id });
    await ben.ask(BLOCK, { id: eve.id });
    await ann.ask(DELETE_ROOM, { id: gone });
    const late = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    const stream = open(ben.at(there.url), { after });
    await expect
      .poll(() => stream.received.map(({ __typename }) => __typename))
      .toEqual(
        expect.arrayContaining([
          ...['MessageAdded', 'UnreadChanged', 'FriendshipChanged', 'BlockChanged'],
          ...['ChatroomVanished', 'ChatroomAppeared', 'MemberJoined'],
        ]),
      );
    const of = (type: string) => stream.received.find(({ __typename }) => __typename === type);
    expect(of('ChatroomVanished')).toMatchObject({ chatroomId: gone, why: 'DELETED' });
    expect(of('ChatroomAppeared')).toMatchObject({ chatroom: { id: late } });
    expect(of('FriendshipChanged')).toMatchObject({ userId: ann.id, status: 'ACCEPTED' });
  });

  test('after a resume report read marks that another device has set', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const quiet = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    const { id } = await send(ann, room, 'one');
    // Read marks of the latest transactions before the cursor are also reported.
    await server.node.database.query(sql`DO $$ BEGIN
      FOR i IN 1..1100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`);
    // A cursor covers no transaction after the last event.
    await send(ann, await createRoom(ann, { kind: 'GROUP', memberIds: [] }), 'without ben');
    const after = await allRooms(ben);
    await ben.ask(MARK_READ, { id });
    const stream = open(ben, { after });
    expect(await stream.next()).toMatchObject({ __typename: 'UnreadChanged', chatroom: { id: room }, unreadCount: 0 });
    await send(ann, quiet, 'last');
    await typesUntil(stream, (event) => event.message?.body === 'last');
    expect(stream.received.map(({ __typename }) => __typename).slice(0, 2)).toEqual(['UnreadChanged', 'MessageAdded']);
  });

  test('have no cursor beyond a deleted room that is not reported', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const gone = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    const stream = open(ben, { after: await allRooms(ben) });
    await ann.ask(DELETE_ROOM, { id: gone });
    await waitForPoll(server);
    await send(ann, room, 'after');
    await typesUntil(stream, (event) => event.message?.body === 'after');
    const vanished = stream.received.findIndex(({ __typename }) => __typename === 'ChatroomVanished');
    for (const { cursor } of stream.received.slice(0, Math.max(vanished, 0))) {
      const resumed = open(ben, { after: cursor });
      await typesUntil(resumed, ({ __typename }) => __typename === 'ChatroomVanished');
    }
  });

  test('refuse signed-out clients and cursors of another kind', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    expect(codesOf(await request(server.url, EVENTS))).toEqual(['UNAUTHENTICATED']);
    for (const snapshot of [true, false])
      for (const after of ['junk', await cursorOf(ann, room)])
        expect(codeOf(await open(ann, { after, snapshot }).ended)).toBe('BAD_USER_INPUT');
    await expect
      .poll(() => [server.node.gauges.streams, server.node.gauges.conflatedStreams, server.node.roomTails.size()])
      .toEqual([0, 0, 0]);
  });

  test('release all resources when the subscriber leaves', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const connection = ann.connect();
    for (const snapshot of [true, false]) connection.subscribe(EVENTS, { snapshot });
    await expect.poll(() => server.node.roomTails.followers()).toBe(2);
    connection.cut();
    await expect.poll(() => [server.node.roomTails.size(), server.node.gauges.conflatedStreams]).toEqual([0, 0]);
  });
});

describe('events with a snapshot', () => {
  test('begin with what a query returns, and continue live', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'one');
    const stream = open(ben, { snapshot: true });
    expect(await stream.next()).toMatchObject({
      ...{ __typename: 'AppSnapshot', reason: 'REQUESTED' },
      viewer: { chatrooms: { nodes: [{ id: room }] }, friends: { nodes: [] } },
    });
    await send(ann, room, 'two');
    expect(await next(stream)).toMatchObject({ message: { body: 'two' } });
    const late = await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    expect(await next(stream)).toMatchObject({ __typename: 'ChatroomAppeared', chatroom: { id: late } });
  });

  test('continue with a snapshot if they cannot resume', async () => {
    const [server, other] = [await startTestServer(), await startTestServer()];
    const { ann, ben, room } = await world(server);
    const pruned = await allRooms(ben);
    for (const body of ['one', 'two', 'three']) await send(ann, room, body);
    await prune(server, room);
    const elsewhere = await allRooms((await world(other)).ben);
    for (const after of [pruned, elsewhere]) {
      const stream = open(ben, { after, snapshot: true });
      expect(await stream.next()).toMatchObject({ __typename: 'AppSnapshot', reason: 'RESYNC' });
      const refused = open(ben, { after });
      expect(codeOf(await refused.ended)).toBe('RESYNC_REQUIRED');
      expect(refused.received).toEqual([]);
      const { body } = await send(ann, room, 'more');
      expect(await typesUntil(stream, ({ message }) => message?.body === body)).toEqual(['MessageAdded']);
    }
  });

  test('send another one after a block, also one while disconnected', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const stream = open(ben, { snapshot: true });
    const { cursor } = await stream.next();
    const isResync = ({ reason }: any) => reason === 'RESYNC';
    await ben.ask(BLOCK, { id: ann.id });
    expect(await typesUntil(stream, isResync)).toContain('AppSnapshot');
    expect(await open(ben, { after: cursor, snapshot: true }).next()).toMatchObject({ reason: 'RESYNC' });
    await ben.ask(UNBLOCK, { id: ann.id });
    await typesUntil(stream, isResync);
    // A block of the viewer by another user changes nothing for the viewer.
    const received = stream.received.filter(isResync).length;
    await eve.ask(BLOCK, { id: ben.id });
    await waitForPoll(server);
    expect(stream.received.filter(isResync)).toHaveLength(received);
  });

  test.each([
    ['the viewer changes their profile', (ben: Person) => ben.ask(SET_BIO, { bio: 'New' })],
    ['a friend deletes their account', (_: Person, ann: Person) => ann.ask(DELETE_ACCOUNT, { password: PASSWORD })],
  ])('send another one after %s, also while disconnected', async (_name, change) => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    await ann.ask(FRIEND, { id: ben.id });
    const [stream, ofEve] = [open(ben, { snapshot: true }), open(eve, { snapshot: true })];
    const { cursor } = await stream.next();
    await ofEve.next();
    await change(ben, ann);
    await typesUntil(stream, ({ reason }) => reason === 'RESYNC');
    const resumed = await open(ben, { after: cursor, snapshot: true }).next();
    expect(resumed).toMatchObject({ __typename: 'AppSnapshot', reason: 'RESYNC' });
    const again = open(ben, { after: stream.received.at(-1)?.cursor, snapshot: true });
    await again.ready();
    await waitForPoll(server);
    expect([again, ofEve].map(({ received }) => received.filter(({ reason }) => reason === 'RESYNC'))).toEqual([
      [],
      [],
    ]);
  });

  test('miss no room that is joined during the snapshot', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const late = await createRoom(ann, { kind: 'GROUP', memberIds: [] });
    // The join is committed after the snapshot began and polled before its positions are read.
    const { node } = server;
    const { readConsistently } = node;
    node.readConsistently = (context, read) =>
      readConsistently(context, async (own) => {
        await own.database.query(sql`SELECT 1`);
        await ann.ask(ADD, { id: late, users: [ben.id] });
        await waitForPoll(server);
        return read(own);
      });
    const stream = open(ben, { snapshot: true });
    expect((await stream.next()).viewer.chatrooms.nodes).toEqual([{ id: room }]);
    expect(await next(stream)).toMatchObject({ __typename: 'ChatroomAppeared', chatroom: { id: late } });
    expect(await next(stream)).toMatchObject({ __typename: 'MemberJoined', chatroom: { id: late } });
  });
});

describe('the cost of events', () => {
  const ROOMS = 10;
  const SELECTION = '__typename cursor ... on MessageAdded { message { number body sender { username } } }';
  const UNREAD = '__typename ... on UnreadChanged { unreadCount }';

  /** Returns a viewer in ten rooms, and a function that counts the statements and executions of the node. */
  async function tenRooms() {
    const server = await startTestServer({ env: { SHARED_EXECUTION: 'on' } });
    const { ann, ben, room } = await world(server);
    const rooms = [room];
    while (rooms.length < ROOMS) rooms.push(await createRoom(ann, { kind: 'GROUP', memberIds: [ben.id] }));
    const executions = () => server.node.counters.websocket.shared + server.node.counters.websocket.unshared;
    const statements: string[] = [];
    async function measure(run: () => Promise<unknown>) {
      await waitForPoll(server);
      server.statements();
      statements.length = 0;
      const before = executions();
      await run();
      statements.push(...server.statements());
      return { statements: statements.length, executions: executions() - before };
    }
    /** Waits until the tail of each room has read the end of its log, and has checked that the room exists. */
    const settle = () =>
      expect
        .poll(() => {
          statements.push(...server.statements());
          return statements.filter((text) => text.includes('SELECT FROM members WHERE chatroom_id')).length;
        })
        .toBe(ROOMS);
    return { server, ann, ben, rooms, measure, settle };
  }

  /** Opens streams in ten rooms and sends a message to each room. Returns the costs of both, and the number of followers. */
  async function costOf(openAll: (ben: Person, rooms: string[]) => Stream[]) {
    const { server, ann, ben, rooms, measure, settle } = await tenRooms();
    let streams: Stream[] = [];
    const opening = await measure(async () => {
      streams = openAll(ben, rooms);
      await settle();
    });
    const count = (type: string) =>
      streams.flatMap(({ received }) => received).filter(({ __typename }) => __typename === type).length;
    const delivering = await measure(async () => {
      for (const [i, room] of rooms.entries()) {
        await send(ann, room, 'hello');
        // One room after the other, because unread counts that are due together share a statement.
        await expect.poll(() => [count('MessageAdded'), count('UnreadChanged')]).toEqual([i + 1, i + 1]);
      }
    });
    return { opening, delivering, followers: server.node.roomTails.followers() };
  }

  test('is at most that of the streams that they replace', async () => {
    const many = await costOf((ben, rooms) => {
      const connection = ben.connect();
      const ofRoom = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room) { ${SELECTION} } }`;
      return [
        ...rooms.map((room) => connection.subscribe(ofRoom, { room })),
        connection.subscribe(`subscription { viewerEvents { ${UNREAD} } }`),
      ];
    });
    const one = await costOf((ben) => [
      ben.connect().subscribe(`subscription { events { ${SELECTION} ... on UnreadChanged { unreadCount } } }`),
    ]);
    expect(one.opening.statements).toBeLessThan(many.opening.statements);
    expect(one.delivering.statements).toBeLessThanOrEqual(many.delivering.statements);
    expect(one.delivering.executions).toBeLessThanOrEqual(many.delivering.executions);
    expect([many.followers, one.followers]).toEqual([2 * ROOMS, ROOMS]);
  });

  test('is one execution of each event for all subscribers', async () => {
    const { ann, ben, rooms, measure } = await tenRooms();
    const query = `subscription { events { ${SELECTION} } }`;
    const streams = [ann, ben, ben].map((person) => person.connect().subscribe(query));
    for (const stream of streams) await stream.ready();
    const { executions } = await measure(async () => {
      await send(ann, rooms[0] ?? '', 'hello');
      for (const stream of streams) expect(await next(stream)).toMatchObject({ message: { body: 'hello' } });
      for (const stream of streams) await expect.poll(() => stream.received).toHaveLength(2);
    });
    expect(executions).toBe(2);
  });

  test('does not grow the cursor with the number of rooms', async () => {
    const { ben, ann, rooms } = await tenRooms();
    const stream = open(ben, { snapshot: true });
    const { cursor } = await stream.next();
    await send(ann, rooms[0] ?? '', 'hello');
    expect(cursor.length).toBeLessThan(60);
    expect((await next(stream)).cursor.length).toBeLessThan(60);
  });
});
