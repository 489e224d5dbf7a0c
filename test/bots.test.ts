import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { exportUser } from '../src/cli/export/export.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { restoreUser, suspendUser } from '../src/features/accounts/suspension.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { sql } from '../src/platform/database/database.ts';
import { ADD_MEMBERS, addMembers, ALL_SCOPES, CREATE_BOT, createBot, ROTATE_BOT_TOKEN } from './support/bots.ts';
import { bearer, codesOf, PASSWORD, type Person, person, request, signUp } from './support/client.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { startTestNodes, startTestServer, type TestServer, waitForPoll } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const ME = '{ viewer { user { id isBot username } } }';
const BOTS = '{ viewer { bots { user { id username } scopes } } }';
const DELETE_BOT = 'mutation ($id: ID!) { deleteBot(input: { botId: $id }) { deletedBotId } }';

describe('a bot', () => {
  test('is a user that sends and receives messages with its token', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const bot = await createBot(ann, 'helper');
    expect(bot.accessToken).toMatch(/^parley-bot-[\w-]{43}$/);
    expect((await bot.ask(ME)).viewer.user).toEqual({ id: bot.id, isBot: true, username: 'helper' });
    expect((await ann.ask(BOTS)).viewer.bots).toEqual([
      { user: { id: bot.id, username: 'helper' }, scopes: ALL_SCOPES },
    ]);
    expect(await bot.askForErrorCode(SEND, { input: { chatroomId: room, body: 'too early' } })).toBe('NOT_FOUND');
    await addMembers(ann, room, bot);
    const stream = bot.connect().subscribe(MESSAGE_ADDED, { room });
    await stream.ready();
    await send(ben, room, 'hello');
    expect((await stream.next()).message.body).toBe('hello');
    await send(bot, room, 'hello, ben');
    expect((await stream.next()).message.body).toBe('hello, ben');
  });

  test('has no password, and its token is no refresh token', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const bot = await createBot(ann, 'helper');
    const SIGN_IN =
      'mutation ($p: String!) { signIn(input: { usernameOrEmail: "helper", password: $p }) { accessToken } }';
    const REFRESH = 'mutation ($t: String!) { refreshSession(input: { refreshToken: $t }) { accessToken } }';
    const { errors } = await request(server.url, SIGN_IN, { p: bot.accessToken });
    expect(errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
    const refused = await request(server.url, REFRESH, { t: bot.accessToken });
    expect(refused.errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    expect(await bot.askForErrorCode(REFRESH, { t: bot.accessToken })).toBe('FORBIDDEN');
    expect(await bot.askForErrorCode(CREATE_BOT, { input: { name: 'child', scopes: ALL_SCOPES } })).toBe('FORBIDDEN');
  });

  test('loses its sockets on each node when its token is rotated', async () => {
    const server = await startTestServer();
    const other = await startTestServer({ databaseUrl: server.databaseUrl });
    const ann = await signUp(server.url, 'ann');
    const bot = await createBot(ann, 'helper');
    const sockets = [bot.connect(), bot.at(other.url).connect()];
    await Promise.all(sockets.map((socket) => socket.ask(ME)));
    const start = performance.now();
    const { token } = (await ann.ask(ROTATE_BOT_TOKEN, { id: bot.id })).rotateBotToken;
    expect(await Promise.all(sockets.map(({ closed }) => closed))).toEqual([4401, 4401]);
    expect(performance.now() - start).toBeLessThan(1_500);
    for (const { url } of [server, other]) {
      expect(await bot.at(url).askForErrorCode(ME)).toBe('UNAUTHENTICATED');
      expect((await person(url, { ...bot, accessToken: token }).ask(ME)).viewer.user.id).toBe(bot.id);
    }
    await ann.ask(DELETE_BOT, { id: bot.id });
    expect(await person(server.url, { ...bot, accessToken: token }).askForErrorCode(ME)).toBe('UNAUTHENTICATED');
  });
});

const MINE = `query ($room: ID!) { chatroom(id: $room) { members(first: 100) { nodes { role user { username } } } } }`;
const LEAVE = 'mutation ($room: ID!) { leaveChatroom(input: { chatroomId: $room }) { chatroomId } }';
const SET_ROLE = `mutation ($room: ID!, $user: ID!, $role: MemberRole!) {
  setMemberRole(input: { chatroomId: $room, userId: $user, role: $role }) { chatroom { id } }
}`;
const BLOCK = 'mutation ($user: ID!) { blockUser(input: { userId: $user }) { user { id } } }';
const EDIT = 'mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "edited" }) { message { id } } }';
const REACT = 'mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }';

const membersOf = async (person: Person, room: string) =>
  (await person.ask(MINE, { room })).chatroom.members.nodes.map(({ user }: any) => user.username).sort();

describe('the owner of a bot', () => {
  test('must be in a room before the bot, and takes the bot along when leaving', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const [bens, eves] = [await createBot(ben, 'of-ben'), await createBot(eve, 'of-eve')];
    expect(await ann.askForErrorCode(ADD_MEMBERS, { room, users: [eves.id] })).toBe('FORBIDDEN');
    const input = { kind: 'GROUP', memberIds: [eves.id] };
    expect(await ann.askForErrorCode(CREATE_CHATROOM, { input })).toBe('FORBIDDEN');
    await eve.ask(CREATE_CHATROOM, { input });
    await addMembers(ann, room, bens);
    expect(await membersOf(ann, room)).toEqual(['ann', 'ben', 'of-ben']);
    const stream = bens.connect().subscribe(MESSAGE_ADDED, { room });
    await stream.ready();
    await ben.ask(LEAVE, { room });
    expect(await membersOf(ann, room)).toEqual(['ann']);
    await stream.ended;
    expect(await bens.askForErrorCode(SEND, { input: { chatroomId: room, body: 'hello' } })).toBe('NOT_FOUND');
    await ann.ask(LEAVE, { room });
  });

  test('never loses a room to a bot', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const bot = await createBot(ann, 'helper');
    await addMembers(ann, room, bot);
    for (const role of ['ADMIN', 'OWNER'])
      expect(await ann.askForErrorCode(SET_ROLE, { room, user: bot.id, role })).toBe('FORBIDDEN');
    await ann.ask(LEAVE, { room });
    const { nodes } = (await ben.ask(MINE, { room })).chatroom.members;
    expect(nodes).toEqual([{ role: 'OWNER', user: { username: 'ben' } }]);
    await ben.ask(LEAVE, { room });
  });

  test('who is blocked is silenced with the bot', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const bot = await createBot(ann, 'helper');
    const input = { kind: 'DIRECT', memberIds: [bot.id] };
    const room = (await ben.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
    const { id } = await send(ben, room, 'hello');
    const answer = await send(bot, room, 'hello, ben');
    await ben.ask(BLOCK, { user: ann.id });
    expect(await bot.askForErrorCode(SEND, { input: { chatroomId: room, body: 'again' } })).toBe('BLOCKED');
    expect(await bot.askForErrorCode(EDIT, answer)).toBe('BLOCKED');
    expect(await bot.askForErrorCode(REACT, { id })).toBe('BLOCKED');
  });

  test('who is suspended or deleted ends the sockets of the bot within a second', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const [of, other] = [await createBot(ann, 'of-ann'), await createBot(ben, 'of-ben')];
    await addMembers(ann, room, of, other);
    await send(of, room, 'a word');
    const sockets = [of.connect(), other.connect()];
    await Promise.all(sockets.map((socket) => socket.ask(ME)));
    await server.node.database.query(sql`UPDATE users SET suspended_at = now() WHERE username = 'ben'`);
    await expect.poll(() => sockets[1]?.closed).toBe(4401);
    expect(await other.askForErrorCode(ME)).toBe('UNAUTHENTICATED');
    await ann.ask('mutation ($password: String!) { deleteAccount(input: { password: $password }) { ok } }', {
      password: PASSWORD,
    });
    expect(await sockets[0]?.closed).toBe(4401);
    expect(await of.askForErrorCode(ME)).toBe('UNAUTHENTICATED');
    await expect.poll(() => server.node.database.prisma.user.count(), { timeout: 10_000 }).toBe(3);
    const { sender_id: sender } = (
      await server.node.database.query<{ sender_id: string | null }>(
        sql`SELECT sender_id FROM messages WHERE body = 'a word'`,
      )
    )[0] ?? { sender_id: '' };
    expect(sender).toBeNull();
  });

  test('cannot bring a suspended bot back with a new token', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const bot = await createBot(ann, 'helper');
    await server.node.database.transaction((query) => suspendUser(query, keyOf('User', bot.id) ?? ''));
    expect(await ann.askForErrorCode(ROTATE_BOT_TOKEN, { id: bot.id })).toBe('FORBIDDEN');
    await restoreUser(server.node.database.query, keyOf('User', bot.id) ?? '');
    const { token } = (await ann.ask(ROTATE_BOT_TOKEN, { id: bot.id })).rotateBotToken;
    const { data } = await request(server.url, ME, {}, { authorization: `Bearer ${token}` });
    expect(data.viewer.user.id).toBe(bot.id);
  });

  test('has at most 10 bots, also with requests at the same time', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        request(server.url, CREATE_BOT, { input: { name: `bot-${i}`, scopes: ['messages:read'] } }, bearer(ann)),
      ),
    );
    expect(results.flatMap(codesOf)).toEqual(['LIMIT_REACHED', 'LIMIT_REACHED']);
    const { bots } = (await ann.ask(BOTS)).viewer;
    expect(bots).toHaveLength(10);
    const eve = await signUp(server.url, 'eve');
    for (const document of [ROTATE_BOT_TOKEN, DELETE_BOT])
      expect(await eve.askForErrorCode(document, { id: bots[0].user.id })).toBe('NOT_FOUND');
    await ann.ask(DELETE_BOT, { id: bots[0].user.id });
    await createBot(ann, 'another');
    for (const input of [
      { name: 'ann', scopes: ['messages:read'] },
      { name: 'x', scopes: ['messages:read'] },
      { name: 'fine', scopes: [] },
      { name: 'fine', scopes: ['users:write'] },
    ])
      expect(['USERNAME_TAKEN', 'BAD_USER_INPUT']).toContain(await eve.askForErrorCode(CREATE_BOT, { input }));
  });
});

test('a request of a bot costs no more statements than one of a person', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const bot = await createBot(ann, 'helper');
  await addMembers(ann, room, bot);
  const counts: Record<string, number> = {};
  for (const each of [ann, bot]) {
    for (const operation of [() => send(each, room, 'hello'), () => each.ask(MINE, { room })]) {
      await operation();
      await waitForPoll(server);
      await each.ask(ME);
      server.statements();
      await operation();
      counts[each.username] = (counts[each.username] ?? 0) + server.statements().length;
    }
  }
  expect(counts['helper']).toBe(counts['ann']);
});

test('bots get RATE_LIMITED after 10 messages without one from a person', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  const bots = [await createBot(ann, 'ping'), await createBot(ben, 'pong')] as const;
  await addMembers(ann, room, ...bots);
  for (let i = 0; i < 9; i += 1) await send(bots[i % 2]!, room, `before ${i}`);
  await send(ann, room, 'a person');
  for (let i = 0; i < 10; i += 1) await send(bots[i % 2]!, room, `after ${i}`);
  const { errors } = await request(
    server.url,
    SEND,
    { input: { chatroomId: room, body: 'one too many' } },
    { authorization: `Bearer ${bots[0].accessToken}` },
  );
  expect(errors?.[0]?.extensions).toMatchObject({ code: 'RATE_LIMITED' });
  expect(errors?.[0]?.extensions['retryAfterMs']).toBeLessThanOrEqual(60_000);
  await send(ann, room, 'people go on');
  expect(await bots[1].askForErrorCode(SEND, { input: { chatroomId: room, body: 'still' } })).toBe('RATE_LIMITED');
});

test.skipIf(!hasRedis)('the limit of bots holds across nodes and at the same time', async () => {
  const redis = await startRedis();
  const [here, there] = await startTestNodes(redis.url);
  const { ann, ben, room } = await world(here);
  const bots = [await createBot(ann, 'ping'), (await createBot(ben, 'pong')).at(there.url)] as const;
  await addMembers(ann, room, ...bots);
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, i) => {
      const bot = bots[i % 2] ?? ann;
      const input = { chatroomId: room, body: `message ${i}`, clientMessageId: `${i}` };
      return request(bot.url, SEND, { input }, bearer(bot));
    }),
  );
  const sent = results.flatMap(({ data }, i) => (data?.sendMessage ? [i] : []));
  expect(sent).toHaveLength(10);
  expect(results.flatMap(codesOf)).toEqual(Array.from({ length: 30 }, () => 'RATE_LIMITED'));
  // A retry of a message that was stored still succeeds.
  const again = sent[0] ?? 0;
  const input = { chatroomId: room, body: `message ${again}`, clientMessageId: `${again}` };
  expect((await (bots[again % 2] ?? ann).ask(SEND, { input })).sendMessage.deduplicated).toBe(true);
  // People, and bots in other rooms, are not affected.
  await send(ann, room, 'people go on');
  const other = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [bots[0].id] } })).createChatroom;
  await send(bots[0], other.chatroom.id, 'elsewhere');
  // After 60 s, bots may send again.
  await here.node.database.query(sql`UPDATE bot_runs SET limited_until = now()`);
  await send(bots[1], room, 'at last');
});

test.each([
  ['owner', ['ann', 'helper']],
  ['bot', ['helper', 'ann']],
])('an imported bot gets its owner back if the %s is imported first', async (_, names) => {
  const [server, there] = [await startTestServer(), await startTestServer()];
  const ann = await signUp(server.url, 'ann');
  await createBot(ann, 'helper', ['messages:read']);
  const folder = await mkdtemp(join(tmpdir(), 'parley-bots-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const working = ({ node: { database, passwords } }: TestServer) => ({
    ...{ database, passwords, progress: createProgress({ isTTY: false, write: () => true }) },
  });
  for (const name of names) {
    await exportUser(working(server), name, join(folder, `${name}.json`));
    await importPath(working(there), join(folder, `${name}.json`), []);
  }
  const rows = await there.node.database.query(sql`
    SELECT u.username, o.username AS owner, b.scopes, b.token_hash AS hash FROM bots b
      JOIN users u ON u.id = b.user_id JOIN users o ON o.id = b.owner_id`);
  expect(rows).toEqual([{ username: 'helper', owner: 'ann', scopes: ['messages:read'], hash: null }]);
});
