import { serverAudits } from 'graphql-http';
import { describe, expect, test } from 'vitest';
import { handshake, request } from './support/client.ts';
import { startEndpoint } from './support/endpoint.ts';
import { freePort } from './support/ports.ts';
import { createTestDatabase, startTestServer } from './support/server.ts';
import { MESSAGE_ADDED, SEND, world } from './support/world.ts';

describe('GraphQL over HTTP', () => {
  test('passes 61 of 61 audits of the specification', async () => {
    const { url } = await startTestServer();
    const results = await Promise.all(
      serverAudits({ url: `${url}/graphql`, fetchFn: fetch }).map((audit) => audit.fn()),
    );
    const failed = results
      .filter(({ status }) => status !== 'ok')
      .map(({ id, name, status }) => `${id} ${name}: ${status}`);
    expect(failed).toEqual([]);
    expect(results).toHaveLength(61);
  });

  test('reports every failure with a code, whatever layer fails', async () => {
    const { url } = await startTestServer();
    const codes = async (query: string, variables?: object) =>
      (await request(url, query, variables)).errors?.map((error) => error.extensions.code);
    expect(await codes('{ viewer ')).toEqual(['BAD_USER_INPUT']);
    expect(await codes('{ nothing }')).toEqual(['BAD_USER_INPUT']);
    expect(await codes('query ($x: ID!) { node(id: $x) { id } }', {})).toEqual(['BAD_USER_INPUT']);
    expect(await codes('{ users { nodes { id } } }')).toEqual(['UNAUTHENTICATED']);
    for (const init of [
      { method: 'PUT' },
      { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } },
      { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } },
    ]) {
      const response = await fetch(`${url}/graphql`, init);
      const text = await response.text();
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect(response.status).toBeLessThan(500);
      if (text !== '') expect(JSON.parse(text).errors[0].extensions.code, text).toBe('BAD_USER_INPUT');
    }
  });

  test('reports an unforeseen failure as INTERNAL_SERVER_ERROR with only a request id', async () => {
    const server = await startTestServer();
    await server.node.database.query({ text: 'ALTER TABLE users RENAME TO gone', values: [] } as never);
    const { errors, data } = await request(
      server.url,
      'mutation { signUp(input: { username: "ann", password: "correct horse" }) { accessToken } }',
    );
    expect(data).toEqual({ signUp: null });
    expect(errors?.[0]?.extensions).toEqual({
      code: 'INTERNAL_SERVER_ERROR',
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
    });
    expect(JSON.stringify(errors)).not.toMatch(/users|relation|SQL|at /);
  });

  test('reports an outage of the database with the time of a retry', async () => {
    const databaseUrl = await createTestDatabase();
    const { port } = new URL(databaseUrl);
    const endpoint = await startEndpoint(Number(port));
    const server = await startTestServer({ databaseUrl: databaseUrl.replace(`:${port}/`, `:${endpoint.port}/`) });
    const { ann, room } = await world(server);
    const socket = ann.connect();
    await socket.subscribe('subscription { viewerEvents { __typename } }', {}).ready();
    endpoint.moveTo(await freePort());
    endpoint.cut();
    const outage = { code: 'INTERNAL_SERVER_ERROR', requestId: expect.any(String), retryAfterMs: 1_000 };
    const post = () =>
      fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${ann.accessToken}` },
        body: JSON.stringify({ query: SEND, variables: { input: { chatroomId: room, body: 'hello' } } }),
      });
    const response = await post();
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await response.json()).errors).toMatchObject([{ extensions: outage }]);
    // A field that needs no session reaches the database while it is executed.
    const signUp = 'mutation { signUp(input: { username: "dora", password: "correct horse" }) { accessToken } }';
    const executed = await request(server.url, signUp);
    expect(executed).toMatchObject({ data: { signUp: null }, errors: [{ extensions: outage }] });
    const [error] = (await socket.subscribe(MESSAGE_ADDED, { room }).ended) as { extensions: object }[];
    expect(error?.extensions).toEqual(outage);
    endpoint.moveTo(Number(port));
    await expect.poll(async () => (await post()).status).toBe(200);
  });

  test('serves the health checks and the chat page', async () => {
    const { url } = await startTestServer();
    expect(await (await fetch(`${url}/health/live`)).text()).toBe('alive\n');
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    expect((await fetch(`${url}/`)).headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect((await fetch(`${url}/elsewhere`)).status).toBe(404);
  });

  test('allows queries by GET, but no mutations', async () => {
    const { url } = await startTestServer();
    const get = (query: string) =>
      fetch(`${url}/graphql?query=${encodeURIComponent(query)}`, { headers: { accept: 'application/json' } });
    expect(await (await get('{ viewer { id } }')).json()).toEqual({ data: { viewer: null } });
    expect((await get('mutation { signOut { ok } }')).status).toBe(405);
  });

  test('refuses requests and sockets of origins that are not allowed', async () => {
    const { url } = await startTestServer({ env: { ALLOWED_ORIGINS: 'https://chat.example.org' } });
    expect(await handshake(url, { origin: 'https://chat.example.org' })).toBe(101);
    expect(await handshake(url, { origin: url })).toBe(101);
    expect(await handshake(url, { origin: 'https://evil.example.org' })).toBe(403);
    const allowed = async (origin: string) =>
      (
        await fetch(`${url}/graphql`, {
          method: 'OPTIONS',
          headers: { origin, 'access-control-request-method': 'POST' },
        })
      ).headers.get('access-control-allow-origin');
    expect(await allowed('https://chat.example.org')).toBe('https://chat.example.org');
    expect(await allowed('https://evil.example.org')).toBeNull();
    // A sandboxed frame has the origin `null`.
    expect(await allowed('null')).toBeNull();
  });

  test('sends a foreign page no CORS headers despite several allowed origins', async () => {
    const env = { ALLOWED_ORIGINS: 'https://chat.example.org,https://app.example.org' };
    const { url } = await startTestServer({ env });
    const corsHeaders = async (origin: string) => {
      const { headers } = await fetch(`${url}/graphql?query={__typename}`, { headers: { origin } });
      return [...headers].filter(([name]) => name.startsWith('access-control-'));
    };
    expect(Object.fromEntries(await corsHeaders('https://app.example.org'))).toMatchObject({
      'access-control-allow-origin': 'https://app.example.org',
      'access-control-allow-credentials': 'true',
    });
    for (const origin of ['null', 'https://evil.example.org', 'https://chat.example.org.evil.org'])
      expect(await corsHeaders(origin)).toEqual([]);
  });

  test('responses are neither cached nor interpreted as another type', async () => {
    const { url } = await startTestServer();
    const { headers } = await fetch(`${url}/graphql?query={__typename}`);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });
});

test('malformed paths do not crash the process', async () => {
  const { connect } = await import('node:net');
  const { url } = await startTestServer();
  const { hostname, port } = new URL(url);
  const raw = (text: string) =>
    new Promise<string>((resolve, reject) => {
      let answer = '';
      const socket = connect(Number(port), hostname, () => socket.write(text));
      socket.on('data', (chunk: Buffer) => {
        answer += chunk.toString();
      });
      socket.on('close', () => {
        resolve(answer.split('\r\n')[0] ?? '');
      });
      socket.on('error', reject);
    });
  expect(await raw('GET // HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(/404/);
  expect(await raw('GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(/40[04]/);
  expect(await raw('GET // HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')).toMatch(/404/);
  expect(await (await fetch(`${url}/health/live`)).text()).toBe('alive\n');
});
