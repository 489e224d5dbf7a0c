import { once } from 'node:events';
import { createConnection } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { connect, handshake, type Person, signUp } from './support/client.ts';
import { openDeaf, openRaw, textFrame } from './support/rawSocket.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const ADDED = 'subscription { messageAdded { message { body } } }';
const LIMITED = [{ extensions: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } }];
const SIGN_IN = `mutation { signIn(input: { usernameOrEmail: "ann", password: "correct horse" }) { accessToken } }`;

/** Opens a subscription over SSE. Resolves when the response has begun. */
function openSse({ url, accessToken }: Person): Promise<Response> {
  const hangUp = new AbortController();
  onTestFinished(() => {
    hangUp.abort();
  });
  const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };
  return fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${accessToken}` },
    body: JSON.stringify({ query: ADDED }),
    signal: hangUp.signal,
  });
}

test('a socket has a maximum number of subscriptions', async () => {
  const { url } = await startTestServer({ env: { MAX_SUBSCRIPTIONS_PER_SOCKET: '3' } });
  const { ann } = await world({ url });
  const device = ann.connect();
  const streams = [1, 2, 3].map(() => device.subscribe(ADDED));
  await streams[0]?.ready();
  expect(await device.subscribe(ADDED).ended).toMatchObject(LIMITED);
  expect(await device.ask('{ viewer { id } }')).not.toHaveProperty('errors');
  streams[0]?.stop();
  await streams[0]?.ended;
  const late = device.subscribe(ADDED);
  await late.ready();
  expect(late.received).toEqual([]);
});

test('a user has a maximum number of WebSocket and SSE subscriptions', async () => {
  const server = await startTestServer({ env: { MAX_STREAMS_PER_USER: '3' } });
  const { ann, ben } = await world(server);
  const [first] = [ann.connect(), ann.connect()].map((device) => device.subscribe(ADDED));
  await first?.ready();
  const sse = await openSse(ann);
  await expect.poll(() => server.node.gauges.streams).toBe(3);
  expect(await ann.connect().subscribe(ADDED).ended).toMatchObject(LIMITED);
  expect(await (await openSse(ann)).text()).toContain('RATE_LIMITED');
  await ben.connect().subscribe(ADDED).ready();
  await sse.body?.cancel();
  await expect.poll(() => server.node.gauges.sse).toBe(0);
  await openSse(ann);
  await expect.poll(() => server.node.gauges.sse).toBe(1);
  expect((await ann.connect().subscribe(ADDED).ended) as object).toMatchObject(LIMITED);
});

test('a network has a maximum number of signed-out sockets', async () => {
  const server = await startTestServer({ env: { MAX_SIGNED_OUT_SOCKETS: '2' } });
  const ann = await signUp(server.url, 'ann');
  const first = connect(server.url);
  expect(await first.ask('{ viewer { id } }')).toEqual({ data: { viewer: null } });
  const { connection } = await openRaw(server.url);
  expect(await connect(server.url).closed).toBe(1013);
  expect(await ann.connect().ask('{ viewer { id } }')).not.toHaveProperty('errors');
  connection.destroy();
  await expect.poll(() => server.node.gauges.sockets).toBe(2);
  expect(await connect(server.url).ask('{ viewer { id } }')).toEqual({ data: { viewer: null } });
  // A new half-open socket evicts an older half-open one.
  const raw = await Promise.all(Array.from({ length: 30 }, () => openRaw(server.url)));
  await expect.poll(() => raw.filter((socket) => !socket.connection.closed).length).toBe(20);
  expect(await ann.connect().ask('{ viewer { id } }')).not.toHaveProperty('errors');
});

test('a signed-out socket signs in within a timeout or closes with 4401', async () => {
  const { url } = await startTestServer({ env: { SIGNED_OUT_SECONDS: '3' } });
  await signUp(url, 'ann');
  const socket = connect(url);
  const { data } = await socket.ask(SIGN_IN);
  const signedIn = connect(url, data.signIn.accessToken);
  expect(await socket.closed).toBe(4401);
  expect(await signedIn.ask('{ viewer { user { username } } }')).toEqual({
    data: { viewer: { user: { username: 'ann' } } },
  });
});

test('a socket must send connection_init first and in time', async () => {
  const { url } = await startTestServer();
  const { connection, write } = await openRaw(url);
  connection.resume();
  await once(connection, 'close');
  const early = await openRaw(url);
  await early.write(textFrame({ type: 'ping' }));
  let goodbye = Buffer.alloc(0);
  early.connection.on('data', (data: Buffer) => (goodbye = Buffer.concat([goodbye, data])));
  await expect.poll(() => goodbye.length).toBeGreaterThan(4);
  expect([goodbye[0], goodbye.readUInt16BE(2)]).toEqual([0x88, 4401]);
  expect(await write(Buffer.alloc(0))).toBe(false);
});

test('a message of MAX_MESSAGE_KB holds 10,000 escaped emoji', async () => {
  const { url } = await startTestServer();
  const { ann, room } = await world({ url });
  const body = '😀'.repeat(10_000);
  const variables = { input: { chatroomId: room, body } };
  const query = 'mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { body } } }';
  const text = JSON.stringify({ id: '1', type: 'subscribe', payload: { query, variables } });
  const escaped = text.replace(/[\ud800-\udfff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16)}`);
  expect(escaped.length).toBeGreaterThan(120_000);
  const messages = (await ann.connect().ask(query, variables)).data.sendMessage.message.body as string;
  expect(messages).toBe(body);
});

test('an operation id over 256 characters closes the socket', async () => {
  const { url } = await startTestServer();
  const { ann } = await world({ url });
  const socket = await openDeaf(url, ann.accessToken);
  const query = '{ viewer { id } }';
  socket.connection.resume();
  socket.connection.write(textFrame({ id: 'x'.repeat(256), type: 'subscribe', payload: { query } }));
  const [answer] = (await once(socket.connection, 'data')) as [Buffer];
  expect(answer.toString()).toContain('"data":{"viewer"');
  const chunks: Buffer[] = [];
  socket.connection.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.connection.write(textFrame({ id: 'x'.repeat(257), type: 'subscribe', payload: { query } }));
  await expect.poll(() => Buffer.concat(chunks).toString()).toContain('at most 256 characters');
});

test('a subscription has at most 16,384 characters of variables', async () => {
  const { url } = await startTestServer();
  const { ann } = await world({ url });
  const query = `subscription ($text: String!) { messageAdded { message { chatroom {
    searchMessages(query: $text) { nodes { id } } } } } }`;
  const device = ann.connect();
  await device.subscribe(query, { text: 'x'.repeat(16_000) }).ready();
  expect(await device.subscribe(query, { text: 'x'.repeat(17_000) }).ended).toMatchObject([
    { message: expect.stringContaining('at most 16,384'), extensions: { code: 'BAD_USER_INPUT' } },
  ]);
});

test('a client pays for its messages, whatever their type', async () => {
  const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', RATE_PER_ADDRESS: '620', RATE_PER_USER: '10' } });
  const ann = await signUp(url, 'ann');
  for (const token of [ann.accessToken, undefined]) {
    const { connection, write } = await openDeaf(url, token);
    let goodbye = Buffer.alloc(0);
    connection.on('data', (data: Buffer) => (goodbye = Buffer.concat([goodbye, data])));
    connection.resume();
    await write(Buffer.concat(Array.from({ length: 8_000 }, () => textFrame({ type: 'pong' }))));
    await expect.poll(() => goodbye.length, { timeout: 10_000 }).toBeGreaterThan(4);
    expect(goodbye.readUInt16BE(2)).toBe(1013);
  }
});

test('a client that reads 1 KB per 50 ms receives everything', { timeout: 120_000 }, async () => {
  const { url } = await startTestServer();
  const { ann, room } = await world({ url });
  for (let i = 0; i < 60; i += 1) await send(ann, room, `${i} ${'x'.repeat(9_000)}`);
  const { connection, write } = await openDeaf(url, ann.accessToken);
  const query = `{ chatroom(id: "${room}") { messages(first: 100) { nodes { body } } } }`;
  await write(textFrame({ id: '1', type: 'subscribe', payload: { query } }));
  const chunks: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const timer = setInterval(() => {
      const chunk = connection.read(1_024) as Buffer | null;
      if (chunk) chunks.push(chunk);
      if (connection.destroyed) reject(new Error('closed'));
      if (chunks.at(-1)?.includes('"complete"')) resolve();
    }, 50);
    onTestFinished(() => {
      clearInterval(timer);
    });
  });
  expect(Buffer.concat(chunks).toString('latin1')).toContain(`59 ${'x'.repeat(9_000)}`);
});

test('pipelined requests wait for earlier responses, and too many disconnect', async () => {
  const { url } = await startTestServer();
  expect(await handshake(url)).toBe(101);
  const { port } = new URL(url);
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const honest = createConnection(Number(port), '127.0.0.1');
  honest.write(ask('/health/live') + ask('/health/ready') + ask('/health/live'));
  let text = '';
  honest.on('data', (data) => (text += String(data)));
  await expect.poll(() => text.match(/^(alive|ready)$/gm)).toEqual(['alive', 'ready', 'alive']);
  honest.destroy();
  const hasty = createConnection(Number(port), '127.0.0.1');
  hasty.on('error', () => undefined);
  hasty.write(ask('/').repeat(1_000));
  await once(hasty.resume(), 'close');
});
