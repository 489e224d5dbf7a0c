import { describe, expect, test } from 'vitest';
import { addMembers, ALL_SCOPES, CREATE_BOT, createBot } from './support/bots.ts';
import { person, request, signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const ME = '{ viewer { user { id isBot username } } }';
const BOTS = '{ viewer { bots { user { id username } scopes } } }';
const ROTATE = 'mutation ($id: ID!) { rotateBotToken(input: { botId: $id }) { token bot { id } } }';
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
    const { token } = (await ann.ask(ROTATE, { id: bot.id })).rotateBotToken;
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
