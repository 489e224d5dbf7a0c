import { describe, expect, test } from 'vitest';
import { connect, type GraphQLResult, PASSWORD, request, signUp } from '../support/client.ts';
import { hasRedis, startRedis } from '../support/redis.ts';
import { startTestServer } from '../support/server.ts';

const SIGN_IN = `mutation ($name: String!, $password: String!) {
  signIn(input: { usernameOrEmail: $name, password: $password }) { accessToken }
}`;
const RESET = 'mutation ($email: String!) { requestPasswordReset(input: { email: $email }) { ok } }';

const ON = { RATE_LIMITS: 'on', TRUSTED_PROXIES: '1' };
const outcome = ({ errors }: GraphQLResult) => errors?.[0]?.extensions.code ?? 'done';
const retryAfter = ({ errors }: GraphQLResult) => errors?.[0]?.extensions['retryAfterMs'] as number;

/** Tries a password, from an address of its own unless one is given. */
let lastAddress = 0;
const attempt = (
  url: string,
  name: string,
  password = 'not the password',
  address = `2001:db8:0:${(lastAddress += 1).toString(16)}::1`,
) => request(url, SIGN_IN, { name, password }, { 'x-forwarded-for': address });

describe('from the fifth failure on', () => {
  test.each(['ann', 'nobody', 'nobody@example.org'])(
    'the next try for %s has to wait, wherever it comes from, and each time for longer',
    async (name) => {
      const { url } = await startTestServer({ env: ON });
      await signUp(url, 'ann');
      for (let i = 0; i < 5; i += 1) expect(outcome(await attempt(url, name))).toBe('INVALID_CREDENTIALS');
      const refused = await attempt(url, name);
      expect(outcome(refused)).toBe('RATE_LIMITED');
      expect(retryAfter(refused)).toBeGreaterThan(0);
      expect(retryAfter(refused)).toBeLessThanOrEqual(1_000);
      // Not the right password either.
      expect(outcome(await attempt(url, name, PASSWORD))).toBe('RATE_LIMITED');
      // Others are not in its way.
      expect(outcome(await attempt(url, 'ben'))).toBe('INVALID_CREDENTIALS');
      await expect.poll(async () => outcome(await attempt(url, name)), { interval: 200 }).toBe('INVALID_CREDENTIALS');
      const later = await attempt(url, name);
      expect(outcome(later)).toBe('RATE_LIMITED');
      expect(retryAfter(later)).toBeGreaterThan(1_000);
    },
  );

  test('an address has to wait, whatever names it tries; other addresses do not', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'ann');
    const names = ['ann', 'ben', 'cem', 'dora', 'eve'];
    for (const name of names)
      expect(outcome(await attempt(url, name, undefined, '203.0.113.7'))).toBe('INVALID_CREDENTIALS');
    expect(outcome(await attempt(url, 'ann', PASSWORD, '203.0.113.7'))).toBe('RATE_LIMITED');
    expect(outcome(await attempt(url, 'ann', PASSWORD, '203.0.113.8'))).toBe('done');
  });

  test('success forgets the failures of an account', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'ann');
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 4; i += 1) expect(outcome(await attempt(url, 'ANN'))).toBe('INVALID_CREDENTIALS');
      expect(outcome(await attempt(url, 'ann', PASSWORD))).toBe('done');
    }
  });

  test('many tries at once are not all let through', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'ann');
    const outcomes = await Promise.all(Array.from({ length: 40 }, async () => outcome(await attempt(url, 'ann'))));
    expect(outcomes.filter((each) => each === 'INVALID_CREDENTIALS').length).toBeLessThanOrEqual(7);
    expect(new Set(outcomes)).toEqual(new Set(['INVALID_CREDENTIALS', 'RATE_LIMITED']));
  });

  test('many people who sign in at once from one address need not wait', async () => {
    const { url } = await startTestServer({ env: ON });
    const names = Array.from({ length: 12 }, (_, i) => `person${i}`);
    await Promise.all(names.map((name) => signUp(url, name)));
    const signIn = (name: string) => attempt(url, name, PASSWORD, '203.0.113.7');
    expect((await Promise.all(names.map(signIn))).map(outcome)).toEqual(names.map(() => 'done'));
  });

  test('over WebSocket it is the same, and so it is for the password that changes or deletes', async () => {
    const { url } = await startTestServer({ env: ON });
    const ann = await signUp(url, 'ann');
    const socket = connect(url);
    for (let i = 0; i < 5; i += 1)
      expect(outcome(await socket.ask(SIGN_IN, { name: 'ben', password: 'wrong wrong' }))).toBe('INVALID_CREDENTIALS');
    expect(outcome(await socket.ask(SIGN_IN, { name: 'ben', password: 'wrong wrong' }))).toBe('RATE_LIMITED');
    const other = (i: number) => ({
      authorization: `Bearer ${ann.accessToken}`,
      'x-forwarded-for': `2001:db8:9:${i}::1`,
    });
    const guess = async (i: number) =>
      outcome(
        await request(url, 'mutation { deleteAccount(input: { password: "wrong wrong" }) { ok } }', {}, other(i)),
      );
    for (let i = 0; i < 5; i += 1) expect(await guess(i)).toBe('INVALID_CREDENTIALS');
    expect(await guess(5)).toBe('RATE_LIMITED');
  });
});

test('an address is sent three mails an hour, whether anyone has it or not', async () => {
  const { url } = await startTestServer({ env: ON });
  const input = { username: 'ann', password: PASSWORD, email: 'ann@example.org' };
  await request(url, 'mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken } }', { input });
  for (const email of ['ann@example.org', 'nobody@example.org']) {
    for (let i = 0; i < 3; i += 1) expect(outcome(await request(url, RESET, { email }))).toBe('done');
    const refused = await request(url, RESET, { email: email.toUpperCase() });
    expect(outcome(refused)).toBe('RATE_LIMITED');
    expect(retryAfter(refused)).toBeGreaterThan(60_000);
  }
});

describe.skipIf(!hasRedis())('with a Redis (skipped without a redis-server)', () => {
  test('failures on one node slow down tries on another, and a dead Redis keeps nobody out', async () => {
    const redis = await startRedis();
    const one = await startTestServer({ redisUrl: redis.url, env: ON });
    const two = await startTestServer({ redisUrl: redis.url, databaseUrl: one.databaseUrl, env: ON });
    await signUp(one.url, 'ann');
    for (let i = 0; i < 5; i += 1) expect(outcome(await attempt(one.url, 'ann'))).toBe('INVALID_CREDENTIALS');
    expect(outcome(await attempt(two.url, 'ann', PASSWORD))).toBe('RATE_LIMITED');
    redis.signal('SIGKILL');
    await expect.poll(async () => outcome(await attempt(two.url, 'ann', PASSWORD))).toBe('done');
    // Each node slows down by itself what it sees.
    for (let i = 0; i < 5; i += 1) expect(outcome(await attempt(two.url, 'ben'))).toBe('INVALID_CREDENTIALS');
    expect(outcome(await attempt(two.url, 'ben'))).toBe('RATE_LIMITED');
  });
});
