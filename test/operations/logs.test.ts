import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { createLog, withoutSecrets } from '../../src/platform/observability/log.ts';
import { connect, type GraphQLResult, request } from '../support/client.ts';
import { PRODUCTION } from '../support/config.ts';
import { cpuMs } from '../support/cpu.ts';
import { startProgram } from '../support/process.ts';
import { hasRedis, startRedis } from '../support/redis.ts';
import { createTestDatabase } from '../support/server.ts';
import { runStatement } from '../support/statement.ts';
import { MESSAGE_ADDED, SEND, world } from '../support/world.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken refreshToken } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken refreshToken } }`;
const REFRESH = `mutation ($token: String) { refreshSession(input: { refreshToken: $token }) { accessToken refreshToken } }`;
const RESET = `mutation ($token: String!, $new: String!) { resetPassword(input: { token: $token, newPassword: $new }) { ok } }`;
const PUSH = `mutation ($token: String!) { registerPushDevice(input: { platform: FCM, token: $token }) { device { id } } }`;

const codeOf = ({ errors }: GraphQLResult) => errors?.[0]?.extensions.code;

describe.skipIf(!hasRedis())('the log of a busy production server', { timeout: 120_000 }, () => {
  test('contains every request and failure, but no secret', async () => {
    const databaseUrl = await createTestDatabase();
    const server = await startProgram({
      ...PRODUCTION,
      DATABASE_URL: databaseUrl,
      REDIS_URL: (await startRedis()).url,
      // No server listens there, so mails fail and the failure is logged.
      SMTP_URL: 'smtp://mailer:the-mailers-secret@127.0.0.1:1',
      METRICS_TOKEN: 'Jx3mQ8rVw1LzK5tYpB7nCg',
      LOG_LEVEL: 'trace',
      RATE_LIMITS: 'off',
    });
    const { url } = server;
    const secrets = new Map<string, string>([
      ['password', 'the password of Gerda, long'],
      ['wrong password', 'what Gerda typed by mistake'],
      ['new password', 'what Gerda wants from now on'],
      ['address', 'gerda.of.the.logs@example.org'],
      ['body', 'what Gerda told nobody else'],
      ['literal', 'what Gerda wrote into a document'],
      ['push token', 'push:of-the-phone-of-gerda-1234567890'],
      ['mail token', 'A'.repeat(20) + 'mail-token-of-gerda-000'],
      ['database password', new URL(databaseUrl).password],
      ['mailer', 'the-mailers-secret'],
      ['AUTH_SECRET', PRODUCTION.AUTH_SECRET],
      ['METRICS_TOKEN', 'Jx3mQ8rVw1LzK5tYpB7nCg'],
    ]);
    const secret = (name: string) => secrets.get(name) ?? '';
    const note = (name: string, tokens: { accessToken: string; refreshToken: string | null }) => {
      secrets.set(`${name}'s access token`, tokens.accessToken);
      if (tokens.refreshToken !== null) secrets.set(`${name}'s refresh token`, tokens.refreshToken);
    };

    const account = { username: 'gerda', password: secret('password'), email: secret('address') };
    const gerda = (await request(url, SIGN_UP, { input: account })).data.signUp;
    note('gerda', gerda);
    const headers = { authorization: `Bearer ${gerda.accessToken}` };
    const wrong = { usernameOrEmail: secret('address'), password: secret('wrong password') };
    expect(codeOf(await request(url, SIGN_IN, { input: wrong }))).toBe('INVALID_CREDENTIALS');
    const right = { usernameOrEmail: secret('address'), password: secret('password') };
    note('phone', (await request(url, SIGN_IN, { input: right })).data.signIn);

    const cookies = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': 'named-by-the-proxy-1' },
      body: JSON.stringify({ query: SIGN_IN, variables: { input: { ...right, cookie: true } } }),
    });
    expect(cookies.headers.get('x-request-id')).toBe('named-by-the-proxy-1');
    for (const cookie of cookies.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^(\w+)=([^;]+)/.exec(cookie) ?? [];
      secrets.set(`the cookie ${name}`, value);
    }
    const cookie = cookies.headers
      .getSetCookie()
      .map((line) => line.split(';')[0])
      .join('; ');
    await request(url, '{ viewer { id } }', {}, { cookie });

    const { ann, ben, room } = await world(server);
    for (const person of [ann, ben]) note(person.username, person);
    const socket = ben.connect();
    const stream = socket.subscribe(MESSAGE_ADDED, { room });
    await socket.ask('{ viewer { id } }');
    await ann.ask(SEND, { input: { chatroomId: room, body: secret('body') } });
    await stream.next();
    const refreshed = (await ann.ask(REFRESH, { token: ann.refreshToken })).refreshSession;
    note('refreshed', refreshed);
    // A late second use ends the session, which is logged as a warning.
    await runStatement(databaseUrl, `UPDATE refresh_tokens SET used_at = used_at - interval '11 seconds'`);
    expect(await ben.askForErrorCode(REFRESH, { token: ann.refreshToken })).toBe('UNAUTHENTICATED');
    await request(url, RESET, { token: secret('mail token'), new: secret('new password') });
    await request(url, PUSH, { token: secret('push token') }, headers);
    await request(url, `{ nothing(here: "${secret('literal')}") }`, {}, headers);
    await request(url, `mutation { signIn(input: { password: "${secret('literal')}`, {}, headers);
    await fetch(`${url}/graphql?query={viewer{id}}&access_token=${gerda.accessToken}`);
    await fetch(`${url}/metrics`, { headers: { authorization: 'Bearer Jx3mQ8rVw1LzK5tYpB7nCg' } });
    expect(await connect(url, `${gerda.accessToken}x`).closed).toBe(4401);

    // Causes an unforeseen failure. Its database error quotes the row.
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query(`ALTER TABLE messages ADD CHECK (body NOT LIKE '%nobody%') NOT VALID`);
    const failed = await request(
      url,
      SEND,
      { input: { chatroomId: room, body: secret('body') } },
      {
        authorization: `Bearer ${ben.accessToken}`,
      },
    );
    await client.end();
    expect(codeOf(failed)).toBe('INTERNAL_SERVER_ERROR');
    const requestId = failed.errors?.[0]?.extensions['requestId'];

    const lines = () =>
      server
        .output()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, any>);
    await expect.poll(() => lines().some(({ msg }) => /Failed task .*send_mail/.test(String(msg)))).toBe(true);
    expect(await server.end('SIGTERM')).toBe(0);

    const answered = lines().filter(({ msg }) => msg === 'Answered');
    const told = answered.map(({ operation, code, transport }) => `${operation} ${code} ${transport}`);
    for (const line of [
      'signUp OK http',
      'signIn INVALID_CREDENTIALS http',
      'sendMessage OK http',
      'viewer OK websocket',
    ])
      expect(told).toContain(line);
    expect(told).toContain('messageAdded OK websocket');
    expect(told).toContain('refused BAD_USER_INPUT http');
    for (const { requestId: id, ms } of answered.filter(({ code }) => code === 'OK')) {
      expect(id).toMatch(/^[\w-]{8,64}$/);
      expect(ms).toBeGreaterThan(0);
    }
    expect(answered.map(({ requestId: id }) => id as string)).toContain('named-by-the-proxy-1');
    // The failure and its request are logged with the request id that the client received.
    const ofFailure = lines().filter((line) => line['requestId'] === requestId);
    expect(ofFailure.map(({ msg }) => msg as string).sort()).toEqual(['Answered', 'Unforeseen failure']);
    expect(ofFailure.find(({ err }) => err)?.['err']).toMatchObject({ code: '23514', table: 'messages' });

    const output = server.output();
    for (const [name, value] of secrets) expect(output.includes(value), `${name} stands in the log`).toBe(false);
  });
});

test('the log redacts everything in the shape of a secret', () => {
  const secrets = {
    jwt: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl',
    service: 'parley-service-k3Vq8sJwZr1mPd7XyB4nLf0tGh6CuEa9oR2iQwTzMxN',
    refresh: 'k3Vq8sJwZr1mPd7XyB4nLf0tGh6CuEa9oR2iQwTzMxN',
    address: 'gerda@example.org',
  };
  const lines: string[] = [];
  const log = createLog({ LOG_LEVEL: 'info' }, { write: (line: string) => lines.push(line) });
  for (const value of Object.values(secrets)) {
    log.info({ deep: { value } }, `It was ${value}.`);
    log.error({ err: new Error(`"${value}" failed`, { cause: new Error(value) }) }, value);
  }
  for (const value of Object.values(secrets)) expect(lines.join('')).not.toContain(value);
  expect(withoutSecrets('postgresql://user:hidden@db/parley')).toBe('postgresql://user:[password]@db/parley');
  expect(withoutSecrets('postgresql://user:p@ss@db/parley')).toBe('postgresql://user:[password]@db/parley');
  const harmless = '{"requestId":"0b9c6a3e-95a5-4f0e-8f0e-0d3b9b1d2c11","msg":"Failed task 1 (prune, 3.20ms)"}';
  expect(withoutSecrets(harmless)).toBe(harmless);
});

test('an error in the log omits the rows and arguments it quotes', () => {
  const lines: string[] = [];
  const log = createLog({ LOG_LEVEL: 'info' }, { write: (line: string) => lines.push(line) });
  const error = Object.assign(new Error('Invalid invocation: { where: { body: "told nobody" } }\nNothing was found'), {
    ...{ code: '23514', constraint: 'messages_check', detail: 'Failing row contains (told nobody)', table: 'messages' },
  });
  log.error({ err: error }, 'It failed');
  const { err } = JSON.parse(lines[0] ?? '');
  expect(err).toMatchObject({ type: 'Error', message: 'Nothing was found', code: '23514', table: 'messages' });
  expect(err.stack).toMatch(/^ +at .*logs\.test/);
  expect(lines[0]).not.toContain('told nobody');
});

test('the log cuts texts to 1,000 characters', () => {
  const lines: string[] = [];
  const log = createLog({ LOG_LEVEL: 'info' }, { write: (line: string) => lines.push(line) });
  const long = 'x '.repeat(50_000);
  log.error({ err: new Error(long, { cause: new Error(long) }), path: ['viewer', long], note: long }, 'It failed');
  const { err, path, note } = JSON.parse(lines[0] ?? '');
  for (const text of [err.message, err.cause.message, path[1], note]) expect(text).toHaveLength(1_001);
});

test('a cut in the log leaves no part of a secret', () => {
  const lines: string[] = [];
  const log = createLog({ LOG_LEVEL: 'info' }, { write: (line: string) => lines.push(line) });
  const token = 'k3Vq8sJwZr1mPd7XyB4nLf0tGh6CuEa9oR2iQwTzMxN';
  const jwt = `eyJhbGciOiJIUzI1NiJ9.${'c'.repeat(60)}.c2lnbmF0dXJl`;
  for (const secret of [token, jwt])
    for (const visible of [10, 30, 42])
      log.info({ note: `${'x '.repeat(500).slice(visible)}${secret} ${'x '.repeat(900)}` }, 'Long');
  for (const line of lines) expect(line).not.toMatch(/k3Vq8sJw|eyJhbGci/);
});

test('a request id in the shape of a token stays readable', () => {
  const requestId = 'k3Vq8sJwZr1mPd7XyB4nLf0tGh6CuEa9oR2iQwTzMxN';
  expect(withoutSecrets(`{"requestId":"${requestId}","token":"${requestId}"}`)).toBe(
    `{"requestId":"${requestId}","token":"[token]"}`,
  );
});

test.each([
  ['a long word', 'a'],
  ['beginnings of JWTs', 'eyJ'],
  ['JWTs without an end', '.eyJa'],
  ['addresses without a host', 'a@'],
  ['hosts without an end', 'a@a.'],
  ['URLs with half a password', 'a://a:a'],
  ['service tokens', 'parley-service-'],
  ['local parts of 64 characters', `${'x'.repeat(64)}@`],
])('redaction takes linear time for %s', (_, unit) => {
  const timeOf = (length: number) => {
    const text = unit.repeat(length / unit.length);
    return cpuMs(() => withoutSecrets(text));
  };
  timeOf(10_000);
  // Quadratic time would be 100 times as long.
  expect(timeOf(100_000)).toBeLessThan(40 * Math.max(timeOf(10_000), 1));
});
