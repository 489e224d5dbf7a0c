import { describe, expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { connect, PASSWORD, request, signUp } from './support/client.ts';
import { fieldsOf, operation, outcome } from './support/operations.ts';
import { FRIEND } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { world } from './support/world.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken viewer { email user { username nickname } } } }`;
const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken refreshToken viewer { user { id username } } } }`;
const REFRESH = `mutation ($token: String) { refreshSession(input: { refreshToken: $token }) { accessToken refreshToken } }`;
const ME = `{ viewer { id user { id username } sessions { nodes { id current endedAt userAgent } } } }`;

/** Mutations that need no authentication. */
const PUBLIC_MUTATIONS = [
  'refreshSession',
  'requestPasswordReset',
  'resetPassword',
  'signIn',
  'signInWithIdToken',
  'signUp',
  'verifyEmail',
];

const codes = ({ errors }: { errors?: { extensions: { code: string } }[] }) =>
  errors?.map((error) => error.extensions.code);

describe('signing up', () => {
  test('returns tokens and the viewer', async () => {
    const { url } = await startTestServer();
    const { data } = await request(url, SIGN_UP, {
      input: { username: 'ann', password: PASSWORD, email: 'Ann@example.org', nickname: ' Ann ' },
    });
    expect(data.signUp).toMatchObject({
      viewer: { email: 'Ann@example.org', user: { username: 'ann', nickname: 'Ann' } },
    });
    expect(data.signUp.accessToken).toMatch(/^ey/);
  });

  test.each([
    ['letter case', 'Straße', 'STRASSE'],
    ['width', 'ａｎｎ', 'ann'],
    ['composition', 'Zoe\u0308', 'zoë'],
  ])('names that differ only in %s are the same name', async (_, first, second) => {
    const { url } = await startTestServer();
    await signUp(url, first);
    const result = await request(url, SIGN_UP, { input: { username: second, password: PASSWORD } });
    expect(codes(result)).toEqual(['USERNAME_TAKEN']);
    const again = await request(url, SIGN_IN, { input: { usernameOrEmail: second, password: PASSWORD } });
    expect(again.data.signIn.viewer.user.username).toBe(first.normalize('NFKC'));
  });

  test('parallel sign-ups with one username create one account', async () => {
    const { url } = await startTestServer();
    const tries = Array.from({ length: 20 }, (_, i) =>
      request(url, SIGN_UP, { input: { username: i % 2 ? 'ann' : 'ANN', password: PASSWORD } }),
    );
    const results = await Promise.all(tries);
    expect(results.filter(({ errors }) => !errors)).toHaveLength(1);
    expect(new Set(results.flatMap((result) => codes(result) ?? []))).toEqual(new Set(['USERNAME_TAKEN']));
  });

  test.each([
    ['username', { username: 'ab' }],
    ['username', { username: 'a b c' }],
    ['username', { username: 'ann@example' }],
    ['username', { username: 'a'.repeat(33) }],
    ['password', { password: '1234567' }],
    ['password', { password: 'x'.repeat(129) }],
    ['email', { email: 'nowhere' }],
    ['nickname', { nickname: '  ' }],
  ])('an invalid %s is refused with the path of its argument', async (field, bad) => {
    const { url } = await startTestServer();
    const { errors } = await request(url, SIGN_UP, { input: { username: 'ann', password: PASSWORD, ...bad } });
    expect(errors?.[0]?.extensions).toEqual({ code: 'BAD_USER_INPUT', path: ['input', field] });
  });
});

describe('signing in', () => {
  test('accepts the username or e-mail, and does not reveal unknown names', async () => {
    const { url } = await startTestServer();
    await request(url, SIGN_UP, { input: { username: 'ann', password: PASSWORD, email: 'ann@example.org' } });
    for (const usernameOrEmail of ['ANN', 'ann@EXAMPLE.org']) {
      const { data } = await request(url, SIGN_IN, { input: { usernameOrEmail, password: PASSWORD } });
      expect(data.signIn.viewer.user.username).toBe('ann');
    }
    const wrongPassword = await request(url, SIGN_IN, {
      input: { usernameOrEmail: 'ann', password: 'wrong password' },
    });
    const wrongName = await request(url, SIGN_IN, { input: { usernameOrEmail: 'nobody', password: 'wrong password' } });
    expect(codes(wrongName)).toEqual(['INVALID_CREDENTIALS']);
    expect(wrongName).toEqual(wrongPassword);
  });

  test('sign-out ends the current session only', async () => {
    const { url } = await startTestServer();
    const ann = await signUp(url, 'ann');
    const { data } = await request(url, SIGN_IN, { input: { usernameOrEmail: 'ann', password: PASSWORD } });
    const other = { authorization: `Bearer ${data.signIn.accessToken}` };
    expect((await ann.ask(ME)).viewer.sessions.nodes.map((session: { current: boolean }) => session.current)).toEqual([
      false,
      true,
    ]);

    await ann.ask('mutation { signOut { ok } }');
    expect(await ann.askForErrorCode(ME)).toBe('UNAUTHENTICATED');
    expect(codes(await request(url, REFRESH, { token: ann.refreshToken }))).toEqual(['UNAUTHENTICATED']);
    const { viewer } = (await request(url, ME, {}, other)).data;
    expect(viewer.sessions.nodes.map((session: { endedAt: string | null }) => session.endedAt === null)).toEqual([
      true,
      false,
    ]);
  });
});

describe('authentication', () => {
  test('a signed-out client may query only viewer and server', async () => {
    const { url } = await startTestServer();
    expect(await request(url, '{ viewer { id } }')).toEqual({ data: { viewer: null } });
    expect((await request(url, '{ server { version errorCodes now } }')).data.server.errorCodes).toContain('NOT_FOUND');
    const closed = [
      '{ users { nodes { id } } }',
      '{ user(username: "ann") { id } }',
      '{ node(id: "x") { id } }',
      '{ nodes(ids: ["x"]) { id } }',
      '{ chatroom(id: "x") { id } }',
      'mutation { signOut { ok } }',
    ];
    for (const query of closed) expect(codes(await request(url, query)), query).toEqual(['UNAUTHENTICATED']);
  });

  test.each([
    'nonsense',
    'Bearer',
    'Bearer ',
    'Basic YTpi',
    'Bearer a.b.c',
    'Bearer \u00e9',
    `Bearer ${'x'.repeat(5_000)}`,
  ])('a malformed Authorization header (%s) is UNAUTHENTICATED, on both transports', async (authorization) => {
    const { url } = await startTestServer();
    expect(codes(await request(url, '{ viewer { id } }', {}, { authorization }))).toEqual(['UNAUTHENTICATED']);
    expect((await request(url, '{ server { version } }', {}, { authorization })).errors).toBeUndefined();
    expect(await connect(url, authorization.slice('Bearer '.length) || '%').closed).toBe(4401);
  });

  test('a token with a wrong secret, type or algorithm is refused', async () => {
    const { url } = await startTestServer();
    const { SignJWT } = await import('jose');
    const ann = await signUp(url, 'ann');
    const claims = JSON.parse(Buffer.from(ann.accessToken.split('.')[1] ?? '', 'base64url').toString());
    const forge = (header: object, secret: string) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...header })
        .sign(new TextEncoder().encode(secret));
    const { AUTH_SECRET } = await import('./support/server.ts');
    const none = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${ann.accessToken.split('.')[1]}.`;
    const forged = [
      await forge({}, 'x'.repeat(40)),
      await forge({ typ: 'JWT' }, AUTH_SECRET),
      await forge({ alg: 'HS512' }, AUTH_SECRET),
      none,
    ];
    for (const token of forged) {
      expect(codes(await request(url, ME, {}, { authorization: `Bearer ${token}` }))).toEqual(['UNAUTHENTICATED']);
    }
    expect(
      (await request(url, ME, {}, { authorization: `Bearer ${await forge({}, AUTH_SECRET)}` })).errors,
    ).toBeUndefined();
  });

  test('an expired access token has its own code and allows refreshing', async () => {
    const { url } = await startTestServer();
    const ann = await signUp(url, 'ann');
    const { SignJWT } = await import('jose');
    const { AUTH_SECRET } = await import('./support/server.ts');
    const claims = JSON.parse(Buffer.from(ann.accessToken.split('.')[1] ?? '', 'base64url').toString());
    const expired = await new SignJWT({ ...claims, exp: claims.iat - 1 })
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
      .sign(new TextEncoder().encode(AUTH_SECRET));
    const headers = { authorization: `Bearer ${expired}` };
    expect(codes(await request(url, ME, {}, headers))).toEqual(['TOKEN_EXPIRED']);
    expect((await request(url, REFRESH, { token: ann.refreshToken }, headers)).errors).toBeUndefined();
    expect(await connect(url, expired).closed).toBe(4403);
  });

  test('users are found by prefix and id, sessions only by owner', async () => {
    const { url } = await startTestServer();
    const people = await Promise.all(['anna', 'Anton', 'ben', 'chloe', 'Änne'].map((name) => signUp(url, name)));
    const [anna, anton] = people;
    if (!anna || !anton) throw new Error('missing');
    const names = async (args: string) =>
      (await anna.ask(`{ users${args} { nodes { username } pageInfo { hasNextPage endCursor } } }`)).users;
    expect((await names('')).nodes.map((user: any) => user.username)).toEqual([
      'anna',
      'Anton',
      'ben',
      'chloe',
      'Änne',
    ]);
    expect((await names('(search: "AN")')).nodes.map((user: any) => user.username)).toEqual(['anna', 'Anton']);
    expect((await names('(search: "%")')).nodes).toEqual([]);
    const first = await names('(first: 2)');
    expect(first.pageInfo.hasNextPage).toBe(true);
    expect(
      (await names(`(first: 9, after: "${first.pageInfo.endCursor}")`)).nodes.map((user: any) => user.username),
    ).toEqual(['ben', 'chloe', 'Änne']);
    expect(await anna.ask('{ user(username: "ANTON") { id } none: user(username: "nobody") { id } }')).toEqual({
      user: { id: anton.id },
      none: null,
    });

    const { viewer } = await anna.ask(ME);
    const ids = [viewer.id, viewer.user.id, viewer.sessions.nodes[0].id];
    const NODES = 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }';
    expect((await anna.ask(NODES, { ids })).nodes).toEqual(
      ids.map((id, i) => ({ __typename: ['Viewer', 'User', 'Session'][i], id })),
    );
    expect((await anton.ask(NODES, { ids })).nodes).toEqual([null, { __typename: 'User', id: viewer.user.id }, null]);
    expect(
      (
        await anton.ask(NODES, {
          ids: ['', 'junk', 'VXNlcjo', Buffer.from('User:1').toString('base64url'), `${anna.id}=`],
        })
      ).nodes,
    ).toEqual([null, null, null, null, null]);
    expect(await anton.askForErrorCode(NODES, { ids: Array(101).fill(anna.id) })).toBe('BAD_USER_INPUT');
  });
});

describe('secrets', () => {
  test('mutations without authentication do not reveal whether an account exists', async () => {
    const { url } = await startTestServer();
    const ann = await signUp(url, 'ann');
    expect((await request(url, '{ viewer { id } server { version } }')).data).toMatchObject({
      viewer: null,
      server: {},
    });
    const codes = Object.fromEntries(
      await Promise.all(
        fieldsOf('Mutation')
          .filter((field) => PUBLIC_MUTATIONS.includes(field.name))
          .map(async (field) => {
            const { query, variables } = operation('mutation', field);
            return [field.name, await outcome(request(url, query, variables))] as const;
          }),
      ),
    );
    expect(codes).toEqual({
      ...{
        signUp: 'done',
        requestPasswordReset: 'done',
        signIn: 'INVALID_CREDENTIALS',
        signInWithIdToken: 'INVALID_CREDENTIALS',
      },
      ...{ refreshSession: 'BAD_USER_INPUT', resetPassword: 'BAD_USER_INPUT', verifyEmail: 'BAD_USER_INPUT' },
    });
    const REFRESH =
      'mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { viewer { user { username } } } }';
    expect((await request(url, REFRESH, { token: ann.refreshToken })).data.refreshSession.viewer.user.username).toBe(
      'ann',
    );
  });

  test('access tokens expire within 15 minutes; refresh tokens are stored hashed', async () => {
    const server = await startTestServer();
    const ann = await signUp(server.url, 'ann');
    const { iat, exp } = JSON.parse(Buffer.from(ann.accessToken.split('.')[1] ?? '', 'base64url').toString());
    expect(exp - iat).toBeGreaterThan(60);
    expect(exp - iat).toBeLessThanOrEqual(15 * 60);
    expect(Buffer.from(ann.refreshToken, 'base64url')).toHaveLength(32);
    const stored = await server.node.database.query<{ row: string }>(
      sql`SELECT row_to_json(t)::text AS row FROM refresh_tokens t`,
    );
    expect(stored).toHaveLength(1);
    const raw = Buffer.from(ann.refreshToken, 'base64url');
    for (const spelling of [ann.refreshToken, raw.toString('hex'), raw.toString('base64')])
      expect(stored[0]?.row).not.toContain(spelling);
  });

  test('an unknown name takes as long as a wrong password', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'off' }, hashCost: undefined });
    await signUp(url, 'ann');
    const WRONG_SIGN_IN =
      'mutation ($name: String!) { signIn(input: { usernameOrEmail: $name, password: "not the password" }) { accessToken } }';
    const times: Record<string, number[]> = { ann: [], nobody: [], 'nobody@example.org': [] };
    for (let i = 0; i < 9; i += 1)
      for (const [name, durations] of Object.entries(times)) {
        const began = performance.now();
        expect(await outcome(request(url, WRONG_SIGN_IN, { name }))).toBe('INVALID_CREDENTIALS');
        durations.push(performance.now() - began);
      }
    const median = (name: string) => times[name]?.toSorted((a, b) => a - b)[4] ?? 0;
    for (const name of ['nobody', 'nobody@example.org']) expect(median(name)).toBeGreaterThan(median('ann') / 2);
  });

  test('queries do not wait for a flood of sign-ins', async () => {
    const { url } = await startTestServer({ env: { RATE_LIMITS: 'off' }, hashCost: undefined });
    const ann = await signUp(url, 'ann');
    const WRONG_SIGN_IN =
      'mutation { signIn(input: { usernameOrEmail: "ann", password: "not the password" }) { accessToken } }';
    const order: string[] = [];
    const flood = Array.from({ length: 60 }, () => request(url, WRONG_SIGN_IN).then(() => order.push('sign-in')));
    await ann.ask('{ viewer { id } }').then(() => order.push('query'));
    await Promise.all(flood);
    // At most two passwords are hashed at a time.
    expect(order.indexOf('query')).toBeLessThan(30);
  });

  test('private fields of an account are invisible to other users', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    await ann.ask(FRIEND, { id: ben.id });
    await ann.ask(
      `mutation { updateProfile(input: { email: "ann@example.org", currentPassword: "${PASSWORD}" }) { viewer { id } } }`,
    );
    const { viewer } = await ann.ask('{ viewer { id email sessions { nodes { id } } } }');
    expect(viewer.email).toBe('ann@example.org');
    const ids = [viewer.id, viewer.sessions.nodes[0].id];
    const NODES = 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename } }';
    expect((await ann.ask(NODES, { ids })).nodes).toEqual([{ __typename: 'Viewer' }, { __typename: 'Session' }]);
    expect((await ben.ask(NODES, { ids })).nodes).toEqual([null, null]);
    // The type User has no private fields.
    const names = fieldsOf('User').map((field) => field.name);
    expect(names.filter((name) => /mail|password|token|session|device|policy|address|unread/i.test(name))).toEqual([]);
    expect(
      await ben.ask('{ users(search: "ann@example") { nodes { username } } user(username: "ann@example.org") { id } }'),
    ).toEqual({
      users: { nodes: [] },
      user: null,
    });
  });
});
