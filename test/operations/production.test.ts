import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { PRODUCTION, refusal } from '../support/config.ts';
import { runProgram } from '../support/process.ts';

test('production takes settings that are whole', () => {
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
  ['DATABASE_URL', '', 'must be set where NODE_ENV=production. The embedded PostgreSQL is for development.'],
  ['REDIS_URL', '', 'must be set where NODE_ENV=production. Without it a node knows of no other.'],
  ['AUTH_SECRET', '', 'must be set where NODE_ENV=production. Access tokens are signed with it'],
  ['PUBLIC_URL', '', 'must be set where NODE_ENV=production. Say where people reach this server'],
  ['PUBLIC_URL', 'http://chat.example.org', 'cannot be "http://chat.example.org": tokens would be sent in plain.'],
  ['AUTH_SECRET', 'x'.repeat(32), 'can be guessed: it is made of fewer than 8 different characters.'],
  ['AUTH_SECRET', 'my Super Secret of many years now', 'can be guessed: it has "Secret" in it.'],
  ['AUTH_SECRET', `please change-me ${PRODUCTION.AUTH_SECRET}`, 'can be guessed: it has "change-me" in it.'],
  [
    'AUTH_SECRETS_ACCEPTED',
    `${PRODUCTION.AUTH_SECRET},${'ab'.repeat(16)}`,
    'can be guessed: it is made of fewer than 8',
  ],
  ['METRICS_TOKEN', 'the password for metrics', 'can be guessed: it has "password" in it.'],
  ['ALLOWED_ORIGINS', '*', 'cannot have "*": any page could call the API.'],
  ['ALLOWED_ORIGINS', 'https://*.example.org', 'cannot have "https://*.example.org": any page could call the API.'],
  ['ALLOWED_ORIGINS', 'http://app.example.org', 'cannot have "http://app.example.org": on its way'],
  ['ALLOWED_ORIGINS', 'app.example.org', 'cannot have "app.example.org": an origin is a scheme and a host'],
  ['ALLOWED_ORIGINS', 'https://app.example.org/', 'cannot have "https://app.example.org/": an origin is a scheme'],
  ['WEB_PUSH_ORIGINS', 'https://*', 'cannot have "https://*": name a host with https'],
  ['WEB_PUSH_ORIGINS', 'http://push.example.org', 'cannot have "http://push.example.org": name a host with https'],
  ['FCM_ENDPOINT', 'http://fcm.example.org', 'cannot be "http://fcm.example.org": what it says is believed.'],
])('production refuses %s=%s in one line', (name, value, why) => {
  const message = refusal({ ...PRODUCTION, [name]: value });
  expect(message).toContain(`${name} ${why}`);
  expect(message.split('\n')).toHaveLength(1);
});

test('production refuses an OpenID provider over plain http', () => {
  const provider = { OIDC_ISSUER: 'http://accounts.example.org', OIDC_AUDIENCE: 'parley' };
  expect(refusal({ ...PRODUCTION, ...provider })).toBe(
    'OIDC_ISSUER cannot be "http://accounts.example.org": what it says is believed. Use https.',
  );
});

test('a secret that is refused is not repeated', () => {
  expect(refusal({ ...PRODUCTION, AUTH_SECRET: `example ${PRODUCTION.AUTH_SECRET}` })).not.toContain(
    PRODUCTION.AUTH_SECRET,
  );
});

test('secrets that were made by chance are taken', () => {
  for (const encoding of ['base64', 'base64url', 'hex'] as const)
    for (let i = 0; i < 200; i += 1) parseConfig({ ...PRODUCTION, AUTH_SECRET: randomBytes(48).toString(encoding) });
});

test('the program says all that is wrong at once, a line each, and ends with 1 before it has started anything', async () => {
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
