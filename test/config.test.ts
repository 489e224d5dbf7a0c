import { expect, test } from 'vitest';
import { parseConfig } from '../src/config.ts';
import { refusal } from './support/config.ts';

test('no setting is needed', () => {
  expect(parseConfig({})).toMatchObject({ PORT: 4000, HOST: '127.0.0.1', DATA_DIR: '.data', NODE_ENV: 'development' });
  expect(parseConfig({ PORT: '', REDIS_URL: '' }).REDIS_URL).toBeUndefined();
  expect(parseConfig({ ALLOWED_ORIGINS: 'https://a.example, https://b.example' }).ALLOWED_ORIGINS).toEqual([
    'https://a.example',
    'https://b.example',
  ]);
});

test.each([
  ['PORT', 'x'],
  ['PORT', '70000'],
  ['NODE_ENV', 'staging'],
  ['LOG_LEVEL', 'loud'],
])('%s=%s is refused with its name and what it may be', (name, value) => {
  expect(() => parseConfig({ [name]: value })).toThrow(new RegExp(`^${name} cannot be "${value}"\\. .+\\.$`));
});

test.each([
  ['DATABASE_URL', 'mysql://somebody:hidden@host/db'],
  ['REDIS_URL', 'somebody:hidden'],
  ['AUTH_SECRET', 'hidden'],
  ['AUTH_SECRETS_ACCEPTED', 'hidden'],
  ['METRICS_TOKEN', 'hidden'],
])('%s is refused with its name and what it may be, without what it was', (name, value) => {
  const message = refusal({ [name]: value });
  expect(message).toMatch(new RegExp(`^${name} cannot be what it is\\. .+\\.$`));
  expect(message).not.toContain('hidden');
});

test('all that is wrong is said at once, a line each', () => {
  expect(() => parseConfig({ PORT: 'x', LOG_LEVEL: 'loud' })).toThrow(/^PORT .*\nLOG_LEVEL .*$/);
});
