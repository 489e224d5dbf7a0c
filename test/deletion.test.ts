import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { PASSWORD, type Person, request, signUp } from './support/client.ts';
import { BLOCK } from './support/rooms.ts';
import { holdTransaction, startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, send, world } from './support/world.ts';

const DELETE = `mutation ($password: String) { deleteAccount(input: { password: $password }) { ok } }`;
const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
const ROOM = `query ($id: ID!) { chatroom(id: $id) { memberCount owner { username } opponent { username } members { nodes { user { username } } } messages { nodes { number kind body systemEvent subject { username } sender { username } reactions { count } seenBy { nodes { username } } } } } }`;

async function leavingWorld() {
  const server = await startTestServer();
  const { ann, ben, eve, room } = await world(server);
  const direct = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } })).createChatroom
    .chatroom.id as string;
  const alone = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name: 'Alone' } })).createChatroom.chatroom
    .id as string;
  await ann.ask(FRIEND, { id: ben.id });
  await send(ann, room, 'from ann');
  const said = await send(ben, room, 'from ben');
  await ann.ask(REACT, { id: said.id });
  await send(ann, direct, 'between us');
  return { server, ann, ben, eve, room, direct, alone };
}

const room = async (person: Person, id: string) => (await person.ask(ROOM, { id })).chatroom;

describe('deleteAccount', () => {
  test('requires the password of the account', async () => {
    const { server, ann } = await leavingWorld();
    expect(await ann.askForErrorCode(DELETE, { password: 'not the password' })).toBe('INVALID_CREDENTIALS');
    expect(await ann.askForErrorCode(DELETE, {})).toBe('INVALID_CREDENTIALS');
    const signedOut = await request(server.url, DELETE, { password: PASSWORD });
    expect(signedOut.errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    expect((await ann.ask('{ viewer { user { username } } }')).viewer.user.username).toBe('ann');
  });

  test('keeps messages without a sender and hands rooms over', async () => {
    const w = await leavingWorld();
    await w.ann.ask(DELETE, { password: PASSWORD });
    const group = await room(w.ben, w.room);
    expect(group).toMatchObject({
      memberCount: 1,
      owner: { username: 'ben' },
      messages: {
        nodes: [
          { body: 'from ann', sender: null, kind: 'USER' },
          { body: 'from ben', sender: { username: 'ben' }, reactions: [], seenBy: { nodes: [] } },
          { kind: 'SYSTEM', systemEvent: 'MEMBER_LEFT', subject: null, body: null },
        ],
      },
    });
    expect(await room(w.ben, w.direct)).toMatchObject({
      memberCount: 1,
      opponent: null,
      messages: { nodes: [{ body: 'between us', sender: null }] },
    });
    expect(JSON.stringify([group, await room(w.ben, w.direct)])).not.toContain('"ann"');
    const { viewer, user, node, users, openChatrooms } = await w.ben.ask(
      `query ($id: ID!) { viewer { friends { nodes { username } } } user(username: "ann") { id } node(id: $id) { id }
        users(search: "ann") { nodes { id } } openChatrooms { nodes { id } } }`,
      { id: w.ann.id },
    );
    expect([viewer.friends.nodes, user, node, users.nodes, openChatrooms.nodes]).toEqual([[], null, null, [], []]);
  });

  test('closes sockets on every node and frees the name', async () => {
    const w = await leavingWorld();
    const other = await startTestServer({ databaseUrl: w.server.databaseUrl });
    const socket = w.ann.at(other.url).connect();
    const stream = socket.subscribe(MESSAGE_ADDED, { room: w.room });
    await stream.ready();
    await w.ann.ask(DELETE, { password: PASSWORD });
    expect(await socket.closed).toBe(4401);
    await send(w.ben, w.room, 'ann does not hear this');
    expect(stream.received.map((event) => event.message.body)).not.toContain('ann does not hear this');
    expect(await w.ann.askForErrorCode('{ viewer { id } }')).toBe('UNAUTHENTICATED');
    const again = await request(
      w.server.url,
      `mutation { signUp(input: { username: "ann", password: "another password" }) { viewer { chatrooms { nodes { id } } } } }`,
    );
    expect(again.data.signUp.viewer.chatrooms.nodes).toEqual([]);
  });

  test('returns its result before its own socket closes, however long it takes', async () => {
    const { server, ann, room: locked } = await leavingWorld();
    const [own, other] = [ann.connect(), ann.connect()];
    for (const socket of [own, other]) await socket.ask('{ viewer { id } }');
    const id = keyOf('Chatroom', locked) ?? '';
    const release = await holdTransaction(server, 'SELECT FROM chatrooms WHERE id = $1 FOR UPDATE', id);
    let isClosed = false;
    void own.closed.then(() => (isClosed = true));
    const answer = own.ask(DELETE, { password: PASSWORD });
    expect(await other.closed).toBe(4401);
    // Two polls take longer than the timeout of other results.
    let polls = 0;
    server.node.changePoller.listen(() => (polls += 1));
    await expect.poll(() => polls).toBeGreaterThanOrEqual(2);
    expect(isClosed).toBe(false);
    await release();
    expect(await answer).toEqual({ data: { deleteAccount: { ok: true } } });
    expect(await own.closed).toBe(4401);
  });

  test('notifies friends and announces the leaver in room streams', async () => {
    const w = await leavingWorld();
    const connection = w.ben.connect();
    const friends = connection.subscribe(
      'subscription { viewerEvents { ... on FriendshipChanged { userId user { id } status } } }',
    );
    const events = connection.subscribe(
      'subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { __typename ... on MemberLeft { userId user { id } } } }',
      { id: w.direct },
    );
    await events.ready();
    await w.ann.ask(DELETE, { password: PASSWORD });
    expect(await friends.next()).toEqual({ userId: w.ann.id, user: null, status: null });
    expect(await events.next()).toEqual({ __typename: 'MemberLeft', userId: w.ann.id, user: null });
  });

  test('by all members at once leaves nothing of the room', async () => {
    const w = await leavingWorld();
    const results = await Promise.all([w.ann, w.ben].map((person) => person.ask(DELETE, { password: PASSWORD })));
    expect(results.map((result) => result.deleteAccount.ok)).toEqual([true, true]);
    const { chatroom, message, event, user } = w.server.node.database.prisma;
    const left = () => Promise.all([chatroom.count(), message.count(), event.count(), user.count()]);
    // A job prunes the messages. Only eve remains.
    await expect.poll(left).toEqual([0, 0, 0, 1]);
  });

  test('deletes everything of the account except its messages', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { prisma, query } = server.node.database;
    const [annKey, benKey, eveKey] = [ann, ben, eve].map(({ id }) => keyOf('User', id) ?? '');
    if (!annKey || !benKey || !eveKey) throw new Error('The ids are invalid.');
    await ann.ask(FRIEND, { id: ben.id });
    const cem = await signUp(server.url, 'cem');
    await cem.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
    await ann.ask(FRIEND, { id: cem.id });
    await ann.ask(BLOCK, { id: eve.id });
    await ben.ask(BLOCK, { id: eve.id });
    await ann.ask(REACT, await send(ben, room, 'from ben'));
    await send(ann, room, 'from ann');
    const { sessionId } = await server.node.accessTokens.verify(ann.accessToken);
    await query(sql`INSERT INTO push_devices (user_id, session_id, platform, token, token_hash)
      VALUES (${annKey}::uuid, ${sessionId}::uuid, 'FCM', 'the phone', 'x')`);
    const count = () =>
      Promise.all([
        ...[prisma.session.count({ where: { userId: annKey } }), prisma.pushDevice.count(), prisma.friendship.count()],
        ...[prisma.friendRequest.count(), prisma.block.count(), prisma.reaction.count(), prisma.member.count()],
        ...[
          prisma.refreshToken.count(),
          prisma.user.count(),
          prisma.message.count({ where: { senderId: null, kind: 'USER' } }),
        ],
      ]);
    expect(await count()).toEqual([1, 1, 2, 1, 2, 1, 2, 4, 4, 0]);
    expect(await ben.askForErrorCode(DELETE, { password: 'not the password' })).toBe('INVALID_CREDENTIALS');
    await ann.ask(DELETE, { password: PASSWORD });
    expect(await count()).toEqual([0, 0, 0, 0, 1, 0, 1, 3, 3, 1]);
    expect((await ben.ask('{ viewer { blockedUsers { nodes { username } } } }')).viewer.blockedUsers.nodes).toEqual([
      { username: 'eve' },
    ]);
  });
});
