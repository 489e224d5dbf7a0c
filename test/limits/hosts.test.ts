import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { parseConfig } from '../../src/core/config/config.ts';
import { allowsOrigin } from '../../src/graphql/origins.ts';
import { refusedHost } from '../../src/core/hosts.ts';
import { PASSWORD, signUp } from '../support/client.ts';
import { PRODUCTION } from '../support/config.ts';
import { startTestServer } from '../support/server.ts';

const SIGN_IN = `mutation ($password: String!) {
  signIn(input: { usernameOrEmail: "ann", password: $password, cookie: true }) { refreshToken } }`;

/** Returns the HTTP status of the WebSocket handshake. */
function handshake(url: string, origin: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/graphql`, 'graphql-transport-ws', { origin });
    socket.on('error', reject);
    socket.on('unexpected-response', (_, { statusCode }) => {
      resolve(statusCode);
    });
    socket.on('open', () => {
      socket.terminate();
      resolve(101);
    });
  });
}

/** Sends a query with any Host header, which fetch() does not allow. */
function ask(url: string, host: string, path = '/graphql?query={__typename}') {
  return new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    const sent = request(url + path, { headers: { host } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode, text });
      });
    });
    sent.on('error', reject).end();
  });
}

describe('a Host header', () => {
  test('is refused without a stack trace if it is malformed', async () => {
    const { url } = await startTestServer();
    const malformed = ['x y', 'a/b', 'a?b', 'a#b', '[::', 'a:b', 'a:99999', 'user@host', '<script>', '%00'];
    for (const host of [...malformed, '.'.repeat(3_000)]) {
      const { status, text } = await ask(url, host);
      expect(status, host).toBe(400);
      expect(text).not.toMatch(/node_modules|at new|TypeError/);
    }
  });

  test('of a foreign site is refused in development everywhere', async () => {
    const { url } = await startTestServer({ env: { PUBLIC_URL: 'http://chat.test:4000' } });
    for (const host of ['evil.example.org', 'localhost.evil.org', 'evil-localhost']) {
      expect(await ask(url, host)).toMatchObject({ status: 400, text: expect.stringContaining('PUBLIC_URL') });
      expect((await ask(url, host, '/metrics')).status).toBe(400);
    }
    for (const host of ['localhost', 'localhost:1234', '127.0.0.1', '192.168.0.7:4000', '[::1]:4000', 'chat.test'])
      expect((await ask(url, host)).status).toBe(200);
  });

  test('of any name is accepted in production behind a proxy', () => {
    expect(refusedHost(parseConfig(PRODUCTION), 'parley-1.internal:4000')).toBeNull();
    expect(refusedHost(parseConfig(PRODUCTION), 'x y')).toMatch(/malformed/);
  });
});

describe('a page of localhost', () => {
  const LOCAL = ['http://localhost:5173', 'https://localhost', 'http://127.0.0.1:8080', 'http://[::1]:3000'];
  const FOREIGN = [
    ...[
      'null',
      'http://localhost.evil.org',
      'http://evil.localhost:5173',
      'http://127.0.0.1.evil.org',
      'http://127.0.0.2',
    ],
    ...['http://localhost:5173.evil.org', 'http://user@localhost', 'file://localhost', 'http://localhost:5173/'],
  ];
  const preflight = async (url: string, origin: string) =>
    (
      await fetch(`${url}/graphql`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type',
        },
      })
    ).headers;

  test('may use the API in development, from any port', async () => {
    const { url } = await startTestServer({ env: { NODE_ENV: 'development' } });
    await signUp(url, 'ann');
    for (const origin of LOCAL) {
      const headers = await preflight(url, origin);
      expect(headers.get('access-control-allow-origin')).toBe(origin);
      expect(headers.get('access-control-allow-credentials')).toBe('true');
      expect(headers.get('access-control-allow-headers')).toContain('authorization');
      const answer = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { origin, 'content-type': 'application/json' },
        body: JSON.stringify({ query: SIGN_IN, variables: { password: PASSWORD } }),
      });
      expect(await answer.json()).toEqual({ data: { signIn: { refreshToken: null } } });
      expect(answer.headers.get('access-control-allow-origin')).toBe(origin);
      expect(answer.headers.getSetCookie().length).toBeGreaterThan(0);
      expect(await handshake(url, origin)).toBe(101);
    }
  });

  test('of another site is refused in development', async () => {
    const { url } = await startTestServer({ env: { NODE_ENV: 'development' } });
    for (const origin of FOREIGN) {
      expect((await preflight(url, origin)).get('access-control-allow-origin'), origin).toBeNull();
      expect(await handshake(url, origin), origin).toBe(403);
    }
    // With DNS rebinding, the page has the origin and the Host header of its own site.
    expect((await ask(url, 'evil.example.org')).status).toBe(400);
  });

  test('is a foreign site in production', () => {
    const config = parseConfig(PRODUCTION);
    for (const origin of LOCAL) expect(allowsOrigin(config, origin, 'chat.example.org')).toBe(false);
  });
});

describe('the server’s own origin', () => {
  test('is PUBLIC_URL with its scheme in production', () => {
    const config = parseConfig(PRODUCTION);
    expect(allowsOrigin(config, 'https://chat.example.org', 'chat.example.org')).toBe(true);
    // A man in the middle could forge this page over plain http.
    expect(allowsOrigin(config, 'http://chat.example.org', 'chat.example.org')).toBe(false);
    expect(allowsOrigin(config, 'https://internal', 'internal')).toBe(false);
  });

  test('is the host of the request in development', () => {
    const config = parseConfig({ NODE_ENV: 'test' });
    expect(allowsOrigin(config, 'http://localhost:4000', 'localhost:4000')).toBe(true);
    expect(allowsOrigin(config, 'null', 'localhost:4000')).toBe(false);
    expect(allowsOrigin(config, 'x//localhost:4000', 'localhost:4000')).toBe(false);
  });
});
