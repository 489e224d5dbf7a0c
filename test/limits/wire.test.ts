import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { PASSWORD, request, signUp } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';

let url: string;
const endings: (() => Promise<void>)[] = [];
beforeAll(async () => {
  ({ url } = await startTestServer({ atEnd: (end) => endings.unshift(end) }));
});
afterAll(async () => {
  for (const end of endings) await end();
});

/** Sends raw bytes and returns the first line of the response. */
async function statusLine(text: string): Promise<string> {
  const socket = connectTcp(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write(text);
  const [data] = (await once(socket, 'data')) as [Buffer];
  return data.toString().split('\r\n', 1)[0] ?? '';
}

const post = (body: BodyInit, headers: Record<string, string> = {}) =>
  fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });

const QUERY = '{"query":"{ __typename }"}';

describe('over HTTP', () => {
  test.each([
    ['two content lengths', ['Content-Length: 26', 'Content-Length: 27']],
    ['a content length and chunked encoding', ['Content-Length: 26', 'Transfer-Encoding: chunked']],
    ['an unknown transfer encoding', ['Transfer-Encoding: chunked, squeezed']],
    ['a space before the colon', ['Content-Length : 26']],
    ['a content length that is no number', ['Content-Length: +26']],
  ])('a request with %s is refused with 400', async (_, headers) => {
    const head = ['POST /graphql HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', ...headers];
    expect(await statusLine(`${head.join('\r\n')}\r\n\r\n${QUERY}`)).toBe('HTTP/1.1 400 Bad Request');
  });

  test.each(['Content-Length: 100', 'Transfer-Encoding: chunked'])(
    'a body truncated after "%s" is not logged as server failure',
    async (header) => {
      const lines: string[] = [];
      const server = await startTestServer({
        log: pino({ level: 'info' }, { write: (line) => void lines.push(line) }),
      });
      const socket = connectTcp(Number(new URL(server.url).port), '127.0.0.1');
      const head = ['POST /graphql HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', header];
      socket.end(`${head.join('\r\n')}\r\n\r\n1\r\n{\r\n`).resume();
      await once(socket, 'close');
      // A log line of the truncated request would precede this one.
      await request(server.url, '{ __typename }');
      await expect.poll(() => lines.join('')).toContain('Answered');
      expect(lines.join('')).not.toContain('Unforeseen failure');
    },
  );

  test('a compressed body is not decompressed', async () => {
    const response = await post(gzipSync(QUERY), { 'content-encoding': 'gzip' });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(await response.text()).not.toContain('"data":{');
  });

  test.each([
    ['40,000 nested arrays', `{"query":"{ __typename }","variables":${'['.repeat(40_000)}${']'.repeat(40_000)}}`],
    [
      '10,000 nested objects',
      `{"query":"{ __typename }","extensions":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`,
    ],
    ['a byte order mark', `\ufeff${QUERY}`],
    ['a NUL character', '{"query":"{ __typename }\0"}'],
    ['a duplicate key', '{"query":"{ viewer { id } }","query":"{ __typename }"}'],
    ['a name of 90 KB', `{"query":"{ ${'a'.repeat(90_000)} }"}`],
  ])('a body with %s gets a response, and the server continues', async (_, body) => {
    const response = await post(body);
    expect(response.status).toBeLessThan(500);
    expect(await response.text()).not.toContain('INTERNAL_SERVER_ERROR');
    expect(await request(url, '{ __typename }')).toEqual({ data: { __typename: 'Query' } });
  });

  test('__proto__ is an ordinary name', async () => {
    const ann = await signUp(url, 'ann');
    const body =
      '{"query":"query ($x: ID!) { __proto__: __typename node(id: $x) { id } }","variables":{"x":"__proto__","__proto__":{"polluted":true}}}';
    const response = await post(body, { authorization: `Bearer ${ann.accessToken}` });
    expect(await response.text()).toContain('"__proto__":"Query"');
    const input = '{"username":"ben","password":"' + PASSWORD + '","__proto__":{"polluted":true}}';
    await post(
      `{"query":"mutation ($i: SignUpInput!) { signUp(input: $i) { accessToken } }","variables":{"i":${input}}}`,
    );
    // The server runs in this process, so prototype pollution would be visible here.
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('no path escapes the folder of the page', async () => {
    for (const path of [
      '/../package.json',
      '/%2e%2e/package.json',
      '/..%2fpackage.json',
      '/assets/../../../package.json',
      '/..\\package.json',
      '//etc/passwd',
      '/index.html/../../../package.json',
      '/%00',
    ])
      expect(await statusLine(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`), path).toMatch(/^HTTP\/1\.1 40[04] /);
  });

  test('the page only runs its own scripts, without frames', async () => {
    const { headers } = await fetch(url);
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(headers.get('content-security-policy')).not.toContain('unsafe');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('over WebSocket', () => {
  const INIT = '{"type":"connection_init"}';
  const subscribe = (id: string) => JSON.stringify({ type: 'subscribe', id, payload: { query: '{ __typename }' } });
  const live = JSON.stringify({
    type: 'subscribe',
    id: '1',
    payload: { query: 'subscription { viewerEvents { __typename } }' },
  });

  async function open(protocols = ['graphql-transport-ws']) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, protocols);
    onTestFinished(() => {
      socket.terminate();
    });
    socket.on('error', () => undefined);
    const closed = once(socket, 'close').then(([code]) => code as number);
    await once(socket, 'open');
    return { socket, closed };
  }

  /** Opens a socket and waits for `connection_ack`. */
  async function openAcknowledged(authorization?: string) {
    const opened = await open();
    opened.socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization } }));
    await once(opened.socket, 'message');
    return opened;
  }

  test.each([
    ['a message before connection_init', 4401, [subscribe('1')]],
    ['a second connection_init', 4429, [INIT, INIT]],
    ['invalid JSON', 4400, [INIT, '{']],
    ['JSON other than an object', 4400, [INIT, '7']],
    ['an unknown message type', 4400, [INIT, '{"type":"shout"}']],
    ['a subscribe without an id', 4400, [INIT, '{"type":"subscribe","payload":{"query":"{ __typename }"}}']],
    ['a subscribe without a query', 4400, [INIT, '{"type":"subscribe","id":"1","payload":{}}']],
    [
      'JSON of 30,000 nested arrays',
      4400,
      [INIT, `{"type":"next","payload":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
    ],
  ])('%s closes the socket with %i', async (_, code, messages) => {
    const { socket, closed } = await open();
    for (const message of messages) socket.send(message);
    expect(await closed).toBe(code);
    expect(await request(url, '{ __typename }')).toEqual({ data: { __typename: 'Query' } });
  });

  test('a duplicate id closes the socket with 4409', async () => {
    const ann = await signUp(url, 'cem');
    const { socket, closed } = await openAcknowledged(`Bearer ${ann.accessToken}`);
    for (let i = 0; i < 2; i += 1) socket.send(live);
    expect(await closed).toBe(4409);
  });

  test('a socket without the subprotocol closes with 4406', async () => {
    expect(await (await open([])).closed).toBe(4406);
  });

  test('a socket without connection_init closes with 4408', async () => {
    expect(await (await open()).closed).toBe(4408);
  });

  test('__proto__ is an ordinary id', async () => {
    const { socket } = await openAcknowledged();
    const done = new Promise<string[]>((resolve) => {
      const received: string[] = [];
      socket.on('message', (data: Buffer) => {
        received.push(data.toString());
        if (received.at(-1)?.includes('"complete"')) resolve(received);
      });
    });
    socket.send(subscribe('__proto__'));
    expect((await done).join()).toContain('"data":{"__typename":"Query"}');
  });
});
