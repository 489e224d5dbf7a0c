import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createToken } from '../../src/auth/accessTokens.ts';
import { sql } from '../../src/platform/database/database.ts';
import { connect, type GraphQLResult, PASSWORD, type Person, request, signUp } from '../support/client.ts';
import { hasRedis, startRedis } from '../support/redis.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SIGN_IN = `mutation ($name: String!, $password: String!, $deviceToken: String, $cookie: Boolean! = false) {
  signIn(input: { usernameOrEmail: $name, password: $password, deviceToken: $deviceToken, cookie: $cookie }) {
    accessToken
    deviceToken
  }
}`;
const SIGN_UP = `mutation ($name: String!, $email: String) {
  signUp(input: { username: $name, password: "${PASSWORD}", email: $email }) { deviceToken }
}`;
const SET_PASSWORD = `mutation ($token: String!) {
  resetPassword(input: { token: $token, newPassword: "battery staple" }) { ok }
}`;
const RESET = 'mutation ($email: String!) { requestPasswordReset(input: { email: $email }) { ok } }';
const CHANGE_ADDRESS = `mutation ($email: String!) {
  updateProfile(input: { email: $email, currentPassword: "${PASSWORD}" }) { viewer { id } }
}`;
const DELETE_ACCOUNT = 'mutation { deleteAccount(input: { password: "wrong wrong" }) { ok } }';

const ON = { RATE_LIMITS: 'on', TRUSTED_PROXIES: '1' };
const WRONG = 'not the password';
const NEW_PASSWORD = 'battery staple';
const outcome = ({ errors }: GraphQLResult) => errors?.[0]?.extensions.code ?? 'done';
const retryAfter = ({ errors }: GraphQLResult) => errors?.[0]?.extensions['retryAfterMs'] as number;
const bearer = (person: Person) => ({ authorization: `Bearer ${person.accessToken}` });
const times = <Item>(count: number, make: (i: number) => Item) => Array.from({ length: count }, (_, i) => make(i));

/** Returns an address in a network that no other test uses. */
let lastNetwork = 0;
const anyAddress = () => `2001:db8:0:${(lastNetwork += 1).toString(16)}::1`;

/** Attempts to sign in. */
const signIn = (
  url: string,
  name: string,
  password = WRONG,
  { from = anyAddress(), ...more }: { from?: string; deviceToken?: string } = {},
) => request(url, SIGN_IN, { name, password, ...more }, { 'x-forwarded-for': from });

/**
 * Repeats failing attempts until the next one is refused. Five failures are free. On a slow machine, the delays of 1, 2
 * and 4 s after them may be over before the next attempt.
 */
async function failUntilLimited(attempt: () => Promise<GraphQLResult>): Promise<void> {
  let failures = 0;
  for (let next = await attempt(); outcome(next) !== 'RATE_LIMITED'; next = await attempt()) {
    expect(outcome(next)).toBe('INVALID_CREDENTIALS');
    failures += 1;
  }
  expect(failures).toBeGreaterThanOrEqual(5);
  expect(failures).toBeLessThanOrEqual(8);
}

/** Advances the clock of the counters without waiting. */
function simulateTime() {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  return (ms: number) => vi.setSystemTime(Date.now() + ms);
}

describe('attempts on one account by one client', () => {
  test.each(['ann', 'nobody', 'nobody@example.org'])(
    'are delayed after the fifth failure for %s, exponentially',
    async (name) => {
      const { url } = await startTestServer({ env: ON });
      await signUp(url, 'ann');
      const pass = simulateTime();
      const from = anyAddress();
      for (let i = 0; i < 5; i += 1)
        expect(outcome(await signIn(url, name, WRONG, { from }))).toBe('INVALID_CREDENTIALS');
      for (const seconds of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]) {
        // On a slow machine, one attempt may take longer than the first delays.
        if (seconds >= 16) {
          const refused = await signIn(url, name, PASSWORD, { from });
          expect(outcome(refused)).toBe('RATE_LIMITED');
          expect(retryAfter(refused)).toBe(seconds * 1_000);
        }
        // Other accounts and other clients are unaffected.
        expect(outcome(await signIn(url, 'ben', WRONG))).toBe('INVALID_CREDENTIALS');
        pass(seconds * 1_000);
        expect(outcome(await signIn(url, name, WRONG, { from }))).toBe('INVALID_CREDENTIALS');
      }
    },
  );

  test('have no delay again after a success', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'ann');
    const from = anyAddress();
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 4; i += 1)
        expect(outcome(await signIn(url, 'ANN', WRONG, { from }))).toBe('INVALID_CREDENTIALS');
      expect(outcome(await signIn(url, 'ann', PASSWORD, { from }))).toBe('done');
    }
  });

  test('are limited in parallel, by name and e-mail together', async () => {
    const { url } = await startTestServer({ env: ON });
    await request(url, SIGN_UP, { name: 'ann', email: 'ann@example.org' });
    const from = anyAddress();
    const tries = times(40, async (i) =>
      outcome(await signIn(url, i % 2 ? 'ann' : 'ann@example.org', WRONG, { from })),
    );
    const outcomes = await Promise.all(tries);
    const checked = outcomes.filter((each) => each === 'INVALID_CREDENTIALS').length;
    // On a slow machine, the delays of 1, 2 and 4 s are over before the last attempt.
    expect(checked).toBeGreaterThanOrEqual(5);
    expect(checked).toBeLessThanOrEqual(8);
    expect(outcomes.filter((each) => each === 'RATE_LIMITED')).toHaveLength(40 - checked);
  });

  test('have the same limits over WebSocket', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'ann');
    const socket = connect(url);
    await failUntilLimited(() => socket.ask(SIGN_IN, { name: 'ben', password: WRONG }));
  });

  test('on a signed-in user’s password have a counter per session', async () => {
    const { url } = await startTestServer({ env: ON });
    const ann = await signUp(url, 'ann');
    const claims = Buffer.from(ann.accessToken.split('.')[1] ?? '', 'base64url').toString();
    const { sub, sid } = JSON.parse(claims) as { sub: string; sid: string };
    for (const name of [`viewer:${sub}`, `viewer ${sub}`, `account:${sub}`, `session:${sid}`])
      for (let i = 0; i < 6; i += 1) await signIn(url, name, WRONG, { from: '203.0.113.7' });
    const guess = (person: Person) => request(url, DELETE_ACCOUNT, {}, bearer(person));
    await failUntilLimited(() => guess(ann));
    const { data } = await signIn(url, 'ann', PASSWORD);
    expect(outcome(await guess(ann.on(data.signIn)))).toBe('INVALID_CREDENTIALS');
  });
});

describe('no user is locked out', () => {
  test('by an attacker elsewhere who tries continuously', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'erin');
    const pass = simulateTime();
    const outcomes = new Map<string, number>();
    for (let i = 0; i < 200; i += 1) {
      const tried = outcome(await signIn(url, 'erin', WRONG, { from: '198.51.100.1' }));
      outcomes.set(tried, (outcomes.get(tried) ?? 0) + 1);
      if (i % 20 === 0) expect(outcome(await signIn(url, 'erin', PASSWORD))).toBe('done');
      pass(650);
    }
    // Five attempts are free. The next ones follow after 1, 2, 4, 8, 16, 32 and 64 s.
    expect(outcomes.get('INVALID_CREDENTIALS')).toBeLessThanOrEqual(12);
    expect(outcomes.get('RATE_LIMITED')).toBeGreaterThanOrEqual(188);
  });

  test('by a colleague in the same network who fails unknown names', async () => {
    const { url } = await startTestServer({ env: ON });
    await signUp(url, 'ben');
    await signUp(url, 'cem');
    const pass = simulateTime();
    const from = '203.0.113.7';
    for (let i = 0; i < 40; i += 1) {
      expect(outcome(await signIn(url, `made-up-${i}`, WRONG, { from }))).toBe('INVALID_CREDENTIALS');
      if (i % 10 === 9) expect(outcome(await signIn(url, i < 20 ? 'ben' : 'cem', PASSWORD, { from }))).toBe('done');
      pass(900);
    }
  });

  test('by many simultaneous sign-ins from one network', async () => {
    const { url } = await startTestServer({ env: ON });
    const names = times(12, (i) => `person${i}`);
    await Promise.all(names.map((name) => signUp(url, name)));
    const tries = names.map(async (name) => outcome(await signIn(url, name, PASSWORD, { from: '203.0.113.7' })));
    expect(await Promise.all(tries)).toEqual(names.map(() => 'done'));
  });

  test('by an exhausted network from which they signed in before', async () => {
    const { url } = await startTestServer({ env: { ...ON, RATE_PER_ADDRESS: '400' } });
    const from = '203.0.113.7';
    await request(url, SIGN_UP, { name: 'ann' }, { 'x-forwarded-for': from });
    const { data } = await request(url, SIGN_UP, { name: 'ben' }, { 'x-forwarded-for': anyAddress() });
    await request(url, SIGN_UP, { name: 'cem' }, { 'x-forwarded-for': anyAddress() });
    for (let i = 0; i < 6; i += 1)
      expect(outcome(await signIn(url, `made-up-${i}`, WRONG, { from }))).toBe('INVALID_CREDENTIALS');
    expect(outcome(await signIn(url, 'cem', PASSWORD, { from }))).toBe('RATE_LIMITED');
    expect(outcome(await signIn(url, 'ann', PASSWORD, { from }))).toBe('done');
    const { deviceToken } = data.signUp;
    expect(outcome(await signIn(url, 'ben', PASSWORD, { from, deviceToken }))).toBe('done');
  });
});

test('a password reset makes its client known and succeeds at once', async () => {
  const { url, node } = await startTestServer({ env: ON });
  await request(url, SIGN_UP, { name: 'ann', email: 'ann@example.org' });
  const { token, hash } = createToken();
  await node.database.query(sql`UPDATE users SET email_verified_at = now()`);
  await node.database.query(sql`
    INSERT INTO mail_tokens (hash, user_id, purpose, email_key, expires_at)
      SELECT ${hash}, id, 'RESET_PASSWORD', email_key, now() + interval '1 hour' FROM users`);
  const from = anyAddress();
  await failUntilLimited(() => signIn(url, 'ann', WRONG, { from }));
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': from },
    body: JSON.stringify({ query: SET_PASSWORD, variables: { token } }),
  });
  expect(await response.json()).toEqual({ data: { resetPassword: { ok: true } } });
  const [cookie = ''] = response.headers.getSetCookie();
  expect(outcome(await signIn(url, 'ann', NEW_PASSWORD, { from }))).toBe('done');
  // The browser stays known in any network, despite failed attempts of others there.
  await failUntilLimited(() => signIn(url, 'ann', WRONG, { from: '198.51.100.1' }));
  const headers = { 'x-forwarded-for': '198.51.100.1', cookie: cookie.split(';')[0] ?? '' };
  expect(outcome(await request(url, SIGN_IN, { name: 'ann', password: NEW_PASSWORD }, headers))).toBe('done');
});

describe('an account attacked from many networks', () => {
  const HOME = '203.0.113.7';
  let url: string;
  let deviceToken: string;
  const outcomes: string[] = [];

  // The tests share one attack, because checking 100 passwords takes seconds.
  beforeAll(async () => {
    ({ url } = await startTestServer({ env: ON, atEnd: afterAll }));
    const { data } = await request(
      url,
      SIGN_UP,
      { name: 'ann', email: 'ann@example.org' },
      { 'x-forwarded-for': HOME },
    );
    ({ deviceToken } = data.signUp as { deviceToken: string });
    for (let round = 0; round < 5; round += 1) {
      const tries = times(30, async (i) => outcome(await signIn(url, i % 2 ? 'ann' : 'ann@example.org')));
      outcomes.push(...(await Promise.all(tries)));
    }
  }, 120_000);

  test('gets 100 password checks for parallel attempts by both names', async () => {
    expect(outcomes.filter((each) => each === 'INVALID_CREDENTIALS')).toHaveLength(100);
    expect(outcomes.filter((each) => each === 'RATE_LIMITED')).toHaveLength(50);
    const refused = await signIn(url, 'ann', PASSWORD);
    expect(outcome(refused)).toBe('RATE_LIMITED');
    expect(refused.errors?.[0]?.message).toMatch(/Sign in from a device or network that you used before/);
    expect(retryAfter(refused)).toBeLessThanOrEqual(15 * 60_000);
  });

  test('still admits its known devices and networks, and no others', async () => {
    const { data } = await request(url, SIGN_UP, { name: 'mallory' }, { 'x-forwarded-for': anyAddress() });
    const foreign = data.signUp.deviceToken as string;
    for (const token of [foreign, `${deviceToken}x`, deviceToken.slice(0, -4), 'x', 'x'.repeat(50_000), '\u0000'])
      expect(outcome(await signIn(url, 'ann', PASSWORD, { deviceToken: token }))).toBe('RATE_LIMITED');
    expect(outcome(await signIn(url, 'ann', PASSWORD, { deviceToken }))).toBe('done');
    expect(outcome(await signIn(url, 'ann@example.org', PASSWORD, { deviceToken }))).toBe('done');
    expect(outcome(await signIn(url, 'ann', PASSWORD, { from: HOME }))).toBe('done');
    // A success of the owner allows attackers no further attempts.
    expect(outcome(await signIn(url, 'ann', WRONG))).toBe('RATE_LIMITED');
    // Attempts with the device cookie are limited as well.
    await failUntilLimited(() => signIn(url, 'ann', WRONG, { deviceToken }));
  });

  test('admits a browser with the cookie of an earlier sign-in', async () => {
    const browse = async (headers: Record<string, string>) => {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ query: SIGN_IN, variables: { name: 'ann', password: PASSWORD, cookie: true } }),
      });
      const cookies = response.headers.getSetCookie();
      return { outcome: outcome((await response.json()) as GraphQLResult), cookies };
    };
    const { cookies } = await browse({ 'x-forwarded-for': HOME });
    const device = cookies.find((cookie) => cookie.startsWith('parley_device=')) ?? '';
    expect(device).toMatch(/; HttpOnly; SameSite=Strict/);
    const [cookie = ''] = device.split(';');
    const elsewhere = { 'x-forwarded-for': anyAddress() };
    expect((await browse(elsewhere)).outcome).toBe('RATE_LIMITED');
    expect((await browse({ ...elsewhere, cookie })).outcome).toBe('done');
    // Pages of other sites cannot use the cookie.
    expect((await browse({ ...elsewhere, cookie, origin: 'https://evil.example.org' })).outcome).toBe('BAD_USER_INPUT');
  });

  test('admits every client again after a quarter of an hour', async () => {
    simulateTime()(15 * 60_000 + 1_000);
    expect(outcome(await signIn(url, 'ann', PASSWORD))).toBe('done');
  });
});

describe('mails', () => {
  const signUpWith = async ({ url }: TestServer, name: string, email: string) => {
    await signUp(url, name).then((person) => person.ask(CHANGE_ADDRESS, { email }));
  };

  test('are limited to three per hour, network, kind and address', async () => {
    const { url } = await startTestServer({ env: ON });
    await request(url, SIGN_UP, { name: 'ann', email: 'ann@example.org' });
    for (const email of ['ann@example.org', 'nobody@example.org']) {
      for (let i = 0; i < 3; i += 1) expect(outcome(await request(url, RESET, { email }))).toBe('done');
      const refused = await request(url, RESET, { email: email.toUpperCase() });
      expect(outcome(refused)).toBe('RATE_LIMITED');
      expect(retryAfter(refused)).toBeGreaterThan(60_000);
    }
  });

  test('are limited to twelve per address over all networks', async () => {
    const { url } = await startTestServer({ env: ON });
    const ask = async (from: string) =>
      outcome(await request(url, RESET, { email: 'ann@example.org' }, { 'x-forwarded-for': from }));
    const networks = times(4, anyAddress);
    for (const from of networks) {
      for (let i = 0; i < 3; i += 1) expect(await ask(from)).toBe('done');
      expect(await ask(from)).toBe('RATE_LIMITED');
    }
    // Refused attempts must not count towards the twelve, or the last networks would have fewer than three.
    expect(await ask(anyAddress())).toBe('RATE_LIMITED');
  });

  test('are requested by identical statements for known and unknown addresses', async () => {
    const server = await startTestServer();
    await request(server.url, SIGN_UP, { name: 'ann', email: 'ann@example.org' });
    const ask = async (email: string) => {
      server.statements();
      expect(outcome(await request(server.url, RESET, { email }))).toBe('done');
      // Filters out the statements of concurrent jobs and polls.
      return server.statements().filter((text) => /add_job|email_key =/.test(text));
    };
    const known = await ask('ann@example.org');
    expect(known).toHaveLength(2);
    expect(await ask('nobody@example.org')).toEqual(known);
  });

  test('of an address are not used up by other users’ attempts', async () => {
    const server = await startTestServer({ env: ON });
    await signUpWith(server, 'dave', 'dave@corp.example');
    const ben = await signUp(server.url, 'ben');
    const codes = [];
    for (const email of ['dave@corp.example', 'ben@corp.example', 'dave@corp.example', 'x@corp.example'])
      codes.push(outcome(await request(server.url, CHANGE_ADDRESS, { email }, bearer(ben))));
    expect(codes).toEqual(['done', 'done', 'done', 'done']);
    for (let i = 0; i < 4; i += 1) {
      const taken = await request(server.url, SIGN_UP, { name: `x${i}x`, email: 'dave@corp.example' });
      expect(outcome(taken)).toBe('RATE_LIMITED');
    }
    const { data } = await signIn(server.url, 'dave', PASSWORD);
    const dave = { authorization: `Bearer ${data.signIn.accessToken as string}` };
    expect(outcome(await request(server.url, 'mutation { requestEmailVerification { ok } }', {}, dave))).toBe('done');
  });

  test('are sent for at most five address changes an hour', async () => {
    const { url } = await startTestServer({ env: ON });
    const ann = await signUp(url, 'ann');
    for (let i = 0; i < 5; i += 1) await ann.ask(CHANGE_ADDRESS, { email: `stranger${i}@example.org` });
    expect(await ann.askForErrorCode(CHANGE_ADDRESS, { email: 'stranger5@example.org' })).toBe('RATE_LIMITED');
    const ben = await signUp(url, 'ben');
    await ben.ask(CHANGE_ADDRESS, { email: 'stranger6@example.org' });
  });
});

test('successful sign-ins are unlimited in development and limited elsewhere', async () => {
  for (const [env, last] of [
    ['development', 'done'],
    ['test', 'RATE_LIMITED'],
  ] as const) {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'on', NODE_ENV: env, RATE_PER_ADDRESS: '600' } });
    await signUp(url, 'ann');
    let result: GraphQLResult = {};
    for (let i = 0; i < 12; i += 1) result = await request(url, SIGN_IN, { name: 'ann', password: PASSWORD });
    expect(outcome(result)).toBe(last);
  }
});

test('sign-ups are unlimited in development', async () => {
  const { url } = await startTestServer({ env: { ...ON, NODE_ENV: 'development', RATE_PER_ADDRESS: '600' } });
  for (let i = 0; i < 10; i += 1) await signUp(url, `user${i}`);
  // Wrong passwords stay limited, so that a developer can test this case in an app.
  await failUntilLimited(() => request(url, SIGN_IN, { name: 'user0', password: WRONG }));
});

describe.skipIf(!hasRedis())('with a Redis (skipped without a redis-server)', () => {
  test('failures count across nodes, and a dead Redis blocks nobody', async () => {
    const redis = await startRedis();
    const one = await startTestServer({ redisUrl: redis.url, env: ON });
    const two = await startTestServer({ redisUrl: redis.url, databaseUrl: one.databaseUrl, env: ON });
    await signUp(one.url, 'ann');
    const from = anyAddress();
    let last = 0;
    // Each node receives half of the attempts.
    await failUntilLimited(() => signIn((last += 1) % 2 ? one.url : two.url, 'ann', WRONG, { from }));
    redis.signal('SIGKILL');
    await expect.poll(async () => outcome(await signIn(two.url, 'ann', PASSWORD, { from }))).toBe('done');
    // Without Redis, each node limits the attempts that it receives.
    await failUntilLimited(() => signIn(two.url, 'ben', WRONG, { from }));
  });
});
