import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createClient } from 'graphql-ws';
import { isObjectType } from 'graphql';
import { exportJWK, exportPKCS8, generateKeyPair, SignJWT } from 'jose';
import { SMTPServer } from 'smtp-server';
import { describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { createServiceToken } from '../src/auth/serviceTokens.ts';
import { startSession } from '../src/auth/sessions.ts';
import { sql } from '../src/platform/database/database.ts';
import { DEMO_PASSWORD } from '../src/server/demo/people.ts';
import { seedDemo } from '../src/cli/demo/seedDemo.ts';
import { exportChatroom, exportUser } from '../src/cli/export/export.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { createContext } from '../src/graphql/operation.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { buildSchema } from '../src/features/schema.ts';
import { ROTATE_BOT_TOKEN } from './support/bots.ts';
import { acknowledged, connect, PASSWORD, type Person, request, signUp, type Stream } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createTestDatabase, startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

// An index of the features of Parley's five origins, and of their faults. Each has a test here. Features that are only
// touched here have test files of their own.

const targeting = (name: string, fields: string) =>
  `mutation ($id: ID!) { ${name}(input: { userId: $id }) { ${fields} } }`;
const ADD_FRIEND = targeting('addFriend', 'status viewer { friends { nodes { username } } }');
const BLOCK = targeting('blockUser', 'viewer { blockedUsers { nodes { username } } }');
const UNBLOCK = targeting('unblockUser', 'viewer { blockedUsers { nodes { username } } }');
const FRIENDS = '{ viewer { friends { nodes { username } } } }';
const SIGN_IN = `mutation ($name: String!, $password: String!) {
  signIn(input: { usernameOrEmail: $name, password: $password }) {
    accessToken refreshToken viewer { email user { id username } friends { nodes { username } } }
  }
}`;
const ALL = `subscription ($after: String) { messageAdded(after: $after) { cursor chatroom { id } message { number kind body sender { username } } } }`;
const PAGE = `query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { chatroom(id: $id) {
  messages(first: $first, after: $after, last: $last, before: $before) {
    nodes { number body sender { username } } pageInfo { startCursor endCursor hasNextPage hasPreviousPage }
  } } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { unreadCount } } }`;
const EDIT = `mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { body editedAt } } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { body deletedAt } } }`;
const REACT = `mutation ($id: ID!, $emoji: String!) { addReaction(input: { messageId: $id, emoji: $emoji }) { message { id } } }`;
const REGISTER = `mutation ($token: String!) { registerPushDevice(input: { platform: FCM, token: $token }) { device { id platform } } }`;
const SYSTEM = `mutation ($input: SendSystemMessageInput!) { sendSystemMessage(input: $input) { onlineRecipients message { number } } }`;

const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[] | undefined)?.[0]?.extensions.code;
const bodies = (messages: any[]): string[] => messages.map((message) => message.body);
const heard = (stream: Stream): string[] => bodies(stream.received.map((event) => event.message));

async function openRoom(person: Person, input: object): Promise<string> {
  return (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
}

const direct = (person: Person, other: Person) => openRoom(person, { kind: 'DIRECT', memberIds: [other.id] });
const page = async (person: Person, id: string, args: object) =>
  (await person.ask(PAGE, { id, ...args })).chatroom.messages;

/** Signs the same person in on another device. */
async function anotherDevice(person: Person): Promise<Person> {
  const { data } = await request(person.url, SIGN_IN, { name: person.username, password: PASSWORD });
  return person.on(data.signIn);
}

/** Creates a DIRECT room of ann and ben. Eve is not a member. */
async function pair(options: Parameters<typeof startTestServer>[0] = {}) {
  const server = await startTestServer(options);
  const { ann, ben, eve, room: group } = await world(server);
  return { server, ann, ben, eve, group, room: await direct(ann, ben) };
}

/** Starts an HTTP server for the test. It responds with JSON. */
async function serve(answer: (path: string, body: string) => object): Promise<string> {
  const server = createServer((incoming, response) => {
    void buffer(incoming).then((body) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer(incoming.url ?? '', body.toString())));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Starts a fake Firebase Cloud Messaging service. Returns its settings and the pushes that it received. */
async function startFcm(): Promise<{ env: Record<string, string>; pushes: { token: string; body: string }[] }> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const pushes: { token: string; body: string }[] = [];
  const origin = await serve((path, body) => {
    if (path === '/token') return { access_token: 'access', expires_in: 3600, token_type: 'Bearer' };
    const { token, notification } = JSON.parse(body).message;
    pushes.push({ token, body: notification.body });
    return { name: 'projects/parley-test/messages/1' };
  });
  const account = {
    type: 'service_account',
    project_id: 'parley-test',
    client_email: 'push@parley-test.iam.gserviceaccount.com',
    token_uri: `${origin}/token`,
    private_key: await exportPKCS8(privateKey),
  };
  return { env: { FCM_SERVICE_ACCOUNT: JSON.stringify(account), FCM_ENDPOINT: origin }, pushes };
}

/** Starts an OpenID provider. Returns its settings and a function that issues ID tokens. */
async function startOpenId(): Promise<{ env: Record<string, string>; token: (subject: string) => Promise<string> }> {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'key', alg: 'RS256', use: 'sig' }];
  const issuer: string = await serve((path) => (path === '/keys' ? { keys } : { issuer, jwks_uri: `${issuer}/keys` }));
  const token = (subject: string) =>
    new SignJWT({ preferred_username: subject })
      .setProtectedHeader({ alg: 'RS256', kid: 'key' })
      .setIssuer(issuer)
      .setAudience('parley of the tests')
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey);
  return { env: { OIDC_ISSUER: issuer, OIDC_AUDIENCE: 'parley of the tests' }, token };
}

/** Starts a mail server. Returns its settings and the codes in the mails that it received. */
async function startMail(): Promise<{ env: Record<string, string>; codes: string[] }> {
  const codes: string[] = [];
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    authOptional: true,
    disableReverseLookup: true,
    onData(stream, _session, callback) {
      void buffer(stream).then((mail) => {
        const text = mail.toString().replace(/=\r?\n/g, '');
        codes.push(/enter this code: (\S+)/.exec(text)?.[1] ?? '');
        callback();
      });
    },
  });
  server.on('error', () => undefined);
  onTestFinished(() => new Promise<void>((resolve) => server.close(resolve)));
  const listening = server.listen(0, '127.0.0.1');
  if (!listening.listening) await once(listening, 'listening');
  return { env: { SMTP_URL: `smtp://127.0.0.1:${(listening.address() as AddressInfo).port}` }, codes };
}

/** Opens a socket as a device does. Returns once the user is online. */
async function arrive(person: Person) {
  const socket = person.connect();
  await socket.ask('{ viewer { id } }');
  return socket;
}

const presence = async (person: Person, of: Person) =>
  (await person.ask('query ($name: String!) { user(username: $name) { presence { status } } }', { name: of.username }))
    .user.presence?.status ?? null;

/** Short times, so that a test sees within a second what takes ten seconds in production. */
const presenceTimes = { leaseMs: 1_500, graceMs: 300 };

const quiet = createProgress({ isTTY: false, write: () => true });
const importing = ({ node }: TestServer) => ({ database: node.database, passwords: node.passwords, progress: quiet });

describe('features of the origins', () => {
  test('個人チャット: sign-up, sign-in with friends, and adding friends', async () => {
    const { server, ann, ben } = await pair();
    const first = await ann.ask(ADD_FRIEND, { id: ben.id });
    expect(first.addFriend).toEqual({ status: 'ACCEPTED', viewer: { friends: { nodes: [{ username: 'ben' }] } } });
    for (const [person, friend] of [
      [ann, ben],
      [ben, ann],
    ] as const) {
      const { addFriend } = await person.ask(ADD_FRIEND, { id: friend.id });
      expect(addFriend.viewer.friends.nodes).toEqual([{ username: friend.username }]);
      expect((await person.ask(FRIENDS)).viewer.friends.nodes).toEqual([{ username: friend.username }]);
    }
    expect(await ann.askForErrorCode(ADD_FRIEND, { id: ann.id })).toBe('BAD_USER_INPUT');
    expect(await ann.askForErrorCode(ADD_FRIEND, { id: 'junk' })).toBe('NOT_FOUND');
    const { data } = await request(server.url, SIGN_IN, { name: 'ann', password: PASSWORD });
    expect(data.signIn.viewer).toMatchObject({ user: { username: 'ann' }, friends: { nodes: [{ username: 'ben' }] } });
    const wrong = await request(server.url, SIGN_IN, { name: 'ann', password: 'not the password' });
    expect(codeOf(wrong.errors)).toBe('INVALID_CREDENTIALS');
  });

  test('個人チャット: one socket carries everything; a second can be refused', async () => {
    const { ann, ben, room, group } = await pair({ env: { MAX_SOCKETS_PER_USER: '1' } });
    const socket = ann.connect();
    const stream = socket.subscribe(ALL);
    await stream.ready();
    await send(ben, room, 'in private');
    await send(ben, group, 'to all');
    const told = await stream.take(2);
    expect(new Set(told.map((event) => [event.chatroom.id, event.message.body].join()))).toEqual(
      new Set([`${room},in private`, `${group},to all`]),
    );
    const answered = await socket.ask(SEND, { input: { chatroomId: room, body: 'over the same socket' } });
    expect(answered.data.sendMessage.message.number).toBe(2);
    expect((await stream.next()).message.body).toBe('over the same socket');
    expect(await (await anotherDevice(ann)).connect().closed).toBe(4420);
    expect((await socket.ask('{ viewer { user { username } } }')).data.viewer.user.username).toBe('ann');
  });

  test('個人チャット: a message is stored and pushed to both sides', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const devices = [ann, await anotherDevice(ann), ben].map((person) => person.connect().subscribe(ALL));
    for (const device of devices) await device.ready();
    const room = await direct(ann, ben);
    await send(ann, room, 'こんにちは');
    for (const device of devices)
      expect(await device.next()).toMatchObject({ message: { body: 'こんにちは', sender: { username: 'ann' } } });
    expect(bodies((await page(ben, room, { first: 10 })).nodes)).toEqual(['こんにちは']);
    expect(await ann.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: ['junk'] } })).toBe(
      'NOT_FOUND',
    );
    expect(await ann.askForErrorCode(SEND, { input: { chatroomId: 'junk', body: 'hi' } })).toBe('NOT_FOUND');
  });

  test('個人チャット: history is paged from a position in both directions', async () => {
    const { ann, ben, room } = await pair();
    const sent = [];
    for (const [i, person] of [ann, ben, ann, ben, ann].entries()) sent.push(await send(person, room, `${i + 1}`));
    const [, second, , fourth] = sent;
    expect(bodies((await page(ben, room, { first: 2, after: second.cursor })).nodes)).toEqual(['3', '4']);
    expect(bodies((await page(ben, room, { last: 2, before: fourth.cursor })).nodes)).toEqual(['2', '3']);
    const oldest = await page(ben, room, { first: 2 });
    expect([bodies(oldest.nodes), oldest.pageInfo.hasNextPage]).toEqual([['1', '2'], true]);
    const newest = await page(ben, room, { last: 2 });
    expect([bodies(newest.nodes), newest.pageInfo.hasPreviousPage]).toEqual([['4', '5'], true]);
  });

  test('個人チャット: chat bot, open chat, group chat and demo data exist', async () => {
    const server = await startTestServer();
    expect(await seedDemo(importing(server))).toMatchObject({ users: 8, chatrooms: 5 });
    const { data } = await request(server.url, SIGN_IN, { name: 'ann', password: DEMO_PASSWORD });
    const { accessToken, viewer } = data.signIn;
    const newcomer = await signUp(server.url, 'newcomer');
    const ann = newcomer.on({ accessToken });
    expect(viewer.friends.nodes.length).toBeGreaterThan(3);
    const { chatrooms } = (
      await ann.ask(
        '{ viewer { chatrooms { nodes { id kind name opponent { isBot } messages { nodes { body } } } } } }',
      )
    ).viewer;
    const kinds = chatrooms.nodes.map((room: any) => room.kind);
    expect(new Set(kinds)).toEqual(new Set(['OPEN', 'GROUP', 'DIRECT']));
    const open = chatrooms.nodes.find((room: any) => room.kind === 'OPEN');
    expect(open.messages.nodes).not.toEqual([]);
    await newcomer.ask('mutation ($id: ID!) { joinChatroom(input: { chatroomId: $id }) { chatroom { id } } }', open);
    expect((await send(newcomer, open.id, 'Hello all')).number).toBeGreaterThan(2_000);

    const [{ user: echo }] = (await ann.ask('{ viewer { bots { user { id username } } } }')).viewer.bots;
    const { token } = (await ann.ask(ROTATE_BOT_TOKEN, echo)).rotateBotToken;
    const bot = spawn(process.execPath, ['examples/echo.mjs'], {
      env: { PATH: process.env['PATH'], PARLEY_URL: `${server.url}/graphql`, PARLEY_TOKEN: token },
    });
    const ended = once(bot, 'exit');
    onTestFinished(async () => {
      bot.kill('SIGKILL');
      await ended;
    });
    await once(bot.stdout, 'data');
    const withBot = chatrooms.nodes.find((room: any) => room.opponent?.isBot);
    const stream = ann.connect().subscribe(MESSAGE_ADDED, { room: withBot.id });
    await stream.ready();
    await send(ann, withBot.id, 'Is anyone there?');
    expect((await stream.take(2)).map(({ message }) => [message.sender.username, message.body])).toEqual([
      ['ann', 'Is anyone there?'],
      ['echo', 'Is anyone there?'],
    ]);
  });

  test('my_messenger: history, client_id, group invitations and "seen" work', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const news = [ben, eve].map((person) =>
      person
        .connect()
        .subscribe('subscription { viewerEvents { __typename ... on ChatroomAppeared { chatroom { id } } } }'),
    );
    for (const stream of news) await stream.ready();
    const room = await openRoom(ann, { kind: 'GROUP', memberIds: [ben.id, eve.id] });
    for (const stream of news)
      expect(await stream.next()).toEqual({ __typename: 'ChatroomAppeared', chatroom: { id: room } });
    const seen = ann.connect().subscribe('subscription { messageSeen { message { id seenByAll } } }');
    await seen.ready();
    const message = await send(ann, room, 'Who comes?', { clientMessageId: 'local 1' });
    expect(message).toMatchObject({ clientMessageId: 'local 1', number: 1 });
    expect((await ben.ask('query ($id: ID!) { node(id: $id) { id } }', message)).node.id).toBe(message.id);
    expect(bodies((await page(eve, room, { first: 10 })).nodes)).toEqual(['Who comes?']);
    for (const person of [ben, eve]) await person.ask(READ, message);
    expect(await seen.next()).toEqual({ message: { id: message.id, seenByAll: true } });
    expect(seen.received).toHaveLength(1);
  });

  test('my_messenger: data is imported from and exported to JSON files', async () => {
    const { server, ann, ben, group: room } = await pair();
    const there = await startTestServer();
    const question = await send(ann, room, 'Coming?', { clientMessageId: 'local 1' });
    const answer = await send(ben, room, 'Yes!', { replyToId: question.id });
    await ann.ask(REACT, { id: answer.id, emoji: '👍' });
    await ann.ask(EDIT, { id: question.id, body: 'Coming on Friday?' });
    await ben.ask(DELETE, await send(ben, room, 'Oops'));
    await ann.ask(READ, answer);
    const folder = await mkdtemp(join(tmpdir(), 'parley-origins-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    expect(await exportChatroom(importing(server), room, join(folder, 'room.json'))).toBe(3);
    expect(await exportUser(importing(server), 'ann', join(folder, 'ann.json'))).toBe(1);
    expect(await importPath(importing(there), join(folder, 'ann.json'), [])).toMatchObject({ users: 1 });
    expect(await importPath(importing(there), join(folder, 'room.json'), [])).toMatchObject({ users: 1, messages: 3 });

    const all = `query ($id: ID!) { chatroom(id: $id) { kind name members { nodes { role joinedAt lastReadNumber user { username } } }
      messages { nodes { number body clientMessageId createdAt editedAt deletedAt sender { username } replyTo { number }
        reactions { emoji count } } } } }`;
    // The import keeps the user's identity. She has no password until she resets it.
    const { id } = await there.node.database.prisma.user.findUniqueOrThrow({ where: { usernameKey: 'ann' } });
    const context = await createContext(there.node, { authorization: undefined });
    const { accessToken } = await startSession(context, { id, passwordHash: null });
    const imported = await ann.at(there.url).on({ accessToken }).ask(all, { id: room });
    expect(imported).toEqual(await ann.ask(all, { id: room }));
    expect(imported.chatroom.messages.nodes[1]).toMatchObject({ replyTo: { number: 1 }, reactions: [{ count: 1 }] });
  });

  test('my_messenger: every item of its wish list works', async () => {
    const openId = await startOpenId();
    // Without a redis-server, the nodes see each other's changes by polling the shared database.
    const redisUrl = hasRedis() ? (await startRedis()).url : undefined;
    const databaseUrl = await createTestDatabase();
    const here = await startTestServer({ databaseUrl, redisUrl, env: openId.env, hashCost: undefined });
    const there = await startTestServer({ databaseUrl, redisUrl, env: openId.env });
    const { ann, room } = await world(here);
    const hashes = await here.node.database.query<{ hash: string }>(sql`SELECT password_hash AS hash FROM users`);
    expect(hashes).toHaveLength(3);
    for (const { hash } of hashes) expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);

    const signedIn = await fetch(`${there.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: there.url, 'user-agent': 'a browser' },
      body: JSON.stringify({
        query: `mutation { signIn(input: { usernameOrEmail: "ben", password: "${PASSWORD}", cookie: true }) { accessToken } }`,
      }),
    });
    const cookie = signedIn.headers
      .getSetCookie()
      .map((line) => line.split(';', 1)[0])
      .join('; ');
    const { accessToken } = (await signedIn.json()).data.signIn;
    const browser = createClient({
      url: `${there.url.replace(/^http/, 'ws')}/graphql`,
      webSocketImpl: class extends WebSocket {
        constructor(address: string, protocols: string | string[]) {
          super(address, protocols, { headers: { cookie, origin: there.url } });
        }
      },
    });
    onTestFinished(async () => {
      await browser.dispose();
    });
    // The message is sent on the other node. Only the cookie authenticates the stream.
    const after = (await ann.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room })).chatroom.cursor;
    const messages = browser.iterate({ query: MESSAGE_ADDED, variables: { room, after } });
    await send(ann, room, 'to the other process');
    expect((await messages.next()).value.data.messageAdded.message.body).toBe('to the other process');

    const SESSIONS = '{ viewer { sessions { nodes { userAgent current endedAt createdAt } } } }';
    const { nodes } = (await ann.on({ accessToken }).ask(SESSIONS)).viewer.sessions;
    expect(nodes.map((session: any) => [session.current, session.endedAt])).toEqual([
      [true, null],
      [false, null],
    ]);
    expect(nodes[0].userAgent).toBe('a browser');
    const byProvider = await request(
      there.url,
      'mutation ($idToken: String!) { signInWithIdToken(input: { idToken: $idToken }) { viewer { user { username } } } }',
      { idToken: await openId.token('chloe') },
    );
    expect(byProvider.data.signInWithIdToken.viewer.user.username).toBe('chloe');
  });

  test('chatting: a token authenticates the socket, and presence follows', async () => {
    const { ann, ben, eve } = await pair({ presenceTimes });
    for (const friend of [ben, eve]) await ann.ask(ADD_FRIEND, { id: friend.id });
    const socket = await arrive(ben);
    expect(await acknowledged(ann)).toEqual({ onlineFriends: [{ id: ben.id, username: 'ben', nickname: 'ben' }] });
    expect(await ann.on({ accessToken: 'nonsense' }).connect().closed).toBe(4401);
    const changes = ann
      .connect()
      .subscribe('subscription { presenceChanged { user { username } presence { status } } }');
    await changes.ready();
    const device = await arrive(eve);
    expect(await changes.next()).toEqual({ user: { username: 'eve' }, presence: { status: 'ONLINE' } });
    device.cut();
    expect(await changes.next()).toEqual({ user: { username: 'eve' }, presence: { status: 'OFFLINE' } });
    socket.cut();
    expect(await changes.next()).toEqual({ user: { username: 'ben' }, presence: { status: 'OFFLINE' } });
  });

  test('chatting: users block, unblock and list; unknown nicknames are refused', async () => {
    const { ann, ben, room } = await pair();
    const asked = async (name: string) =>
      (await ann.ask('query ($name: String!) { user(username: $name) { viewerHasBlocked } }', { name })).user;
    expect(await asked('ben')).toEqual({ viewerHasBlocked: false });
    await send(ben, room, 'before');
    expect((await ann.ask(BLOCK, { id: ben.id })).blockUser.viewer.blockedUsers.nodes).toEqual([{ username: 'ben' }]);
    expect(await asked('ben')).toEqual({ viewerHasBlocked: true });
    for (const person of [ann, ben])
      expect(await person.askForErrorCode(SEND, { input: { chatroomId: room, body: 'hi' } })).toBe('BLOCKED');
    expect(await asked('nobody')).toBeNull();
    for (const query of [BLOCK, UNBLOCK]) expect(await ann.askForErrorCode(query, { id: 'junk' })).toBe('NOT_FOUND');
    expect((await ann.ask(UNBLOCK, { id: ben.id })).unblockUser.viewer.blockedUsers.nodes).toEqual([]);
    expect((await send(ben, room, 'after')).number).toBe(2);
  });

  test('chatting: messages reach offline users later, and unknown users never', async () => {
    const fcm = await startFcm();
    const { ann, ben, room } = await pair({ env: fcm.env });
    expect(await ann.askForErrorCode(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: ['junk'] } })).toBe(
      'NOT_FOUND',
    );
    await ben.ask(REGISTER, { token: 'the phone of ben' });
    const { cursor } = (await ben.ask('{ viewer { cursor } }')).viewer;
    await send(ann, room, 'Are you there?');
    await expect.poll(() => fcm.pushes).toEqual([{ token: 'the phone of ben', body: 'Are you there?' }]);
    expect((await ben.connect().subscribe(ALL, { after: cursor }).next()).message.body).toBe('Are you there?');
  });

  test('chatting: a system message reaches online users only', async () => {
    const { server, ann, ben, room } = await pair();
    const headers = { authorization: `Bearer ${await createServiceToken(server.node.database, 'billing')}` };
    const say = (input: object) =>
      request(server.url, SYSTEM, { input: { body: 'Your plan ends.', ...input } }, headers);
    const notices = ann.connect().subscribe('subscription { viewerEvents { ... on SystemNotice { body } } }');
    await notices.ready();
    expect((await say({ username: 'ann' })).data.sendSystemMessage.onlineRecipients).toBe(1);
    expect(await notices.next()).toEqual({ body: 'Your plan ends.' });
    expect(codeOf((await say({ userId: ben.id })).errors)).toBe('RECIPIENT_OFFLINE');
    expect(codeOf((await say({ username: 'nobody' })).errors)).toBe('NOT_FOUND');
    expect((await say({ chatroomId: room })).data.sendSystemMessage.message.number).toBe(1);
    expect(bodies((await page(ben, room, { first: 1 })).nodes)).toEqual(['Your plan ends.']);
    expect(await ann.askForErrorCode(SYSTEM, { input: { userId: ben.id, body: 'I am the server' } })).toBe('FORBIDDEN');
  });

  test('hyper_chat: users are listed, looked up, edited and deleted', async () => {
    const fcm = await startFcm();
    const { ann, ben, room } = await pair({ env: fcm.env });
    const names = async () => bodies((await ann.ask('{ users { nodes { body: username } } }')).users.nodes);
    expect(await names()).toEqual(['ann', 'ben', 'eve']);
    await ben.ask('mutation { updateProfile(input: { nickname: "Benjamin" }) { viewer { id } } }');
    expect((await ann.ask('{ user(username: "BEN") { id nickname } }')).user).toEqual({
      id: ben.id,
      nickname: 'Benjamin',
    });
    for (const token of ['the old phone', 'the new phone']) await ben.ask(REGISTER, { token });
    const { pushDevices } = (await ben.ask('{ viewer { pushDevices { id } } }')).viewer;
    const forget =
      'mutation ($id: ID!) { unregisterPushDevice(input: { deviceId: $id }) { viewer { pushDevices { id } } } }';
    expect(await ann.askForErrorCode(forget, pushDevices[1])).toBe('NOT_FOUND');
    expect((await ben.ask(forget, pushDevices[1])).unregisterPushDevice.viewer.pushDevices).toEqual([pushDevices[0]]);
    await send(ann, room, 'Ring!');
    await expect.poll(() => fcm.pushes).toEqual([{ token: 'the new phone', body: 'Ring!' }]);
    await ben.ask(`mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`);
    expect(await names()).toEqual(['ann', 'eve']);
    expect(await ben.askForErrorCode('{ viewer { id } }')).toBe('UNAUTHENTICATED');
  });

  test('hyper_chat: rooms are listed, looked up and deleted', async () => {
    const { ann, ben, eve, room, group } = await pair();
    await send(ben, room, 'first');
    await send(ben, group, 'then');
    const ROOM = 'id owner { username } opponent { username } lastMessageAt lastMessage { createdAt }';
    const { nodes } = (await ann.ask(`{ viewer { chatrooms { nodes { ${ROOM} } } } }`)).viewer.chatrooms;
    expect(nodes).toMatchObject([
      { id: group, owner: { username: 'ann' }, opponent: null },
      { id: room, owner: { username: 'ann' }, opponent: { username: 'ben' } },
    ]);
    for (const { lastMessageAt, lastMessage } of nodes) expect(lastMessageAt).toBe(lastMessage.createdAt);
    const NODE = `query ($id: ID!) { node(id: $id) { ... on Chatroom { ${ROOM} } } }`;
    expect((await ann.ask(NODE, { id: group })).node).toEqual(nodes[0]);
    expect((await eve.ask(NODE, { id: group })).node).toBeNull();
    const END = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { viewer { chatrooms { nodes { id } } } } }`;
    expect(await ben.askForErrorCode(END, { id: group })).toBe('FORBIDDEN');
    expect((await ann.ask(END, { id: group })).deleteChatroom.viewer.chatrooms.nodes).toEqual([{ id: room }]);
    expect((await ben.ask(NODE, { id: group })).node).toBeNull();
  });

  test('hyper_chat: chats are sent, edited, deleted, searched and pushed', async () => {
    const fcm = await startFcm();
    const { ann, ben, room } = await pair({ env: fcm.env });
    await ben.ask(REGISTER, { token: 'the phone' });
    const message = await send(ann, room, '今日は天気がいい');
    await expect.poll(() => fcm.pushes).toEqual([{ token: 'the phone', body: '今日は天気がいい' }]);
    const one = async () =>
      (await ben.ask('query ($id: ID!) { node(id: $id) { ... on Message { body } } }', message)).node.body;
    const found = async (query: string) =>
      bodies(
        (
          await ben.ask(
            'query ($id: ID!, $query: String!) { chatroom(id: $id) { searchMessages(query: $query) { nodes { body } } } }',
            { id: room, query },
          )
        ).chatroom.searchMessages.nodes,
      );
    expect([await one(), await found('天気')]).toEqual(['今日は天気がいい', ['今日は天気がいい']]);
    const { editMessage } = await ann.ask(EDIT, { id: message.id, body: 'Rain after all' });
    expect(editMessage.message.editedAt).not.toBeNull();
    expect(await ben.askForErrorCode(EDIT, { id: message.id, body: 'mine' })).toBe('FORBIDDEN');
    expect([await one(), await found('天気'), await found('rain')]).toEqual(['Rain after all', [], ['Rain after all']]);
    expect((await ann.ask(DELETE, message)).deleteMessage.message.body).toBeNull();
    expect([await one(), await found('rain')]).toEqual([null, []]);
    expect((await page(ben, room, { first: 10 })).nodes).toMatchObject([{ number: 1, body: null }]);
  });

  test('messenger-backend: e-mail sign-up, sign-in, bio and confirmation work', async () => {
    const mail = await startMail();
    const { url } = await startTestServer({ env: mail.env });
    const signedUp = await request(
      url,
      `mutation { signUp(input: { username: "ann", email: "ann@example.org", password: "${PASSWORD}" }) { accessToken } }`,
    );
    const headers = { authorization: `Bearer ${signedUp.data.signUp.accessToken}` };
    const me = async () =>
      (await request(url, '{ viewer { email emailVerified user { username bio } } }', {}, headers)).data.viewer;
    expect(await me()).toEqual({
      ...{ email: 'ann@example.org', emailVerified: false },
      user: { username: 'ann', bio: null },
    });
    for (const name of ['ann', 'ANN', 'ann@example.org', 'Ann@Example.org'])
      expect((await request(url, SIGN_IN, { name, password: PASSWORD })).data.signIn.viewer.user.username).toBe('ann');
    await request(
      url,
      'mutation { updateProfile(input: { bio: "Waters the tomatoes." }) { viewer { id } } }',
      {},
      headers,
    );
    await expect.poll(() => mail.codes.length).toBe(1);
    const VERIFY = 'mutation ($token: String!) { verifyEmail(input: { token: $token }) { ok } }';
    expect((await request(url, VERIFY, { token: mail.codes[0] })).data.verifyEmail.ok).toBe(true);
    expect(await me()).toMatchObject({ emailVerified: true, user: { bio: 'Waters the tomatoes.' } });
    expect(codeOf((await request(url, VERIFY, { token: mail.codes[0] })).errors)).toBe('BAD_USER_INPUT');
  });

  test('messenger-backend: chats, rooms, participants and messages are paged', async () => {
    const { ann, ben, eve, room, group } = await pair();
    const third = await direct(ann, eve);
    for (const id of [third, room, group]) await send(ann, id, `in ${id}`);
    const listed = [];
    for (let after: string | undefined, more = true; more;) {
      const { chatrooms } = (
        await ann.ask(
          `query ($after: String) { viewer { chatrooms(first: 2, after: $after) {
            nodes { id kind lastMessage { body } } pageInfo { hasNextPage endCursor } } } }`,
          { after },
        )
      ).viewer;
      expect(chatrooms.nodes.length).toBeLessThanOrEqual(2);
      listed.push(...chatrooms.nodes);
      ({ hasNextPage: more, endCursor: after } = chatrooms.pageInfo);
    }
    expect(listed).toEqual([
      { id: group, kind: 'GROUP', lastMessage: { body: `in ${group}` } },
      { id: room, kind: 'DIRECT', lastMessage: { body: `in ${room}` } },
      { id: third, kind: 'DIRECT', lastMessage: { body: `in ${third}` } },
    ]);
    await send(ben, group, 'of ben');
    const { chatroom } = await ann.ask(
      `query ($id: ID!) { chatroom(id: $id) { members { nodes { user { username } } }
        messages(last: 2) { edges { cursor node { body sender { username } } } } } }`,
      { id: group },
    );
    expect(chatroom.members.nodes.map((member: any) => member.user.username).sort()).toEqual(['ann', 'ben']);
    expect(chatroom.messages.edges.map(({ node }: any) => node.sender.username)).toEqual(['ann', 'ben']);
    const next = await page(ann, group, { first: 5, after: chatroom.messages.edges[0].cursor });
    expect(next.nodes).toEqual([{ number: 2, body: 'of ben', sender: { username: 'ben' } }]);
  });
});

describe('faults of the origins that Parley does not share', () => {
  test('a private room is unique, even if the pair is reversed', async () => {
    const { ann, ben, room } = await pair();
    expect(await direct(ben, ann)).toBe(room);
    expect(await direct(ann, ben)).toBe(room);
    const [first, ...more] = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? direct(ann, ben) : direct(ben, ann))),
    );
    expect(new Set([first, ...more])).toEqual(new Set([room]));
  });

  test('a user has one private room for each other user', async () => {
    const { ann, ben, eve, room } = await pair();
    const second = await direct(ann, eve);
    const third = await direct(ben, eve);
    expect(new Set([room, second, third]).size).toBe(3);
    for (const id of [room, second]) await send(ann, id, 'hello');
    for (const [person, id] of [
      [ben, room],
      [eve, second],
    ] as const)
      expect(bodies((await page(person, id, { first: 5 })).nodes)).toEqual(['hello']);
  });

  test('`desc` returns the newest first', async () => {
    const { ann, ben, room, group } = await pair();
    for (const body of ['word 1', 'word 2', 'word 3']) await send(ann, room, body);
    await send(ann, group, 'elsewhere');
    const { viewer } = await ben.ask(
      '{ viewer { searchMessages(query: "word") { nodes { body } } chatrooms { nodes { id } } } }',
    );
    expect(bodies(viewer.searchMessages.nodes)).toEqual(['word 3', 'word 2', 'word 1']);
    expect(viewer.chatrooms.nodes).toEqual([{ id: group }, { id: room }]);
    // Pages backwards from the end: the last two messages, then the ones before.
    const end = await page(ben, room, { last: 2 });
    expect(bodies(end.nodes)).toEqual(['word 2', 'word 3']);
    expect(bodies((await page(ben, room, { last: 2, before: end.pageInfo.startCursor })).nodes)).toEqual(['word 1']);
    await anotherDevice(ben);
    const { sessions } = (await ben.ask('{ viewer { sessions { nodes { current createdAt } } } }')).viewer;
    expect(sessions.nodes.map((session: any) => session.current)).toEqual([false, true]);
    expect(sessions.nodes[0].createdAt >= sessions.nodes[1].createdAt).toBe(true);
  });

  test('the last message is the newest', async () => {
    const { ann, ben, room } = await pair();
    const last = async () =>
      (
        await ben.ask('query ($id: ID!) { chatroom(id: $id) { lastMessage { number body } lastMessageAt } }', {
          id: room,
        })
      ).chatroom;
    expect(await last()).toEqual({ lastMessage: null, lastMessageAt: null });
    for (const [i, person] of [ann, ben, ann].entries()) {
      await send(person, room, `message ${i + 1}`);
      expect(await last()).toMatchObject({ lastMessage: { number: i + 1, body: `message ${i + 1}` } });
    }
  });

  test('a cursor drops neither limit nor order', async () => {
    const { ann, ben, room } = await pair();
    const all = Array.from({ length: 7 }, (_, i) => `${i + 1}`);
    for (const body of all) await send(ann, room, body);
    const walk = async (forward: boolean) => {
      const pages: string[][] = [];
      for (let cursor: string | undefined, more = true; more;) {
        const { nodes, pageInfo } = await page(
          ben,
          room,
          forward ? { first: 3, after: cursor } : { last: 3, before: cursor },
        );
        pages.push(bodies(nodes));
        cursor = forward ? pageInfo.endCursor : pageInfo.startCursor;
        more = forward ? pageInfo.hasNextPage : pageInfo.hasPreviousPage;
      }
      return pages;
    };
    expect(await walk(true)).toEqual([['1', '2', '3'], ['4', '5', '6'], ['7']]);
    expect(await walk(false)).toEqual([['5', '6', '7'], ['2', '3', '4'], ['1']]);
    // Without a limit, a cursor uses the default page size. Limits above 100 are refused.
    const { endCursor } = (await page(ben, room, { first: 2 })).pageInfo;
    expect(bodies((await page(ben, room, { after: endCursor })).nodes)).toEqual(all.slice(2));
    expect(await ben.askForErrorCode(PAGE, { id: room, first: 101, after: endCursor })).toBe('BAD_USER_INPUT');
  });

  test('a stranger can neither post, read, nor name another sender', async () => {
    const { server, ann, ben, eve, room } = await pair();
    const message = await send(ann, room, 'between us');
    expect((await page(ben, room, { first: 1 })).nodes).toHaveLength(1);
    expect((await eve.ask(PAGE, { id: room, first: 1 })).chatroom).toBeNull();
    expect((await eve.ask('query ($id: ID!) { node(id: $id) { id } }', message)).node).toBeNull();
    expect(await eve.askForErrorCode(SEND, { input: { chatroomId: room, body: 'hi' } })).toBe('NOT_FOUND');
    expect(codeOf(await eve.connect().subscribe(MESSAGE_ADDED, { room }).ended)).toBe('NOT_FOUND');
    const signedOut = await request(server.url, SEND, { input: { chatroomId: room, body: 'hi' } });
    expect(codeOf(signedOut.errors)).toBe('UNAUTHENTICATED');
    for (const name of ['sender', 'senderId', 'userId', 'username', 'from'])
      expect(await ben.askForErrorCode(SEND, { input: { chatroomId: room, body: 'I am ann', [name]: ann.id } })).toBe(
        'BAD_USER_INPUT',
      );
    await send(ben, room, 'I am ben');
    expect((await page(ann, room, { first: 9 })).nodes).toMatchObject([
      { number: 1, sender: { username: 'ann' } },
      { number: 2, sender: { username: 'ben' } },
    ]);
  });

  test('a repeated client_id is stored and delivered once', async () => {
    const { ann, ben, room } = await pair();
    const streams = [ben.connect().subscribe(MESSAGE_ADDED, { room }), ben.connect().subscribe(ALL)];
    for (const stream of streams) await stream.ready();
    const input = { chatroomId: room, body: 'once', clientMessageId: 'local 1' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => ann.ask(SEND, { input })));
    expect(new Set(answers.map(({ sendMessage }) => sendMessage.message.id)).size).toBe(1);
    expect(answers.filter(({ sendMessage }) => !sendMessage.deduplicated)).toHaveLength(1);
    expect(await ann.askForErrorCode(SEND, { input: { ...input, body: 'twice' } })).toBe('CONFLICT');
    // Another sender may use the same clientMessageId.
    await send(ben, room, 'of ben', { clientMessageId: 'local 1' });
    for (const stream of streams) {
      await stream.take(2);
      expect(heard(stream)).toEqual(['once', 'of ben']);
    }
    expect(bodies((await page(ben, room, { first: 9 })).nodes)).toEqual(['once', 'of ben']);
  });

  test('a second device evicts no other, and its closing unregisters nobody', async () => {
    const { server, ann, ben, room } = await pair({ presenceTimes });
    await ann.ask(ADD_FRIEND, { id: ben.id });
    const [phone, laptop] = [ben.connect(), (await anotherDevice(ben)).connect()];
    const streams = [phone, laptop].map((device) => device.subscribe(MESSAGE_ADDED, { room }));
    for (const stream of streams) await stream.ready();
    await send(ann, room, 'to both');
    for (const stream of streams) expect((await stream.next()).message.body).toBe('to both');
    laptop.cut();
    await laptop.closed;
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await send(ann, room, 'to the phone');
    expect((await streams[0]?.next()).message.body).toBe('to the phone');
    expect(await presence(ann, ben)).toBe('ONLINE');
    phone.cut();
    await expect.poll(() => presence(ann, ben)).toBe('OFFLINE');
  });

  test.skipIf(!hasRedis())(
    'presence does not stay online after a crash (skipped without a redis-server)',
    { timeout: 60_000 },
    async () => {
      const redis = await startRedis();
      const { server, ann, ben, eve } = await pair({ redisUrl: redis.url, presenceTimes });
      for (const friend of [ben, eve]) await ann.ask(ADD_FRIEND, { id: friend.id });
      await arrive(eve);
      // A killed node leaves a lease that nobody renews.
      const user = await server.node.database.prisma.user.findUniqueOrThrow({ where: { usernameKey: 'ben' } });
      await redis.command('ZADD', 'parley:{presence}:leases', String(Date.now() + 5_000), `${user.id} dead`);
      await redis.command('HINCRBY', 'parley:{presence}:counts', user.id, '1');
      expect([await presence(ann, ben), await presence(ann, eve)]).toEqual(['ONLINE', 'ONLINE']);
      await expect.poll(() => presence(ann, ben)).toBe('OFFLINE');
      // A live node renews this lease, so it has not expired.
      expect(await presence(ann, eve)).toBe('ONLINE');
    },
  );

  test.each([
    ['that is no JSON', '{"type": "ping"', 4400],
    ['of an unknown kind', '{"type":"nonsense"}', 4400],
    ['that is binary and no text of the protocol', Buffer.from([0x00, 0x7f]), 4400],
    [
      'that is binary and no UTF-8',
      Buffer.concat([Buffer.from('{"type":"ping","payload":{"a":"'), Buffer.from([0xfc]), Buffer.from('"}}')]),
      1007,
    ],
    ['that is no UTF-8', null, 1007],
    ['that is too long', 'x'.repeat(300_000), 1009],
  ])('one broken frame (%s) closes its socket and no other', async (_, frame, code) => {
    const { server, ann, ben, room } = await pair();
    const other = ben.connect().subscribe(MESSAGE_ADDED, { room });
    await other.ready();
    const socket = new WebSocket(`${server.url.replace(/^http/, 'ws')}/graphql`, 'graphql-transport-ws');
    const closed = once(socket, 'close');
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${ben.accessToken}` } }));
    expect(JSON.parse(((await once(socket, 'message')) as [Buffer])[0].toString()).type).toBe('connection_ack');
    if (frame === null) socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
    else socket.send(frame);
    expect((await closed)[0]).toBe(code);
    const fresh = ben.connect().subscribe(MESSAGE_ADDED, { room });
    await fresh.ready();
    await send(ann, room, 'still heard');
    for (const stream of [other, fresh]) expect((await stream.next()).message.body).toBe('still heard');
  });

  test('streams hold no transaction open, so queries still run', async () => {
    const { server, ann, ben, eve, room, group } = await pair({ env: { DATABASE_POOL_SIZE: '2' } });
    await ann.ask(ADD_FRIEND, { id: ben.id });
    const others = [
      ALL,
      'subscription { viewerEvents { __typename } }',
      'subscription { presenceChanged { user { id } } }',
      'subscription { messageSeen { message { id } } }',
    ];
    const streams = [ann, ben].flatMap((person) => [
      ...[room, group].map((id) => person.connect().subscribe(MESSAGE_ADDED, { room: id })),
      ...others.map((query) => person.connect().subscribe(query)),
    ]);
    for (const stream of streams) await stream.ready();
    expect(server.node.gauges.streams).toBe(12);
    const held = await server.node.database.query<{ count: number }>(sql`
      SELECT count(*)::int AS count FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'parley' AND state LIKE 'idle in transaction%'`);
    expect(held).toEqual([{ count: 0 }]);
    expect((await eve.ask('{ users { nodes { username } } }')).users.nodes).toHaveLength(3);
    await send(ann, room, 'heard by all');
    expect((await streams[0]?.next()).message.body).toBe('heard by all');
    expect((await streams[6]?.next()).message.body).toBe('heard by all');
    expect(await page(eve.on(ben), room, { first: 1 })).toMatchObject({ nodes: [{ body: 'heard by all' }] });
  });

  test('the server’s clock decides order and dates of messages', async () => {
    const { server, ann, ben, room } = await pair();
    const began = Date.now();
    for (const name of ['createdAt', 'sentAt', 'timestamp', 'date'])
      expect(
        await ann.askForErrorCode(SEND, {
          input: { chatroomId: room, body: 'from 1999', [name]: '1999-12-31T23:59:59Z' },
        }),
      ).toBe('BAD_USER_INPUT');
    // Sends one request with a Date header in the past, and one without.
    const dated = await request(
      server.url,
      SEND,
      { input: { chatroomId: room, body: 'first' } },
      { authorization: `Bearer ${ann.accessToken}`, date: 'Fri, 31 Dec 2099 23:59:59 GMT' },
    );
    expect(dated.data.sendMessage.message.number).toBe(1);
    await send(ben, room, 'second');
    const { nodes } = (
      await ben.ask('query ($id: ID!) { chatroom(id: $id) { messages { nodes { body createdAt } } } }', { id: room })
    ).chatroom.messages;
    expect(bodies(nodes)).toEqual(['first', 'second']);
    const times = nodes.map((message: any) => Date.parse(message.createdAt));
    expect(times[0]).toBeGreaterThanOrEqual(began - 1);
    expect(times[1]).toBeGreaterThanOrEqual(times[0]);
    expect(times[1]).toBeLessThanOrEqual(Date.now() + 1);
  });

  test('push tokens are visible to nobody, not even their owner', async () => {
    const fcm = await startFcm();
    const { ann, ben, room } = await pair({ env: fcm.env });
    await ann.ask(ADD_FRIEND, { id: ben.id });
    const { registerPushDevice } = await ben.ask(REGISTER, { token: 'the secret of the phone' });
    const { id } = registerPushDevice.device;
    // Precondition: the token is stored, because the phone receives the push.
    await send(ann, room, 'Ring!');
    await expect.poll(() => fcm.pushes).toEqual([{ token: 'the secret of the phone', body: 'Ring!' }]);
    const device = buildSchema().getType('PushDevice');
    if (!isObjectType(device)) throw new Error('PushDevice is no type.');
    expect(Object.keys(device.getFields()).sort()).toEqual(['createdAt', 'id', 'platform']);
    const LOOK =
      'query ($id: ID!) { node(id: $id) { ... on PushDevice { id platform createdAt } } viewer { pushDevices { id platform createdAt } } }';
    const [own, others] = [await ben.ask(LOOK, { id }), await ann.ask(LOOK, { id })];
    expect(own.node.id).toBe(id);
    expect(others).toEqual({ node: null, viewer: { pushDevices: [] } });
    expect(JSON.stringify([registerPushDevice, own])).not.toContain('secret');
    expect(Buffer.from(id, 'base64url').toString()).not.toContain('secret');
  });

  test('a malformed Authorization header is UNAUTHENTICATED, never a 500', async () => {
    const { server, ann } = await pair();
    expect((await ann.ask('{ viewer { user { username } } }')).viewer.user.username).toBe('ann');
    const [head = '', claims = '', signature = ''] = ann.accessToken.split('.');
    const malformed = [
      ...['Bearer', 'Bearer ', 'bearer', 'Basic YTpi', 'nonsense', 'Bearer a b c', 'Bearer null', 'Bearer undefined'],
      ...['Bearer a.b.c', 'Bearer ..', `Bearer ${head}.${claims}`, `Bearer ${head}.${claims}.`, ann.accessToken],
      ...[`Bearer ${head}.${signature}.${claims}`, `Bearer "${ann.accessToken}"`, 'Bearer %00', 'Bearer \u00ff\u00fe'],
      ...[`Bearer ${'.'.repeat(3_000)}`, `Bearer ${Buffer.from('{}').toString('base64url')}.e30.e30`],
    ];
    for (const authorization of malformed) {
      const response = await fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json', authorization },
        body: JSON.stringify({ query: '{ users { nodes { id } } }' }),
      });
      expect(response.status, authorization).toBeLessThan(500);
      expect(codeOf((await response.json()).errors), authorization).toBe('UNAUTHENTICATED');
    }
    expect(await connect(server.url, 'a.b.c').closed).toBe(4401);
  });
});
