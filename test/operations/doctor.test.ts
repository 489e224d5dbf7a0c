import { once } from 'node:events';
import { createServer } from 'node:net';
import pg from 'pg';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { administer } from '../../src/cli/admin/admin.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { requireSoleNode } from '../../src/server/soleNode.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { PRODUCTION } from '../support/config.ts';
import { freePort } from '../support/ports.ts';
import { runProgram } from '../support/process.ts';
import { hasRedis, startRedis } from '../support/redis.ts';

/** Returns the doctor's report on a database and a Redis, and whether it found a fault. */
async function examine(databaseUrl: string, env: Record<string, string> = {}) {
  const tools = {
    config: parseConfig(env),
    nodeVersion: process.versions.node,
    readInput: () => Promise.resolve(''),
    progress: createProgress({ isTTY: false, write: () => true }),
  };
  const { text, failed } = await administer(['doctor'], tools, () =>
    Promise.resolve({ url: databaseUrl, stop: () => Promise.resolve() }),
  );
  return { lines: text.split('\n'), text, failed };
}

async function run(url: string, ...statements: string[]): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  return client;
}

test('a healthy database has no fault, and all checks are listed', async () => {
  const url = await createTestDatabase();
  const client = await run(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET synchronous_commit = on`);
  await client.end();
  const { text } = await examine(url);
  expect(text).toMatch(/ok {6}Node is \d/);
  expect(text).toMatch(/ok {6}PostgreSQL is 1\d/);
  expect(text).toMatch(/ok {6}synchronous_commit is on/);
  expect(text).toContain('ok      The encoding is UTF8.');
  expect(text).toContain('ok      All migrations are applied.');
  expect(text).toContain('ok      The clocks of this machine and of the database agree.');
  // The tests' database does not survive a crash, which the doctor reports.
  expect(text).toContain('fault   fsync or full_page_writes is off');
});

test('settings that lose acknowledged data are faults', async () => {
  const url = await createTestDatabase();
  const name = new URL(url).pathname.slice(1);
  const client = await run(url, `ALTER DATABASE ${name} SET synchronous_commit = off`);
  await client.end();
  const { text, failed } = await examine(url);
  expect(text).toContain('fault   synchronous_commit is off: a message that was acknowledged may be lost in a crash.');
  expect(failed).toBe(true);
});

test('pending, changed and unknown migrations are named with advice', async () => {
  const url = await createTestDatabase();
  const client = await run(
    url,
    `DELETE FROM _prisma_migrations WHERE migration_name = '20261121130000_suspension'`,
    `UPDATE _prisma_migrations SET checksum = 'other' WHERE migration_name = '20261121090000_accounts'`,
    `UPDATE _prisma_migrations SET migration_name = '2999_newer' WHERE migration_name = '20261121100000_push'`,
  );
  await client.end();
  const { text, failed } = await examine(url);
  expect(text).toMatch(/fault {3}The database lacks .*20261121130000_suspension\. Run: npm run migrate/);
  expect(text).toMatch(/fault {3}The database has a different version of 20261121090000_accounts/);
  expect(text).toMatch(/warning The database has migrations of a newer version: 2999_newer/);
  expect(failed).toBe(true);
});

test('empty and unreachable databases are faults, not crashes', async () => {
  const url = await createTestDatabase();
  const empty = inject('postgresUrl').replace(/parley$/, 'postgres');
  expect((await examine(empty)).text).toMatch(/fault {3}The database lacks 20261121000000_first_conversation/);
  const nowhere = await examine(url.replace(/@[^/]+/, '@127.0.0.1:1'));
  expect(nowhere.text).toMatch(/fault {3}The database does not respond: .*ECONNREFUSED/);
  expect(nowhere.failed).toBe(true);
});

test('a long transaction, failed jobs and a loaded dump are reported', async () => {
  const url = await createTestDatabase();
  const client = await run(
    url,
    `SELECT graphile_worker.add_job('send_mail', '{}', max_attempts => 1)`,
    `UPDATE graphile_worker._private_jobs SET attempts = 1, last_error = 'The mail server is gone'`,
    `INSERT INTO chatrooms (kind) VALUES ('GROUP')`,
    `INSERT INTO events (chatroom_id, seq, kind, xid) SELECT id, 1, 'CHATROOM_UPDATED', '999999999999' FROM chatrooms`,
  );
  await client.end();
  const { text } = await examine(url);
  expect(text).toContain(
    'warning 1 jobs have failed and will not be retried, for example with: The mail server is gone.',
  );
  expect(text).toMatch(
    /fault {3}The log has transaction ids that this database server has not reached yet: a backup was loaded/,
  );
});

test('a check whose query fails is a fault, unless the table does not exist', async () => {
  const url = await createTestDatabase();
  const client = await run(url, `ALTER TABLE events RENAME COLUMN xid TO other`, `DROP VIEW graphile_worker.jobs`);
  await client.end();
  const { text, failed } = await examine(url);
  expect(text).toContain('fault   The log of the rooms cannot be read: column "xid" does not exist.');
  expect(text).not.toContain('The job queue cannot be read');
  expect(failed).toBe(true);
});

describe.skipIf(!hasRedis())('Redis', () => {
  test('is checked for version, eviction policy, latency and clock', async () => {
    const redis = await startRedis();
    const url = await createTestDatabase();
    const { text } = await examine(url, { REDIS_URL: redis.url });
    expect(text).toMatch(/ok {6}Redis is \d/);
    expect(text).toContain('ok      Redis has no memory limit.');
    expect(text).toMatch(/(ok {6}|warning )A round trip to Redis takes [\d.]+ ms/);
    expect(text).toContain('ok      The clocks of this machine and of Redis agree.');
    await redis.command('CONFIG', 'SET', 'maxmemory', '100mb');
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    expect((await examine(url, { REDIS_URL: redis.url })).text).toContain('warning Redis evicts keys when it is full');
    redis.signal('SIGKILL');
    const gone = await examine(url, { REDIS_URL: redis.url });
    expect(gone.text).toContain('fault   Redis does not respond');
    expect(gone.failed).toBe(true);
  });
});

describe.skipIf(!hasRedis())('an unsuitable Redis is a fault:', () => {
  test('a replica, and a user without channels or keys', async () => {
    const [primary, replica] = [await startRedis(), await startRedis()];
    await replica.command('REPLICAOF', '127.0.0.1', new URL(primary.url).port);
    const url = await createTestDatabase();
    expect((await examine(url, { REDIS_URL: replica.url })).text).toContain('fault   This Redis is read-only');
    await primary.command('ACL', 'SETUSER', 'chat', 'on', '>hidden', '+@all', 'resetchannels');
    const { text } = await examine(url, { REDIS_URL: primary.url.replace('//', '//chat:hidden@') });
    expect(text).toContain('fault   The user of REDIS_URL may not use the channels parley:*');
    expect(text).toContain('fault   The user of REDIS_URL may not use the keys parley:*');
    const wrong = await examine(url, { REDIS_URL: primary.url.replace('//', '//chat:wrong@') });
    expect(wrong.text).toContain('fault   Redis refuses the user or password of REDIS_URL');
  });
});

test.each([
  ['', 'warning DATABASE_URL connects to another machine without TLS'],
  ['?sslmode=disable', 'warning DATABASE_URL connects to another machine without TLS'],
  ['?sslmode=no-verify', 'warning DATABASE_URL uses TLS without verifying the server (no-verify)'],
  ['?uselibpqcompat=true&sslmode=require', 'warning DATABASE_URL uses TLS without verifying the server (require)'],
  [
    '?sslmode=require',
    'ok      DATABASE_URL uses TLS and verifies the server: Parley treats sslmode=require as verify-full',
  ],
  ['?sslmode=verify-full', 'ok      DATABASE_URL uses TLS and verifies the server.'],
])('the TLS of DATABASE_URL%s is judged by the driver’s behaviour', async (query, line) => {
  const env = { DATABASE_URL: `postgresql://parley@db.example.org/parley${query}` };
  expect((await examine('postgresql://127.0.0.1:1/nowhere', env)).text).toContain(line);
});

test('accepted but doubtful settings are named', async () => {
  const { text } = await examine(await createTestDatabase(), {
    ...PRODUCTION,
    AUTH_SECRETS_ACCEPTED: PRODUCTION.AUTH_SECRET.toLowerCase(),
  });
  for (const name of ['AUTH_SECRETS_ACCEPTED is set', 'SMTP_URL is not set', 'METRICS_TOKEN is not set'])
    expect(text).toContain(`warning ${name}`);
  expect(text).toContain('warning DATABASE_URL connects to another machine without TLS');
});

test('the program prints all checks and exits with 1 after faults', { timeout: 60_000 }, async () => {
  const url = await createTestDatabase();
  const { code, output } = await runProgram({ DATABASE_URL: url }, 'admin', 'doctor');
  expect(output).toContain('fault   fsync');
  expect(output).toMatch(/\d faults?, \d+ warnings?\.\n$/);
  expect(code).toBe(1);
});

test.each<[why: string, env: Record<string, string>, warns: boolean]>([
  ['people reach it by https', { PUBLIC_URL: 'https://chat.example.org' }, true],
  [
    'a node in production listens on loopback',
    { ...PRODUCTION, PUBLIC_URL: 'http://chat.local', PLAIN_HTTP: 'on', HOST: '127.0.0.1' },
    true,
  ],
  ['a proxy is trusted', { PUBLIC_URL: 'https://chat.example.org', TRUSTED_PROXIES: '1' }, false],
  ['a developer runs it', { HOST: '127.0.0.1' }, false],
])('an untrusted proxy causes a warning if there must be one: %s', async (_why, env, warns) => {
  const { text } = await examine(await createTestDatabase(), env);
  expect(text.includes('warning TRUSTED_PROXIES is 0, but this node seems to be behind a proxy.')).toBe(warns);
});

test('undeleted files and an unusable store are faults', async () => {
  const url = await createTestDatabase();
  const id = crypto.randomUUID();
  const client = await run(
    url,
    `SELECT graphile_worker.add_job('delete_file', '{"attachmentId": "${id}"}')`,
    `UPDATE graphile_worker._private_jobs SET attempts = max_attempts, last_error = 'The store is away.'`,
  );
  await client.end();
  const { text, failed } = await examine(url, { DATA_DIR: '/dev/null/nowhere' });
  expect(text).toContain(
    `fault   The bytes of 1 deleted attachments or link previews could not be deleted for three days (The store is away.): ${id}. Correct`,
  );
  expect(text).toContain('fault   The folder /dev/null/nowhere/files of uploaded files cannot be used');
  expect(failed).toBe(true);
});

test('a clamd that does not respond is a fault', async () => {
  const url = await createTestDatabase();
  const address = `127.0.0.1:${await freePort()}`;
  const away = await examine(url, { CLAMAV: address });
  expect(away.text).toMatch(/fault {3}clamd of CLAMAV does not respond to PING \(clamd at 127.*ECONNREFUSED/);
  expect(away.failed).toBe(true);
  const server = createServer((socket) => socket.end('PONG\0'));
  await once(server.listen(Number(address.split(':')[1]), '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  expect((await examine(url, { CLAMAV: address })).text).toContain('ok      clamd scans uploaded files (CLAMAV).');
});

test('a second node with FILES=disk is refused in production', async () => {
  const databaseUrl = await createTestDatabase();
  const disk = { NODE_ENV: 'production', FILES: 'disk' } as const;
  const [first, second] = await Promise.allSettled([
    requireSoleNode(disk, databaseUrl, 0),
    requireSoleNode(disk, databaseUrl, 0),
  ]);
  expect([first.status, second.status].sort()).toEqual(['fulfilled', 'rejected']);
  for (const each of [first, second]) if (each.status === 'fulfilled') await each.value();
  await startTestServer({ databaseUrl });
  await expect(requireSoleNode(disk, databaseUrl, 0)).rejects.toThrow('FILES=disk works with one node only');
  await requireSoleNode({ ...disk, FILES: 's3' }, databaseUrl, 0);
  await requireSoleNode({ ...disk, NODE_ENV: 'development' }, databaseUrl, 0);
});
