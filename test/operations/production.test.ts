import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/core/config/config.ts';
import { PRODUCTION, refusal } from '../support/config.ts';
import { runProgram } from '../support/process.ts';

test('production accepts valid settings', () => {
  expect(parseConfig(PRODUCTION)).toMatchObject(PRODUCTION);
  const more = {
    AUTH_SECRETS_ACCEPTED: `${PRODUCTION.AUTH_SECRET.toLowerCase()},${PRODUCTION.AUTH_SECRET.toUpperCase()}`,
    ALLOWED_ORIGINS: 'https://app.example.org,https://other.example.org:8443',
    METRICS_TOKEN: PRODUCTION.AUTH_SECRET,
  };
  expect(parseConfig({ ...PRODUCTION, ...more }).ALLOWED_ORIGINS).toHaveLength(2);
  const plain = { PUBLIC_URL: 'http://chat.lan', ALLOWED_ORIGINS: 'http://app.lan', PLAIN_HTTP: 'on' };
  expect(parseConfig({ ...PRODUCTION, ...plain })).toMatchObject({ PUBLIC_URL: 'http://chat.lan' });
});

test.each([
  ['DATABASE_URL', '', 'must be set if NODE_ENV=production. The embedded PostgreSQL is for development.'],
  ['REDIS_URL', '', 'must be set if NODE_ENV=production. Without it, nodes cannot notify each other.'],
  ['AUTH_SECRET', '', 'must be set if NODE_ENV=production. It signs access tokens'],
  ['PUBLIC_URL', '', 'must be set if NODE_ENV=production. Set the URL at which people reach this server'],
  ['PUBLIC_URL', 'http://chat.example.org', 'cannot be "http://chat.example.org": tokens would be sent unencrypted.'],
  ['AUTH_SECRET', 'x'.repeat(32), 'can be guessed: it has fewer than 8 different characters.'],
  ['AUTH_SECRET', 'my Super Secret of many years now', 'can be guessed: it contains "Secret".'],
  ['AUTH_SECRET', `please change-me ${PRODUCTION.AUTH_SECRET}`, 'can be guessed: it contains "change-me".'],
  ['AUTH_SECRETS_ACCEPTED', `${PRODUCTION.AUTH_SECRET},${'ab'.repeat(16)}`, 'can be guessed: it has fewer than 8'],
  ['METRICS_TOKEN', 'the password for metrics', 'can be guessed: it contains "password".'],
  ['ALLOWED_ORIGINS', '*', 'cannot contain "*": any page could call the API.'],
  ['ALLOWED_ORIGINS', 'https://*.example.org', 'cannot contain "https://*.example.org": any page could call the API.'],
  ['ALLOWED_ORIGINS', 'http://app.example.org', 'cannot contain "http://app.example.org": such a page'],
  ['ALLOWED_ORIGINS', 'app.example.org', 'cannot contain "app.example.org": an origin is a scheme and a host'],
  ['ALLOWED_ORIGINS', 'https://app.example.org/', 'cannot contain "https://app.example.org/": an origin is a scheme'],
  ['WEB_PUSH_ORIGINS', 'https://*', 'cannot contain "https://*": use https and a host'],
  ['WEB_PUSH_ORIGINS', 'http://push.example.org', 'cannot contain "http://push.example.org": use https and a host'],
  ['FCM_ENDPOINT', 'http://fcm.example.org', 'cannot be "http://fcm.example.org": its responses are trusted'],
])('production refuses %s=%s in one line', (name, value, why) => {
  const message = refusal({ ...PRODUCTION, [name]: value });
  expect(message).toContain(`${name} ${why}`);
  expect(message.split('\n')).toHaveLength(1);
});

test('production refuses an OpenID provider over plain http', () => {
  const provider = { OIDC_ISSUER: 'http://accounts.example.org', OIDC_AUDIENCE: 'parley' };
  expect(refusal({ ...PRODUCTION, ...provider })).toBe(
    'OIDC_ISSUER cannot be "http://accounts.example.org": its responses are trusted and could be changed in transit. Use https.',
  );
});

test('a refused secret is not printed', () => {
  expect(refusal({ ...PRODUCTION, AUTH_SECRET: `example ${PRODUCTION.AUTH_SECRET}` })).not.toContain(
    PRODUCTION.AUTH_SECRET,
  );
});

test('random secrets are accepted', () => {
  for (const encoding of ['base64', 'base64url', 'hex'] as const)
    for (let i = 0; i < 200; i += 1) parseConfig({ ...PRODUCTION, AUTH_SECRET: randomBytes(48).toString(encoding) });
});

test('the program reports all invalid settings, then exits with 1', async () => {
  const { code, output } = await runProgram({
    ...{ NODE_ENV: 'production', PORT: 'x', AUTH_SECRET: 'short', ALLOWED_ORIGINS: '*', OIDC_AUDIENCE: 'parley' },
  });
  expect(code).toBe(1);
  expect(
    output
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  ).toEqual([...['PORT', 'AUTH_SECRET', 'DATABASE_URL', 'REDIS_URL', 'PUBLIC_URL', 'ALLOWED_ORIGINS', 'OIDC_ISSUER']]);
});
