import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { createClient } from 'graphql-ws';
import { describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import type { Person } from '../support/client.ts';
import { attach, countOpenFiles, sendFile, textFile } from '../support/files.ts';
import { REMOVE } from '../support/rooms.ts';
import { startS3 } from '../support/s3.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';
import { freePort } from '../support/ports.ts';
import { findProgram } from '../support/programs.ts';

const [nginx, openssl] = [findProgram('nginx'), findProgram('openssl')];

/** Starts nginx with the example configuration, with the addresses of two nodes and of this test. */
async function startNginx(nodes: string[]): Promise<{ port: number; plainPort: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-nginx-'));
  await chmod(folder, 0o755);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=chat.example.org'],
    ...['-keyout', key, '-out', certificate],
  ]);
  const [port, plainPort] = [await freePort(), await freePort()];
  const [one = '', two = ''] = nodes.map((url) => new URL(url).host);
  const example = (await readFile(new URL('../../deploy/nginx.conf', import.meta.url), 'utf8'))
    .replace('127.0.0.1:4000', one)
    .replace('127.0.0.1:4001', two)
    .replaceAll('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replaceAll('listen 80', `listen 127.0.0.1:${plainPort}`)
    .replace(/\/etc\/letsencrypt\S+fullchain\.pem/, certificate)
    .replace(/\/etc\/letsencrypt\S+privkey\.pem/, key);
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const config = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
    http { access_log off; ${places.join(' ')}
    ${example} }`;
  await writeFile(join(folder, 'nginx.conf'), config);
  const words = ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', join(folder, 'error.log')];
  await promisify(execFile)(nginx ?? '', ['-t', ...words]);
  const server = spawn(nginx ?? '', words, { stdio: 'ignore' });
  const exited = once(server, 'exit');
  onTestFinished(async () => {
    server.kill('SIGTERM');
    await exited;
  });
  await expect
    .poll(() =>
      ask(port, { query: '{ viewer { id } }' }).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  return { port, plainPort };
}

/** Sends a request like an external client. The certificate is self-signed by the test. */
async function ask(port: number, body: object, headers: Record<string, string> = {}) {
  const request = httpsRequest({
    ...{ host: '127.0.0.1', port, path: '/graphql', method: 'POST', rejectUnauthorized: false, agent: false },
    servername: 'chat.example.org',
    headers: { 'content-type': 'application/json', host: 'chat.example.org', ...headers },
  });
  request.end(JSON.stringify(body));
  const [response] = await once(request, 'response');
  return { status: response.statusCode as number, headers: response.headers, answer: JSON.parse(await text(response)) };
}

/** Requests a file, and returns the response before its body. */
async function requestFile(port: number, { accessToken }: Person, path: string): Promise<IncomingMessage> {
  const request = httpsRequest({
    ...{ host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false },
    servername: 'chat.example.org',
    headers: { host: 'chat.example.org', authorization: `Bearer ${accessToken}` },
  });
  const [response] = await once(request.end(), 'response');
  return response as IncomingMessage;
}

describe.skipIf(!nginx || !openssl)('behind nginx, as deploy/nginx.conf has it', { timeout: 120_000 }, () => {
  test('clients reach nodes, which see their address and server name', async () => {
    const databaseUrl = await createTestDatabase();
    const env = { TRUSTED_PROXIES: '1', PUBLIC_URL: 'https://chat.example.org' };
    const one = await startTestServer({ databaseUrl, env });
    const two = await startTestServer({ databaseUrl, env });
    const { port, plainPort } = await startNginx([one.url, two.url]);
    const { ann, ben, room } = await world(one);

    const client = createClient({
      url: `wss://127.0.0.1:${port}/graphql`,
      connectionParams: { authorization: `Bearer ${ben.accessToken}` },
      webSocketImpl: class extends WebSocket {
        constructor(url: string, protocol: string) {
          super(url, protocol, {
            // The types of ws lack `servername`.
            ...{ rejectUnauthorized: false, servername: 'chat.example.org' },
            headers: { host: 'chat.example.org', origin: 'https://chat.example.org' },
          });
        }
      },
    });
    onTestFinished(async () => {
      await client.dispose();
    });
    const events = client.iterate<any>({ query: MESSAGE_ADDED, variables: { room } });
    const first = events.next();
    await expect.poll(() => one.node.gauges.streams + two.node.gauges.streams).toBe(1);
    await send(ann, room, 'through the proxy');
    expect((await first).value.data.messageAdded.message.body).toBe('through the proxy');

    const mine = await ask(
      port,
      { query: '{ viewer { user { username } } }' },
      { authorization: `Bearer ${ann.accessToken}` },
    );
    expect(mine.answer.data.viewer.user.username).toBe('ann');
    expect(mine.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
    const SIGN_UP =
      'mutation { signUp(input: { username: "from.afar", password: "a long password" }) { accessToken } }';
    // A client's own X-Forwarded-For is not trusted. The proxy appends the real address.
    const { answer } = await ask(port, { query: SIGN_UP }, { 'x-forwarded-for': '192.0.2.7' });
    const sessions = await ask(
      port,
      { query: '{ viewer { sessions { nodes { ipAddress } } } }' },
      { authorization: `Bearer ${answer.data.signUp.accessToken}` },
    );
    expect(sessions.answer.data.viewer.sessions.nodes).toEqual([{ ipAddress: '127.0.0.1' }]);

    expect(mine.headers['strict-transport-security']).toBe('max-age=31536000');
    const plain = (host: string) =>
      new Promise<string | undefined>((resolve, reject) => {
        httpRequest({ host: '127.0.0.1', port: plainPort, path: '/x', headers: { host } }, (response) => {
          response.resume();
          resolve(response.headers.location);
        })
          .on('error', reject)
          .end();
      });
    expect(await plain('chat.example.org')).toBe('https://chat.example.org/x');
    await expect(plain('evil.example')).rejects.toThrow('socket hang up');
    const strange = httpsRequest({
      ...{ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, servername: 'evil.example' },
    });
    await expect(once(strange.end(), 'response')).rejects.toThrow(/unrecognized name/i);
  });

  test('a file with the longest name is read', async () => {
    const store = await startS3();
    const env = { TRUSTED_PROXIES: '1', PUBLIC_URL: 'https://chat.example.org', ...store.env };
    const server = await startTestServer({ env });
    const { port } = await startNginx([server.url, server.url]);
    const { ann } = await world(server);
    const { url } = await attach(ann, textFile('words', '😀'.repeat(255)));
    const response = await requestFile(port, ann, url);
    response.resume();
    expect(response.statusCode).toBe(302);
    expect(response.headers.location).toContain(encodeURIComponent(encodeURIComponent('😀'.repeat(255))));
  });

  test('a removed member does not receive the rest of a file', async () => {
    const env = { TRUSTED_PROXIES: '1', PUBLIC_URL: 'https://chat.example.org' };
    const server = await startTestServer({ env });
    const { port } = await startNginx([server.url, server.url]);
    const { ann, ben, room } = await world(server);
    const file = textFile('x'.repeat(24_000_000), 'large.txt');
    const { attachments } = await sendFile(ann, room, file);
    const response = await requestFile(port, ben, attachments[0].url);
    await ann.ask(REMOVE, { id: room, user: ben.id });
    await expect.poll(countOpenFiles).toBe(0);
    let received = 0;
    response.on('data', (data: Buffer) => (received += data.length)).on('error', () => undefined);
    await new Promise((resolve) => response.on('close', resolve));
    expect(received).toBeLessThan(file.bytes.length);
  });
});
