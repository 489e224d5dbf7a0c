import { expect, test } from 'vitest';
import { administer } from '../../src/cli/admin/admin.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import { sql } from '../../src/platform/database/database.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { connect, PASSWORD, request, signUp } from '../support/client.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { ALLOW, openShop, SHORT, startReceiver } from '../support/webhooks.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';

const ME = '{ viewer { user { username } } }';
const SIGN_IN = `mutation ($name: String!, $password: String!) {
  signIn(input: { usernameOrEmail: $name, password: $password }) { accessToken viewer { user { nickname } } }
}`;
const REFRESH = 'mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { accessToken } }';

/** Runs a command on a database, as `npm run admin -- …` does. */
function adminOf(databaseUrl: string, input = '') {
  return async (...words: string[]) =>
    administer(
      words,
      {
        config: parseConfig({ NODE_ENV: 'test' }),
        nodeVersion: process.versions.node,
        readInput: () => Promise.resolve(input),
        progress: createProgress({ isTTY: false, write: () => true }),
      },
      () => Promise.resolve({ url: databaseUrl, stop: () => Promise.resolve() }),
    );
}

async function signIn(url: string, name: string, password = PASSWORD) {
  const { data, errors } = await request(url, SIGN_IN, { name, password });
  return errors?.[0]?.extensions.code ?? data.signIn;
}

test('create-user generates a password or reads a piped one', async () => {
  const { url, databaseUrl } = await startTestServer();
  const made = await adminOf(databaseUrl)(
    'create-user',
    'Dora',
    '--nickname',
    'Dora D.',
    '--email',
    'dora@example.org',
  );
  const [, password = ''] = /\n(\S+)$/.exec(made.text) ?? [];
  expect(await signIn(url, 'dora', password)).toMatchObject({
    viewer: { user: { nickname: 'Dora D.' } },
  });
  const piped = await adminOf(databaseUrl, 'piped in by somebody\n')('create-user', 'egon', '--password-stdin');
  expect(piped.text).toBe('Created "egon".');
  expect(await signIn(url, 'egon', 'piped in by somebody')).toHaveProperty('accessToken');
  await expect(adminOf(databaseUrl)('create-user', 'DORA')).rejects.toThrow('Someone has this username.');
  await expect(adminOf(databaseUrl)('create-user', 'x')).rejects.toThrow('A username has 3 to 32 letters');
  await expect(adminOf(databaseUrl, 'short')('create-user', 'fritz', '--password-stdin')).rejects.toThrow(
    'A password has 8 to 128 characters.',
  );
});

test('suspend-user signs a user out on every node until restore-user', async () => {
  const server = await startTestServer();
  const other = await startTestServer({ databaseUrl: server.databaseUrl });
  const admin = adminOf(server.databaseUrl);
  const { ann, ben, room } = await world(server);
  const sockets = [ann.connect(), ann.at(other.url).connect()];
  const streams = sockets.map((socket) => socket.subscribe(MESSAGE_ADDED, { room }));
  for (const stream of streams) await stream.ready();

  expect((await admin('suspend-user', 'ANN')).text).toBe('"ANN" is suspended.');
  for (const socket of sockets) expect(await socket.closed).toBe(4401);
  expect(await ann.askForErrorCode(ME)).toBe('UNAUTHENTICATED');
  expect(await ann.askForErrorCode(REFRESH, { token: ann.refreshToken })).toBe('UNAUTHENTICATED');
  expect(await connect(server.url, ann.accessToken).closed).toBe(4401);
  await send(ben, room, 'ann does not hear this');
  for (const { received } of streams) expect(received).toEqual([]);

  // Only a client with the right password learns of the suspension.
  expect(await signIn(server.url, 'ann')).toBe('FORBIDDEN');
  expect(await signIn(server.url, 'ann', 'a wrong password')).toBe('INVALID_CREDENTIALS');
  await admin('suspend-user', 'ann');
  await admin('restore-user', 'ann');
  const { accessToken } = await signIn(server.url, 'ann');
  expect((await ann.on({ accessToken }).ask(ME)).viewer.user.username).toBe('ann');
  // Earlier sessions stay ended.
  expect(await ann.askForErrorCode(ME)).toBe('UNAUTHENTICATED');
});

test('suspend-user leaves no session of a concurrent sign-in', async () => {
  const { url, databaseUrl } = await startTestServer();
  const admin = adminOf(databaseUrl);
  const ann = await signUp(url, 'ann');
  const tries = Array.from({ length: 8 }, () => signIn(url, 'ann'));
  await admin('suspend-user', 'ann');
  for (const answer of await Promise.all(tries)) {
    if (answer !== 'FORBIDDEN') expect(await ann.on(answer).askForErrorCode(ME)).toBe('UNAUTHENTICATED');
  }
  expect((await admin('list-sessions', 'ann')).text).toBe('There are no active sessions.');
});

test('delete-user requires confirmation, and a node completes the deletion', async () => {
  const server = await startTestServer();
  const admin = adminOf(server.databaseUrl);
  const { ann, ben, room } = await world(server);
  await send(ann, room, 'from ann');
  await expect(admin('delete-user', 'ann')).rejects.toThrow('To delete "ann", add --yes.');
  expect((await ann.ask(ME)).viewer.user.username).toBe('ann');
  const socket = ann.connect();
  await socket.ask(ME);
  expect((await admin('delete-user', 'ann', '--yes')).text).toContain('is closed');
  expect(await socket.closed).toBe(4401);
  expect(await signIn(server.url, 'ann')).toBe('INVALID_CREDENTIALS');
  const sender = async () =>
    (
      await ben.ask('query ($id: ID!) { chatroom(id: $id) { messages { nodes { body sender { username } } } } }', {
        id: room,
      })
    ).chatroom.messages.nodes[0];
  await expect.poll(sender).toEqual({ body: 'from ann', sender: null });
  await expect(admin('delete-user', 'ann', '--yes')).rejects.toThrow('There is no user "ann".');
});

test('sessions are listed, and ended one by one or together', async () => {
  const { url, databaseUrl } = await startTestServer();
  const admin = adminOf(databaseUrl);
  const ann = await signUp(url, 'ann');
  const phone = ann.on(await signIn(url, 'ann'));
  const lines = (await admin('list-sessions', 'ann')).text.split('\n');
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('127.0.0.1');
  const [newest = ''] = lines[0]?.split('  ') ?? [];
  const [socket, phones] = [ann.connect(), phone.connect()];
  await Promise.all([socket.ask(ME), phones.ask(ME)]);
  await admin('end-session', newest);
  expect(await phones.closed).toBe(4401);
  expect((await socket.ask(ME)).data.viewer.user.username).toBe('ann');
  await admin('end-sessions', 'ann');
  expect(await socket.closed).toBe(4401);
  expect((await admin('list-sessions', 'ann')).text).toBe('There are no active sessions.');
  await expect(admin('end-session', 'nonsense')).rejects.toThrow('There is no such session.');
});

test('list-sessions escapes control characters and leaves out expired sessions', async () => {
  const server = await startTestServer();
  const admin = adminOf(server.databaseUrl);
  await world(server);
  const { database } = server.node;
  const agent = 'CSI\u009b2J NEL\u0085 ESC\u001b[31m DEL\u007f RLO\u202e PS\u2029 end';
  await database.query(sql`UPDATE sessions SET user_agent = ${agent}`);
  const { text } = await admin('list-sessions', 'ann');
  expect(text).toContain(String.raw`CSI\u{009b}2J NEL\u{0085} ESC\u{001b}[31m DEL\u{007f} RLO\u{202e} PS\u{2029} end`);
  expect(text).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  await database.query(sql`UPDATE refresh_tokens SET expires_at = now()`);
  expect((await admin('list-sessions', 'ann')).text).toBe('There are no active sessions.');
});

test('delete-message deletes any message and notifies its room', async () => {
  const server = await startTestServer();
  const admin = adminOf(server.databaseUrl);
  const { ann, ben, room } = await world(server);
  const said = await send(ann, room, 'what must not stay');
  const events = ben
    .connect()
    .subscribe(
      'subscription ($id: ID!) { chatroomEvents(chatroomId: $id) { __typename ... on MessageDeleted { message { number body deletedAt } } } }',
      { id: room },
    );
  await events.ready();
  expect((await admin('delete-message', said.id)).text).toBe('The message has been deleted.');
  expect(await events.next()).toMatchObject({ __typename: 'MessageDeleted', message: { number: 1, body: null } });
  expect((await admin('delete-message', said.id)).text).toBe('The message was already deleted.');
  await expect(admin('delete-message', room)).rejects.toThrow('There is no such message');
  const { viewer } = await ben.ask('{ viewer { searchMessages(query: "must") { nodes { id } } } }');
  expect(viewer.searchMessages.nodes).toEqual([]);
});

test('room-health shows a room and its inconsistencies', async () => {
  const server = await startTestServer();
  const admin = adminOf(server.databaseUrl);
  const { ann, room } = await world(server);
  for (const body of ['one', 'two', 'three']) await send(ann, room, body);
  const healthy = await admin('room-health', room);
  expect(healthy.failed).toBe(false);
  expect(healthy.text).toMatch(/members +2\nowners +1\nlastNumber +3\nmessages +3\n[\s\S]*No inconsistencies\.$/);
  await server.node.database.prisma.message.deleteMany({ where: { number: 2 } });
  await server.node.database.prisma.event.deleteMany({ where: { seq: 4 } });
  const holed = await admin('room-health', room);
  expect(holed.failed).toBe(true);
  expect(holed.text).toContain('FAULT: 1 messages are missing between the first and the last');
  expect(holed.text).toContain('FAULT: 1 events are missing between the first and the last');
  await expect(admin('room-health', 'nonsense')).rejects.toThrow('There is no such chatroom.');
});

test('prune deletes old data without harming rooms', async () => {
  const server = await startTestServer();
  const admin = adminOf(server.databaseUrl);
  const { ann, room } = await world(server);
  for (const body of ['one', 'two', 'three']) await send(ann, room, body);
  await server.node.database.prisma.event.updateMany({ data: { createdAt: new Date('2020-01-01') } });
  expect((await admin('prune')).text).toBe('Deleted room events older than 30 days, expired tokens and old sessions.');
  expect((await admin('room-health', room)).text).toMatch(/events +1\n[\s\S]*No inconsistencies\.$/);
  expect(
    (await ann.ask('query ($id: ID!) { chatroom(id: $id) { messages { nodes { body } } } }', { id: room })).chatroom
      .messages.nodes,
  ).toHaveLength(3);
});

test('service tokens are created, listed and revoked', async () => {
  const { url, databaseUrl } = await startTestServer();
  const admin = adminOf(databaseUrl);
  const token = (await admin('create-service-token', 'billing')).text.split('\n').at(-1) ?? '';
  const notice = `mutation { sendSystemMessage(input: { userId: "nobody", body: "x" }) { __typename } }`;
  const code = async () =>
    (await request(url, notice, {}, { authorization: `Bearer ${token}` })).errors?.[0]?.extensions.code;
  expect(await code()).toBe('NOT_FOUND');
  expect((await admin('list-service-tokens')).text).toMatch(/Z {2}billing {2}notices:write$/);
  await admin('revoke-service-token', 'billing');
  expect(await code()).toBe('UNAUTHENTICATED');
});

test('a service token has the listed scopes and no other rights', async () => {
  const { url, databaseUrl } = await startTestServer();
  const admin = adminOf(databaseUrl);
  const { text } = await admin('create-service-token', 'shop', '--scopes', 'users:write, rooms:write');
  const authorization = `Bearer ${text.split('\n').at(-1)}`;
  expect((await admin('list-service-tokens')).text).toMatch(/Z {2}shop {2}users:write,rooms:write$/);
  const notice = `mutation { sendSystemMessage(input: { userId: "nobody", body: "x" }) { __typename } }`;
  const { errors } = await request(url, notice, {}, { authorization });
  expect(errors?.[0]).toMatchObject({
    message: expect.stringContaining('lacks the scope messages:write'),
    extensions: { code: 'FORBIDDEN' },
  });
  for (const scopes of ['users:write,everything', ''])
    await expect(admin('create-service-token', 'other', '--scopes', scopes)).rejects.toThrow(
      'The scopes are: users:write',
    );
});

test('webhooks are listed with what waits and fails', async () => {
  const server = await startTestServer({ env: ALLOW, webhooks: SHORT });
  const admin = adminOf(server.databaseUrl);
  expect((await admin('list-webhooks')).text).toBe('There are no webhooks.');
  const { ann, room } = await world(server);
  const [shop, receiver] = [await openShop(server), await startReceiver()];
  receiver.respond = (_, response) => void response.writeHead(410).end();
  await shop.create(receiver, { name: 'orders' });
  expect((await admin('list-webhooks')).text).toBe(
    `ACTIVE  0 waiting, 0 rooms failing, 0 rooms failed  shop  orders  ${receiver.url}`,
  );
  await send(ann, room, 'hello');
  await expect.poll(async () => (await admin('list-webhooks')).text).toMatch(/^FAILED {2}1 waiting, .* status 410/);
  expect((await admin('doctor')).text).toContain(
    'warning 1 webhooks have failed, for example shop/orders: The receiver',
  );
});

test('each command prints help, and refuses invalid arguments', async () => {
  const admin = adminOf(await createTestDatabase());
  const { text } = await admin('--help');
  const names = [...text.matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name ?? '');
  expect(names).toHaveLength(21);
  for (const name of names) expect((await admin(name, '--help')).text).toMatch(`npm run admin -- ${name}`);
  await expect(admin('nonsense')).rejects.toThrow('There is no command "nonsense".');
  await expect(admin('suspend-user')).rejects.toThrow(
    /^This command takes USERNAME\.\n\nnpm run admin -- suspend-user USERNAME/,
  );
  await expect(admin('prune', 'it')).rejects.toThrow('This command takes no arguments.');
  await expect(admin('delete-user', 'ann', '--force')).rejects.toThrow("Unknown option '--force'");
});
