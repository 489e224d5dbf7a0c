import { once } from 'node:events';
import { connect as dial } from 'node:net';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { createServiceToken } from '../src/auth/serviceTokens.ts';
import { sql } from '../src/platform/database/database.ts';
import { createLog } from '../src/platform/observability/log.ts';
import { codesOf, type Person, request } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { MESSAGE_ADDED, world } from './support/world.ts';

const CREATE = `mutation ($room: ID!, $name: String!) {
  createIncomingWebhook(input: { chatroomId: $room, name: $name }) { url token incomingWebhook { id name } }
}`;
const ROTATE = 'mutation ($id: ID!) { rotateIncomingWebhook(input: { webhookId: $id }) { token } }';
const DELETE = 'mutation ($id: ID!) { deleteIncomingWebhook(input: { webhookId: $id }) { deletedWebhookId } }';
const LIST = 'query ($room: ID!) { chatroom(id: $room) { incomingWebhooks { id name } } }';
const NOTICES = `query ($room: ID!) {
  chatroom(id: $room) { unreadCount messages(first: 100) { nodes { number body systemEvent noticeAuthor { name } } } }
}`;

async function createHook(by: Person, room: string, name = 'Builds') {
  const { incomingWebhook, token, url } = (await by.ask(CREATE, { room, name })).createIncomingWebhook;
  return { id: incomingWebhook.id as string, url: url as string, token: token as string };
}

async function post(url: string, token: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/hooks/${token}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

test('an incoming webhook stores notices that members receive', async () => {
  const server = await startTestServer({ env: { PUBLIC_URL: 'https://chat.example.org/' } });
  const { ann, ben, room } = await world(server);
  const hook = await createHook(ann, room);
  expect(hook.url).toBe(`https://chat.example.org/hooks/${hook.token}`);
  expect((await ann.ask(LIST, { room })).chatroom.incomingWebhooks).toEqual([{ id: hook.id, name: 'Builds' }]);
  expect((await ben.ask(LIST, { room })).chatroom.incomingWebhooks).toBeNull();
  const stream = ben.connect().subscribe(MESSAGE_ADDED, { room });
  await stream.ready();
  const sent = await post(server.url, hook.token, { body: 'Build 7 failed.', format: 'PLAIN' });
  expect([sent.status, JSON.parse(sent.text)]).toEqual([200, { number: 1 }]);
  expect((await stream.next()).message.body).toBe('Build 7 failed.');
  // Slack's format, as JSON and as a form.
  expect((await post(server.url, hook.token, { text: 'from Slack', channel: '#builds' })).status).toBe(200);
  const form = new URLSearchParams({ payload: '{"text":"as a form"}' }).toString();
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  expect((await post(server.url, hook.token, form, type)).status).toBe(200);
  const { unreadCount, messages } = (await ben.ask(NOTICES, { room })).chatroom;
  expect(unreadCount).toBe(3);
  expect(
    messages.nodes.map(({ body, systemEvent, noticeAuthor }: any) => [body, systemEvent, noticeAuthor.name]),
  ).toEqual(['Build 7 failed.', 'from Slack', 'as a form'].map((body) => [body, 'NOTICE', 'Builds']));
});

test('an Idempotency-Key makes a retry safe', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const [hook, other] = [await createHook(ann, room), await createHook(ann, room)];
  const key = { 'idempotency-key': 'build 7' };
  const answers = await Promise.all([1, 2, 3].map(() => post(server.url, hook.token, { body: 'once' }, key)));
  expect(answers.map(({ status, text }) => [status, text])).toEqual([1, 2, 3].map(() => [200, '{"number":1}\n']));
  expect((await post(server.url, hook.token, { body: 'something else' }, key)).status).toBe(409);
  expect((await post(server.url, other.token, { body: 'once' }, key)).text).toBe('{"number":2}\n');
  expect((await post(server.url, hook.token, { body: 'x' }, { 'idempotency-key': 'a'.repeat(101) })).status).toBe(400);
});

test('a bad request is refused with a sentence', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const { token } = await createHook(ann, room);
  const refused: [number, unknown, Record<string, string>?][] = [
    [400, ''],
    [400, 'not JSON'],
    [400, '[]'],
    [400, {}],
    [400, { body: 7 }],
    [400, { body: ' ' }],
    [400, { body: 'x'.repeat(10_001) }],
    [400, { body: 'x', format: 'MARKDOWN' }],
    [400, { body: 'x', threadOf: 'TWVzc2FnZTox' }],
    [413, { body: 'x', filler: 'x'.repeat(100 * 1_024) }],
    [415, 'hello', { 'content-type': 'text/plain' }],
  ];
  for (const [status, body, headers] of refused) {
    const answer = await post(server.url, token, body, headers);
    expect([status, answer.text]).toEqual([answer.status, expect.stringMatching(/^[A-Z].*\.[^.]*\n$/)]);
  }
  const chunked = await chunks(server.url, token, 200 * 1_024);
  expect(chunked).toMatch(/^HTTP\/1\.1 413 /);
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const response = await fetch(`${server.url}/hooks/${token}`, { method });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
  }
  expect((await ann.ask(NOTICES, { room })).chatroom.messages.nodes).toEqual([]);
});

/** Posts a body of this size without a Content-Length, and returns the beginning of the response. */
async function chunks(url: string, token: string, size: number): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = dial(Number(port), hostname);
  const head = `POST /hooks/${token} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`;
  socket.write(`${head}${size.toString(16)}\r\n${' '.repeat(size)}\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
}

test('an unknown, replaced or deleted token is 404 at once on each node', async () => {
  const server = await startTestServer();
  const other = await startTestServer({ databaseUrl: server.databaseUrl });
  const { ann, room } = await world(server);
  const hook = await createHook(ann, room);
  const statuses = async (token: string) =>
    Promise.all([server, other].map(async ({ url }) => (await post(url, token, { body: 'hello' })).status));
  expect(await statuses(hook.token)).toEqual([200, 200]);
  const { token } = (await ann.ask(ROTATE, { id: hook.id })).rotateIncomingWebhook;
  expect(await statuses(hook.token)).toEqual([404, 404]);
  expect(await statuses(token)).toEqual([200, 200]);
  await ann.ask(DELETE, { id: hook.id });
  expect(await statuses(token)).toEqual([404, 404]);
  const [deleted, unknown] = await Promise.all(
    [token, 'parley-hook-unknown'].map((each) => post(server.url, each, { body: 'hello' })),
  );
  expect(deleted?.text).toBe(unknown?.text);
  expect(await ann.askForErrorCode(DELETE, { id: hook.id })).toBe('NOT_FOUND');

  const last = await createHook(ann, room);
  await ann.ask('mutation ($room: ID!) { deleteChatroom(input: { chatroomId: $room }) { __typename } }', { room });
  expect(await statuses(last.token)).toEqual([404, 404]);
});

test('a service with webhooks:write manages the webhooks of each room', async () => {
  const server = await startTestServer();
  const { ann, ben, eve, room } = await world(server);
  const ask = async (scope: string, query: string, variables: object) => {
    const token = await createServiceToken(server.node.database, `for-${scope.replace(':', '-')}`, [scope]);
    return request(server.url, query, variables, { authorization: `Bearer ${token}` });
  };
  const refused = await ask('messages:write', CREATE, { room, name: 'Builds' });
  expect(codesOf(refused)).toEqual(['FORBIDDEN']);
  const { data } = await ask('webhooks:write', CREATE, { room, name: 'Builds' });
  const { token, incomingWebhook } = data.createIncomingWebhook;
  expect((await post(server.url, token, { body: 'hello' })).status).toBe(200);
  expect(await ben.askForErrorCode(CREATE, { room, name: 'Mine' })).toBe('FORBIDDEN');
  expect(await ben.askForErrorCode(DELETE, { id: incomingWebhook.id })).toBe('FORBIDDEN');
  expect(await eve.askForErrorCode(CREATE, { room, name: 'Mine' })).toBe('NOT_FOUND');
  expect(await eve.askForErrorCode(ROTATE, { id: incomingWebhook.id })).toBe('NOT_FOUND');
  for (let i = 1; i < 20; i += 1) await createHook(ann, room);
  expect(await ann.askForErrorCode(CREATE, { room, name: 'One more' })).toBe('LIMIT_REACHED');
});

test('a webhook accepts 60 requests per minute', async () => {
  const server = await startTestServer({ env: { RATE_LIMITS: 'on' } });
  const { ann, room } = await world(server);
  const [hook, other] = [await createHook(ann, room), await createHook(ann, room)];
  const answers = await Promise.all(Array.from({ length: 65 }, () => post(server.url, hook.token, { body: 'hello' })));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(60);
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused).toHaveLength(5);
  const seconds = Number(refused[0]?.headers.get('retry-after'));
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThanOrEqual(60);
  expect((await post(server.url, other.token, { body: 'hello' })).status).toBe(200);
});

test('no token of a webhook or bot is logged or stored', async () => {
  const lines = new PassThrough().setEncoding('utf8');
  let logged = '';
  lines.on('data', (line: string) => (logged += line));
  const server = await startTestServer({ log: createLog({ LOG_LEVEL: 'trace' }, lines) });
  const { ann, room } = await world(server);
  const { token } = await createHook(ann, room);
  await post(server.url, token, { body: 'hello' });
  await post(server.url, token, 'not JSON');
  // A failure of the server.
  await server.node.database.query(sql`ALTER TABLE incoming_webhooks RENAME TO gone`);
  expect((await post(server.url, token, { body: 'hello' })).status).toBe(500);
  await expect.poll(() => logged).toContain('A request outside the API failed');
  expect(logged).not.toContain(token);
  expect(logged).not.toContain(token.slice('parley-hook-'.length));
});
