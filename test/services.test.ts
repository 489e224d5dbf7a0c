import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { grantAdmin, revokeAdmin } from '../src/auth/admins.ts';
import { exportChatroom } from '../src/cli/export/export.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { createBot } from './support/bots.ts';
import { connect, person, request } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import {
  type Backend,
  backend,
  CREATE_ROOM,
  CREATE_TOKEN,
  REVOKE_TOKENS,
  SEND_AS,
  UPSERT,
} from './support/services.ts';
import { SEND, world } from './support/world.ts';

const ADD = `mutation ($input: ChatroomMembersInput!) {
  addChatroomMembers(input: $input) { chatroom { members { nodes { user { externalId } role } } } } }`;
const REMOVE = `mutation ($input: RemoveChatroomMemberInput!) {
  removeChatroomMember(input: $input) { chatroom { memberCount owner { externalId } } } }`;
const READ = `query ($id: String!) { chatroomByExternalId(externalId: $id) {
  id externalId name memberCount lastMessage { body }
  messages(last: 10) { nodes { id number body deletedAt sender { externalId } chatroom { externalId } replyTo { number } } } } }`;
const DELETE = `mutation ($input: DeleteMessageInput!) { deleteMessage(input: $input) { message { id body deletedAt } } }`;
const NOTICE = `mutation ($input: SendSystemMessageInput!) { sendSystemMessage(input: $input) { message { number } } }`;

const target = (name: string) =>
  `mutation ($input: ExternalUserTargetInput!) { ${name}(input: $input) { __typename } }`;
const errorOf = async (shop: Backend, query: string, input: object) =>
  (await shop.request(query, { input })).errors?.[0]?.extensions as { code: string; path?: string[] } | undefined;

/** Creates users with the external ids u1, u2 and u3, and the room r1 of the first two. */
async function shopOf(server: TestServer) {
  const shop = await backend(server);
  const users = ['u1', 'u2', 'u3'].map((externalId) => ({ externalId, username: `name-${externalId}` }));
  const { users: made } = await shop.call(UPSERT, { users });
  const { chatroom } = await shop.call(CREATE_ROOM, {
    ...{ kind: 'GROUP', name: 'Order 7', externalId: 'r1', ownerExternalId: 'u1', memberExternalIds: ['u2'] },
  });
  const tokenOf = async (externalId: string): Promise<string> =>
    (await shop.call(CREATE_TOKEN, { externalId })).accessToken;
  return { shop, room: chatroom.id as string, ids: made.map(({ id }: { id: string }) => id) as string[], tokenOf };
}

test('a backend takes an application from its users to the first message', async () => {
  const server = await startTestServer({ env: { SIGN_UP: 'off' } });
  const { shop, room, tokenOf } = await shopOf(server);
  const accessToken = await tokenOf('u2');
  const socket = connect(server.url, accessToken);
  const stream = socket.subscribe(
    'subscription ($id: ID!) { messageAdded(chatroomId: $id) { message { body sender { username externalId } } } }',
    { id: room },
  );
  await stream.ready();
  const sent = { chatroomExternalId: 'r1', asUserExternalId: 'u1', body: 'It is on its way.', clientMessageId: 'm1' };
  expect((await shop.call(SEND_AS, sent)).message).toMatchObject({ number: 1, sender: { externalId: 'u1' } });
  expect((await shop.call(SEND_AS, sent)).deduplicated).toBe(true);
  expect(await stream.next()).toEqual({
    message: { body: 'It is on its way.', sender: { username: 'name-u1', externalId: null } },
  });

  await shop.call(REVOKE_TOKENS, { externalId: 'u2' });
  expect(await socket.closed).toBe(4401);
  const header = { authorization: `Bearer ${accessToken}` };
  const { errors } = await request(server.url, '{ viewer { user { id } } }', {}, header);
  expect(errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
});

test('an import of 1,000 users and 100 rooms doubles nothing when it is repeated', async () => {
  const server = await startTestServer({ env: { RATE_LIMITS: 'on' } });
  const shop = await backend(server);
  const users = Array.from({ length: 1_000 }, (_, i) => ({
    externalId: `u${i}`,
    nickname: i % 2 ? 'Ann' : `Person ${i}`,
  }));
  const rooms = Array.from({ length: 100 }, (_, i) => ({
    ...{ kind: 'GROUP', name: `Order ${i}`, externalId: `r${i}`, ownerExternalId: `u${i}` },
    memberExternalIds: Array.from({ length: 9 }, (_unused, j) => `u${(i + 1 + j * 7) % 1_000}`),
  }));
  async function importAll() {
    const made: unknown[] = [];
    for (let i = 0; i < users.length; i += 100)
      made.push((await shop.call(UPSERT, { users: users.slice(i, i + 100) })).users);
    // Both workers send all rooms, at the same time.
    const created: { chatroom: object }[] = [];
    for (let i = 0; i < rooms.length; i += 10)
      created.push(
        ...(await Promise.all(
          [0, 1].flatMap(() => rooms.slice(i, i + 10).map((room) => shop.call(CREATE_ROOM, room))),
        )),
      );
    return { users: made.flat(), rooms: created.map(({ chatroom }) => chatroom) };
  }
  const first = await importAll();
  const second = await importAll();
  expect(second).toEqual(first);
  const { prisma } = server.node.database;
  expect([await prisma.user.count(), await prisma.chatroom.count(), await prisma.member.count()]).toEqual([
    1_000, 100, 1_000,
  ]);
});

test('upsertUsers derives usernames, changes what is given, and names the item that fails', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const shop = await backend(server);
  const upsert = async (...users: object[]) => (await shop.call(UPSERT, { users })).users;
  const [one, two, three] = await upsert(
    { externalId: '1', username: 'ben@example.org', nickname: 'Ben' },
    { externalId: '2', nickname: 'Éva Kovács' },
    { externalId: 'auth0|5f7c8ec7', username: '!!' },
  );
  expect(one).toMatchObject({ username: 'benexample.org', nickname: 'Ben' });
  expect(two).toMatchObject({ username: 'ÉvaKovács', nickname: 'Éva Kovács' });
  expect(three).toMatchObject({ username: expect.stringMatching(/^user-[0-9a-f]{6}$/) });
  const [derived, given] = await upsert({ externalId: '5', nickname: 'Zoe' }, { externalId: '6', username: 'zoe' });
  expect([derived.username, given.username]).toEqual([expect.stringMatching(/^Zoe-/), 'zoe']);
  const [same] = await upsert({ externalId: '4', nickname: 'Éva Kovács' });
  expect(same.username).toMatch(/^ÉvaKovács-[0-9a-f]{6}$/);
  expect(await upsert({ externalId: '1', username: 'ben2' }, { externalId: '2' })).toMatchObject([
    { id: one.id, username: 'ben2', nickname: 'Ben' },
    { id: two.id, username: 'ÉvaKovács' },
  ]);

  const failure = (...users: object[]) => errorOf(shop, UPSERT, { users });
  const good = { externalId: '9', username: 'nine' };
  for (const username of ['ann', 'ANN', 'ben2'])
    expect(await failure(good, { externalId: '8', username })).toMatchObject({
      ...{ code: 'USERNAME_TAKEN', path: ['input', 'users', '1', 'username'] },
    });
  expect(await failure(good, { externalId: '8', username: 'nine' })).toMatchObject({ code: 'USERNAME_TAKEN' });
  expect(await failure(good, good)).toMatchObject({ path: ['input', 'users', '1', 'externalId'] });
  expect(await failure({ externalId: '' })).toMatchObject({ path: ['input', 'users', '0', 'externalId'] });
  expect(await failure({ externalId: '8', nickname: ' ' })).toMatchObject({
    path: ['input', 'users', '0', 'nickname'],
  });
  expect(await failure({ externalId: '8', avatarUrl: 'file:///x' })).toMatchObject({ code: 'BAD_USER_INPUT' });
  expect(await failure(...Array.from({ length: 101 }, (_, i) => ({ externalId: `x${i}` })))).toMatchObject({
    code: 'BAD_USER_INPUT',
  });
  const { data } = await request(
    server.url,
    '{ user(username: "nine") { id } }',
    {},
    { authorization: `Bearer ${ann.accessToken}` },
  );
  expect(data.user).toBeNull();
});

test('a room has its external id once, and DIRECT rooms keep theirs', async () => {
  const server = await startTestServer();
  const { shop, room } = await shopOf(server);
  const create = async (input: object) => (await shop.call(CREATE_ROOM, input)).chatroom;
  const again = { kind: 'GROUP', externalId: 'r1', name: 'Other', ownerExternalId: 'u3' };
  expect(await create(again)).toMatchObject({ id: room, name: 'Order 7', memberCount: 2 });
  expect(await shop.code(CREATE_ROOM, { ...again, kind: 'OPEN' })).toBe('CONFLICT');
  const direct = { kind: 'DIRECT', externalId: 'd1', memberExternalIds: ['u1', 'u2'] };
  const { id } = await create(direct);
  expect(
    await create({ kind: 'DIRECT', externalId: 'd1', ownerExternalId: 'u2', memberExternalIds: ['u1'] }),
  ).toMatchObject({ id });
  expect(await shop.code(CREATE_ROOM, { ...direct, externalId: 'd2' })).toBe('CONFLICT');
  expect(await shop.code(CREATE_ROOM, { ...direct, memberExternalIds: ['u1', 'u3'] })).toBe('CONFLICT');
  expect(await create({ kind: 'GROUP', externalId: 'r2', memberExternalIds: ['u3'] })).toMatchObject({
    owner: null,
    memberCount: 1,
  });
  const unknown = { kind: 'GROUP', externalId: 'r3', ownerExternalId: 'u1', memberExternalIds: ['u9'] };
  expect(await errorOf(shop, CREATE_ROOM, unknown)).toMatchObject({
    code: 'NOT_FOUND',
    path: ['input', 'memberExternalIds'],
  });
  for (const input of [
    { kind: 'GROUP', externalId: 'r3' },
    { kind: 'GROUP', externalId: 'r'.repeat(256), ownerExternalId: 'u1' },
    { kind: 'OPEN', externalId: 'r3', ownerExternalId: 'u1' },
    { kind: 'DIRECT', externalId: 'r3', ownerExternalId: 'u1' },
    { kind: 'DIRECT', externalId: 'r3', ownerExternalId: 'u1', memberExternalIds: ['u2', 'u3'] },
  ])
    expect([input, await shop.code(CREATE_ROOM, input)]).toEqual([input, 'BAD_USER_INPUT']);
});

test('a service changes the members of a room, also its owner', async () => {
  const server = await startTestServer();
  const { shop, room, ids } = await shopOf(server);
  const added = await shop.call(ADD, { chatroomExternalId: 'r1', externalIds: ['u3', 'u2'] });
  expect(added.chatroom.members.nodes).toHaveLength(3);
  expect((await shop.call(REMOVE, { chatroomExternalId: 'r1', externalId: 'u1' })).chatroom).toEqual({
    ...{ memberCount: 2, owner: { externalId: expect.stringMatching(/u2|u3/) } },
  });
  await shop.call(REMOVE, { chatroomId: room, userId: ids[1] });
  expect((await shop.call(REMOVE, { chatroomId: room, externalId: 'u3' })).chatroom.memberCount).toBe(0);
  // The room has ended with its last member, and its external id is free.
  expect((await shop.ask(READ, { id: 'r1' })).chatroomByExternalId).toBeNull();
  expect(await shop.code(ADD, { chatroomExternalId: 'r1', externalIds: ['u1'] })).toBe('NOT_FOUND');
  expect(await shop.code(ADD, { externalIds: ['u1'] })).toBe('BAD_USER_INPUT');
  expect(await shop.code(REMOVE, { chatroomId: room })).toBe('BAD_USER_INPUT');
});

test('a service sends as a user who may send, and reads and moderates a room', async () => {
  const server = await startTestServer();
  const { shop, room, ids, tokenOf } = await shopOf(server);
  const say = { chatroomExternalId: 'r1', body: 'hello' };
  expect(await shop.code(SEND_AS, say)).toBe('BAD_USER_INPUT');
  expect(await shop.code(SEND_AS, { ...say, asUserExternalId: 'u3' })).toBe('NOT_FOUND');
  expect(await shop.code(SEND_AS, { ...say, asUserExternalId: 'u9' })).toBe('NOT_FOUND');
  const { message } = await shop.call(SEND_AS, { ...say, asUserId: ids[0] });
  await shop.call(SEND_AS, { ...say, asUserExternalId: 'u2', body: 'yes', replyToId: message.id });
  await shop.call(NOTICE, { target: { chatroomExternalId: 'r1' }, body: 'A parcel left.' });
  const { chatroomByExternalId: read } = await shop.ask(READ, { id: 'r1' });
  expect(read).toMatchObject({ id: room, memberCount: 2, lastMessage: { body: 'A parcel left.' } });
  expect(read.messages.nodes).toMatchObject([
    { number: 1, body: 'hello', sender: { externalId: 'u1' }, chatroom: { externalId: 'r1' }, replyTo: null },
    { number: 2, body: 'yes', replyTo: { number: 1 } },
    { number: 3, sender: null },
  ]);
  expect((await shop.call(DELETE, { messageId: message.id })).message).toMatchObject({ body: null });
  expect(await shop.code(DELETE, { messageId: read.messages.nodes[2].id })).toBe('NOT_FOUND');
  expect(await shop.code(DELETE, { messageId: 'x' })).toBe('NOT_FOUND');

  // A block in a DIRECT room binds the service, too.
  const block = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { user { id } } }`;
  await shop.call(CREATE_ROOM, { kind: 'DIRECT', externalId: 'd1', memberExternalIds: ['u1', 'u2'] });
  await request(server.url, block, { id: ids[0] }, { authorization: `Bearer ${await tokenOf('u2')}` });
  expect(await shop.code(SEND_AS, { chatroomExternalId: 'd1', asUserExternalId: 'u1', body: 'hi' })).toBe('BLOCKED');

  // A user may set none of the fields of services.
  const header = { authorization: `Bearer ${await tokenOf('u2')}` };
  for (const [name, target] of Object.entries({
    asUserExternalId: { chatroomId: room, asUserExternalId: 'u1' },
    chatroomExternalId: { chatroomExternalId: 'r1' },
  })) {
    const { errors } = await request(server.url, SEND, { input: { ...target, body: 'x' } }, header);
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'FORBIDDEN', path: ['input', name] });
  }
});

test('a service sends as a bot only what the bot may send', async () => {
  const server = await startTestServer();
  const { shop, room, tokenOf } = await shopOf(server);
  const owner = person(server.url, { id: '', username: '', accessToken: await tokenOf('u1'), refreshToken: '' });
  const bot = await createBot(owner, 'helper');
  const reader = await createBot(owner, 'reader', ['messages:read']);
  await shop.call(ADD, { chatroomId: room, userIds: [bot.id, reader.id] });
  const sendAs = (asUserId: string) => shop.code(SEND_AS, { chatroomId: room, asUserId, body: 'hello' });
  expect(await sendAs(reader.id)).toBe('FORBIDDEN');
  for (let i = 0; i < 10; i += 1) expect(await sendAs(bot.id)).toBe('none');
  expect(await sendAs(bot.id)).toBe('RATE_LIMITED');
});

test('a service cannot make a bot the owner of a room', async () => {
  const server = await startTestServer();
  const { shop, ids, tokenOf } = await shopOf(server);
  const owner = person(server.url, { id: '', username: '', accessToken: await tokenOf('u1'), refreshToken: '' });
  const bot = await createBot(owner, 'helper');
  const input = { kind: 'GROUP', name: 'Bots', ownerId: bot.id, memberIds: [ids[0]] };
  expect(await shop.code(CREATE_ROOM, input)).toBe('FORBIDDEN');
  expect(await shop.code(CREATE_ROOM, { ...input, externalId: 'r2' })).toBe('FORBIDDEN');
  expect(await shop.code(CREATE_ROOM, { ...input, ownerId: ids[0], memberIds: [bot.id] })).toBe('none');
});

test('a service gets no token of an admin, nor keeps one', async () => {
  const server = await startTestServer();
  const { shop, ids, tokenOf } = await shopOf(server);
  const socket = person(server.url, {
    id: '',
    username: '',
    accessToken: await tokenOf('u1'),
    refreshToken: '',
  }).connect();
  await socket.ask('{ viewer { id } }');
  const admin = keyOf('User', ids[0] ?? '') ?? '';
  await grantAdmin(server.node.database, admin);
  server.node.changePoller.requestPoll();
  expect(await socket.closed).toBe(4401);
  expect(await shop.code(CREATE_TOKEN, { externalId: 'u1' })).toBe('FORBIDDEN');
  expect(await shop.code(CREATE_TOKEN, { externalId: 'u2' })).toBe('none');
  await revokeAdmin(server.node.database, admin);
  expect(await shop.code(CREATE_TOKEN, { externalId: 'u1' })).toBe('none');
});

test('an external id that cannot be stored names nobody', async () => {
  const server = await startTestServer();
  const { shop, room } = await shopOf(server);
  await shop.call(UPSERT, { users: [{ externalId: '\ufffd' }] });
  // PostgreSQL refuses U+0000. The driver turns a lone surrogate into U+FFFD, which is the id of another user.
  for (const asUserExternalId of ['\0', '\ud800', '', 'x'.repeat(256)]) {
    const input = { chatroomId: room, asUserExternalId, body: 'hello' };
    const { errors } = await shop.request(SEND_AS, { input });
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'NOT_FOUND', path: ['input', 'asUserExternalId'] });
  }
});

test('a deactivated user has no token, and a deleted user no name', async () => {
  const server = await startTestServer();
  const { shop, tokenOf } = await shopOf(server);
  const socket = connect(server.url, await tokenOf('u1'));
  await socket.ask('{ viewer { id } }');
  await shop.call(target('deactivateUser'), { externalId: 'u1' });
  expect(await socket.closed).toBe(4401);
  expect(await shop.code(CREATE_TOKEN, { externalId: 'u1' })).toBe('FORBIDDEN');
  expect(await shop.code(SEND_AS, { chatroomExternalId: 'r1', asUserExternalId: 'u1', body: 'x' })).toBe('FORBIDDEN');
  await shop.call(target('reactivateUser'), { externalId: 'u1' });
  await shop.call(SEND_AS, { chatroomExternalId: 'r1', asUserExternalId: 'u1', body: 'x' });
  await shop.call(target('deleteUser'), { externalId: 'u1' });
  const { chatroomByExternalId: room } = await shop.ask(READ, { id: 'r1' });
  expect(room).toMatchObject({ memberCount: 1 });
  expect(room.messages.nodes[0]).toMatchObject({ body: 'x', sender: null });
  for (const name of ['deactivateUser', 'reactivateUser', 'deleteUser', 'revokeAccessTokens'])
    expect(await shop.code(target(name), { externalId: 'u1' })).toBe('NOT_FOUND');
  expect(await shop.code(CREATE_TOKEN, { externalId: 'u1' })).toBe('NOT_FOUND');
  expect(await shop.code(CREATE_TOKEN, { externalId: 'u2', lifetimeSeconds: 59 })).toBe('BAD_USER_INPUT');
});

test('an external user gets no password', async () => {
  const server = await startTestServer();
  const { tokenOf } = await shopOf(server);
  const header = { authorization: `Bearer ${await tokenOf('u1')}` };
  const change = 'mutation { changePassword(input: { newPassword: "a long password" }) { ok } }';
  expect((await request(server.url, change, {}, header)).errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  const signIn = `mutation { signIn(input: { usernameOrEmail: "name-u1", password: "a long password" }) { accessToken } }`;
  expect((await request(server.url, signIn)).errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
  // An address does not help: nobody mails a token for a new password to it.
  const { prisma, query } = server.node.database;
  const address = { email: 'u1@example.org', emailKey: 'u1@example.org', emailVerifiedAt: new Date() };
  await prisma.user.update({ where: { externalId: 'u1' }, data: address });
  const reset = 'mutation { requestPasswordReset(input: { email: "u1@example.org" }) { ok } }';
  expect((await request(server.url, reset)).errors).toBeUndefined();
  const mails = await query<{ userId: string }>(sql`
    SELECT payload->>'userId' AS "userId" FROM graphile_worker._private_jobs WHERE payload->>'purpose' = 'RESET_PASSWORD'`);
  const user = await prisma.user.findUnique({ where: { externalId: 'u1' } });
  expect(mails.map(({ userId }) => userId)).not.toContain(user?.id);
});

test('an export restores external ids', async () => {
  const [here, there] = [await startTestServer(), await startTestServer()];
  const { room } = await shopOf(here);
  const file = join(tmpdir(), `parley-${crypto.randomUUID()}.json`);
  onTestFinished(() => rm(file, { force: true }));
  const working = ({ node: { database, passwords } }: TestServer) => ({
    ...{ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) },
  });
  await exportChatroom(working(here), keyOf('Chatroom', room) ?? '', file);
  await importPath(working(there), file, []);
  const shop = await backend(there);
  const { chatroomByExternalId } = await shop.ask(READ, { id: 'r1' });
  expect(chatroomByExternalId).toMatchObject({ id: room, memberCount: 2 });
  await shop.call(SEND_AS, { chatroomExternalId: 'r1', asUserExternalId: 'u2', body: 'after the move' });
});
