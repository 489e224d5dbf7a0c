import { createHmac } from 'node:crypto';
import { exportSPKI, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { expect, test } from 'vitest';
import { examineJwks } from '../src/auth/jwksCheck.ts';
import { parseConfig } from '../src/core/config/config.ts';
import { connect, request } from './support/client.ts';
import { claimsFor, type Issuer, startIssuer } from './support/issuer.ts';
import { generateKey } from './support/openid.ts';
import { codeOf } from './support/operations.ts';
import { startTestNodes, startTestServer, type TestServer } from './support/server.ts';
import { backend, REVOKE_TOKENS, UPSERT } from './support/services.ts';

const ME = '{ viewer { user { id username nickname } } }';
const SECRET = 'a shared secret of the tests, 32 bytes';

const settings = ({ issuer, jwksUrl }: Issuer) => ({ JWT_ISSUER: issuer, JWT_JWKS_URL: jwksUrl });
const ask = ({ url }: { url: string }, token: string, query = ME, variables: object = {}) =>
  request(url, query, variables, { authorization: `Bearer ${token}` });

/** Returns the viewer of a token, or the code of the error. */
async function whoIs(server: { url: string }, token: string): Promise<any> {
  const { data, errors } = await ask(server, token);
  return codeOf(errors) ?? data.viewer.user;
}

async function start(more: Record<string, string> = {}): Promise<{ server: TestServer; issuer: Issuer }> {
  const issuer = await startIssuer();
  return { server: await startTestServer({ env: { SIGN_UP: 'off', ...settings(issuer), ...more } }), issuer };
}

test('the first token of a user creates the user, also on two nodes at once', async () => {
  const issuer = await startIssuer();
  const nodes = await startTestNodes(undefined, { SIGN_UP: 'off', ...settings(issuer) });
  const token = await issuer.token('u 1', { preferred_username: 'ann', name: 'Ann Lee' });
  const other = await issuer.token('u 1', { preferred_username: 'ann', jti: '2' });
  const seen = await Promise.all(nodes.flatMap((node) => [whoIs(node, token), whoIs(node, other), whoIs(node, token)]));
  expect(seen[0]).toMatchObject({ username: 'ann' });
  expect(new Set(seen.map(({ id }) => id)).size).toBe(1);
  expect(await nodes[0].node.database.prisma.user.count()).toBe(1);
  expect(await nodes[0].node.database.prisma.session.count()).toBe(2);
});

test('a known token costs no statement', async () => {
  const { server, issuer } = await start();
  const token = await issuer.token('u1');
  await whoIs(server, token);
  server.statements();
  await ask(server, token, '{ viewer { id } }');
  expect(server.statements()).toEqual([]);
  expect(issuer.requests).toBe(1);
});

test('a token works over WebSocket and SSE, and its expiry closes the socket with 4403', async () => {
  const { server, issuer } = await start();
  const exp = Math.ceil(Date.now() / 1_000) + 2;
  const socket = connect(server.url, await issuer.token('u1', { exp }));
  expect((await socket.ask(ME)).data.viewer.user.username).toMatch(/^user-/);
  const stream = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      authorization: `Bearer ${await issuer.token('u1', { exp, jti: '2' })}`,
    },
    body: JSON.stringify({ query: 'subscription { viewerEvents { __typename } }' }),
  });
  expect(await socket.closed).toBe(4403);
  expect(await stream.text()).toContain('TOKEN_EXPIRED');
});

test('forged and unsuitable tokens are refused', async () => {
  const { server, issuer } = await start({ JWT_AUDIENCE: 'parley' });
  const aud = 'parley';
  const now = Math.floor(Date.now() / 1_000);
  const other = await generateKey('first', 'ES256');
  const spki = await exportSPKI(issuer.key.publicKey);
  const claims = claimsFor(issuer.issuer, 'u1', { aud });
  const hmac = (key: string) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'first' }).sign(new TextEncoder().encode(key));
  const signed = (more: JWTPayload, header = {}) => issuer.token('u1', { aud, ...more }, header);
  const good = await signed({});
  const [head, body] = good.split('.');
  const refused = {
    none: new UnsecuredJWT(claims).encode(),
    'none with a signature': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.${good.split('.')[2]}`,
    'the public key as a secret': await hmac(spki),
    'the public JWK as a secret': await hmac(JSON.stringify(issuer.key.jwk)),
    'another key': await issuer.token('u1', { aud }, {}, other),
    'another issuer': await signed({ iss: 'https://other.example.org' }),
    'the issuer of this server': await signed({ iss: 'parley' }),
    'another audience': await signed({ aud: 'mail' }),
    'no audience': await signed({ aud: undefined }),
    'no exp': await signed({ exp: undefined }),
    'no sub': await issuer.token(undefined, { aud }),
    'an empty sub': await issuer.token('', { aud }),
    'a long sub': await issuer.token('u'.repeat(256), { aud }),
    'a sub that cannot be stored': await issuer.token('u\u0000', { aud }),
    'an ID token': await signed({}, { typ: 'logout+jwt' }),
    'a far expiry': await signed({ exp: now + 90_000 }),
    'a long lifetime': await signed({ iat: now - 90_000 }),
    'an issue in the future': await signed({ iat: now + 600, exp: now + 900 }),
    'not valid yet': await signed({ nbf: now + 600 }),
    'a changed body': `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: 'u2' })).toString('base64url')}.${good.split('.')[2]}`,
  };
  for (const [name, token] of Object.entries(refused))
    expect([name, await whoIs(server, token)]).toEqual([name, 'UNAUTHENTICATED']);
  expect(await whoIs(server, await signed({ exp: now - 1 }))).toBe('TOKEN_EXPIRED');
  const reasonFor = async (name: keyof typeof refused) => (await ask(server, refused[name])).errors?.[0]?.message;
  expect(await reasonFor('another key')).toContain('its signature does not match');
  expect(await reasonFor('another issuer')).toContain('its "iss" is not JWT_ISSUER');
  expect(await reasonFor('another audience')).toContain('its "aud" does not contain JWT_AUDIENCE');
  expect(await reasonFor('no exp')).toContain('it has no "exp"');
  expect(await reasonFor('an empty sub')).toContain('its "sub" must be a text');
  expect(await reasonFor('a far expiry')).toContain('valid for more than 24 hours');
  expect(await server.node.database.prisma.user.count()).toBe(0);
  expect(await whoIs(server, good)).toMatchObject({ id: expect.any(String) });
  // The clock of the issuer may be ahead.
  const ahead = await signed({ iat: now + 30, nbf: now + 30, exp: now + 330 });
  expect(await whoIs(server, ahead)).toMatchObject({ id: expect.any(String) });
  for (const typ of ['at+jwt', 'application/at+jwt', 'JWT'])
    expect(await whoIs(server, await signed({ jti: typ }, { typ }))).toMatchObject({ id: expect.any(String) });
});

test('a shared secret signs with HS256 only', async () => {
  const server = await startTestServer({ env: { JWT_SECRET: SECRET } });
  const sign = (alg: string, secret = SECRET) =>
    new SignJWT(claimsFor('shop', 'u1')).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret.padEnd(64)));
  const exact = new SignJWT(claimsFor('shop', 'u1')).setProtectedHeader({ alg: 'HS256' });
  expect(await whoIs(server, await exact.sign(new TextEncoder().encode(SECRET)))).toMatchObject({
    id: expect.any(String),
  });
  for (const alg of ['HS256', 'HS384', 'HS512']) expect(await whoIs(server, await sign(alg))).toBe('UNAUTHENTICATED');
  const key = await generateKey('first', 'ES256');
  expect(
    await whoIs(
      server,
      await new SignJWT(claimsFor('shop', 'u1')).setProtectedHeader({ alg: 'ES256' }).sign(key.privateKey),
    ),
  ).toBe('UNAUTHENTICATED');
  const body = `${Buffer.from('{"alg":"HS512"}').toString('base64url')}.${Buffer.from(JSON.stringify(claimsFor('shop', 'u1'))).toString('base64url')}`;
  expect(await whoIs(server, `${body}.${createHmac('sha512', SECRET).update(body).digest('base64url')}`)).toBe(
    'UNAUTHENTICATED',
  );
});

test('an ended session stays ended in every spelling of its token', async () => {
  const { server, issuer } = await start();
  const token = await issuer.token('u1');
  const socket = connect(server.url, token);
  const { data } = await socket.ask('{ viewer { sessions { nodes { id current } } } }');
  const [session] = data.viewer.sessions.nodes;
  expect(session).toMatchObject({ current: true });
  const end = 'mutation ($id: ID!) { revokeSession(input: { sessionId: $id }) { revokedSessionId } }';
  const other = await issuer.token('u1', { jti: '2' });
  expect((await ask(server, other, end, { id: session.id })).errors).toBeUndefined();
  expect(await socket.closed).toBe(4401);
  expect(await whoIs(server, token)).toBe('UNAUTHENTICATED');
  // The last character of the signature has unused bits.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const spelled = token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') ^ 1];
  expect(await whoIs(server, spelled)).toBe('UNAUTHENTICATED');
});

test('a revocation also refuses tokens that no node has seen', async () => {
  const { server, issuer } = await start();
  const shop = await backend(server);
  await shop.call(UPSERT, { users: [{ externalId: 'u1' }] });
  const now = Math.floor(Date.now() / 1_000);
  const [unseen, undated] = [await issuer.token('u1', { iat: now - 5 }), await issuer.token('u1', { iat: undefined })];
  const later = await issuer.token('u1', { iat: now + 30, exp: now + 300 });
  await shop.call(REVOKE_TOKENS, { externalId: 'u1' });
  expect(await whoIs(server, unseen)).toBe('UNAUTHENTICATED');
  expect(await whoIs(server, undated)).toBe('UNAUTHENTICATED');
  expect(await whoIs(server, later)).toMatchObject({ id: expect.any(String) });
});

test('the token of a deactivated or deleted user is refused and creates nobody', async () => {
  const { server, issuer } = await start();
  const shop = await backend(server);
  const change = (name: string) => shop.ask(`mutation { ${name}(input: { externalId: "u1" }) { __typename } }`);
  const now = Math.floor(Date.now() / 1_000);
  const token = await issuer.token('u1', { iat: now - 5 });
  const socket = connect(server.url, token);
  await socket.ask(ME);
  await change('deactivateUser');
  expect(await socket.closed).toBe(4401);
  expect(await whoIs(server, await issuer.token('u1', { iat: now + 30 }))).toBe('UNAUTHENTICATED');
  await change('reactivateUser');
  expect(await whoIs(server, await issuer.token('u1', { iat: now + 31 }))).toMatchObject({ id: expect.any(String) });
  await change('deleteUser');
  const late = await issuer.token('u1', { iat: now + 40 });
  for (const each of [token, await issuer.token('u1', { iat: now - 4 }), late])
    expect(await whoIs(server, each)).toBe('UNAUTHENTICATED');
  expect(await server.node.database.prisma.user.count()).toBe(0);
  await shop.call(UPSERT, { users: [{ externalId: 'u1' }] });
  expect(await whoIs(server, token)).toBe('UNAUTHENTICATED');
  expect(await whoIs(server, await issuer.token('u1', { iat: now + 41 }))).toMatchObject({ id: expect.any(String) });
});

test('a user who deletes their own account is not created again', async () => {
  const { server, issuer } = await start();
  const token = await issuer.token('u1');
  await ask(server, token, 'mutation { deleteAccount(input: {}) { ok } }');
  expect(await server.node.database.prisma.user.count()).toBe(0);
  expect(await whoIs(server, await issuer.token('u1', { jti: '2' }))).toBe('UNAUTHENTICATED');
});

test('rate limits are charged to the user of a token', async () => {
  const { server, issuer } = await start({ RATE_LIMITS: 'on', RATE_PER_USER: '20' });
  const token = await issuer.token('u1');
  const codes = await Promise.all(Array.from({ length: 30 }, () => whoIs(server, token)));
  expect(codes).toContain('RATE_LIMITED');
  expect(await whoIs(server, await issuer.token('u2'))).toMatchObject({ id: expect.any(String) });
});

test('settings that contradict each other are refused', () => {
  const url = 'https://accounts.example.org/jwks.json';
  const problem = (env: Record<string, string>) => {
    try {
      parseConfig(env);
      return 'none';
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(problem({ JWT_SECRET: SECRET })).toBe('none');
  expect(problem({ JWT_ISSUER: 'shop', JWT_JWKS_URL: url, JWT_AUDIENCE: 'parley' })).toBe('none');
  expect(problem({ JWT_ISSUER: 'shop', JWT_JWKS_URL: url, JWT_SECRET: SECRET })).toMatch(/cannot be set together/);
  expect(problem({ JWT_JWKS_URL: url })).toMatch(/^JWT_ISSUER must be set/);
  expect(problem({ JWT_ISSUER: 'shop' })).toMatch(/^JWT_JWKS_URL or JWT_SECRET must be set/);
  expect(problem({ JWT_SECRET: 'short' })).toMatch(/^JWT_SECRET is invalid \(its value is not shown\)/);
  expect(problem({ JWT_SECRET: SECRET, AUTH_SECRET: SECRET })).toMatch(/^JWT_SECRET cannot be a secret of this server/);
  expect(problem({ JWT_ISSUER: 'parley', JWT_SECRET: SECRET })).toMatch(/^JWT_ISSUER cannot be "parley"/);
});

test('doctor loads the keys of the issuer', async () => {
  const issuer = await startIssuer();
  expect(await examineJwks(issuer.jwksUrl)).toMatchObject([{ level: 'ok' }]);
  issuer.published = [{ kty: 'oct', k: 'c2VjcmV0' }];
  expect(await examineJwks(issuer.jwksUrl)).toMatchObject([{ level: 'fault' }]);
  expect(await examineJwks('http://127.0.0.1:1/jwks.json')).toMatchObject([{ level: 'fault' }]);
  expect(await examineJwks(undefined)).toEqual([]);
});
