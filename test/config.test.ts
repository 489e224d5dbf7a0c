import { expect, test } from 'vitest';
import { parseConfig } from '../src/core/config/config.ts';
import { parseHostPort } from '../src/core/config/urls.ts';
import { refusal } from './support/config.ts';

test('all settings have defaults', () => {
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
  ['PORT', '0x10'],
  ['PORT', '1e3'],
  ['PORT', ' 80'],
  ['PORT', '-1'],
  ['DATABASE_POOL_SIZE', '0b11'],
  ['OTEL_TRACES_SAMPLER_ARG', '0x1'],
  ['NODE_ENV', 'staging'],
  ['LOG_LEVEL', 'loud'],
])('%s=%s is refused with its name and the allowed values', (name, value) => {
  expect(() => parseConfig({ [name]: value })).toThrow(new RegExp(`^${name} cannot be "${value}"\\. .+\\.$`));
});

test.each([
  ['IMAGE_METADATA', 'remove', 'strip or keep'],
  ['CLAMAV', '127.0.0.1', '127.0.0.1:3310 or [::1]:3310'],
  ['CLAMAV', ':3310', 'such as'],
  ['CLAMAV', '127.0.0.1:0', 'such as'],
  ['CLAMAV', 'clamd:65536', 'such as'],
  ['CLAMAV', 'tcp://clamd:3310', 'such as'],
  ['CLAMAV', '::1:3310', 'such as'],
])('%s=%s is refused with an example', (name, value, example) => {
  expect(refusal({ [name]: value })).toMatch(`${name} cannot be "${value}". `);
  expect(refusal({ [name]: value })).toContain(example);
});

test.each([
  ['127.0.0.1:3310', '127.0.0.1'],
  ['[::1]:3310', '::1'],
  ['clamd.example.org:3310', 'clamd.example.org'],
])('CLAMAV=%s names a host and a port', (address, host) => {
  expect(parseConfig({ CLAMAV: address }).CLAMAV).toBe(address);
  expect(parseHostPort(address)).toEqual({ host, port: 3310 });
});

test.each([
  ['DATABASE_URL', 'mysql://somebody:hidden@host/db'],
  ['REDIS_URL', 'somebody:hidden'],
  ['AUTH_SECRET', 'hidden'],
  ['AUTH_SECRETS_ACCEPTED', 'hidden'],
  ['METRICS_TOKEN', 'hidden'],
])('an invalid %s is refused without revealing its value', (name, value) => {
  const message = refusal({ [name]: value });
  expect(message).toMatch(new RegExp(`^${name} is invalid \\(its value is not shown\\)\\. .+\\.$`));
  expect(message).not.toContain('hidden');
});

test('all invalid settings are reported at once, one per line', () => {
  expect(() => parseConfig({ PORT: 'x', LOG_LEVEL: 'loud' })).toThrow(/^PORT .*\nLOG_LEVEL .*$/);
});

test.each([
  'postgresql://parley:p%40ss%2Fw@host:5432/parley',
  'postgresql://parley:p@ss@host/parley',
  'postgres://parley@/parley?host=/run/postgresql',
  'postgresql:///parley?host=/run/postgresql&user=parley',
  'postgresql://%2Frun%2Fpostgresql/parley',
  'postgresql://parley@[::1]:5432/parley?application_name=a@b',
  'postgresql://host/parley?user=parley&password=p@ss',
  'postgresql://host/parley?schema=chat&sslmode=require',
])('the DATABASE_URL %s is accepted', (url) => {
  expect(parseConfig({ DATABASE_URL: url }).DATABASE_URL).toBe(url);
});

test.each([
  ['DATABASE_URL', 'postgresql://parley:hidden@ss/w:o#rd@host/parley'],
  ['DATABASE_URL', 'postgresql://parley:hidden/word@host/parley'],
  ['DATABASE_URL', 'postgresql://parley:1hidden/word@host/parley'],
  ['DATABASE_URL', 'postgresql://parley:5/hidden@host/parley'],
  ['DATABASE_URL', 'postgresql://parley:5?hidden@host/parley'],
  ['DATABASE_URL', 'postgresql://parley:5#hidden@host/parley'],
  ['DATABASE_URL', 'postgresql://parley:100%hidden@host/parley'],
  ['REDIS_URL', 'redis://:5/hidden@host:6379'],
  ['REDIS_URL', 'redis://:5#hidden@host:6379'],
  ['SMTP_URL', 'smtp://parley:5?hidden@host'],
])('a raw special character in %s=%s is refused with encoding advice', (name, value) => {
  const message = refusal({ [name]: value });
  expect(message).toMatch(
    new RegExp(`^${name} is invalid \\(its value is not shown\\)\\. .+Percent-encode .+@ as %40`),
  );
  expect(message).not.toContain('hidden');
});

test('an unreadable certificate is named', () => {
  const url = 'postgresql://host/parley?sslmode=verify-full&sslrootcert=/nowhere/ca.pem';
  expect(() => parseConfig({ DATABASE_URL: url })).toThrow('DATABASE_URL names /nowhere/ca.pem, which cannot be read');
});
