import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { applyMigrations } from '../src/platform/database/migrations.ts';
import { createTestDatabase } from './support/server.ts';
import { runStatement } from './support/statement.ts';

async function migrations(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-migrations-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'migration.sql'), text);
  }
  return folder;
}

test('migrations run once, in order, even if nodes start together', async () => {
  const url = await createTestDatabase();
  const folder = await migrations({
    '1_a': 'CREATE TABLE a (n int); INSERT INTO a VALUES (1);',
    '2_b': 'INSERT INTO a VALUES (2);',
  });
  const applied = await Promise.all(Array.from({ length: 5 }, () => applyMigrations(url, folder)));
  expect(applied.flat()).toEqual(['1_a', '2_b']);
  expect(await runStatement(url, 'SELECT n FROM a')).toEqual([{ n: 1 }, { n: 2 }]);
  expect(await applyMigrations(url, folder)).toEqual([]);
});

test('a failed migration is rolled back and named with the reason', async () => {
  const url = await createTestDatabase();
  const folder = await migrations({
    '1_a': 'CREATE TABLE a (n int);',
    '2_b': 'CREATE TABLE b (n int); SELECT nothing;',
  });
  await expect(applyMigrations(url, folder)).rejects.toThrow(
    /^The migration 2_b failed and was rolled back: column "nothing" does not exist$/,
  );
  expect(
    await runStatement(url, `SELECT to_regclass('a') IS NOT NULL AS a, to_regclass('b') IS NOT NULL AS b`),
  ).toEqual([{ a: true, b: false }]);
});

test('a migration gives way to a statement that holds a lock which it needs', async () => {
  const url = await createTestDatabase();
  const tables = { '1_tables': 'CREATE TABLE first (n int); CREATE TABLE second (n int);' };
  const change = `ALTER TABLE first ADD COLUMN m int; SELECT pg_sleep(0.3); ALTER TABLE second ADD COLUMN m int;`;
  await applyMigrations(url, await migrations(tables));
  const node = new pg.Client({ connectionString: url });
  await node.connect();
  await node.query('BEGIN; LOCK TABLE second IN ROW SHARE MODE');
  const applied = applyMigrations(url, await migrations({ ...tables, '2_change': change }));
  const LOCKS = `SELECT FROM pg_locks WHERE relation = 'first'::regclass AND mode = 'AccessExclusiveLock' AND granted`;
  await expect.poll(async () => (await runStatement(url, LOCKS)).length, { interval: 10 }).toBe(1);
  // In the opposite order. Without the timeout of the migration, this statement would be cancelled for the deadlock.
  await node.query('LOCK TABLE first IN ROW SHARE MODE');
  await node.query('COMMIT');
  expect(await applied).toEqual(['2_change']);
  await node.end();
});

test('a changed migration is refused, an unknown one is ignored', async () => {
  const url = await createTestDatabase();
  await applyMigrations(
    url,
    await migrations({ '1_a': 'CREATE TABLE a (n int);', '9_newer': 'CREATE TABLE newer (n int);' }),
  );
  expect(await applyMigrations(url, await migrations({ '1_a': 'CREATE TABLE a (n int);' }))).toEqual([]);
  await expect(applyMigrations(url, await migrations({ '1_a': 'CREATE TABLE a (n bigint);' }))).rejects.toThrow(
    '1_a has changed since it was applied',
  );
});

test('applied migrations are recorded as by prisma migrate deploy', async () => {
  const url = await createTestDatabase();
  const [noted] = await runStatement(url, 'SELECT * FROM _prisma_migrations ORDER BY migration_name');
  expect(noted).toMatchObject({ applied_steps_count: 1, logs: null, rolled_back_at: null });
  expect(noted.checksum).toMatch(/^[0-9a-f]{64}$/);
  expect(await applyMigrations(url)).toEqual([]);
});
