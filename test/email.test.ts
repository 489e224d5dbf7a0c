import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../src/core/config/config.ts';
import { sql } from '../src/platform/database/database.ts';
import { startServer } from '../src/server/httpServer.ts';
import { connect, type GraphQLResult, PASSWORD, request } from './support/client.ts';
import { type Mail, type MailServer, startMailServer } from './support/mail.ts';
import { AUTH_SECRET, createTestDatabase, startTestServer, type TestServer } from './support/server.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken viewer { emailVerified } } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { viewer { emailVerified } } }`;
const VERIFY = `mutation ($token: String!) { verifyEmail(input: { token: $token }) { ok } }`;
const ASK_TO_VERIFY = `mutation { requestEmailVerification { ok } }`;
const ASK_TO_RESET = `mutation ($email: String!) { requestPasswordReset(input: { email: $email }) { ok } }`;
const RESET = `mutation ($token: String!, $password: String!) {
  resetPassword(input: { token: $token, newPassword: $password }) { ok }
}`;
const UPDATE_PROFILE = `mutation ($input: UpdateProfileInput!) {
  updateProfile(input: $input) { viewer { email emailVerified } }
}`;
const ME = `{ viewer { email emailVerified } }`;

const codes = ({ errors }: GraphQLResult) => errors?.map((error) => error.extensions.code);

/** Starts a node and the mail server that it sends through. */
async function startWithMail(): Promise<{ server: TestServer; url: string; mails: MailServer }> {
  const mails = await startMailServer();
  const server = await startTestServer({ env: { SMTP_URL: mails.smtpUrl } });
  return { server, url: server.url, mails };
}

/** Creates an account with an address. Returns its authorization header. */
async function signUp(url: string, username: string, email?: string): Promise<{ authorization: string }> {
  const { data, errors } = await request(url, SIGN_UP, { input: { username, password: PASSWORD, email } });
  if (!data) throw new Error(JSON.stringify(errors));
  return { authorization: `Bearer ${data.signUp.accessToken}` };
}

const signIn = (url: string, usernameOrEmail: string, password: string) =>
  request(url, SIGN_IN, { input: { usernameOrEmail, password } });

/** Returns everything that is stored, as one text: the tables of the server and of its queue. */
async function dump({ node }: TestServer): Promise<string> {
  const tables = await node.database.query<{ name: string; content: string }>(sql`
    SELECT table_name AS name, query_to_xml(format('SELECT * FROM %I.%I', table_schema, table_name), true, true, '')::text AS content
      FROM information_schema.tables WHERE table_schema IN ('public', 'graphile_worker')`);
  expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['mail_tokens', '_private_jobs']));
  return tables.map(({ content }) => content).join('\n');
}

/** Encodings in which the dump could contain a token. */
function spellings(token: string): string[] {
  return [Buffer.from(token), Buffer.from(token, 'base64url')]
    .flatMap((bytes) => [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')])
    .concat(token);
}

/** Waits until the queue is empty, and therefore all mails are sent. */
async function untilNothingIsQueued({ node }: TestServer): Promise<void> {
  await expect.poll(() => node.database.query(sql`SELECT FROM graphile_worker.jobs`)).toEqual([]);
}

describe('verifying an address', () => {
  test('sign-up with an address mails a token that verifies it once', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'Ann@example.org');
    expect((await request(url, ME, {}, ann)).data.viewer).toEqual({ email: 'Ann@example.org', emailVerified: false });

    const mail = await mails.next();
    expect(mail).toMatchObject({ from: 'parley@localhost.localdomain', to: ['Ann@example.org'] });
    expect(mail.subject).toBe('Confirm your e-mail address');
    expect(mail.text).toContain('Hello ann,');
    expect(mail.text).toContain(`/?verifyEmail=${mail.token}\n`);
    expect(mail.text).toContain('within 48 hours');

    expect(await request(url, VERIFY, { token: mail.token })).toEqual({ data: { verifyEmail: { ok: true } } });
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(true);

    expect(codes(await request(url, VERIFY, { token: mail.token }))).toEqual(['BAD_USER_INPUT']);
    expect(codes(await request(url, VERIFY, { token: mail.token }, ann))).toEqual(['BAD_USER_INPUT']);
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(true);
  });

  test('succeeds by token alone, regardless of the current session', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    const { token } = await mails.next();
    const ben = await signUp(url, 'ben', 'ben@example.org');
    const { token: bens } = await mails.next();

    expect((await request(url, VERIFY, { token }, ben)).errors).toBeUndefined();
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(true);
    expect((await request(url, ME, {}, ben)).data.viewer.emailVerified).toBe(false);
    expect((await request(url, VERIFY, { token: ` ${bens}\n` }, ben)).errors).toBeUndefined();
    expect((await request(url, ME, {}, ben)).data.viewer.emailVerified).toBe(true);
  });

  test('with one token in parallel requests succeeds once', async () => {
    const { url, mails } = await startWithMail();
    await signUp(url, 'ann', 'ann@example.org');
    const { token } = await mails.next();
    const results = await Promise.all(Array.from({ length: 20 }, () => request(url, VERIFY, { token })));
    expect(results.filter(({ errors }) => !errors)).toHaveLength(1);
    expect(new Set(results.flatMap((result) => codes(result) ?? []))).toEqual(new Set(['BAD_USER_INPUT']));
  });

  test.each(['', 'nonsense', 'é\u0000', 'x'.repeat(5_000)])('%j is no token', async (token) => {
    const { url } = await startTestServer();
    for (const query of [VERIFY, RESET]) {
      const { errors } = await request(url, query, { token, password: PASSWORD });
      expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', path: ['input', 'token'] });
    }
  });

  test('rejects password tokens, and resets reject verification tokens', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    const { token: verify } = await mails.next();
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    const { token: reset } = await mails.next();
    expect(codes(await request(url, VERIFY, { token: reset }))).toEqual(['BAD_USER_INPUT']);
    expect(codes(await request(url, RESET, { token: verify, password: 'another password' }))).toEqual([
      'BAD_USER_INPUT',
    ]);
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(false);
    expect((await signIn(url, 'ann', PASSWORD)).errors).toBeUndefined();
    // Neither refusal used up its token.
    expect((await request(url, VERIFY, { token: verify })).errors).toBeUndefined();
    expect((await request(url, RESET, { token: reset, password: 'another password' })).errors).toBeUndefined();
  });

  test('applies to the address of the token, not to its successor', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'old@example.org');
    const first = await mails.next();
    await request(url, ASK_TO_VERIFY, {}, ann);
    const second = await mails.next();
    await request(url, ASK_TO_RESET, { email: 'old@example.org' });
    const reset = await mails.next();
    expect((await request(url, VERIFY, { token: first.token })).errors).toBeUndefined();

    const input = { email: 'new@example.org', currentPassword: PASSWORD };
    const { data } = await request(url, UPDATE_PROFILE, { input }, ann);
    expect(data.updateProfile.viewer).toEqual({ email: 'new@example.org', emailVerified: false });
    const changed = [await mails.next(), await mails.next()];
    const third = changed.find(({ to }) => to[0] === 'new@example.org');
    expect(changed.find(({ to }) => to[0] === 'old@example.org')?.subject).toBe('Your e-mail address was changed');
    if (!third) throw new Error('The new address was sent no mail.');

    expect(codes(await request(url, VERIFY, { token: second.token }))).toEqual(['BAD_USER_INPUT']);
    expect(codes(await request(url, RESET, { token: reset.token, password: 'another password' }))).toEqual([
      'BAD_USER_INPUT',
    ]);
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(false);
    expect((await signIn(url, 'ann', PASSWORD)).errors).toBeUndefined();

    expect((await request(url, VERIFY, { token: third.token })).errors).toBeUndefined();
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(true);
  });

  test.each(['eve,ann@example.org', 'eve<ann@example.org>', '(eve)ann@example.org', 'ann@example.org;eve.example.org'])(
    'an address that mail servers would read differently is refused (%s)',
    async (email) => {
      const { url } = await startTestServer();
      const { errors } = await request(url, SIGN_UP, { input: { username: 'ann', password: PASSWORD, email } });
      expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', path: ['input', 'email'] });
    },
  );

  test('is unaffected by other profile changes', async () => {
    const { server, url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    await request(url, VERIFY, { token: (await mails.next()).token });
    for (const input of [{ bio: 'Me' }, { email: 'ann@example.org' }]) {
      const { data } = await request(url, UPDATE_PROFILE, { input }, ann);
      expect(data.updateProfile.viewer).toEqual({ email: 'ann@example.org', emailVerified: true });
    }
    await untilNothingIsQueued(server);
    expect(mails.received).toHaveLength(1);
  });

  test('can be requested again while an address is unverified', async () => {
    const { url, mails } = await startWithMail();
    expect(codes(await request(url, ASK_TO_VERIFY))).toEqual(['UNAUTHENTICATED']);
    const ann = await signUp(url, 'ann');
    expect(codes(await request(url, ASK_TO_VERIFY, {}, ann))).toEqual(['BAD_USER_INPUT']);

    await request(url, UPDATE_PROFILE, { input: { email: 'ann@example.org', currentPassword: PASSWORD } }, ann);
    const first = await mails.next();
    expect(await request(url, ASK_TO_VERIFY, {}, ann)).toEqual({ data: { requestEmailVerification: { ok: true } } });
    const second = await mails.next();
    expect(second.to).toEqual(['ann@example.org']);
    expect(second.token).not.toBe(first.token);

    expect((await request(url, VERIFY, { token: second.token })).errors).toBeUndefined();
    expect(codes(await request(url, ASK_TO_VERIFY, {}, ann))).toEqual(['CONFLICT']);
  });
});

describe('resetting a password', () => {
  test('responds identically for an unknown address, and mails only known ones', async () => {
    const { server, url, mails } = await startWithMail();
    await signUp(url, 'ann', 'ann@example.org');
    await mails.next();
    const answers = [];
    for (const email of ['nobody@example.org', 'nonsense', '', 'ann@example.org\u0000', ' ANN@example.org '])
      answers.push(await request(url, ASK_TO_RESET, { email }));
    for (const answer of answers) expect(answer).toEqual({ data: { requestPasswordReset: { ok: true } } });

    const mail = await mails.next();
    expect(mail).toMatchObject({ to: ['ann@example.org'], subject: 'Set a new password' });
    expect(mail.text).toContain(`/?resetPassword=${mail.token}\n`);
    expect(mail.text).toContain('within an hour');
    await untilNothingIsQueued(server);
    expect(mails.received).toHaveLength(2);
  });

  test('sets the password once, verifies the address and ends every session', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    const socket = connect(url, ann.authorization.replace('Bearer ', ''));
    expect((await socket.ask(ME)).data.viewer.emailVerified).toBe(false);
    await mails.next();
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    const { token } = await mails.next();
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    const { token: other } = await mails.next();

    expect(await request(url, RESET, { token, password: 'another password' })).toEqual({
      data: { resetPassword: { ok: true } },
    });
    expect(await socket.closed).toBe(4401);
    expect(codes(await request(url, ME, {}, ann))).toEqual(['UNAUTHENTICATED']);
    expect(codes(await signIn(url, 'ann', PASSWORD))).toEqual(['INVALID_CREDENTIALS']);
    const { data } = await signIn(url, 'ann', 'another password');
    expect(data.signIn.viewer.emailVerified).toBe(true);

    for (const used of [token, other]) {
      const result = await request(url, RESET, { token: used, password: 'a third password' });
      expect(codes(result)).toEqual(['BAD_USER_INPUT']);
    }
    expect((await signIn(url, 'ann', 'another password')).errors).toBeUndefined();
  });

  test('does not consume the token if the password is too short', async () => {
    const { url, mails } = await startWithMail();
    await signUp(url, 'ann', 'ann@example.org');
    await mails.next();
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    const { token } = await mails.next();
    const { errors } = await request(url, RESET, { token, password: '1234567' });
    expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', path: ['input', 'newPassword'] });
    expect((await signIn(url, 'ann', PASSWORD)).errors).toBeUndefined();
    expect((await request(url, RESET, { token, password: '12345678' })).errors).toBeUndefined();
    expect((await signIn(url, 'ann', '12345678')).errors).toBeUndefined();
  });

  test('is refused for a mail older than the last password change', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    await mails.next();
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    const { token } = await mails.next();
    const CHANGE = `mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { ok } }`;
    const input = { currentPassword: PASSWORD, newPassword: 'another password' };
    expect((await request(url, CHANGE, { input }, ann)).errors).toBeUndefined();
    expect(codes(await request(url, RESET, { token, password: 'a third password' }))).toEqual(['BAD_USER_INPUT']);
    expect((await signIn(url, 'ann', 'another password')).errors).toBeUndefined();
  });
});

describe('tokens', () => {
  test('expire', async () => {
    const { server, url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    const { token: verify } = await mails.next();
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    const { token: reset } = await mails.next();
    const lifetimes = await server.node.database.query<{ hours: number }>(sql`
      SELECT round(extract(epoch FROM expires_at - now()) / 3600)::int AS hours FROM mail_tokens ORDER BY expires_at`);
    expect(lifetimes).toEqual([{ hours: 1 }, { hours: 48 }]);

    await server.node.database.query(sql`UPDATE mail_tokens SET expires_at = now() - interval '1 second'`);
    expect(codes(await request(url, VERIFY, { token: verify }))).toEqual(['BAD_USER_INPUT']);
    expect(codes(await request(url, RESET, { token: reset, password: 'another password' }))).toEqual([
      'BAD_USER_INPUT',
    ]);
    expect((await request(url, ME, {}, ann)).data.viewer.emailVerified).toBe(false);
    expect((await signIn(url, 'ann', PASSWORD)).errors).toBeUndefined();
  });

  test('are stored only as hashes', async () => {
    const { server, url, mails } = await startWithMail();
    await signUp(url, 'ann', 'ann@example.org');
    const tokens = [(await mails.next()).token];
    await request(url, ASK_TO_RESET, { email: 'ann@example.org' });
    tokens.push((await mails.next()).token);
    const stored = await dump(server);
    // The dump would contain the tokens if they were stored, because it contains the address.
    expect(stored).toContain('ann@example.org');
    for (const token of tokens) {
      expect(token).toMatch(/^[\w-]{43}$/);
      for (const spelling of spellings(token)) expect(stored).not.toContain(spelling);
    }
  });
});

describe('the mail server', () => {
  test('is retried after a refusal, with no token in the queue', { timeout: 60_000 }, async () => {
    const refused: Mail[] = [];
    const mails = await startMailServer((mail) => {
      if (refused.push(mail) > 1) return null;
      return Object.assign(new Error('Try again later'), { responseCode: 451 });
    });
    const server = await startTestServer({ env: { SMTP_URL: mails.smtpUrl } });
    const ann = await signUp(server.url, 'ann', 'ann@example.org');
    // The queue stores the last error with the job.
    const { database } = server.node;
    await expect
      .poll(() => database.query(sql`SELECT FROM graphile_worker.jobs WHERE attempts = 1 AND last_error LIKE '%451%'`))
      .toHaveLength(1);
    const [first] = refused;
    const stored = await dump(server);
    for (const spelling of spellings(first?.token ?? '')) expect(stored).not.toContain(spelling);

    const second = await mails.next();
    expect(second.to).toEqual(['ann@example.org']);
    expect(second.token).not.toBe(first?.token);
    expect((await request(server.url, VERIFY, { token: second.token })).errors).toBeUndefined();
    expect((await request(server.url, ME, {}, ann)).data.viewer.emailVerified).toBe(true);
    await untilNothingIsQueued(server);
    expect(mails.received).toHaveLength(1);
  });

  test('receives mails with the configured sender and links', async () => {
    const mails = await startMailServer();
    const env = { SMTP_URL: mails.smtpUrl, MAIL_FROM: 'chat@example.org', PUBLIC_URL: 'https://chat.example.org/' };
    const { url } = await startTestServer({ env });
    const input = { username: 'ann', nickname: 'Änne & Söhne', password: PASSWORD, email: 'ann@example.org' };
    await request(url, SIGN_UP, { input });
    const mail = await mails.next();
    expect(mail.from).toBe('chat@example.org');
    expect(mail.text).toContain('Hello ann,');
    expect(Buffer.from(mail.text, 'latin1').toString()).not.toContain('Söhne');
    expect(mail.text).toContain(`\nhttps://chat.example.org/?verifyEmail=${mail.token}\n`);
  });

  test('is optional: without one, mails are printed to the log', async () => {
    const lines: { mail?: { to: string; subject: string; text: string } }[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) });
    const config = parseConfig({
      PORT: '0',
      HOST: '127.0.0.1',
      NODE_ENV: 'test',
      PUBLIC_URL: 'https://chat.example.org',
    });
    const server = await startServer(config, {
      databaseUrl: await createTestDatabase(),
      authSecret: AUTH_SECRET,
      log,
    });
    onTestFinished(() => server.stop(), 60_000);
    const ann = await signUp(server.url, 'ann', 'ann@example.org');
    await expect.poll(() => lines.filter(({ mail }) => mail)).toHaveLength(1);
    const { mail } = lines.find((line) => line.mail) ?? {};
    expect(mail).toMatchObject({ to: 'ann@example.org', subject: 'Confirm your e-mail address' });
    const [, token] = /^https:\/\/chat\.example\.org\/\?verifyEmail=(\S+)$/m.exec(mail?.text ?? '') ?? [];
    expect((await request(server.url, VERIFY, { token })).errors).toBeUndefined();
    expect((await request(server.url, ME, {}, ann)).data.viewer.emailVerified).toBe(true);
  });
});
