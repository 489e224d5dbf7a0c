import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { allowsOrigin } from '../../src/graphql.ts';
import { refusedHost } from '../../src/limits/hosts.ts';
import { PRODUCTION } from '../support/config.ts';
import { startTestServer } from '../support/server.ts';

/** Sends a query with a Host header of one's choosing, which fetch() does not allow. */
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
  test('that is malformed is refused without a stack trace', async () => {
    const { url } = await startTestServer();
    const malformed = ['x y', 'a/b', 'a?b', 'a#b', '[::', 'a:b', 'a:99999', 'user@host', '<script>', '%00'];
    for (const host of [...malformed, '.'.repeat(3_000)]) {
      const { status, text } = await ask(url, host);
      expect(status, host).toBe(400);
      expect(text).not.toMatch(/node_modules|at new|TypeError/);
    }
  });

  test('of a foreign site is refused in development, for the API and the metrics', async () => {
    const { url } = await startTestServer({ env: { PUBLIC_URL: 'http://chat.test:4000' } });
    for (const host of ['evil.example.org', 'localhost.evil.org', 'evil-localhost']) {
      expect(await ask(url, host)).toMatchObject({ status: 400, text: expect.stringContaining('PUBLIC_URL') });
      expect((await ask(url, host, '/metrics')).status).toBe(400);
    }
    for (const host of ['localhost', 'localhost:1234', '127.0.0.1', '192.168.0.7:4000', '[::1]:4000', 'chat.test'])
      expect((await ask(url, host)).status).toBe(200);
  });

  test('of any name passes in production, where the proxy decides', () => {
    expect(refusedHost(parseConfig(PRODUCTION), 'parley-1.internal:4000')).toBeNull();
    expect(refusedHost(parseConfig(PRODUCTION), 'x y')).toMatch(/malformed/);
  });
});

describe('the own origin', () => {
  test('is PUBLIC_URL with its scheme in production', () => {
    const config = parseConfig(PRODUCTION);
    expect(allowsOrigin(config, 'https://chat.example.org', 'chat.example.org')).toBe(true);
    // A page that a man in the middle forged over plain http.
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
