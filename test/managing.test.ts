import { describe, expect, test } from 'vitest';
import { type Person, request, signUp } from './support/client.ts';
import { createRoom, JOIN } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { memberCount } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { memberCount } } }`;
const RANK = `mutation ($id: ID!, $user: ID!, $role: MemberRole!) { setMemberRole(input: { chatroomId: $id, userId: $user, role: $role }) { chatroom { owner { username } } } }`;
const UPDATE = `mutation ($input: UpdateChatroomInput!) { updateChatroom(input: $input) { chatroom { name topic } } }`;
const DELETE = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId viewer { chatrooms { nodes { id } } unreadCount } } }`;
const ROOM = `query ($id: ID!) { chatroom(id: $id) { name topic unreadCount members { nodes { role user { username } } } messages { nodes { kind systemEvent subject { username } body } } } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

/** Creates a room that ann owns, with ben as admin and cem as member. Eve is no member. */
async function managedRoom() {
  const server = await startTestServer();
  const w = await world(server);
  const cem = await signUp(server.url, 'cem');
  await w.ann.ask(ADD, { id: w.room, users: [cem.id] });
  await w.ann.ask(RANK, { id: w.room, user: w.ben.id, role: 'ADMIN' });
  return { server, ...w, cem };
}

const said = async (person: Person, room: string) =>
  (await person.ask(ROOM, { id: room })).chatroom.messages.nodes
    .filter((message: any) => message.kind === 'SYSTEM')
    .map((message: any) => [message.systemEvent, message.subject?.username]);
const roles = async (person: Person, room: string) =>
  Object.fromEntries(
    (await person.ask(ROOM, { id: room })).chatroom.members.nodes.map((member: any) => [
      member.user.username,
      member.role,
    ]),
  );

/** Expects the error codes of a mutation for a member, optionally an admin, a stranger and a signed-out client. */
async function expectRefusals(
  w: Awaited<ReturnType<typeof managedRoom>>,
  query: string,
  variables: object,
  refusals: { member: string; admin?: string },
) {
  expect(await w.cem.askForErrorCode(query, variables)).toBe(refusals.member);
  if (refusals.admin) expect(await w.ben.askForErrorCode(query, variables)).toBe(refusals.admin);
  expect(await w.eve.askForErrorCode(query, variables)).toBe('NOT_FOUND');
  expect(codeOf((await request(w.server.url, query, variables)).errors)).toBe('UNAUTHENTICATED');
}

describe('members', () => {
  test('are added by owners and admins and see the full history', async () => {
    const w = await managedRoom();
    await send(w.ann, w.room, 'before');
    const dora = await signUp(w.server.url, 'dora');
    const { addChatroomMembers } = await w.ben.ask(ADD, { id: w.room, users: [dora.id, w.eve.id, w.cem.id] });
    expect(addChatroomMembers.chatroom.memberCount).toBe(5);
    const { chatroom } = await dora.ask(ROOM, { id: w.room });
    expect(chatroom.messages.nodes.map((message: any) => message.body)).toContain('before');
    expect(chatroom.unreadCount).toBe(0);
    const events = await said(w.ann, w.room);
    expect(events).toHaveLength(3);
    expect(events).toEqual(
      expect.arrayContaining(['cem', 'dora', 'eve'].map((username) => ['MEMBER_JOINED', username])),
    );
  });

  test('are added whole or not at all', async () => {
    const w = await managedRoom();
    const dora = await signUp(w.server.url, 'dora');
    expect(await w.ann.askForErrorCode(ADD, { id: w.room, users: [dora.id, 'junk'] })).toBe('NOT_FOUND');
    await w.eve.ask(BLOCK, { id: w.ann.id });
    expect(await w.ann.askForErrorCode(ADD, { id: w.room, users: [dora.id, w.eve.id] })).toBe('BLOCKED');
    await w.ben.ask(BLOCK, { id: w.eve.id });
    expect(await w.ben.askForErrorCode(ADD, { id: w.room, users: [dora.id, w.eve.id] })).toBe('BLOCKED');
    expect(await w.ann.askForErrorCode(ADD, { id: w.room, users: [] })).toBe('BAD_USER_INPUT');
    expect(Object.keys(await roles(w.ann, w.room)).sort()).toEqual(['ann', 'ben', 'cem']);
    await expectRefusals(w, ADD, { id: w.room, users: [dora.id] }, { member: 'FORBIDDEN' });
  });

  test('are removed by admins or the owner, which ends their streams', async () => {
    const w = await managedRoom();
    const stream = w.cem.connect().subscribe(MESSAGE_ADDED, { room: w.room });
    await expect.poll(() => w.server.node.roomTails.size()).toBe(1);
    expect(await w.ben.askForErrorCode(REMOVE, { id: w.room, user: w.ann.id })).toBe('FORBIDDEN');
    expect(await w.ben.askForErrorCode(REMOVE, { id: w.room, user: w.ben.id })).toBe('BAD_USER_INPUT');
    expect(await w.ben.askForErrorCode(REMOVE, { id: w.room, user: w.eve.id })).toBe('NOT_FOUND');
    await expectRefusals(w, REMOVE, { id: w.room, user: w.ben.id }, { member: 'FORBIDDEN' });
    expect((await w.ben.ask(REMOVE, { id: w.room, user: w.cem.id })).removeChatroomMember.chatroom.memberCount).toBe(2);
    await send(w.ann, w.room, 'not for cem');
    expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
    expect(stream.received.map((event) => event.message.body)).not.toContain('not for cem');
    expect(await w.cem.askForErrorCode(SEND, { input: { chatroomId: w.room, body: 'hi' } })).toBe('NOT_FOUND');
    expect((await w.cem.ask(ROOM, { id: w.room })).chatroom).toBeNull();
    await w.ann.ask(REMOVE, { id: w.room, user: w.ben.id });
    expect(await roles(w.ann, w.room)).toEqual({ ann: 'OWNER' });
    expect((await said(w.ann, w.room)).slice(-2)).toEqual([
      ['MEMBER_LEFT', 'cem'],
      ['MEMBER_LEFT', 'ben'],
    ]);
  });

  test('are ranked by the owner, who stays admin after a transfer', async () => {
    const w = await managedRoom();
    await expectRefusals(
      w,
      RANK,
      { id: w.room, user: w.cem.id, role: 'ADMIN' },
      { member: 'FORBIDDEN', admin: 'FORBIDDEN' },
    );
    expect(await w.ann.askForErrorCode(RANK, { id: w.room, user: w.ann.id, role: 'MEMBER' })).toBe('BAD_USER_INPUT');
    expect(await w.ann.askForErrorCode(RANK, { id: w.room, user: w.eve.id, role: 'ADMIN' })).toBe('NOT_FOUND');
    await w.ann.ask(RANK, { id: w.room, user: w.ben.id, role: 'MEMBER' });
    expect(await w.ben.askForErrorCode(UPDATE, { input: { chatroomId: w.room, name: 'Mine' } })).toBe('FORBIDDEN');
    const { setMemberRole } = await w.ann.ask(RANK, { id: w.room, user: w.cem.id, role: 'OWNER' });
    expect(setMemberRole.chatroom.owner.username).toBe('cem');
    expect(await roles(w.ann, w.room)).toEqual({ ann: 'ADMIN', ben: 'MEMBER', cem: 'OWNER' });
  });

  test('of a DIRECT room cannot be managed, nor the name', async () => {
    const w = await managedRoom();
    const { createChatroom } = await w.ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [w.ben.id] } });
    const { id } = createChatroom.chatroom;
    for (const [query, more] of [
      [ADD, { users: [w.cem.id] }],
      [REMOVE, { user: w.ben.id }],
      [RANK, { user: w.ben.id, role: 'ADMIN' }],
    ] as const) {
      expect(await w.ann.askForErrorCode(query, { id, ...more })).toBe('BAD_USER_INPUT');
      expect(await w.eve.askForErrorCode(query, { id, ...more })).toBe('NOT_FOUND');
    }
    expect(await w.ann.askForErrorCode(UPDATE, { input: { chatroomId: id, name: 'Us' } })).toBe('BAD_USER_INPUT');
  });
});

describe('a room', () => {
  test('is renamed by owners and admins with a SYSTEM message', async () => {
    const w = await managedRoom();
    const { updateChatroom } = await w.ben.ask(UPDATE, { input: { chatroomId: w.room, topic: 'Everything' } });
    expect(updateChatroom.chatroom).toEqual({ name: 'A room', topic: 'Everything' });
    expect((await said(w.ann, w.room)).filter(([event]: string[]) => event === 'RENAMED')).toEqual([]);
    await w.ben.ask(UPDATE, { input: { chatroomId: w.room, name: 'Another', topic: null } });
    const { chatroom } = await w.cem.ask(ROOM, { id: w.room });
    expect([chatroom.name, chatroom.topic]).toEqual(['Another', null]);
    expect((await said(w.ann, w.room)).at(-1)).toEqual(['RENAMED', 'ben']);
    await expectRefusals(w, UPDATE, { input: { chatroomId: w.room, name: 'Mine' } }, { member: 'FORBIDDEN' });
    const open = await w.ann.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name: 'Square' } });
    const nameless = { input: { chatroomId: open.createChatroom.chatroom.id, name: null } };
    expect(await w.ann.askForErrorCode(UPDATE, nameless)).toBe('BAD_USER_INPUT');
  });

  test('is deleted by its owner only, which ends all streams', async () => {
    const w = await managedRoom();
    const other = await startTestServer({ databaseUrl: w.server.databaseUrl });
    const stream = w.cem.at(other.url).connect().subscribe(MESSAGE_ADDED, { room: w.room });
    await expect.poll(() => other.node.roomTails.size()).toBe(1);
    await expectRefusals(w, DELETE, { id: w.room }, { member: 'FORBIDDEN', admin: 'FORBIDDEN' });
    const message = await send(w.ann, w.room, 'gone soon');
    expect((await w.ann.ask(DELETE, { id: w.room })).deleteChatroom).toEqual({
      deletedChatroomId: w.room,
      viewer: { chatrooms: { nodes: [] }, unreadCount: 0 },
    });
    expect(codeOf(await stream.ended)).toBe('NOT_FOUND');
    const { node, chatroom } = await w.cem.ask(
      'query ($id: ID!, $room: ID!) { node(id: $id) { id } chatroom(id: $room) { id } }',
      { id: message.id, room: w.room },
    );
    expect([node, chatroom]).toEqual([null, null]);
    expect(await w.ann.askForErrorCode(DELETE, { id: w.room })).toBe('NOT_FOUND');
  });

  test('of kind DIRECT is hidden for the deleter until the next message', async () => {
    const w = await managedRoom();
    const { createChatroom } = await w.ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [w.eve.id] } });
    const { id } = createChatroom.chatroom;
    const listed = async (person: Person) =>
      (await person.ask('{ viewer { chatrooms { nodes { id } } } }')).viewer.chatrooms.nodes.some(
        (room: any) => room.id === id,
      );
    // The other member sees the room from its first message on.
    expect([await listed(w.ann), await listed(w.eve)]).toEqual([true, false]);
    await send(w.ann, id, 'hello');
    expect([await listed(w.ann), await listed(w.eve)]).toEqual([true, true]);
    const { deleteChatroom } = await w.eve.ask(DELETE, { id });
    expect(deleteChatroom.viewer).toEqual({ chatrooms: { nodes: [] }, unreadCount: 0 });
    expect([await listed(w.ann), await listed(w.eve)]).toEqual([true, false]);
    // The room is still found by its id.
    expect((await w.eve.ask(ROOM, { id })).chatroom.messages.nodes).toHaveLength(1);
    await send(w.ann, id, 'are you there?');
    expect([await listed(w.ann), await listed(w.eve)]).toEqual([true, true]);
    expect((await w.eve.ask(ROOM, { id })).chatroom.unreadCount).toBe(1);
    // Creating the room again shows it as well.
    await w.eve.ask(DELETE, { id });
    await w.eve.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [w.ann.id] } });
    expect(await listed(w.eve)).toBe(true);
  });

  test('returns FORBIDDEN to low roles and NOT_FOUND to outsiders', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    for (const [query, variables] of [
      [DELETE, { id: room }],
      [REMOVE, { id: room, user: ann.id }],
      [RANK, { id: room, user: ben.id, role: 'OWNER' }],
      [ADD, { id: room, users: [eve.id] }],
      [ADD, { id: room, users: ['junk'] }],
    ] as const) {
      expect(await ben.askForErrorCode(query, variables)).toBe('FORBIDDEN');
      expect(await eve.askForErrorCode(query, variables)).toBe('NOT_FOUND');
    }
    const open = await createRoom(ann, { kind: 'OPEN', name: 'Square' });
    // A user who sees an OPEN room without being a member has no role in it.
    expect(await eve.askForErrorCode(DELETE, { id: open })).toBe('NOT_FOUND');
    expect(await eve.askForErrorCode(SEND, { input: { chatroomId: open, body: 'hi' } })).toBe('NOT_FOUND');
    await eve.ask(JOIN, { id: open });
    expect(await eve.askForErrorCode(DELETE, { id: open })).toBe('FORBIDDEN');
    expect((await send(eve, open, 'hi')).number).toBe(2);
  });
});
