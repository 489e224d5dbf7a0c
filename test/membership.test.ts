import { describe, expect, test } from 'vitest';
import { signUp } from './support/client.ts';
import { ADD, DELETE_ROOM, SET_ROLE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const JOIN = `mutation ($id: ID!) { joinChatroom(input: { chatroomId: $id }) { chatroom { memberCount unreadCount viewerMembership { role lastReadNumber } } } }`;
const LEAVE = `mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId viewer { chatrooms { nodes { id } } } } }`;
const MEMBERS = `query ($id: ID!) { chatroom(id: $id) { owner { username } members { nodes { role user { username } } } messages { nodes { number kind systemEvent subject { username } body } } } }`;
const EVENTS = `subscription ($room: ID!, $after: String) { chatroomEvents(chatroomId: $room, after: $after) { __typename ... on MemberJoined { user { username } member { role } } ... on MemberLeft { user { username } } ... on MemberUpdated { member { role user { username } } } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

async function openRoom(server: { url: string }) {
  const w = await world(server);
  const { createChatroom } = await w.ann.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name: 'Square' } });
  return { ...w, square: createChatroom.chatroom.id as string, cursor: createChatroom.chatroom.cursor as string };
}

describe('joining', () => {
  test('an OPEN room adds a user once, with nothing unread', async () => {
    const server = await startTestServer();
    const { ann, ben, square } = await openRoom(server);
    await send(ann, square, 'early');
    const found = await ben.ask(
      '{ openChatrooms(search: "sQ") { nodes { id name memberCount } } none: openChatrooms(search: "x") { nodes { id } } }',
    );
    expect(found).toEqual({
      openChatrooms: { nodes: [{ id: square, name: 'Square', memberCount: 1 }] },
      none: { nodes: [] },
    });
    const joined = await Promise.all(Array.from({ length: 10 }, () => ben.ask(JOIN, { id: square })));
    expect(joined[0].joinChatroom.chatroom).toEqual({
      memberCount: 2,
      unreadCount: 0,
      viewerMembership: { role: 'MEMBER', lastReadNumber: 2 },
    });
    const { chatroom } = await ben.ask(MEMBERS, { id: square });
    expect(chatroom.messages.nodes).toEqual([
      { number: 1, kind: 'USER', systemEvent: null, subject: null, body: 'early' },
      { number: 2, kind: 'SYSTEM', systemEvent: 'MEMBER_JOINED', subject: { username: 'ben' }, body: null },
    ]);
  });

  test('of a GROUP, a DIRECT or an unknown room is NOT_FOUND', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await openRoom(server);
    const direct = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } })).createChatroom
      .chatroom.id;
    for (const id of [room, direct, 'junk']) expect(await eve.askForErrorCode(JOIN, { id })).toBe('NOT_FOUND');
  });
});

describe('leaving', () => {
  test('ends the membership and its streams, on other nodes as well', async () => {
    const server = await startTestServer();
    const other = await startTestServer({ databaseUrl: server.databaseUrl });
    const { ann, ben, square, cursor } = await openRoom(server);
    await ben.ask(JOIN, { id: square });
    const streams = [server, other].map(({ url }) =>
      ben.at(url).connect().subscribe(MESSAGE_ADDED, { room: square, after: cursor }),
    );
    for (const stream of streams) await stream.next();
    const story = ann.at(other.url).connect().subscribe(EVENTS, { room: square, after: cursor });
    expect(await story.take(4)).toEqual([
      { __typename: 'MemberJoined', user: { username: 'ann' }, member: { role: 'OWNER' } },
      { __typename: 'MemberJoined', user: { username: 'ben' }, member: { role: 'MEMBER' } },
      { __typename: 'MessageAdded' },
      { __typename: 'CaughtUp' },
    ]);
    expect((await ben.ask(LEAVE, { id: square })).leaveChatroom.chatroomId).toBe(square);
    await send(ann, square, 'not for ben');
    for (const stream of streams) {
      expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
      expect(stream.received.map((event) => event.message.body)).toEqual([null]);
    }
    expect(await ben.askForErrorCode(SEND, { input: { chatroomId: square, body: 'hi' } })).toBe('NOT_FOUND');
    expect(await ben.askForErrorCode(LEAVE, { id: square })).toBe('NOT_FOUND');
    expect(await story.take(3)).toEqual([
      { __typename: 'MessageAdded' },
      { __typename: 'MemberLeft', user: { username: 'ben' } },
      { __typename: 'MessageAdded' },
    ]);
  });

  test('by the owner transfers ownership; by the last member ends the room', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, square } = await openRoom(server);
    await ben.ask(JOIN, { id: square });
    await eve.ask(JOIN, { id: square });
    await ann.ask(LEAVE, { id: square });
    const { chatroom } = await eve.ask(MEMBERS, { id: square });
    expect(chatroom.owner.username).toBe('ben');
    expect(chatroom.members.nodes).toEqual([
      { role: 'OWNER', user: { username: 'ben' } },
      { role: 'MEMBER', user: { username: 'eve' } },
    ]);
    const stream = ben.connect().subscribe(MESSAGE_ADDED, { room: square });
    await expect.poll(() => server.node.roomTails.size()).toBe(1);
    await Promise.all([ben.ask(LEAVE, { id: square }), eve.ask(LEAVE, { id: square })]);
    expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
    expect((await ann.ask('query ($id: ID!) { chatroom(id: $id) { id } }', { id: square })).chatroom).toBeNull();
  });

  test('is refused in a DIRECT room and for a stranger', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const direct = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } })).createChatroom
      .chatroom.id;
    expect(await ann.askForErrorCode(LEAVE, { id: direct })).toBe('BAD_USER_INPUT');
    expect(await eve.askForErrorCode(LEAVE, { id: room })).toBe('NOT_FOUND');
  });

  test('by the owner prefers the longest-standing admin over any member', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const cem = await signUp(server.url, 'cem');
    for (const person of [eve, cem]) await ann.ask(ADD, { id: room, users: [person.id] });
    for (const person of [cem, eve]) await ann.ask(SET_ROLE, { id: room, user: person.id, role: 'ADMIN' });
    await ann.ask(LEAVE, { id: room });
    const ROLES =
      'query ($id: ID!) { chatroom(id: $id) { owner { username } members { nodes { role user { username } } } } }';
    const { chatroom } = await ben.ask(ROLES, { id: room });
    expect(chatroom.owner.username).toBe('eve');
    expect(chatroom.members.nodes.map((member: any) => [member.user.username, member.role])).toEqual([
      ['ben', 'MEMBER'],
      ['eve', 'OWNER'],
      ['cem', 'ADMIN'],
    ]);
    expect(await ben.askForErrorCode(DELETE_ROOM, { id: room })).toBe('FORBIDDEN');
    expect(await ann.askForErrorCode(LEAVE, { id: room })).toBe('NOT_FOUND');
  });
});
