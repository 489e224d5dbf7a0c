import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { pino } from 'pino';
import { openDatabase, sql } from '../src/platform/database/database.ts';
import { pruneMails, queueJob, queueMail, startJobs } from '../src/platform/jobQueue.ts';
import { createMailer } from '../src/platform/mailer.ts';
import { type GraphQLResult, PASSWORD, request } from './support/client.ts';
import { type Mail, type MailServer, startMailServer } from './support/mail.ts';
import { startWithProvider } from './support/openid.ts';
import { startTestServer, type TestServer } from './support/server.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken viewer { user { username } } } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken viewer { emailVerified user { username } } } }`;
const SIGN_IN_WITH = `mutation ($input: SignInWithIdTokenInput!) {
  signInWithIdToken(input: $input) { accessToken viewer { email user { username } } }
}`;
const VERIFY = `mutation ($token: String!) { verifyEmail(input: { token: $token }) { ok } }`;
const ASK_TO_RESET = `mutation ($email: String!) { requestPasswordReset(input: { email: $email }) { ok } }`;
const RESET = `mutation ($token: String!, $password: String!) {
  resetPassword(input: { token: $token, newPassword: $password }) { ok }
}`;
const CHANGE_PASSWORD = `mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { ok } }`;
const UPDATE_PROFILE = `mutation ($input: UpdateProfileInput!) {
  updateProfile(input: $input) { viewer { email emailVerified } }
}`;
const ME = '{ viewer { email emailVerified user { username } } }';
const ANOTHER_PASSWORD = 'another password';

const refusal = ({ errors }: GraphQLResult) => errors?.[0]?.extensions;
const codeOf = (result: GraphQLResult) => refusal(result)?.code;

interface Headers {
  [name: string]: string;
  authorization: string;
}

const headersOf = ({ data, errors }: GraphQLResult): Headers => {
  const payload = Object.values(data ?? {})[0] as { accessToken: string } | null | undefined;
  if (!payload) throw new Error(JSON.stringify(errors));
  return { authorization: `Bearer ${payload.accessToken}` };
};

async function startWithMail(): Promise<{ server: TestServer; url: string; mails: MailServer }> {
  const mails = await startMailServer();
  const server = await startTestServer({ env: { SMTP_URL: mails.smtpUrl } });
  return { server, url: server.url, mails };
}

const signUp = async (url: string, username: string, email?: string) =>
  headersOf(await request(url, SIGN_UP, { input: { username, password: PASSWORD, email } }));
const signIn = (url: string, usernameOrEmail: string, password = PASSWORD) =>
  request(url, SIGN_IN, { input: { usernameOrEmail, password } });
const update = (url: string, input: object, headers: Headers) => request(url, UPDATE_PROFILE, { input }, headers);
const me = async (url: string, headers: Headers) => (await request(url, ME, {}, headers)).data?.viewer;

/** Awaits a request that must succeed. */
async function done(result: Promise<GraphQLResult>): Promise<void> {
  expect((await result).errors).toBeUndefined();
}

/** Signs up with an address and verifies it. */
async function signUpVerified(url: string, mails: MailServer, username: string, email: string): Promise<Headers> {
  const headers = await signUp(url, username, email);
  await done(request(url, VERIFY, { token: (await mails.next()).token }));
  return headers;
}

/** Returns the next `count` mails, by recipient. */
async function take(mails: MailServer, count: number): Promise<Map<string, Mail>> {
  const taken = new Map<string, Mail>();
  for (let i = 0; i < count; i += 1) {
    const mail = await mails.next();
    taken.set(mail.to[0] ?? '', mail);
  }
  return taken;
}

async function untilNothingIsQueued({ node }: TestServer): Promise<void> {
  await expect.poll(() => node.database.query(sql`SELECT FROM graphile_worker.jobs`)).toEqual([]);
}

describe('an unverified address', () => {
  test('belongs to nobody until the first account verifies it', async () => {
    const { url, mails } = await startWithMail();
    await signUp(url, 'mallory', 'ann@example.org');
    const first = await mails.next();
    const ann = await signUp(url, 'ann', 'Ann@example.org');
    const second = await mails.next();
    expect(first.text).toContain('the account "mallory"');

    await done(request(url, VERIFY, { token: second.token }));
    expect((await me(url, ann)).emailVerified).toBe(true);
    expect(codeOf(await request(url, VERIFY, { token: first.token }))).toBe('EMAIL_TAKEN');
    const third = await request(url, SIGN_UP, {
      input: { username: 'carol', email: 'ann@example.org', password: PASSWORD },
    });
    expect(codeOf(third)).toBe('EMAIL_TAKEN');
  });

  test('verified by two accounts at once belongs to exactly one', async () => {
    const { server, url, mails } = await startWithMail();
    const names = ['ann', 'ben', 'carol'];
    for (const name of names) await signUp(url, name, 'shared@example.org');
    const tokens = [await mails.next(), await mails.next(), await mails.next()].map(({ token }) => token);
    const results = await Promise.all(tokens.map((token) => request(url, VERIFY, { token })));
    expect(results.map(codeOf).sort()).toEqual(['EMAIL_TAKEN', 'EMAIL_TAKEN', undefined]);
    expect(await server.node.database.query(sql`SELECT FROM users WHERE email_verified_at IS NOT NULL`)).toHaveLength(
      1,
    );
  });

  test('signs in the oldest account until another account verifies it', async () => {
    const { url, mails } = await startWithMail();
    await signUp(url, 'ann', 'ann@example.org');
    const { token } = await mails.next();
    expect((await signIn(url, 'ANN@example.org')).errors).toBeUndefined();
    await signUp(url, 'mallory', 'ann@example.org');
    const { token: ofMallory } = await mails.next();
    expect((await signIn(url, 'ann@example.org')).data.signIn.viewer.user.username).toBe('ann');
    await done(request(url, VERIFY, { token: ofMallory }));
    expect((await signIn(url, 'ann@example.org')).data.signIn.viewer.user.username).toBe('mallory');
    expect(codeOf(await request(url, VERIFY, { token }))).toBe('EMAIL_TAKEN');
  });

  test('of several accounts receives one reset link for each account', async () => {
    const { server, url, mails } = await startWithMail();
    for (const name of ['mallory', 'ann']) await signUp(url, name, 'ann@example.org');
    await take(mails, 2);
    await done(request(url, ASK_TO_RESET, { email: 'ann@example.org' }));
    const links = [await mails.next(), await mails.next()];
    const tokenOf = (name: string) => links.find(({ text }) => text.includes(`the account "${name}"`))?.token;

    await done(request(url, RESET, { token: tokenOf('ann'), password: ANOTHER_PASSWORD }));
    const { data } = await signIn(url, 'ann@example.org', ANOTHER_PASSWORD);
    expect(data.signIn.viewer).toEqual({ emailVerified: true, user: { username: 'ann' } });
    const late = await request(url, RESET, { token: tokenOf('mallory'), password: ANOTHER_PASSWORD });
    expect(codeOf(late)).toBe('EMAIL_TAKEN');

    // The address is now verified, so the other account no longer receives mails.
    await done(request(url, ASK_TO_RESET, { email: 'ann@example.org' }));
    await untilNothingIsQueued(server);
    expect(mails.received.filter(({ subject }) => subject === 'Set a new password')).toHaveLength(3);
  });

  test('of many accounts receives at most ten links, oldest accounts first', async () => {
    const { server, url, mails } = await startWithMail();
    for (const name of ['ann', 'ben']) await signUp(url, name);
    await server.node.database.query(sql`
      INSERT INTO users (id, username, username_key, nickname, nickname_key, created_at)
        SELECT gen_random_uuid(), 'other' || i, 'other' || i, 'other', 'other', now() + i * interval '1 second'
          FROM generate_series(1, 20) i`);
    await server.node.database.query(sql`UPDATE users SET email = 'ann@example.org', email_key = 'ann@example.org'`);
    await done(request(url, ASK_TO_RESET, { email: 'ann@example.org' }));
    await untilNothingIsQueued(server);
    expect(mails.received).toHaveLength(10);
    expect(mails.received.map(({ text }) => text).join('\n')).toContain('the account "ann"');
  });

  test('is not revealed by a change of address to it', async () => {
    const { url, mails } = await startWithMail();
    await signUpVerified(url, mails, 'dave', 'dave@example.org');
    const bob = await signUp(url, 'bob');
    const answers = [];
    for (const email of ['dave@example.org', 'nobody@example.org']) {
      const { data } = await update(url, { email, currentPassword: PASSWORD }, bob);
      answers.push({ ...data.updateProfile.viewer, email: null });
    }
    expect(answers[0]).toEqual(answers[1]);
  });

  test('linked by a stranger’s OpenID sign-in passes to its owner alone', { timeout: 30_000 }, async () => {
    const mails = await startMailServer();
    const { server, url, provider } = await startWithProvider({ SMTP_URL: mails.smtpUrl });
    const idToken = () => provider.token({ sub: 'attacker', preferred_username: 'att' });
    const attacker = headersOf(await request(url, SIGN_IN_WITH, { input: { idToken: await idToken() } }));
    await done(update(url, { email: 'victim@example.org', idToken: await idToken() }, attacker));
    await mails.next();

    // The owner of the address takes over the prepared account and is then its only user.
    await done(request(url, ASK_TO_RESET, { email: 'victim@example.org' }));
    await done(request(url, RESET, { token: (await mails.next()).token, password: PASSWORD }));
    const victim = headersOf(await signIn(url, 'victim@example.org'));
    expect(await me(url, victim)).toMatchObject({ emailVerified: true, user: { username: 'att' } });
    expect(codeOf(await request(url, ME, {}, attacker))).toBe('UNAUTHENTICATED');
    const again = await request(url, SIGN_IN_WITH, { input: { idToken: await idToken() } });
    expect(again.data.signInWithIdToken.viewer).toEqual({ email: null, user: { username: 'att2' } });
    expect(await server.node.database.query(sql`SELECT FROM push_devices`)).toEqual([]);
  });

  test('does not block an OpenID account whose provider verified the address', async () => {
    const { url, provider } = await startWithProvider();
    await signUp(url, 'mallory', 'ann@example.org');
    const idToken = await provider.token({ email: 'ann@example.org', email_verified: true });
    const { data } = await request(url, SIGN_IN_WITH, { input: { idToken } });
    expect(data.signInWithIdToken.viewer.email).toBe('ann@example.org');
  });
});

describe('changing the address', () => {
  test('requires the current password', async () => {
    const { url } = await startTestServer();
    const ann = await signUp(url, 'ann');
    const email = 'ann@example.org';
    expect(refusal(await update(url, { email }, ann))).toEqual({
      code: 'BAD_USER_INPUT',
      path: ['input', 'currentPassword'],
    });
    expect(codeOf(await update(url, { email, currentPassword: 'wrong password' }, ann))).toBe('INVALID_CREDENTIALS');
    expect((await me(url, ann)).email).toBeNull();
    await done(update(url, { email, currentPassword: PASSWORD }, ann));
    // Setting the current address again is no change. Another spelling and null are changes.
    await done(update(url, { email, bio: 'Hi' }, ann));
    for (const other of ['Ann@example.org', null])
      expect(codeOf(await update(url, { email: other }, ann))).toBe('BAD_USER_INPUT');
  });

  test('requires a fresh ID token in an account without a password', async () => {
    const { url, provider } = await startWithProvider();
    const ann = headersOf(await request(url, SIGN_IN_WITH, { input: { idToken: await provider.token() } }));
    const email = 'ann@example.org';
    expect(refusal(await update(url, { email }, ann))).toEqual({ code: 'BAD_USER_INPUT', path: ['input', 'idToken'] });
    const iat = Math.floor(Date.now() / 1000) - 301;
    for (const idToken of [await provider.token({ iat }), await provider.token({ sub: 'subject 2' }), 'nonsense'])
      expect(codeOf(await update(url, { email, idToken }, ann))).toBe('INVALID_CREDENTIALS');
    expect(codeOf(await update(url, { email, currentPassword: '' }, ann))).toBe('INVALID_CREDENTIALS');
    await done(update(url, { email, idToken: await provider.token() }, ann));
  });

  test('is limited to five times an hour', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'on' } });
    const ann = await signUp(url, 'ann');
    const results = [];
    for (let i = 0; i < 6; i += 1)
      results.push(codeOf(await update(url, { email: `ann${i}@example.org`, currentPassword: PASSWORD }, ann)));
    expect(results).toEqual([undefined, undefined, undefined, undefined, undefined, 'RATE_LIMITED']);
  });

  test('leaves the verified address in use until the new one is verified', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUpVerified(url, mails, 'ann', 'old@example.org');
    await done(update(url, { email: 'new@example.org', currentPassword: PASSWORD }, ann));
    const sent = await take(mails, 2);
    expect(await me(url, ann)).toMatchObject({ email: 'new@example.org', emailVerified: false });
    expect((await signIn(url, 'old@example.org')).errors).toBeUndefined();
    expect(codeOf(await signIn(url, 'new@example.org'))).toBe('INVALID_CREDENTIALS');
    const taken = await request(url, SIGN_UP, {
      input: { username: 'ben', email: 'old@example.org', password: PASSWORD },
    });
    expect(codeOf(taken)).toBe('EMAIL_TAKEN');

    await done(request(url, VERIFY, { token: sent.get('new@example.org')?.token ?? '' }));
    expect(await me(url, ann)).toMatchObject({ email: 'new@example.org', emailVerified: true });
    expect((await signIn(url, 'new@example.org')).errors).toBeUndefined();
    expect(codeOf(await signIn(url, 'old@example.org'))).toBe('INVALID_CREDENTIALS');
  });

  test('is cancelled by a password reset through the verified address', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUpVerified(url, mails, 'ann', 'old@example.org');
    await done(update(url, { email: 'thief@example.org', currentPassword: PASSWORD }, ann));
    const sent = await take(mails, 2);
    await done(request(url, ASK_TO_RESET, { email: 'old@example.org' }));
    const reset = await mails.next();
    expect(reset.to).toEqual(['old@example.org']);
    await done(request(url, RESET, { token: reset.token, password: ANOTHER_PASSWORD }));
    expect(codeOf(await request(url, VERIFY, { token: sent.get('thief@example.org')?.token ?? '' }))).toBe(
      'BAD_USER_INPUT',
    );
    const owner = headersOf(await signIn(url, 'old@example.org', ANOTHER_PASSWORD));
    expect(await me(url, owner)).toMatchObject({ email: 'old@example.org', emailVerified: true });
  });

  test('notifies the former verified address, whose link undoes the change', async () => {
    const { url, mails } = await startWithMail();
    const thief = await signUpVerified(url, mails, 'ann', 'Old@example.org');
    await done(update(url, { email: 'thief@example.org', currentPassword: PASSWORD }, thief));
    const sent = await take(mails, 2);
    const notice = sent.get('Old@example.org');
    expect(notice?.subject).toBe('Your e-mail address was changed');
    expect(notice?.text).not.toContain('thief@');
    await done(request(url, VERIFY, { token: sent.get('thief@example.org')?.token ?? '' }));
    // The thief changes the address again. The address that the thief verified before receives its own link.
    await done(update(url, { email: 'thief2@example.org', currentPassword: PASSWORD }, thief));
    const later = await take(mails, 2);

    await done(request(url, VERIFY, { token: notice?.token ?? '' }));
    expect(codeOf(await request(url, ME, {}, thief))).toBe('UNAUTHENTICATED');
    const reset = await mails.next();
    expect(reset).toMatchObject({ to: ['Old@example.org'], subject: 'Set a new password' });
    // The thief knew the password, so it is void even before the owner opens the second link.
    expect(codeOf(await signIn(url, 'ann'))).toBe('INVALID_CREDENTIALS');
    for (const { token } of [notice, ...later.values()].map((mail) => mail ?? { token: '' }))
      expect(codeOf(await request(url, VERIFY, { token }))).toBe('BAD_USER_INPUT');
    await done(request(url, RESET, { token: reset.token, password: ANOTHER_PASSWORD }));
    const owner = headersOf(await signIn(url, 'old@example.org', ANOTHER_PASSWORD));
    expect(await me(url, owner)).toMatchObject({ email: 'Old@example.org', emailVerified: true });
  });

  test('invalidates earlier links, also for an address that is restored', async () => {
    const { url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'a@example.org');
    const verify = await mails.next();
    await done(request(url, ASK_TO_RESET, { email: 'a@example.org' }));
    const reset = await mails.next();
    for (const email of ['b@example.org', 'a@example.org']) {
      await done(update(url, { email, currentPassword: PASSWORD }, ann));
      await mails.next();
    }
    expect(codeOf(await request(url, VERIFY, { token: verify.token }))).toBe('BAD_USER_INPUT');
    const result = await request(url, RESET, { token: reset.token, password: ANOTHER_PASSWORD });
    expect(codeOf(result)).toBe('BAD_USER_INPUT');
  });

  test('a password change is notified to the verified address', async () => {
    const { server, url, mails } = await startWithMail();
    const ann = await signUp(url, 'ann', 'ann@example.org');
    const { token } = await mails.next();
    const change = (currentPassword: string, newPassword: string) =>
      done(request(url, CHANGE_PASSWORD, { input: { currentPassword, newPassword } }, ann));
    await change(PASSWORD, ANOTHER_PASSWORD);
    await untilNothingIsQueued(server);
    expect(mails.received).toHaveLength(1);
    await done(request(url, VERIFY, { token }));
    await change(ANOTHER_PASSWORD, PASSWORD);
    expect(await mails.next()).toMatchObject({ to: ['ann@example.org'], subject: 'Your password was changed' });
  });
});

describe('the mail queue', () => {
  test('delays no other job while the mail server hangs', { timeout: 30_000 }, async () => {
    const sockets = new Set<Socket>();
    // Accepts connections but never sends a greeting.
    const hung = createServer((socket) => sockets.add(socket.on('error', () => undefined)));
    hung.listen(0, '127.0.0.1');
    await once(hung, 'listening');
    onTestFinished(() => {
      hung.close();
      for (const socket of sockets) socket.destroy();
    });
    const { port } = hung.address() as AddressInfo;
    const { node, url } = await startTestServer({ env: { SMTP_URL: `smtp://127.0.0.1:${port}` } });
    for (const name of ['ann', 'ben', 'carol', 'dave']) await signUp(url, name, `${name}@example.org`);
    await expect.poll(() => sockets.size).toBe(2);
    await node.database.query(sql`SELECT graphile_worker.add_job('prune', '{}')`);
    const waiting = () => node.database.query(sql`SELECT FROM graphile_worker.jobs WHERE task_identifier = 'prune'`);
    await expect.poll(waiting).toEqual([]);
    const locked = () =>
      node.database.query(sql`
        SELECT FROM graphile_worker.jobs WHERE task_identifier = 'send_mail' AND last_error ~* 'greeting|timeout'`);
    expect(await locked()).toEqual([]);
    // A mail fails after 10 s without a greeting, and is retried later. The timeouts of the greeting and of the socket are
    // equal, and either may be the first.
    await expect.poll(locked, { timeout: 15_000 }).not.toEqual([]);
  });

  test('waits for a node that can send mail', async () => {
    const { server, mails } = await startWithMail();
    const { databaseUrl } = server;
    await server.node.database.query(sql`
      INSERT INTO users (username, username_key, nickname, nickname_key, email, email_key)
        VALUES ('ann', 'ann', 'ann', 'ann', 'ann@example.org', 'ann@example.org')`);
    await server.stop();
    const log = pino({ level: 'silent' });
    // `createMailer` returns null in production without SMTP_URL.
    expect(createMailer({ smtpUrl: undefined, from: 'parley@example.org', prints: false, log })).toBeNull();
    const ran: string[] = [];
    const idle = () => Promise.resolve();
    const stopJobs = await startJobs({
      ...{ databaseUrl, log, isPeriodic: true, onRun: (task) => ran.push(task) },
      tasks: {
        ...{ clear_chatroom: idle, delete_account: idle, end_sessions: idle },
        ...{ prune: idle, push_message: idle, push_device: idle, preview_links: idle },
      },
    });
    const database = await openDatabase(databaseUrl, { poolSize: 1 });
    const [ann] = await database.query<{ id: string }>(sql`SELECT id FROM users`);
    await queueMail(database.query, { userId: ann?.id ?? '', purpose: 'VERIFY_EMAIL' });
    await queueJob(database.query, 'prune', {});
    await expect.poll(() => ran).toEqual(['prune']);
    await stopJobs();
    // Only a mail that has waited for 48 hours is dropped.
    await pruneMails(database);
    const waiting = () => database.query(sql`SELECT FROM graphile_worker.jobs`);
    expect(await waiting()).toHaveLength(1);

    await startTestServer({ databaseUrl, env: { SMTP_URL: mails.smtpUrl } });
    expect((await mails.next()).to).toEqual(['ann@example.org']);
    await expect.poll(waiting).toEqual([]);
    await database.close();
  });

  test('drops a mail that no node could send for 48 hours', async () => {
    const { node } = await startTestServer();
    await node.database.query(sql`
      SELECT graphile_worker.add_job('send_mail', '{}', run_at => now() + interval '1 hour')`);
    const waiting = () => node.database.query(sql`SELECT FROM graphile_worker.jobs`);
    await node.database.query(sql`UPDATE graphile_worker._private_jobs SET created_at = now() - interval '47 hours'`);
    await pruneMails(node.database);
    expect(await waiting()).toHaveLength(1);
    await node.database.query(sql`UPDATE graphile_worker._private_jobs SET created_at = now() - interval '49 hours'`);
    await pruneMails(node.database);
    expect(await waiting()).toEqual([]);
  });
});
