import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createAccounts } from './support/accounts.ts';
import type { Person } from './support/client.ts';
import { sendFile } from './support/files.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { ADD, createRoom, REMOVE } from './support/rooms.ts';
import { startTestNodes, startTestServer, type TestServer } from './support/server.ts';
import { cursorOf, send, world } from './support/world.ts';

const FILES =
  'avatar { url } attachments(first: 5) { nodes { id state image { url } } } lastMessage { attachments { id } }';
const VIEWER = `viewer { friends(first: 100) { nodes { id } } chatrooms(first: 100) { nodes { id unreadCount ${FILES} } } storage { usedBytes } blockedUsers(first: 100) { nodes { id } } }`;
const EVENTS = `subscription ($after: String, $snapshot: Boolean! = true) { viewerEvents(after: $after, snapshot: $snapshot) {
  __typename
  ... on ViewerSnapshot { cursor ${VIEWER} }
  ... on FriendshipChanged { userId status }
  ... on BlockChanged { userId blocked }
  ... on ChatroomAppeared { chatroom { id unreadCount } }
  ... on ChatroomVanished { chatroomId }
  ... on UnreadChanged { unreadCount chatroom { id } }
} }`;
const call = (name: string, more = '{ viewer { id } }') =>
  `mutation ($id: ID!) { ${name}(input: { userId: $id }) ${more} }`;
const open = (person: Person, variables = {}) => person.connect().subscribe(EVENTS, variables);

describe('viewerEvents with a snapshot', () => {
  test('begin with what a query returns, and continue live', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { attachments } = await sendFile(ben, room);
    await send(ann, room, 'one');
    const stream = open(ben);
    const first = await stream.next();
    expect(first.__typename).toBe('ViewerSnapshot');
    expect(first.viewer).toEqual((await ben.ask(`{ ${VIEWER} }`)).viewer);
    expect(first.viewer.chatrooms.nodes).toMatchObject([
      { id: room, unreadCount: 1, attachments: { nodes: [{ id: attachments[0].id }] } },
    ]);
    await ann.ask(call('addFriend', '{ status }'), { id: ben.id });
    expect(await stream.next()).toEqual({ __typename: 'FriendshipChanged', userId: ann.id, status: 'ACCEPTED' });
  });

  test('resume from the cursor of the snapshot', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { cursor } = await open(eve).next();
    await ann.ask(ADD, { id: room, users: [eve.id] });
    expect(await open(eve, { after: cursor }).next()).toMatchObject({ __typename: 'ChatroomAppeared' });
    expect((await open(ben, { after: cursor }).ready()) ?? null).toBeNull();
  });

  test('send a snapshot if they cannot resume', async () => {
    const [server, other] = [await startTestServer(), await startTestServer()];
    const { ben, room } = await world(server);
    const { ben: elsewhere } = await world(other);
    const { viewer } = await elsewhere.ask('{ viewer { cursor } }');
    expect((await open(ben, { after: viewer.cursor }).next()).__typename).toBe('ViewerSnapshot');
    const codeOf = (errors: any) => errors[0].extensions.code;
    expect(codeOf(await open(ben, { after: viewer.cursor, snapshot: false }).ended)).toBe('RESYNC_REQUIRED');
    expect(codeOf(await open(ben, { after: await cursorOf(ben, room) }).ended)).toBe('BAD_USER_INPUT');
  });

  test('send a snapshot in place of a missed change that has no event', async () => {
    const server = await startTestServer();
    const { ben } = await world(server);
    const { cursor } = await open(ben).next();
    await ben.ask('mutation { updateProfile(input: { bio: "New" }) { viewer { id } } }');
    const stream = open(ben, { after: cursor });
    expect((await stream.next()).__typename).toBe('ViewerSnapshot');
    const plain = open(ben, { after: cursor, snapshot: false });
    await plain.ready();
    expect(plain.received.filter(({ __typename }) => __typename === 'ViewerSnapshot')).toEqual([]);
  });

  test('without the argument begin with no snapshot', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const stream = open(ben, { snapshot: false });
    await stream.ready();
    await ann.ask(call('addFriend', '{ status }'), { id: ben.id });
    expect((await stream.next()).__typename).toBe('FriendshipChanged');
  });
});

interface ViewerState {
  friends: string[];
  rooms: string[];
  blocked: string[];
}

const idsOf = ({ nodes }: { nodes: { id: string }[] }) => nodes.map(({ id }) => id).sort();
const stateOf = ({ friends, chatrooms, blockedUsers }: any): ViewerState => ({
  friends: idsOf(friends),
  rooms: idsOf(chatrooms),
  blocked: idsOf(blockedUsers),
});

/** Returns the state that the events of a stream lead to. */
function build(events: readonly any[]): ViewerState {
  const [snapshot, ...later] = events;
  if (snapshot?.__typename !== 'ViewerSnapshot') return { friends: [], rooms: [], blocked: [] };
  const { friends, rooms, blocked } = stateOf(snapshot.viewer);
  const sets = { friends: new Set(friends), rooms: new Set(rooms), blocked: new Set(blocked) };
  const put = (set: Set<string>, id: string, isIn: boolean) => (isIn ? set.add(id) : set.delete(id));
  for (const { __typename: type, userId, status, blocked: isBlocked, chatroom, chatroomId } of later) {
    if (type === 'FriendshipChanged') put(sets.friends, userId, status === 'ACCEPTED');
    if (type === 'BlockChanged') put(sets.blocked, userId, isBlocked);
    if (type === 'ChatroomAppeared') put(sets.rooms, chatroom.id, true);
    if (type === 'ChatroomVanished') put(sets.rooms, chatroomId, false);
  }
  const sorted = (set: Set<string>) => [...set].sort();
  return { friends: sorted(sets.friends), rooms: sorted(sets.rooms), blocked: sorted(sets.blocked) };
}

const step = fc.record({
  kind: fc.constantFrom('open', 'addFriend', 'removeFriend', 'blockUser', 'unblockUser', 'add', 'remove'),
  other: fc.nat({ max: 1 }),
  node: fc.nat({ max: 1 }),
});
const lanes = fc.array(fc.array(step, { minLength: 2, maxLength: 8 }), { minLength: 3, maxLength: 3 });
type Lanes = typeof lanes extends fc.Arbitrary<infer Value> ? Value : never;

/** Runs the steps of three users at once. The first of them subscribes. */
async function play(servers: TestServer[], people: Person[], all: Lanes): Promise<void> {
  const [viewer, ...others] = people as [Person, Person, Person];
  const at = (person: Person, i: number) => person.at(servers[i % servers.length]?.url ?? '');
  const rooms = await Promise.all(others.map((other) => createRoom(other, { kind: 'GROUP', memberIds: [] })));
  const streams = [open(viewer)];
  const lane = async (person: Person, steps: Lanes[number]) => {
    for (const { kind, other, node } of steps) {
      const by = at(person, node);
      const of = person === viewer ? others[other] : viewer;
      // A refusal, for example because of a block, changes nothing.
      const ask = (query: string, variables: object) => by.connect().ask(query, variables);
      if (kind === 'open') streams.push(open(at(viewer, node)));
      else if (kind === 'add' || kind === 'remove') {
        const owner = others.indexOf(person);
        if (owner < 0) continue;
        if (kind === 'add') await ask(ADD, { id: rooms[owner], users: [viewer.id] });
        else await ask(REMOVE, { id: rooms[owner], user: viewer.id });
      } else if (person === viewer || kind.endsWith('Friend'))
        await ask(call(kind, kind === 'addFriend' ? '{ status }' : '{ viewer { id } }'), { id: of?.id });
    }
  };
  await Promise.all(people.map((person, i) => lane(person, all[i] ?? [])));
  for (const stream of streams)
    await expect
      .poll(async () => ({ ...build(stream.received), queried: stateOf((await viewer.ask(`{ ${VIEWER} }`)).viewer) }))
      .toSatisfy(({ queried, ...built }: any) => JSON.stringify(built) === JSON.stringify(queried));
}

const limits = { numRuns: 12, interruptAfterTimeLimit: 25_000, endOnFailure: true };

test('one node: snapshot and events lead to what a query of the viewer returns', { timeout: 120_000 }, async () => {
  const server = await startTestServer();
  const people = await createAccounts(server.node, server.url, ['ann', 'ben', 'cem']);
  await fc.assert(
    fc.asyncProperty(lanes, (each) => play([server], people, each)),
    limits,
  );
});

describe.skipIf(!hasRedis())('two nodes with Redis', () => {
  test('snapshot and events lead to what a query of the viewer returns', { timeout: 120_000 }, async () => {
    const servers = await startTestNodes((await startRedis()).url);
    const people = await createAccounts(servers[0].node, servers[0].url, ['ann', 'ben', 'cem']);
    await fc.assert(
      fc.asyncProperty(lanes, (each) => play(servers, people, each)),
      limits,
    );
  });
});
