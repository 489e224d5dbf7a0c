import { describe, expect, test } from 'vitest';
import { connect, type Person } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { createTestDatabase, startTestServer, waitForPoll } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const EVENTS = `subscription { viewerEvents {
  __typename
  ... on ChatroomAppeared { chatroom { id kind unreadCount } }
  ... on ChatroomVanished { chatroomId reason }
  ... on FriendshipChanged { userId user { username } status }
  ... on BlockChanged { userId user { username viewerHasBlocked } blocked }
  ... on UnreadChanged { chatroom { id } unreadCount totalUnreadCount viewer { unreadCount } }
} }`;
const ROWS = `subscription { viewerEvents { ... on UnreadChanged { unreadCount chatroom { id unreadCount lastMessage { id body } } } } }`;
const EDITED = `subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { ... on MessageEdited { message { id body } } } }`;
const EDIT = `mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "new" }) { message { id } } }`;
const call = (name: string, more = '{ viewer { id } }') =>
  `mutation ($id: ID!) { ${name}(input: { userId: $id }) ${more} }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const LEAVE = `mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }`;
const DELETE = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { unreadCount } } }`;
const DELETE_MESSAGE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;

async function listen(person: Person) {
  const stream = person.connect().subscribe(EVENTS);
  await stream.ready();
  return {
    ...stream,
    /** Returns the next event of a type, and skips all others. */
    async nextOf(type: string) {
      for (;;) {
        const event = await stream.next();
        if (event.__typename === type) return event;
      }
    },
  };
}

const makeRoom = async (person: Person, input: object): Promise<string> =>
  (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;

describe('viewerEvents', () => {
  test('report rooms that the viewer is added to or loses', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const events = await listen(eve);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    expect(await events.nextOf('ChatroomAppeared')).toMatchObject({ chatroom: { id: room, unreadCount: 0 } });
    await ann.ask(REMOVE, { id: room, user: eve.id });
    expect(await events.nextOf('ChatroomVanished')).toMatchObject({ chatroomId: room, reason: 'REMOVED' });
    const made = await makeRoom(ben, { kind: 'GROUP', memberIds: [eve.id] });
    expect(await events.nextOf('ChatroomAppeared')).toMatchObject({ chatroom: { id: made } });
    await ben.ask(DELETE, { id: made });
    expect(await events.nextOf('ChatroomVanished')).toMatchObject({ chatroomId: made, reason: 'DELETED' });
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await events.nextOf('ChatroomAppeared');
    await eve.ask(LEAVE, { id: room });
    expect(await events.nextOf('ChatroomVanished')).toMatchObject({ chatroomId: room, reason: 'LEFT' });
  });

  test('report a DIRECT room when it is opened, hidden or reopened', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const events = await listen(ben);
    const direct = await makeRoom(ann, { kind: 'DIRECT', memberIds: [ben.id] });
    await ann.ask(call('addFriend', '{ status }'), { id: ben.id });
    // The friendship began after the room was created. The creation itself was not reported.
    expect((await events.next()).__typename).toBe('FriendshipChanged');
    await send(ann, direct, 'hello');
    expect(await events.nextOf('ChatroomAppeared')).toMatchObject({ chatroom: { id: direct, unreadCount: 1 } });
    await ben.ask(DELETE, { id: direct });
    expect(await events.nextOf('ChatroomVanished')).toMatchObject({ chatroomId: direct, reason: 'HIDDEN' });
    await send(ann, direct, 'again');
    expect(await events.nextOf('ChatroomAppeared')).toMatchObject({ chatroom: { id: direct, unreadCount: 1 } });
  });

  test('report unread counts after messages, reading elsewhere and deletions', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const events = await listen(ben);
    const first = await send(ann, room, 'one');
    expect(await events.nextOf('UnreadChanged')).toMatchObject({
      ...{ unreadCount: 1, totalUnreadCount: 1, viewer: { unreadCount: 1 } },
    });
    const second = await send(ann, room, 'two');
    expect(await events.nextOf('UnreadChanged')).toMatchObject({ unreadCount: 2 });
    await ben.ask(READ, { id: first.id });
    expect(await events.nextOf('UnreadChanged')).toMatchObject({ unreadCount: 1 });
    await ann.ask(DELETE_MESSAGE, { id: second.id });
    expect(await events.nextOf('UnreadChanged')).toMatchObject({ unreadCount: 0, totalUnreadCount: 0 });
  });

  test('report changed unread counts to the blocker only', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const other = await ann.ask(CREATE_CHATROOM, {
      input: { kind: 'GROUP', name: 'Without ben', memberIds: [eve.id] },
    });
    await send(eve, other.createChatroom.chatroom.id, 'not by ben');
    await send(ben, room, 'one');
    await send(ben, room, 'two');
    // A block hides nothing in a DIRECT room, so the unread count of that room stays the same.
    await send(ben, await makeRoom(ben, { kind: 'DIRECT', memberIds: [ann.id] }), 'between us');
    const [events, bensEvents] = [await listen(ann), await listen(ben)];
    await ann.ask(call('blockUser'), { id: ben.id });
    const nextCount = () => events.nextOf('UnreadChanged');
    expect(await nextCount()).toMatchObject({ chatroom: { id: room }, unreadCount: 0, totalUnreadCount: 2 });
    await ann.ask(call('unblockUser'), { id: ben.id });
    expect(await nextCount()).toMatchObject({ chatroom: { id: room }, unreadCount: 2, totalUnreadCount: 4 });
    await send(eve, other.createChatroom.chatroom.id, 'after all of these');
    expect(await nextCount()).toMatchObject({ chatroom: { id: other.createChatroom.chatroom.id }, unreadCount: 2 });
    // The blocked user learns nothing: the next event that they receive is unrelated.
    await makeRoom(ann, { kind: 'GROUP', memberIds: [ben.id] });
    expect((await bensEvents.next()).__typename).toBe('ChatroomAppeared');
  });

  test('report friendship changes to both sides, but no block between strangers', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    await ben.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
    const [ofAnn, ofBen, ofEve] = [await listen(ann), await listen(ben), await listen(eve)];
    const steps: [Person, string, Person, string | null][] = [
      [ann, 'addFriend', ben, 'PENDING'],
      [ben, 'acceptFriend', ann, 'ACCEPTED'],
      [ann, 'removeFriend', ben, null],
      [ann, 'addFriend', ben, 'PENDING'],
      [ben, 'declineFriend', ann, null],
    ];
    for (const [who, what, whom, status] of steps) {
      await who.ask(call(what), { id: whom.id });
      expect(await ofAnn.next()).toMatchObject({ userId: ben.id, user: { username: 'ben' }, status });
      expect(await ofBen.next()).toMatchObject({ userId: ann.id, user: { username: 'ann' }, status });
    }
    await ann.ask(call('blockUser'), { id: eve.id });
    // Eve only receives events about ben.
    await eve.ask(call('addFriend', '{ status }'), { id: ben.id });
    expect(await ofEve.next()).toMatchObject({ user: { username: 'ben' }, status: 'PENDING' });
    await ben.ask(call('acceptFriend'), { id: eve.id });
    expect(await ofEve.next()).toMatchObject({ user: { username: 'ben' }, status: 'ACCEPTED' });
    // Between friends, a block looks like the end of the friendship.
    await ben.ask(call('blockUser'), { id: eve.id });
    expect(await ofEve.next()).toMatchObject({ user: { username: 'ben' }, status: null });
  });

  test('leave out a friendship that began before the stream', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const [annKey, benKey] = [ann, ben].map(({ id }) => keyOf('User', id));
    // Stored directly, so that no poll is requested. The next regular poll reports the friendship after the stream began.
    await server.node.database.query(sql`
      INSERT INTO friendships (user_id, friend_id)
        VALUES (${annKey}::uuid, ${benKey}::uuid), (${benKey}::uuid, ${annKey}::uuid)`);
    const events = await listen(ben);
    await waitForPoll(server);
    await eve.ask(call('addFriend', '{ status }'), { id: ben.id });
    expect(await events.next()).toMatchObject({ userId: eve.id, status: 'ACCEPTED' });
  });

  test('report a block and its end to the blocker’s devices only', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const [events, ofBen] = [await listen(ann), await listen(ben)];
    for (const blocked of [true, false, true]) {
      // The second call changes nothing.
      for (let i = 0; i < 2; i += 1) await ann.ask(call(blocked ? 'blockUser' : 'unblockUser'), { id: ben.id });
      const user = { username: 'ben', viewerHasBlocked: blocked };
      expect(await events.nextOf('BlockChanged')).toMatchObject({ userId: ben.id, blocked, user });
    }
    await waitForPoll(server);
    await ann.ask(ADD, { id: room, users: [eve.id] });
    await send(eve, room, 'after all of these');
    await events.nextOf('UnreadChanged');
    await ofBen.nextOf('UnreadChanged');
    const blocks = [events, ofBen].map(({ received }) =>
      received.filter((event) => event.__typename === 'BlockChanged'),
    );
    expect(blocks.map(({ length }) => length)).toEqual([3, 0]);
  });

  test('conflate to at most ten unread counts per second and room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const events = await listen(ben);
    const began = performance.now();
    const messages = await Promise.all(Array.from({ length: 50 }, (_, i) => send(ann, room, `${i}`)));
    await expect.poll(() => events.received.at(-1)?.unreadCount).toBe(messages.length);
    // Timers may be one millisecond early.
    expect(events.received.length).toBeLessThanOrEqual(1 + (performance.now() - began) / 99);
  });

  test('contain no older last message than the events of the room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const socket = ann.connect();
    const rows = socket.subscribe(ROWS);
    const edits = socket.subscribe(EDITED, { id: room });
    await Promise.all([rows.ready(), edits.ready()]);
    for (let i = 0; i < 20; i += 1) {
      const { id: first } = await send(ben, room, 'first');
      const { id } = await send(ben, room, 'old');
      await Promise.all([ben.ask(DELETE_MESSAGE, { id: first }), ben.ask(EDIT, { id })]);
      while ((await edits.next()).message?.id !== id);
      const before = rows.received.length;
      await send(ann, room, 'next');
      await expect.poll(() => rows.received.at(-1)?.chatroom.lastMessage.body).toBe('next');
      const bodies = rows.received.slice(before).map(({ chatroom }) => chatroom.lastMessage.body);
      expect(bodies).not.toContain('old');
    }
  });

  test('require a token', async () => {
    const server = await startTestServer();
    const ended = await connect(server.url).subscribe(EVENTS).ended;
    expect(ended).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }]);
  });

  test.skipIf(!hasRedis())('reach all nodes with Redis (skipped without a redis-server), each once', async () => {
    const { url: redisUrl } = await startRedis();
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl });
    const there = await startTestServer({ databaseUrl, redisUrl });
    const { ann, ben, room } = await world(here);
    const streams = [await listen(ben), await listen(ben.at(there.url))];
    await ann.ask(call('addFriend', '{ status }'), { id: ben.id });
    for (const stream of streams) expect(await stream.next()).toMatchObject({ status: 'ACCEPTED' });
    await send(ann, room, 'hello');
    for (const stream of streams) expect(await stream.next()).toMatchObject({ unreadCount: 1 });
    expect(streams.map((stream) => stream.received.length)).toEqual([2, 2]);
    await ben.ask(call('blockUser'), { id: ann.id });
    for (const stream of streams)
      expect(await stream.nextOf('BlockChanged')).toMatchObject({ userId: ann.id, blocked: true });
  });
});
