import { describe, expect, test } from 'vitest';
import { grantAdmin, revokeAdmin } from '../src/auth/admins.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { codesOf, PASSWORD, type Person, request, signUp } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const USERS = `query ($search: String) { admin { users(search: $search) { nodes {
  user { id username } suspendedAt isAdmin hasPassword sessions { id userAgent } } } } }`;
const AUDIT = `{ admin { auditEntries { nodes { actor { username } actorName action subject reason } } } }`;
const SUSPEND = `mutation ($input: AdminSuspendUserInput!) { adminSuspendUser(input: $input) { user { suspendedAt } } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }`;

/** Signs up a user and makes the user an admin. */
async function signUpAdmin(server: TestServer): Promise<Person> {
  const root = await signUp(server.url, 'root');
  await grantAdmin(server.node.database, keyOf('User', root.id) ?? '');
  return root;
}

const signInOf = (server: TestServer, username: string, password = PASSWORD) =>
  request(server.url, SIGN_IN, { input: { usernameOrEmail: username, password } });

describe('the admin API', () => {
  test('is null without a grant, and after its end', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const root = await signUpAdmin(server);
    expect(await ann.ask(AUDIT)).toEqual({ admin: null });
    expect((await root.ask(AUDIT)).admin.auditEntries.nodes).toEqual([]);
    await revokeAdmin(server.node.database, keyOf('User', root.id) ?? '');
    expect(await root.ask(AUDIT)).toEqual({ admin: null });
    expect(await root.askForErrorCode(SUSPEND, { input: { userId: ann.id, reason: 'spam' } })).toBe('FORBIDDEN');
  });

  test('suspends a user, ends the sockets and writes an audit entry', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const root = await signUpAdmin(server);
    const socket = ann.connect();
    await socket.ask('{ viewer { id } }');
    await root.ask(SUSPEND, { input: { userId: ann.id, reason: ' spam ' } });
    expect(await socket.closed).toBe(4401);
    expect(codesOf(await signInOf(server, 'ann'))).toEqual(['FORBIDDEN']);
    expect((await root.ask(USERS, { search: 'an' })).admin.users.nodes).toMatchObject([
      { user: { username: 'ann' }, suspendedAt: expect.any(String), isAdmin: false, hasPassword: true, sessions: [] },
    ]);
    expect((await root.ask(AUDIT)).admin.auditEntries.nodes).toEqual([
      {
        actor: { username: 'root' },
        actorName: 'root',
        action: 'adminSuspendUser',
        subject: 'ann',
        reason: 'spam',
      },
    ]);
    const RESTORE = `mutation ($input: AdminRestoreUserInput!) { adminRestoreUser(input: $input) { user { suspendedAt } } }`;
    const restored = await root.ask(RESTORE, { input: { userId: ann.id, reason: 'a mistake' } });
    expect(restored.adminRestoreUser.user.suspendedAt).toBeNull();
    expect(codesOf(await signInOf(server, 'ann'))).toEqual([]);
  });

  test('writes no entry for an action that fails', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const root = await signUpAdmin(server);
    const code = (input: object) => root.askForErrorCode(SUSPEND, { input });
    expect(await code({ userId: 'nobody', reason: 'spam' })).toBe('NOT_FOUND');
    expect(await code({ userId: root.id, reason: 'by mistake' })).toBe('BAD_USER_INPUT');
    for (const reason of ['', '  ', 'x'.repeat(501)])
      expect(await code({ userId: ann.id, reason })).toBe('BAD_USER_INPUT');
    expect((await root.ask(AUDIT)).admin.auditEntries.nodes).toEqual([]);
  });

  test('creates and deletes users, and ends sessions', async () => {
    const server = await startTestServer({ env: { SIGN_UP: 'open' } });
    const { ann, ben } = await world(server);
    const root = await signUpAdmin(server);
    const CREATE = `mutation ($input: AdminCreateUserInput!) { adminCreateUser(input: $input) { password user { user { username } } } }`;
    const { adminCreateUser } = await root.ask(CREATE, { input: { username: 'new', reason: 'a new colleague' } });
    expect(codesOf(await signInOf(server, 'new', adminCreateUser.password))).toEqual([]);
    expect(await root.askForErrorCode(CREATE, { input: { username: 'new', reason: 'again' } })).toBe('USERNAME_TAKEN');

    const sessionsOf = async (search: string) =>
      (await root.ask(USERS, { search })).admin.users.nodes[0].sessions.map(({ id }: any) => id);
    const [session] = await sessionsOf('ann');
    const END = `mutation ($input: AdminEndSessionInput!) { adminEndSession(input: $input) { ok } }`;
    await root.ask(END, { input: { sessionId: session, reason: 'a lost phone' } });
    expect(await sessionsOf('ann')).toEqual([]);
    expect(await ann.askForErrorCode('{ openChatrooms { nodes { id } } }')).toBe('UNAUTHENTICATED');

    const DELETE = `mutation ($input: AdminDeleteUserInput!) { adminDeleteUser(input: $input) { user { user { id } } } }`;
    await root.ask(DELETE, { input: { userId: ben.id, reason: 'asked for it' } });
    await expect.poll(async () => (await root.ask('{ user(username: "ben") { id } }')).user).toBeNull();
    expect(
      (await root.ask(AUDIT)).admin.auditEntries.nodes.map(({ action, subject }: any) => [action, subject]),
    ).toEqual([
      ['adminDeleteUser', 'ben'],
      ['adminEndSession', session],
      ['adminCreateUser', 'new'],
    ]);
  });

  test('lists and checks rooms, and deletes messages, but reads none', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const root = await signUpAdmin(server);
    const { id: messageId } = await send(ann, room, 'buy now');
    const ROOMS = `query ($id: ID!) { admin { chatrooms { nodes { id kind name memberCount messageCount owner { username } } }
      chatroomHealth(id: $id) { messages deleted faults } } }`;
    const { admin } = await root.ask(ROOMS, { id: room });
    expect(admin.chatrooms.nodes.find(({ id }: any) => id === room)).toMatchObject({ owner: { username: 'ann' } });
    expect(admin.chatroomHealth).toMatchObject({ deleted: 0, faults: [] });
    const read = await root.ask('query ($id: ID!) { chatroom(id: $id) { id } node(id: $id) { id } }', { id: room });
    expect(read).toEqual({ chatroom: null, node: null });

    const DELETE = `mutation ($input: AdminDeleteMessageInput!) { adminDeleteMessage(input: $input) { ok } }`;
    const BODY = 'query ($id: ID!) { node(id: $id) { ... on Message { body deletedAt } } }';
    await root.ask(DELETE, { input: { messageId, reason: 'spam' } });
    expect((await ann.ask(BODY, { id: messageId })).node).toMatchObject({ body: null, deletedAt: expect.any(String) });
  });

  test('creates, lists and revokes service tokens', async () => {
    const server = await startTestServer();
    const root = await signUpAdmin(server);
    const CREATE = `mutation ($input: AdminCreateServiceTokenInput!) { adminCreateServiceToken(input: $input) { token } }`;
    const LIST = '{ admin { serviceTokens { name scopes } } }';
    const input = { name: 'shop', scopes: ['messages:write'], reason: 'the shop' };
    const { token } = (await root.ask(CREATE, { input })).adminCreateServiceToken;
    const NOTICE = 'mutation { sendSystemMessage(input: { userId: "nobody", body: "x" }) { __typename } }';
    const notify = async () => codesOf(await request(server.url, NOTICE, {}, { authorization: `Bearer ${token}` }));
    expect(await notify()).toEqual(['NOT_FOUND']);
    expect((await root.ask(LIST)).admin.serviceTokens).toEqual([{ name: 'shop', scopes: ['messages:write'] }]);
    expect(await root.askForErrorCode(CREATE, { input })).toBe('CONFLICT');
    expect(await root.askForErrorCode(CREATE, { input: { ...input, scopes: ['all'] } })).toBe('BAD_USER_INPUT');
    for (const scope of ['messages:read', 'users:token', 'webhooks:write'])
      expect(
        await root.askForErrorCode(CREATE, { input: { ...input, name: 'spy', scopes: ['rooms:write', scope] } }),
      ).toBe('FORBIDDEN');
    const REVOKE = `mutation ($input: AdminRevokeServiceTokenInput!) { adminRevokeServiceToken(input: $input) { ok } }`;
    await root.ask(REVOKE, { input: { name: 'shop', reason: 'it leaked' } });
    expect(await notify()).toEqual(['UNAUTHENTICATED']);
  });

  test('finds no service by a name that no service can have', async () => {
    const server = await startTestServer();
    const root = await signUpAdmin(server);
    const REVOKE = 'mutation ($name: String!) { adminRevokeServiceToken(input: { name: $name, reason: "x" }) { ok } }';
    expect(await root.askForErrorCode(REVOKE, { name: '\0' })).toBe('NOT_FOUND');
  });

  test('reports the health of the server', async () => {
    const server = await startTestServer();
    const root = await signUpAdmin(server);
    const { health } = (await root.ask('{ admin { health { level text } } }')).admin;
    // The test database is faster than it is safe.
    expect(health).toContainEqual({ level: 'FAULT', text: expect.stringContaining('fsync') });
    expect(health).toContainEqual({ level: 'OK', text: expect.stringContaining('FILES=disk') });
  });
});
