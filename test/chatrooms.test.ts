import { describe, expect, test } from 'vitest';
import { signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const DIRECT = `mutation ($with: ID!) { createChatroom(input: { kind: DIRECT, memberIds: [$with] }) { chatroom { id opponent { username } } } }`;
const ROOM = `query ($id: ID!) { chatroom(id: $id) { id name memberCount cursor lastMessage { body } messages { nodes { body } } members { nodes { id role user { username } } } } }`;

describe('a DIRECT chatroom', () => {
  test('is created once per pair, even if both users ask concurrently', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const asked = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 2 ? ann.ask(DIRECT, { with: ben.id }) : ben.ask(DIRECT, { with: ann.id }),
      ),
    );
    const rooms = asked.map(({ createChatroom }) => createChatroom.chatroom);
    expect(new Set(rooms.map((room) => room.id)).size).toBe(1);
    expect(rooms.slice(0, 2).map((room) => room.opponent.username)).toEqual(['ann', 'ben']);
    const { viewer } = await ann.ask(`query ($id: ID!) { viewer { chatroomWith(userId: $id) { id } } }`, {
      id: ben.id,
    });
    expect(viewer.chatroomWith.id).toBe(rooms[0].id);
  });

  test('exists once for each other user', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const withBen = await ann.ask(DIRECT, { with: ben.id });
    const withEve = await ann.ask(DIRECT, { with: eve.id });
    expect(withBen.createChatroom.chatroom.id).not.toBe(withEve.createChatroom.chatroom.id);
  });

  test('refuses invalid members and names', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const make = (input: object) => ann.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'DIRECT', ...input } });
    expect(await make({ memberIds: [ann.id] })).toBe('BAD_USER_INPUT');
    expect(await make({ memberIds: [] })).toBe('BAD_USER_INPUT');
    expect(await make({ memberIds: [ben.id, eve.id] })).toBe('BAD_USER_INPUT');
    expect(await make({ memberIds: [ben.id], name: 'us' })).toBe('BAD_USER_INPUT');
    expect(await make({ memberIds: ['VXNlcjo'] })).toBe('NOT_FOUND');
    expect(await make({ memberIds: [room] })).toBe('NOT_FOUND');
  });
});

describe('a GROUP chatroom', () => {
  test('belongs to its creator, and accepts member lists whole or not', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { chatroom } = await ben.ask(ROOM, { id: room });
    expect(chatroom).toMatchObject({ memberCount: 2, messages: { nodes: [] } });
    expect(chatroom.members.nodes.map((member: any) => [member.user.username, member.role]).sort()).toEqual([
      ['ann', 'OWNER'],
      ['ben', 'MEMBER'],
    ]);
    expect(await ann.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ben.id, 'junk'] } })).toBe(
      'NOT_FOUND',
    );
    expect((await ben.ask('{ viewer { chatrooms { nodes { id } } } }')).viewer.chatrooms.nodes).toHaveLength(1);
  });

  test('does not exist for a stranger, by any path', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { id: messageId } = await send(ann, room, 'secret');
    const { chatroom } = await ben.ask(ROOM, { id: room });
    expect(chatroom.messages.nodes).toEqual([{ body: 'secret' }]);
    const ids = [room, messageId, chatroom.members.nodes[0].id];
    const NODES = 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename } }';
    expect((await ben.ask(NODES, { ids })).nodes).toEqual([
      { __typename: 'Chatroom' },
      { __typename: 'Message' },
      { __typename: 'ChatroomMember' },
    ]);
    expect((await eve.ask(NODES, { ids })).nodes).toEqual([null, null, null]);
    expect(await eve.ask(ROOM, { id: room })).toEqual({ chatroom: null });
    expect((await eve.ask('{ viewer { chatrooms { nodes { id } } } }')).viewer.chatrooms.nodes).toEqual([]);
  });
});

test('an OPEN chatroom is found by everyone but readable by members only', async () => {
  const server = await startTestServer();
  const { ann, eve } = await world(server);
  const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name: 'Square' } });
  const { id } = createChatroom.chatroom;
  await send(ann, id, 'to members');
  expect((await eve.ask(ROOM, { id })).chatroom).toEqual({
    id,
    name: 'Square',
    memberCount: 1,
    cursor: null,
    lastMessage: null,
    messages: null,
    members: null,
  });
  expect(await ann.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'OPEN' } })).toBe('BAD_USER_INPUT');
});

test('chatrooms are paged by activity with a constant number of statements', async () => {
  const server = await startTestServer();
  const ann = await signUp(server.url, 'ann');
  const ids: string[] = [];
  for (let i = 0; i < 25; i += 1) {
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', name: `room ${i}` } });
    ids.push(createChatroom.chatroom.id);
    await send(ann, createChatroom.chatroom.id, 'hello');
  }
  await send(ann, ids[3] ?? '', 'wakes it');
  const expected = [ids[3], ...ids.filter((_, i) => i !== 3).reverse()];
  const LIST = `query ($first: Int, $after: String, $last: Int, $before: String) { viewer { chatrooms(first: $first, after: $after, last: $last, before: $before) {
    nodes { id lastMessage { body sender { username } } owner { username } viewerMembership { role } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`;
  const list = async (args: object) => (await ann.ask(LIST, args)).viewer.chatrooms;

  server.statements();
  await list({ first: 2 });
  const forTwo = server.statements();
  const first = await list({ first: 10 });
  expect(server.statements()).toHaveLength(forTwo.length);
  const second = await list({ first: 20, after: first.pageInfo.endCursor });
  expect([...first.nodes, ...second.nodes].map((room: any) => room.id)).toEqual(expected);
  expect(second.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
  const back = await list({ last: 10, before: second.pageInfo.startCursor });
  expect(back.nodes.map((room: any) => room.id)).toEqual(first.nodes.map((room: any) => room.id));
  expect(await ann.askForErrorCode(LIST, { first: 101 })).toBe('BAD_USER_INPUT');
  expect(await ann.askForErrorCode(LIST, { first: 0 })).toBe('BAD_USER_INPUT');
  expect(await ann.askForErrorCode(LIST, { first: 1, last: 1 })).toBe('BAD_USER_INPUT');
  expect(await ann.askForErrorCode(LIST, { after: 'junk' })).toBe('BAD_USER_INPUT');
  const forged = (...parts: string[]) => Buffer.from(JSON.stringify(['chatrooms', ...parts])).toString('base64url');
  const [uuid] = /[0-9a-f-]{36}/.exec(Buffer.from(ids[0] ?? '', 'base64url').toString()) ?? [];
  for (const after of [
    forged('9999-99-99T99:99:99.999Z', uuid ?? ''),
    forged('2026-01-01T00:00:00.000Z', '-'.repeat(36)),
    forged(),
  ]) {
    expect(await ann.askForErrorCode(LIST, { after })).toBe('BAD_USER_INPUT');
  }
});
