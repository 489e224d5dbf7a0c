import { describe, expect, onTestFinished, test, vi } from 'vitest';
import WebSocket from 'ws';
import type { ChatClient, ChatClientOptions } from '../../client/index.ts';
import { keyOf } from '../../src/core/globalIds.ts';
import { startProxy } from '../faults/proxy.ts';
import type { Person } from '../support/client.ts';
import { freePort } from '../support/ports.ts';
import { startProgram } from '../support/process.ts';
import { createRoom } from '../support/rooms.ts';
import { AUTH_SECRET, createTestDatabase, holdTransaction, startTestServer } from '../support/server.ts';
import { world } from '../support/world.ts';
import { bodies, chatOf } from './chatOf.ts';
import { MESSAGE_ADDED, SEND } from './documents.ts';
import { expiring, REFRESH } from './expiring.ts';
import { failingSockets } from './failingSockets.ts';
import { socketsThrough } from './socketsThrough.ts';
import { storedBodies } from './storedBodies.ts';

/** Creates a chat client that counts its sends over HTTP. */
function countingChat(person: Person, options: Partial<ChatClientOptions> = {}) {
  let count = 0;
  const chat = chatOf(person, {
    fetch(input, init) {
      if ((init?.body as string).includes('sendMessage')) count += 1;
      return fetch(input, init);
    },
    ...options,
  });
  return { chat, overHttp: () => count };
}

/** Creates a chat client with a live socket. Its sends over HTTP are counted. */
async function liveChat(person: Person, room: string, options: Partial<ChatClientOptions> = {}) {
  const counting = countingChat(person, options);
  const stream = counting.chat.subscribe(MESSAGE_ADDED, { room });
  await expect.poll(() => counting.chat.state).toBe('live');
  return { ...counting, stream };
}

/** Starts a server whose sockets go through a proxy. Requests over HTTP do not. */
async function startWithProxy() {
  const server = await startTestServer();
  const proxy = await startProxy(Number(new URL(server.url).port));
  onTestFinished(() => {
    proxy.close();
  });
  return { server, proxy, ...socketsThrough(proxy.port) };
}

const sendAllAtOnce = (chat: ChatClient, chatroomId: string, count: number) =>
  bodies(count).map((body) => chat.send({ chatroomId, body }));

test('messages go over a live socket, and otherwise over HTTP', async () => {
  const { ann, room } = await world(await startTestServer());
  const { chat, overHttp } = countingChat(ann);
  await chat.send({ chatroomId: room, body: '1' });
  expect(overHttp()).toBe(1);
  const stream = chat.subscribe(MESSAGE_ADDED, { room });
  await expect.poll(() => chat.state).toBe('live');
  await chat.send({ chatroomId: room, body: '2' });
  await chat.execute(SEND, { input: { chatroomId: room, body: '3', clientMessageId: 'three' } });
  expect(overHttp()).toBe(1);
  await stream.return();
  await expect.poll(() => chat.state).toBe('idle');
  await chat.send({ chatroomId: room, body: '4' });
  expect(overHttp()).toBe(2);
  expect(await storedBodies(ann, room)).toEqual(bodies(4));
});

test('requests that may not be repeated or are long go over HTTP', async () => {
  const { ann, room } = await world(await startTestServer());
  const { chat, overHttp } = await liveChat(ann, room);
  const long = '😀'.repeat(9_000);
  await chat.execute(SEND, { input: { chatroomId: room, body: 'nameless' } });
  expect(overHttp()).toBe(1);
  await chat.execute(SEND, { input: { chatroomId: room, body: 'once', clientMessageId: 'once' } }, { retry: false });
  expect(overHttp()).toBe(2);
  await chat.send({ chatroomId: room, body: long });
  expect(overHttp()).toBe(3);
  expect(await storedBodies(ann, room)).toEqual(['nameless', 'once', long]);
});

test('a message whose token is not that of the socket goes over HTTP', async () => {
  const { ann, ben, room } = await world(await startTestServer());
  let person: Person | null = ann;
  const { chat, overHttp } = await liveChat(ann, room, { getAccessToken: () => person?.accessToken ?? null });
  person = ben;
  const { id } = await chat.send({ chatroomId: room, body: 'of ben' });
  expect(overHttp()).toBe(1);
  const { node } = await ann.ask('query ($id: ID!) { node(id: $id) { ... on Message { sender { username } } } }', {
    id,
  });
  expect(node.sender.username).toBe('ben');
  person = null;
  await expect(chat.send({ chatroomId: room, body: 'of nobody' })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
});

test('a message that the socket refuses because of its token goes over HTTP', async () => {
  const { ann, room } = await world(await startTestServer());
  const sockets = failingSockets();
  const { chat, overHttp } = await liveChat(ann, room, { webSocketImpl: sockets.webSocketImpl });
  sockets.fail('sendMessage', { message: 'The access token has expired.', extensions: { code: 'TOKEN_EXPIRED' } });
  expect(await chat.send({ chatroomId: room, body: 'renewed' })).toMatchObject({ number: 1 });
  expect(overHttp()).toBe(1);
});

test('a message discarded while its token is read is not sent', async () => {
  const { ann, room } = await world(await startTestServer());
  let token: string | Promise<string> = ann.accessToken;
  let release: (token: string) => void = () => undefined;
  const { chat } = await liveChat(ann, room, { getAccessToken: () => token });
  token = new Promise((resolve) => (release = resolve));
  const input = { chatroomId: room, body: 'regretted', clientMessageId: 'regretted' };
  const discarded = expect(chat.send(input)).rejects.toMatchObject({ name: 'AbortError' });
  chat.outbox.discard('regretted');
  await discarded;
  release(ann.accessToken);
  await chat.send({ chatroomId: room, body: 'kept' });
  expect(await storedBodies(ann, room)).toEqual(['kept']);
});

test('rejections over the socket are those over HTTP', async () => {
  const { ann, eve, room } = await world(await startTestServer());
  const { chat, overHttp } = await liveChat(ann, room);
  const idle = chatOf(ann);
  const own = await createRoom(eve, { kind: 'GROUP', name: 'Of eve', memberIds: [] });
  const inputs = [
    { chatroomId: room, body: '', clientMessageId: 'empty' },
    { chatroomId: own, body: 'not a member', clientMessageId: 'stranger' },
    { chatroomId: room, body: 'unknown field', clientMessageId: 'unknown', colour: 'red' },
  ];
  const resultsOf = (client: ChatClient) => Promise.all(inputs.map((input) => client.request(SEND, { input })));
  const [results, expected] = [await resultsOf(chat), await resultsOf(idle)];
  expect(overHttp()).toBe(0);
  expect(results).toEqual(expected);
  expect(results.map(({ errors }) => errors?.[0]?.extensions?.['code'])).toEqual([
    ...['BAD_USER_INPUT', 'NOT_FOUND', 'BAD_USER_INPUT'],
  ]);
});

test('a message over the socket waits for the rate limit, and is stored once', async () => {
  const { ann, room } = await world(await startTestServer());
  const sockets = failingSockets();
  const { chat, overHttp } = await liveChat(ann, room, { webSocketImpl: sockets.webSocketImpl });
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
  onTestFinished(() => {
    warned.mockRestore();
  });
  const extensions = { code: 'RATE_LIMITED', retryAfterMs: 1_000 };
  sockets.fail('sendMessage', { message: 'Too many requests.', extensions });
  const sending = chat.send({ chatroomId: room, body: 'patient' });
  await expect.poll(() => warned.mock.calls.length).toBe(1);
  sockets.recover();
  expect(await sending).toMatchObject({ number: 1 });
  expect(overHttp()).toBe(0);
});

describe('a socket that no longer responds', () => {
  test('delays messages for less time than a ping', async () => {
    const { server, proxy, webSocketImpl, sent } = await startWithProxy();
    const { ann, room } = await world(server);
    const { chat, overHttp, stream } = await liveChat(ann, room, { webSocketImpl });
    proxy.pause();
    const sending = sendAllAtOnce(chat, room, 5);
    await sending[0];
    expect(chat.state).toBe('live');
    await Promise.all(sending);
    // Only the first message has waited for the socket.
    expect([sent('sendMessage'), overHttp()]).toEqual([1, 5]);
    // The first message also arrives over the socket.
    proxy.resume();
    expect((await stream.next()).value.messageAdded.message.body).toBe('1');
    await chat.send({ chatroomId: room, body: '6' });
    expect(overHttp()).toBe(5);
    expect(await storedBodies(ann, room)).toEqual(bodies(6));
  });

  test('closes before the next regular ping', async () => {
    const { server, proxy, webSocketImpl, sent } = await startWithProxy();
    const { ann, room } = await world(server);
    const { chat } = await liveChat(ann, room, { webSocketImpl });
    proxy.pause();
    await chat.send({ chatroomId: room, body: 'one' });
    await expect.poll(() => chat.state).not.toBe('live');
    expect(sent('"ping"')).toBe(1);
  });

  test('keeps no message that is discarded or aborted', async () => {
    const { server, proxy, webSocketImpl } = await startWithProxy();
    const { ann, room } = await world(server);
    const { chat, overHttp } = await liveChat(ann, room, { webSocketImpl });
    proxy.pause();
    const ended = new AbortController();
    const input = { chatroomId: room, body: 'regretted', clientMessageId: 'regretted' };
    const discarded = expect(chat.send(input)).rejects.toMatchObject({ name: 'AbortError' });
    await expect.poll(() => chat.outbox.entries()).toMatchObject([{ state: 'sending' }]);
    chat.outbox.discard('regretted');
    await discarded;
    const aborted = chat.execute(SEND, { input }, { signal: ended.signal });
    ended.abort(new Error('Never mind.'));
    await expect(aborted).rejects.toThrow('Never mind.');
    proxy.blackhole();
    proxy.resume();
    await chat.send({ chatroomId: room, body: 'kept' });
    expect(overHttp()).toBeLessThanOrEqual(1);
    expect(await storedBodies(ann, room)).toEqual(['kept']);
  });
});

test('a slow server gets a message only once', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  let pongs = 0;
  class Watched extends WebSocket {
    constructor(url: string, protocols?: string | string[]) {
      super(url, protocols);
      this.on('message', (data: Buffer) => {
        if (data.toString().includes('"pong"')) pongs += 1;
      });
    }
  }
  const { chat, overHttp } = await liveChat(ann, room, { webSocketImpl: Watched });
  const key = keyOf('Chatroom', room) ?? '';
  const release = await holdTransaction(server, 'SELECT FROM chatrooms WHERE id = $1 FOR UPDATE', key);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const sending = chat.send({ chatroomId: room, body: 'slow' });
  await expect.poll(() => server.node.gauges.operations).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await expect.poll(() => pongs).toBe(1);
  await vi.advanceTimersByTimeAsync(2_500);
  expect([chat.state, chat.outbox.entries()[0]?.state]).toEqual(['live', 'sending']);
  await release();
  expect(await sending).toMatchObject({ number: 1 });
  expect(overHttp()).toBe(0);
});

test('messages stay in order over a socket that is cut again and again', async () => {
  const { server, proxy, webSocketImpl } = await startWithProxy();
  const { ann, room } = await world(server);
  const { chat, overHttp } = await liveChat(ann, room, { webSocketImpl });
  let sent = 0;
  const sending = sendAllAtOnce(chat, room, 100).map(async (message) => {
    const { body } = await message;
    sent += 1;
    if (sent % 9 === 0) proxy.reset();
    return body;
  });
  expect(await Promise.all(sending)).toEqual(bodies(100));
  expect(await storedBodies(ann, room)).toEqual(bodies(100));
  expect(overHttp()).toBeLessThan(100);
});

test('messages are stored once and in order over three kills of the server', { timeout: 120_000 }, async () => {
  const env = {
    ...{ PORT: String(await freePort()), DATABASE_URL: await createTestDatabase() },
    ...{ AUTH_SECRET, NODE_ENV: 'test', LOG_LEVEL: 'error', RATE_LIMITS: 'off' },
  };
  let server = await startProgram(env);
  const { ann, room } = await world(server);
  const { chat, overHttp } = await liveChat(ann, room);
  const stored: string[] = [];
  for (let kills = 0; kills < 3; kills += 1) {
    await expect.poll(() => chat.state).toBe('live');
    const sending = bodies(20, kills * 20 + 1).map((body) => chat.send({ chatroomId: room, body }));
    await sending[5];
    await server.end('SIGKILL');
    server = await startProgram(env);
    for (const { body } of await Promise.all(sending)) stored.push(body);
  }
  expect(stored).toEqual(bodies(60));
  expect(await storedBodies(ann, room)).toEqual(bodies(60));
  // The messages before each kill went over the socket.
  expect(overHttp()).toBeLessThan(60);
});

describe('the session of messages over the socket', () => {
  test('is renewed, and every message is stored once and in order', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    let { refreshToken } = ann;
    let accessToken = await expiring(ann, 2);
    let renewals = 0;
    const { chat } = await liveChat(ann, room, {
      getAccessToken: () => accessToken,
      async refresh() {
        renewals += 1;
        const { refreshSession } = await chat.execute(REFRESH, { input: { refreshToken } });
        ({ accessToken, refreshToken } = refreshSession);
        return accessToken;
      },
    });
    let sent = 0;
    for (; renewals === 0; sent += 1) await chat.send({ chatroomId: room, body: String(sent + 1) });
    await Promise.all(bodies(5, sent + 1).map((body) => chat.send({ chatroomId: room, body })));
    const stored = await storedBodies(ann.on({ accessToken, refreshToken }), room);
    expect(stored).toEqual(bodies(sent + 5).slice(-stored.length));
    expect(renewals).toBe(1);
  });

  test('ends, and the remaining messages fail as UNAUTHENTICATED', async () => {
    const { ann, ben, room } = await world(await startTestServer());
    const { chat } = await liveChat(ann, room);
    const sending = sendAllAtOnce(chat, room, 300);
    const settled = Promise.allSettled(sending);
    await sending[4];
    await ann.ask('mutation { signOut { ok } }');
    const results = await settled;
    const sent = results.filter(({ status }) => status === 'fulfilled').length;
    const failures = results.slice(sent).map((result) => (result as PromiseRejectedResult).reason.code);
    expect(new Set(failures)).toEqual(new Set(['UNAUTHENTICATED']));
    const stored = await storedBodies(ben, room);
    // The server may have stored a message whose result arrived too late.
    expect([sent, sent + 1]).toContain(Number(stored.at(-1)));
    expect(stored).toEqual(bodies(Number(stored.at(-1))).slice(-stored.length));
    expect(new Set(chat.outbox.entries().map(({ state }) => state))).toEqual(new Set(['failed']));
    expect(chat.state).toBe('signed-out');
  });
});
