import { exportSPKI, SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { ConfigError, parseConfig } from '../src/core/config/config.ts';
import { sql } from '../src/platform/database/database.ts';
import { connect, PASSWORD, request, signUp } from './support/client.ts';
import {
  AUDIENCE,
  claims,
  codes,
  generateKey,
  type Provider,
  SIGN_IN_WITH,
  signedIn,
  signInWith,
  startProvider,
  startWithProvider,
} from './support/openid.ts';
import { startTestServer, type TestServer } from './support/server.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { viewer { user { id } } } }`;
const CHANGE_PASSWORD = `mutation ($input: ChangePasswordInput!) { changePassword(input: $input) { ok } }`;
const DELETE_ACCOUNT = `mutation ($input: DeleteAccountInput!) { deleteAccount(input: $input) { ok } }`;
const ME = `{ viewer { user { id username } } }`;

async function countUsers({ node }: TestServer): Promise<number> {
  return node.database.prisma.user.count();
}

describe('signing in by an ID token', () => {
  test('creates an account once and finds it later', async () => {
    const { server, url, provider } = await startWithProvider();
    const first = await signInWith(url, await provider.token());
    expect(first.data.signInWithIdToken).toMatchObject({
      accessToken: expect.stringMatching(/^ey/),
      refreshToken: expect.any(String),
      viewer: { email: null, emailVerified: false, user: { username: 'ann', nickname: 'ann' } },
    });
    const { user } = first.data.signInWithIdToken.viewer;

    // Later changes of the provider's claims have no effect.
    const again = await signedIn(url, await provider.token({ preferred_username: 'anna' }));
    expect(again.user).toEqual(user);
    expect((await request(url, ME, {}, again.headers)).data.viewer.user.id).toBe(user.id);
    expect(await countUsers(server)).toBe(1);
  });

  test('copies a valid `name` to the nickname of new accounts only', async () => {
    const { url, provider } = await startWithProvider();
    const nicknameOf = async (sub: string, name: unknown) =>
      (await signedIn(url, await provider.token({ sub, preferred_username: sub, name, picture: 'https://x/y.png' })))
        .user.nickname;
    expect(await nicknameOf('berta', ' Berta Bär ')).toBe('Berta Bär');
    expect(await nicknameOf('berta', 'Berta Fuchs')).toBe('Berta Bär');
    expect(await nicknameOf('carla', 'x'.repeat(100))).toBe('x'.repeat(64));
    const refused = ['', 'two\nlines', '\u202eevil', '\u200b', 'a\0'];
    for (const [i, name] of refused.entries()) expect(await nicknameOf(`dora${i}`, name)).toBe(`dora${i}`);
  });

  test('ten times in parallel for a new identity creates one account', async () => {
    const { server, url, provider } = await startWithProvider();
    // Repeats with several names, because the first ten requests wait for keys and connections and do not overlap.
    const names = ['ann', 'ben', 'chloe', 'dora', 'emil'];
    for (const name of names) {
      const idToken = await provider.token({ sub: name, preferred_username: name });
      const people = await Promise.all(Array.from({ length: 10 }, () => signedIn(url, idToken)));
      expect(new Set(people.map(({ user }) => user.id)).size).toBe(1);
      expect(people[0]?.user.username).toBe(name);
    }
    expect(await countUsers(server)).toBe(names.length);
  });

  test('separates identities with one subject by their provider', async () => {
    const first = await startWithProvider();
    const provider = await startProvider();
    const second = await startTestServer({
      databaseUrl: first.server.databaseUrl,
      env: { OIDC_ISSUER: provider.issuer, OIDC_AUDIENCE: AUDIENCE },
    });
    const ann = await signedIn(first.url, await first.provider.token());
    const other = await signedIn(second.url, await provider.token());
    expect(other.user.id).not.toBe(ann.user.id);
  });

  test('with cookie: true over a WebSocket creates no account', async () => {
    const { server, url, provider } = await startWithProvider();
    const input = { idToken: await provider.token(), cookie: true };
    expect(codes(await connect(url).ask(SIGN_IN_WITH, { input }))).toEqual(['BAD_USER_INPUT']);
    expect(await countUsers(server)).toBe(0);
  });
});

describe('the name of a new account', () => {
  test('gets a number if it is taken', async () => {
    const { url, provider } = await startWithProvider();
    await signUp(url, 'ANN');
    const names = [];
    for (const sub of ['subject 1', 'subject 2'])
      names.push((await signedIn(url, await provider.token({ sub }))).user.username);
    expect(names).toEqual(['ann2', 'ann3']);
  });

  test('is unique for each of ten parallel sign-ins', async () => {
    const { url, provider } = await startWithProvider();
    const tokens = await Promise.all(Array.from({ length: 10 }, (_, i) => provider.token({ sub: `subject ${i}` })));
    const people = await Promise.all(tokens.map((token) => signedIn(url, token)));
    expect(people.map(({ user }) => user.username).sort()).toEqual(
      ['ann', ...Array.from({ length: 9 }, (_, i) => `ann${i + 2}`)].sort(),
    );
  });

  test.each([
    ['the nickname claim', { nickname: 'annie' }, 'annie'],
    ['the e-mail address', { email: 'ann.smith@example.org' }, 'ann.smith'],
    ['the name claim', { name: 'Ann Smith' }, 'AnnSmith'],
    ['the valid characters of a long claim', { preferred_username: `${'ann/'.repeat(20)}` }, 'ann'.repeat(8)],
    ['the next claim if one is too short', { preferred_username: 'a!', name: 'Ann' }, 'Ann'],
    ['nothing without claims', {}, 'user2'],
  ])('is derived from %s', async (_, said, username) => {
    const { url, provider } = await startWithProvider();
    const idToken = await provider.token({ preferred_username: undefined, ...said });
    expect((await signedIn(url, idToken)).user.username).toBe(username);
  });

  test('is the requested name unless it is invalid or taken', async () => {
    const { server, url, provider } = await startWithProvider();
    await signUp(url, 'ben');
    const idToken = await provider.token();
    const bad = await signInWith(url, idToken, { username: 'b' });
    expect(bad.errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', path: ['input', 'username'] });
    expect(codes(await signInWith(url, idToken, { username: 'BEN' }))).toEqual(['USERNAME_TAKEN']);
    expect(await countUsers(server)).toBe(1);

    const { user } = await signedIn(url, idToken, { username: 'Chloe' });
    expect(user.username).toBe('Chloe');
    // The requested name only applies to a new account.
    expect((await signedIn(url, idToken, { username: 'dora' })).user).toEqual(user);
    expect((await signedIn(url, idToken, { username: 'ben' })).user).toEqual(user);
  });
});

describe('the address of a new account', () => {
  test.each([true, 'true'])('is verified if the provider verified it (%j)', async (said) => {
    const { url, provider } = await startWithProvider();
    const idToken = await provider.token({ email: 'Ann@example.org', email_verified: said });
    expect(await signedIn(url, idToken)).toMatchObject({ email: 'Ann@example.org', emailVerified: true });
  });

  test.each([false, undefined])('is absent if the provider did not verify it (%j)', async (said) => {
    const { url, provider } = await startWithProvider();
    const idToken = await provider.token({ email: 'ann@example.org', email_verified: said });
    expect(await signedIn(url, idToken)).toMatchObject({ email: null, emailVerified: false });
  });

  test('is absent if another account has verified it', async () => {
    const { server, url, provider } = await startWithProvider();
    const { data } = await request(url, SIGN_UP, {
      input: { username: 'ann', password: PASSWORD, email: 'ANN@example.org' },
    });
    const headers = { authorization: `Bearer ${data.signUp.accessToken}` };
    const ann = (await request(url, ME, {}, headers)).data.viewer.user;
    await server.node.database.query(sql`UPDATE users SET email_verified_at = now()`);
    const other = await signedIn(url, await provider.token({ email: 'ann@example.org', email_verified: true }));
    expect(other).toMatchObject({ email: null, emailVerified: false, user: { username: 'ann2' } });
    expect(other.user.id).not.toBe(ann.id);
    expect(await countUsers(server)).toBe(2);
  });

  test('is absent if another account verifies it concurrently', async () => {
    const { server, url, provider } = await startWithProvider();
    const { database } = server.node;
    const idToken = await provider.token({ email: 'ann@example.org', email_verified: true });
    // Another transaction has verified the address but not committed when the identity arrives with it.
    const signingIn = await database.transaction(async (query) => {
      await query(sql`
        INSERT INTO users (username, username_key, nickname, nickname_key, email, email_key, email_verified_at)
          VALUES ('ben', 'ben', 'ben', 'ben', 'ann@example.org', 'ann@example.org', now())`);
      const answer = signInWith(url, idToken, { username: 'Ann' });
      const waiting = sql`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await expect.poll(() => database.query(waiting)).toHaveLength(1);
      return { answer };
    });
    const { data, errors } = await signingIn.answer;
    expect(errors).toBeUndefined();
    expect(data.signInWithIdToken.viewer).toMatchObject({ email: null, user: { username: 'Ann' } });
  });
});

describe('invalid ID tokens', () => {
  const HOUR = 3_600;
  const now = () => Math.floor(Date.now() / 1000);
  const cases: [string, (provider: Provider) => Promise<string> | string][] = [
    ['an arbitrary text', () => 'nonsense'],
    ['an empty text', () => ''],
    ['a token of another issuer', (provider) => provider.token({ iss: 'https://accounts.example.org' })],
    ['a token whose issuer has an extra slash', (provider) => provider.token({ iss: `${provider.issuer}/` })],
    ['a token for another audience', (provider) => provider.token({ aud: 'another' })],
    [
      'a token for several audiences that another client requested',
      (p) => p.token({ aud: ['another', AUDIENCE], azp: 'another' }),
    ],
    ['a token for several audiences without azp', (p) => p.token({ aud: ['another', AUDIENCE] })],
    ['a logout token', (p) => p.token({ events: {} }, { typ: 'logout+jwt' })],
    ['an access token of the provider', (p) => p.token({}, { typ: 'at+jwt' })],
    ['a token of a type with a prefix', (p) => p.token({}, { typ: 'application/at+jwt' })],
    ['a token without an audience', (provider) => provider.token({ aud: undefined })],
    ['an expired token', (provider) => provider.token({ iat: now() - HOUR, exp: now() - 1 })],
    ['a token without an expiry', (provider) => provider.token({ exp: undefined })],
    ['a token that is not valid yet', (provider) => provider.token({ nbf: now() + HOUR })],
    ['a token without a subject', (provider) => provider.token({ sub: undefined })],
    ['a token with an empty subject', (provider) => provider.token({ sub: '' })],
    ['a token signed by an unknown key', async (provider) => provider.token({}, {}, await generateKey('another'))],
    [
      'a token signed by an unknown key under a known key id',
      async (provider) => provider.token({}, {}, await generateKey('first')),
    ],
    [
      'a token with altered claims',
      async (provider) => {
        const [head, , signature] = (await provider.token()).split('.');
        const changed = JSON.stringify(claims(provider, { sub: 'subject 2' }));
        return [head, Buffer.from(changed).toString('base64url'), signature].join('.');
      },
    ],
    ['an unsigned token', (provider) => new UnsecuredJWT(claims(provider)).encode()],
    [
      'a token with the algorithm "none"',
      async (provider) => {
        const [, body, signature] = (await provider.token()).split('.');
        const head = Buffer.from(JSON.stringify({ alg: 'none', kid: 'first' })).toString('base64url');
        return [head, body, signature].join('.');
      },
    ],
    [
      'a token signed with the public key as secret (PEM)',
      async (provider) =>
        new SignJWT(claims(provider))
          .setProtectedHeader({ alg: 'HS256', kid: 'first' })
          .sign(new TextEncoder().encode(await exportSPKI(provider.key.publicKey))),
    ],
    [
      'a token signed with the public key as secret (modulus)',
      (provider) =>
        new SignJWT(claims(provider))
          .setProtectedHeader({ alg: 'HS256', kid: 'first' })
          .sign(Buffer.from(provider.key.jwk.n ?? '', 'base64url')),
    ],
    [
      'a token that contains its own key',
      async (provider) => {
        const key = await generateKey('first');
        return provider.token({}, { jwk: key.jwk }, key);
      },
    ],
  ];

  test.each(cases)('%s is INVALID_CREDENTIALS', async (_, make) => {
    const { server, url, provider } = await startWithProvider();
    const idToken = await make(provider);
    expect(codes(await signInWith(url, idToken))).toEqual(['INVALID_CREDENTIALS']);
    // The token is also refused once the keys are cached.
    await signedIn(url, await provider.token());
    expect(codes(await signInWith(url, idToken))).toEqual(['INVALID_CREDENTIALS']);
    expect(await countUsers(server)).toBe(1);
  });

  test('an access token of Parley is no ID token, and vice versa', async () => {
    const { server, url, provider } = await startWithProvider();
    const ann = await signUp(url, 'ann');
    expect(codes(await signInWith(url, ann.accessToken))).toEqual(['INVALID_CREDENTIALS']);
    expect(await countUsers(server)).toBe(1);
    const headers = { authorization: `Bearer ${await provider.token()}` };
    expect(codes(await request(url, ME, {}, headers))).toEqual(['UNAUTHENTICATED']);
  });

  test('every token is INVALID_CREDENTIALS without a configured provider', async () => {
    const provider = await startProvider();
    const server = await startTestServer();
    expect(codes(await signInWith(server.url, await provider.token()))).toEqual(['INVALID_CREDENTIALS']);
    expect(await countUsers(server)).toBe(0);
  });
});

describe("the provider's keys", () => {
  test('include every published key type', async () => {
    const { url, provider } = await startWithProvider();
    const second = await generateKey('second', 'ES256');
    provider.published.push(second.jwk);
    const { user } = await signedIn(url, await provider.token());
    expect((await signedIn(url, await provider.token({}, { alg: 'ES256' }, second))).user).toEqual(user);
  });

  test('cause no INVALID_CREDENTIALS while they are unavailable', async () => {
    const { url, provider } = await startWithProvider();
    const idToken = await provider.token();
    provider.status = 503;
    expect(codes(await signInWith(url, idToken))).toEqual(['INTERNAL_SERVER_ERROR']);
    provider.status = 200;
    expect((await signedIn(url, idToken)).user.username).toBe('ann');
  });
});

describe('an account without a password', () => {
  test('refuses password sign-in', async () => {
    const { url, provider } = await startWithProvider();
    await signedIn(url, await provider.token());
    for (const password of ['', PASSWORD])
      expect(codes(await request(url, SIGN_IN, { input: { usernameOrEmail: 'ann', password } }))).toEqual([
        'INVALID_CREDENTIALS',
      ]);
  });

  test('can set a password and keeps its identity', async () => {
    const { url, provider } = await startWithProvider();
    const { user, headers } = await signedIn(url, await provider.token());
    const change = (input: object) => request(url, CHANGE_PASSWORD, { input }, headers);
    expect(codes(await change({ currentPassword: '', newPassword: PASSWORD }))).toEqual(['INVALID_CREDENTIALS']);
    expect(await change({ newPassword: PASSWORD })).toEqual({ data: { changePassword: { ok: true } } });
    const { data } = await request(url, SIGN_IN, { input: { usernameOrEmail: 'ann', password: PASSWORD } });
    expect(data.signIn.viewer.user.id).toBe(user.id);
    expect((await signedIn(url, await provider.token())).user.id).toBe(user.id);

    // The account now has a password.
    expect(codes(await change({ newPassword: 'another password' }))).toEqual(['INVALID_CREDENTIALS']);
    const deletion = await request(url, DELETE_ACCOUNT, { input: {} }, headers);
    expect(codes(deletion)).toEqual(['INVALID_CREDENTIALS']);
  });

  test('can be deleted without a password, which frees its identity', async () => {
    const { server, url, provider } = await startWithProvider();
    const { user, headers } = await signedIn(url, await provider.token());
    const wrong = await request(url, DELETE_ACCOUNT, { input: { password: PASSWORD } }, headers);
    expect(codes(wrong)).toEqual(['INVALID_CREDENTIALS']);
    expect(await request(url, DELETE_ACCOUNT, { input: {} }, headers)).toEqual({
      data: { deleteAccount: { ok: true } },
    });
    expect(codes(await request(url, ME, {}, headers))).toEqual(['UNAUTHENTICATED']);
    expect(await server.node.database.query(sql`SELECT FROM identities`)).toEqual([]);
    expect((await signedIn(url, await provider.token())).user.id).not.toBe(user.id);
  });
});

test('a provider and an audience are only accepted together', () => {
  const issuer = { OIDC_ISSUER: 'https://accounts.example.org' };
  const audience = { OIDC_AUDIENCE: AUDIENCE };
  expect(() => parseConfig(issuer)).toThrow(ConfigError);
  expect(() => parseConfig(issuer)).toThrow(/^OIDC_AUDIENCE must be set/);
  expect(() => parseConfig(audience)).toThrow(/^OIDC_ISSUER must be set/);
  expect(parseConfig({ ...issuer, ...audience })).toMatchObject({ ...issuer, ...audience });
});
