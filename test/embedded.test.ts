import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../src/platform/database/embedded.ts';
import { runStatement } from './support/statement.ts';

const isRoot = process.getuid?.() === 0;

async function newFolder(mode = 0o755, name = ''): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), 'parley-embedded-'));
  await chmod(base, mode);
  onTestFinished(() => rm(base, { recursive: true, force: true }));
  const folder = join(base, name);
  await mkdir(folder, { recursive: true });
  return folder;
}

async function start(dataDir: string, options: { share?: boolean } = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined, ...options });
  onTestFinished(() => postgres.stop().catch(() => undefined), 60_000);
  return postgres;
}

const postmasterOf = async (postgres: EmbeddedPostgres) =>
  Number((await readFile(join(postgres.folder, 'postmaster.pid'), 'utf8')).split('\n')[0]);

describe('the embedded PostgreSQL', { timeout: 90_000 }, () => {
  test('keeps its data between starts, and stops with the process', async () => {
    const dataDir = await newFolder();
    const first = await start(dataDir);
    await runStatement(first.url, 'CREATE TABLE t AS SELECT 42 AS answer');
    await first.stop();
    await expect(postmasterOf(first)).rejects.toThrow('ENOENT');
    const second = await start(dataDir);
    expect(await runStatement(second.url, 'SELECT answer FROM t')).toEqual([{ answer: 42 }]);
    expect(await runStatement(second.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
  });

  test('is taken over with all rows after kill -9 of its process', async () => {
    const dataDir = await newFolder();
    const script = `
      import pg from 'pg';
      import { startEmbeddedPostgres } from ${JSON.stringify(new URL('../src/platform/database/embedded.ts', import.meta.url).href)};
      const { url, folder } = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: () => {} });
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query('CREATE TABLE t (n int)');
      for (let n = 1; ; n += 1) { await client.query('INSERT INTO t VALUES ($1)', [n]); console.log(n); }`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let acknowledged = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      acknowledged = Number(chunk.toString().trim().split('\n').at(-1));
    });
    await expect.poll(() => acknowledged, { timeout: 60_000 }).toBeGreaterThan(100);
    child.kill('SIGKILL');
    await once(child, 'exit');

    const pid = Number((await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]);
    const next = await start(dataDir);
    expect(await postmasterOf(next)).toBe(pid);
    const [{ rows }] = await runStatement(next.url, 'SELECT count(*)::int AS rows FROM t');
    expect(rows).toBeGreaterThanOrEqual(acknowledged);
    await next.stop();
    await expect(postmasterOf(next)).rejects.toThrow('ENOENT');
  });

  test('recovers at the next start after kill -9 of the server', async () => {
    const dataDir = await newFolder();
    const first = await start(dataDir);
    await runStatement(first.url, 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS n');
    process.kill(await postmasterOf(first), 'SIGKILL');
    await first.stop().catch(() => undefined);
    const second = await start(dataDir);
    expect(await runStatement(second.url, 'SELECT count(*)::int AS n FROM t')).toEqual([{ n: 1000 }]);
  });

  test('refuses a second exclusive start on one folder, with advice', async () => {
    const dataDir = await newFolder();
    const results = await Promise.allSettled([start(dataDir), start(dataDir)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = results.find((result) => result.status === 'rejected');
    expect(String(refused?.reason)).toMatch(/Another Parley is running on .*DATA_DIR/);
    const guest = await start(dataDir, { share: true });
    await guest.stop();
    expect(await runStatement(guest.url, 'SELECT 1 AS alive')).toEqual([{ alive: 1 }]);
  });

  test('recreates a directory whose creation was interrupted', async () => {
    const dataDir = await newFolder();
    await mkdir(join(dataDir, 'postgres.new-999999'));
    await writeFile(join(dataDir, 'postgres.new-999999', 'PG_VERSION'), '18');
    await start(dataDir);
    expect(await readdir(dataDir)).not.toContain('postgres.new-999999');
  });

  test('refuses data of another major version in one sentence', async () => {
    const dataDir = await newFolder();
    await mkdir(join(dataDir, 'postgres'));
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '13\n');
    await expect(start(dataDir)).rejects.toThrow(/was written by PostgreSQL 13, but the embedded version is 18/);
  });

  test('works in long, non-ASCII paths with spaces, and requires its password', async () => {
    const { url } = await start(await newFolder(0o755, `ein Ordner/${'データ'.repeat(20)}`));
    expect(await runStatement(url, "SELECT upper('ä') AS upper, current_database() AS name")).toEqual([
      { upper: 'Ä', name: 'parley' },
    ]);
    await expect(runStatement(url.replace(/:[^:@]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow(
      'password authentication failed',
    );
  });

  test.skipIf(!isRoot)('works for root in a private folder (skipped for others)', async () => {
    const dataDir = await newFolder(0o700);
    const said: string[] = [];
    const first = await startEmbeddedPostgres({ dataDir, log: (line) => said.push(line) });
    expect(said.join('\n')).toContain('cannot enter');
    const place = join(first.folder, '..');
    onTestFinished(() => rm(place, { recursive: true, force: true }));
    await runStatement(first.url, 'CREATE TABLE t AS SELECT 1 AS one');
    await first.stop();
    const second = await start(dataDir);
    expect(await runStatement(second.url, 'SELECT one FROM t')).toEqual([{ one: 1 }]);
    await second.stop();
  });

  test.skipIf(!isRoot)('runs for an unprivileged user (skipped unless root can become one)', async () => {
    const dataDir = await newFolder(0o777);
    await chmod(dataDir, 0o777);
    const script = `
      const { startEmbeddedPostgres } = await import(${JSON.stringify(new URL('../dist/platform/database/embedded.js', import.meta.url).href)});
      const postgres = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, log: () => {} });
      console.log(process.getuid(), postgres.folder);
      await postgres.stop();`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      uid: 65_534,
      gid: 65_534,
      cwd: new URL('..', import.meta.url).pathname,
      env: { PATH: process.env['PATH'], HOME: dataDir },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    const [code] = await once(child, 'exit');
    expect(output.trim()).toBe(`65534 ${join(dataDir, 'postgres')}`);
    expect(code).toBe(0);
  });
});
