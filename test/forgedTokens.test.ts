import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { request, signUp } from './support/client.ts';
import { AUTH_SECRET, startTestServer } from './support/server.ts';

const ME = '{ viewer { user { username } } }';
const REFRESH = 'mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { accessToken } }';

type Json = Record<string, unknown>;
const encode = (value: Json | Buffer) =>
  (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))).toString('base64url');
const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString()) as Json;

/** Creates a token with any header and claims. Signs like the server unless another key or hash is given. */
function forge(header: Json, claims: Json, secret = AUTH_SECRET, hash = 'sha256'): string {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`;
}

const without = (object: Json, name: string) =>
  Object.fromEntries(Object.entries(object).filter(([each]) => each !== name));

test('a forged or altered access token signs nobody in', async () => {
  const { url } = await startTestServer();
  const [ann, ben] = [await signUp(url, 'ann'), await signUp(url, 'ben')];
  const [head, body, signature = ''] = ann.accessToken.split('.');
  const [header, claims] = [decode(head), decode(body)];
  const other = decode(ben.accessToken.split('.')[1]);
  const now = Number(claims['iat']);
  const outcome = async (token: string) => {
    const { data, errors } = await request(url, ME, {}, { authorization: `Bearer ${token}` });
    return data?.viewer ? 'signed in' : errors?.[0]?.extensions.code;
  };
  // Precondition: a token with these claims signs in, so each token below fails only for the reason in its name.
  expect(await outcome(forge(header, claims))).toBe('signed in');

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const embedded = `${encode({ ...header, alg: 'RS256', jwk: rsa.publicKey.export({ format: 'jwk' }) })}.${body}`;
  const forgeries: Record<string, string> = {
    ...Object.fromEntries(
      ['none', 'None', 'nOnE'].map((alg) => [`alg ${alg}`, `${encode({ ...header, alg })}.${body}.`]),
    ),
    'no signature': `${head}.${body}.`,
    'half a signature': `${head}.${body}.${signature.slice(0, 20)}`,
    'the signature of another token': `${head}.${body}.${ben.accessToken.split('.')[2]}`,
    'claims of another token': `${head}.${encode(other)}.${signature}`,
    'another secret': forge(header, claims, 'another secret, of thirty-two letters or more'),
    'an empty secret': forge(header, claims, ''),
    'alg HS512': forge({ ...header, alg: 'HS512' }, claims, AUTH_SECRET, 'sha512'),
    'alg RS256': forge({ ...header, alg: 'RS256' }, claims),
    'a key in its header': `${embedded}.${encode(sign('sha256', Buffer.from(embedded), rsa.privateKey))}`,
    'typ JWT': forge({ ...header, typ: 'JWT' }, claims),
    'no typ': forge(without(header, 'typ'), claims),
    ...Object.fromEntries(
      ['../../../../dev/null', '__proto__', 'constructor', '', 7, null].map((kid) => [
        `kid ${JSON.stringify(kid)}`,
        forge({ ...header, kid }, claims, kid === '../../../../dev/null' ? '' : AUTH_SECRET),
      ]),
    ),
    'an unknown critical header': forge({ ...header, crit: ['exp'], exp: now + 60 }, claims),
    'an unencoded payload': forge({ ...header, b64: false, crit: ['b64'] }, claims),
    'another issuer': forge(header, { ...claims, iss: 'elsewhere' }),
    'no issuer': forge(header, without(claims, 'iss')),
    'another audience': forge(header, { ...claims, aud: 'elsewhere' }),
    'no audience': forge(header, without(claims, 'aud')),
    'a time in the past': forge(header, { ...claims, exp: now - 1 }),
    'a time in words': forge(header, { ...claims, exp: 'tomorrow' }),
    'no time': forge(header, without(claims, 'exp')),
    'a start in the future': forge(header, { ...claims, nbf: now + 600 }),
    'no session': forge(header, without(claims, 'sid')),
    'the session of another user': forge(header, { ...claims, sid: other['sid'] }),
    'no user': forge(header, without(claims, 'sub')),
    'a refresh token': ann.refreshToken,
    'ten thousand letters': 'a'.repeat(10_000),
  };
  for (const [name, token] of Object.entries(forgeries))
    expect(await outcome(token), name).toBeOneOf(['UNAUTHENTICATED', 'TOKEN_EXPIRED']);
  const { errors } = await request(url, REFRESH, { token: ann.accessToken });
  expect(errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  expect(await outcome(ann.accessToken)).toBe('signed in');
});
