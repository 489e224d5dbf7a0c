import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { codesOf, type Person, request } from './support/client.ts';
import { BLOCK, createRoom, FRIEND, LEAVE, REACT, REMOVE } from './support/rooms.ts';
import { pathsFrom, selectionOf } from './support/selections.ts';
import { startTestNodes, startTestServer, type TestServer, waitForPoll, WIDE_LIMITS } from './support/server.ts';
import { cursorOf, send, world } from './support/world.ts';

const MESSAGES = 'messages(last: 50) { nodes { number body } }';
const ROOM = `subscription ($room: ID!, $after: String, $snapshot: Boolean! = true) {
  chatroomEvents(chatroomId: $room, after: $after, snapshot: $snapshot) {
    __typename cursor
    ... on RoomSnapshot { reason chatroom { name ${MESSAGES} } }
    ... on MessageAdded { message { number body } }
    ... on MessageEdited { message { number body } }
  }
}`;
const QUERY = `query ($room: ID!) { chatroom(id: $room) { name ${MESSAGES} } }`;
const EDIT = `mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "edited" }) { message { id } } }`;
const UNBLOCK = `mutation ($id: ID!) { unblockUser(input: { userId: $id }) { viewer { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;
const bodies = (snapshot: any) => snapshot.chatroom.messages.nodes.map(({ body }: any) => body);
const open = (person: Person, room: string, more: object = {}) => person.connect().subscribe(ROOM, { room, ...more });

/** Deletes the log of a room except its last event, as pruning does. */
const prune = ({ node }: TestServer, room: string) =>
  node.database.query(sql`
    DELETE FROM events e USING chatrooms c
      WHERE e.chatroom_id = ${keyOf('Chatroom', room)}::uuid AND c.id = e.chatroom_id AND e.seq < c.last_seq`);

describe('a subscription with a snapshot', () => {
  test('begins with what a query returns, and continues live', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { id } = await send(ann, room, 'one');
    await send(ben, room, 'two');
    const stream = open(ben, room);
    const first = await stream.next();
    expect(first).toMatchObject({ __typename: 'RoomSnapshot', reason: 'REQUESTED' });
    expect(first.chatroom).toEqual((await ben.ask(QUERY, { room })).chatroom);
    await send(ann, room, 'three');
    await ann.ask(EDIT, { id });
    expect(await stream.next()).toMatchObject({ __typename: 'MessageAdded', message: { number: 3, body: 'three' } });
    expect(await stream.next()).toMatchObject({ __typename: 'MessageEdited', message: { number: 1, body: 'edited' } });
  });

  test('repeats nothing of the snapshot after a resume from its cursor', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'known');
    const stream = open(ben, room);
    const { cursor } = await stream.next();
    await send(ann, room, 'missed');
    const resumed = open(ben, room, { after: cursor });
    expect(await resumed.take(2)).toMatchObject([
      { __typename: 'MessageAdded', message: { body: 'missed' } },
      { __typename: 'CaughtUp' },
    ]);
    const plain = open(ben, room, { after: cursor, snapshot: false });
    expect(await plain.next()).toMatchObject({ message: { body: 'missed' } });
  });

  test('over SSE begins with the snapshot', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'one');
    const abort = new AbortController();
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: {
        ...{ 'content-type': 'application/json', accept: 'text/event-stream' },
        authorization: `Bearer ${ben.accessToken}`,
      },
      body: JSON.stringify({ query: ROOM, variables: { room } }),
      signal: abort.signal,
    });
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString();
      if (text.includes('RoomSnapshot')) break;
    }
    expect(text).toContain('"body":"one"');
    abort.abort();
  });

  test('fails for non-members, unknown rooms and signed-out clients', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const openRoom = await createRoom(ann, { kind: 'OPEN', name: 'Open', memberIds: [] });
    for (const asked of [room, openRoom, 'junk']) expect(codeOf(await open(eve, asked).ended)).toBe('NOT_FOUND');
    expect(codesOf(await request(server.url, ROOM, { room }))).toEqual(['UNAUTHENTICATED']);
    expect(codeOf(await open(ben, room, { after: 'junk' }).ended)).toBe('BAD_USER_INPUT');
    const elsewhere = await cursorOf(ann, openRoom);
    expect(codeOf(await open(ann, room, { after: elsewhere }).ended)).toBe('BAD_USER_INPUT');
    await expect.poll(() => [server.node.gauges.streams, server.node.roomTails.size()]).toEqual([0, 0]);
  });

  test('ends when the viewer loses the room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const [removed, left] = [open(ben, room), open(ann, room)];
    await removed.next();
    await left.next();
    await ann.ask(REMOVE, { id: room, user: ben.id });
    expect(codeOf(await removed.ended)).toBe('NOT_FOUND');
    await ann.ask(LEAVE, { id: room });
    expect(codeOf(await left.ended)).toBe('NOT_FOUND');
    await expect.poll(() => server.node.roomTails.size()).toBe(0);
  });

  test('fails like a query if its selection is too complex or fails', async () => {
    const server = await startTestServer();
    const { ben, room } = await world(server);
    const subscribe = (selection: string) =>
      ben
        .connect()
        .subscribe(
          `subscription ($room: ID!) { chatroomEvents(chatroomId: $room, snapshot: true) { ... on RoomSnapshot { chatroom { ${selection} } } } }`,
          { room },
        );
    expect(codeOf(await subscribe('messages(last: 500) { nodes { id } }').ended)).toBe('BAD_USER_INPUT');
    const nested =
      'lastMessage { chatroom { messages(last: 100) { nodes { chatroom { messages(last: 100) { nodes { id } } } } } } }';
    expect(codeOf(await subscribe(nested).ended)).toBe('QUERY_TOO_COMPLEX');
  });
});

describe('a cursor that cannot be honoured', () => {
  test('is followed by a snapshot with the reason RESYNC', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const after = await cursorOf(ben, room);
    for (const body of ['one', 'two', 'three']) await send(ann, room, body);
    await prune(server, room);
    const stream = open(ben, room, { after });
    const snapshot = await stream.next();
    expect(snapshot).toMatchObject({ __typename: 'RoomSnapshot', reason: 'RESYNC' });
    expect(bodies(snapshot)).toEqual(['one', 'two', 'three']);
    await send(ann, room, 'four');
    expect(await stream.next()).toMatchObject({ __typename: 'MessageAdded', message: { body: 'four' } });
    expect(codeOf(await open(ben, room, { after, snapshot: false }).ended)).toBe('RESYNC_REQUIRED');
  });

  test('of another database is followed by a snapshot', async () => {
    const [server, other] = [await startTestServer(), await startTestServer()];
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'one');
    const elsewhere = await world(other);
    const after = await cursorOf(elsewhere.ben, elsewhere.room);
    expect(await open(ben, room, { after }).next()).toMatchObject({ reason: 'RESYNC' });
    expect(codeOf(await open(ben, room, { after, snapshot: false }).ended)).toBe('RESYNC_REQUIRED');
  });
});

describe('a block by the viewer', () => {
  test('is followed by a snapshot without the messages of the blocked user', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'of ann');
    await send(ben, room, 'of ben');
    const stream = open(ben, room);
    expect(bodies(await stream.next())).toEqual(['of ann', 'of ben']);
    await ben.ask(BLOCK, { id: ann.id });
    const hidden = await stream.next();
    expect(hidden.reason).toBe('RESYNC');
    expect(bodies(hidden)).toEqual(['of ben']);
    await ben.ask(UNBLOCK, { id: ann.id });
    expect(bodies(await stream.next())).toEqual(['of ann', 'of ben']);
  });

  test('causes no snapshot without the argument, for others or in a DIRECT room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const direct = await createRoom(ann, { kind: 'DIRECT', memberIds: [ben.id] });
    const plain = ben.connect().subscribe(ROOM, { room, snapshot: false });
    await plain.ready();
    const streams = [open(ann, room), open(ben, direct)];
    for (const stream of streams) await stream.next();
    await ben.ask(BLOCK, { id: ann.id });
    await waitForPoll(server);
    await send(ben, room, 'last');
    expect(await streams[0]?.next()).toMatchObject({ __typename: 'MessageAdded' });
    expect(await plain.next()).toMatchObject({ __typename: 'MessageAdded' });
    expect(streams[1]?.received).toHaveLength(1);
  });
});

test('a snapshot costs no more statements than query and subscription', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  await send(ann, room, 'one');
  const count = async (run: () => Promise<unknown>) => {
    await run();
    await waitForPoll(server);
    server.statements();
    await run();
    return server.statements({ sessionChecks: true }).length;
  };
  const queried = await count(async () => {
    const { chatroom } = await ben.ask(`query ($room: ID!) { chatroom(id: $room) { cursor name ${MESSAGES} } }`, {
      room,
    });
    const stream = open(ben, room, { snapshot: false, after: chatroom.cursor });
    await stream.next();
    stream.stop();
  });
  const opened = await count(async () => {
    const stream = open(ben, room);
    await stream.next();
    stream.stop();
  });
  expect(opened).toBeLessThanOrEqual(queried);
});

test('snapshots of many viewers share a transaction and their loaders', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  await send(ann, room, 'one');
  const connection = ben.connect();
  await connection.ask('{ viewer { id } }');
  server.statements();
  const streams = Array.from({ length: 40 }, () => connection.subscribe(ROOM, { room }));
  for (const stream of streams) await stream.next();
  const begins = server.statements().filter((text) => text.startsWith('BEGIN'));
  // A busy machine starts more transactions, because none waits longer than 100 ms for another.
  expect(begins.length).toBeLessThan(streams.length);
});

test('two nodes continue from each other’s snapshots', async () => {
  const [one, two] = await startTestNodes();
  const { ann, ben, room } = await world(one);
  await send(ann, room, 'one');
  const { cursor } = await open(ben, room).next();
  await send(ann.at(two.url), room, 'two');
  const stream = open(ben.at(two.url), room, { after: cursor });
  expect(await stream.next()).toMatchObject({ message: { body: 'two' } });
});

// Fields that would read through Prisma Client, or write, fail in the transaction of a snapshot.
test.each([
  ['RoomSnapshot', 'chatroomEvents(chatroomId: $room, snapshot: true)', 4],
  ['ViewerSnapshot', 'viewerEvents(snapshot: true)', 4],
])('%s allows every path of fields', async (type, field, depth) => {
  const server = await startTestServer({ env: WIDE_LIMITS });
  const { ann, ben, room } = await world(server);
  await ann.ask(REACT, await send(ann, room, 'one'));
  await createRoom(ann, { kind: 'DIRECT', memberIds: [ben.id] });
  await ann.ask(FRIEND, { id: ben.id });
  const paths = pathsFrom(type, depth, {
    ...{ message: 'number: 1', searchMessages: 'query: "one"' },
    chatroomWith: `userId: "${ben.id}"`,
  });
  const declared = field.includes('$room') ? '($room: ID!)' : '';
  const query = `subscription ${declared} { ${field} { ... on ${type} ${selectionOf(paths)} } }`;
  expect(await ann.connect().subscribe(query, { room }).next()).toMatchObject({ cursor: expect.any(String) });
});

test('snapshots of many viewers leave the only connection to other operations', async () => {
  const server = await startTestServer({ env: { DATABASE_POOL_SIZE: '1' } });
  const { ann, ben, room } = await world(server);
  await send(ann, room, 'one');
  const streams = Array.from({ length: 30 }, () => open(ben, room));
  const asked = Array.from({ length: 30 }, () => ben.ask(QUERY, { room }));
  for (const stream of streams) expect(bodies(await stream.next())).toEqual(['one']);
  await Promise.all(asked);
});
