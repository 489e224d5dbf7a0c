import { expect, test } from 'vitest';
import { parseConfig } from '../src/config.ts';

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
  ['DATABASE_URL', 'mysql://host/db'],
  ['REDIS_URL', 'localhost'],
  ['AUTH_SECRET', 'short'],
])('%s=%s is refused with its name and what it may be', (name, value) => {
  expect(() => parseConfig({ [name]: value })).toThrow(new RegExp(`^${name} cannot be "${value}"\\. .+\\.$`));
});

test('all that is wrong is said at once, a line each', () => {
  expect(() => parseConfig({ PORT: 'x', LOG_LEVEL: 'loud' })).toThrow(/^PORT .*\nLOG_LEVEL .*$/);
});

test('production refuses the embedded parts and a missing secret, a line each', () => {
  expect(() => parseConfig({ NODE_ENV: 'production' })).toThrow(
    /^DATABASE_URL must be set.*\nREDIS_URL must be set.*\nAUTH_SECRET must be set.*$/,
  );
  const whole = {
    NODE_ENV: 'production',
    DATABASE_URL: 'postgresql://db/parley',
    REDIS_URL: 'redis://redis',
    AUTH_SECRET: 'x'.repeat(32),
  };
  expect(parseConfig(whole)).toMatchObject(whole);
});
