import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, statfsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/platform/database/embedded.ts';
import { applyMigrations } from '../../src/platform/database/migrations.ts';
import { migrateJobs } from '../../src/platform/jobQueue.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A server whose database `template` is migrated and empty. */
    postgresUrl: string;
    /** Path of the machine's redis-server, or an empty string. */
    redisServer: string;
  }
}

const MEMORY = '/dev/shm';
/** Size in bytes of several hundred databases and of the write-ahead log. */
const ROOM = 3 * 1_024 ** 3;

/** Starts one PostgreSQL for all test files. Each file clones its template. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = mkdtempSync(join(findFolder(), 'parley-test-'));
  // If root runs the tests, the database's user must be able to enter the folder.
  chmodSync(dataDir, 0o755);
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: () => undefined,
    // No data outlives the tests. Tests of durability start a separate server.
    settings: { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', max_connections: '300' },
  });
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  // A node opens seven connections, and each derives a key from the password, 4,096 rounds by default.
  await client.query('SET scram_iterations = 1');
  await client.query(`ALTER ROLE CURRENT_USER PASSWORD ${client.escapeLiteral(new URL(postgres.url).password)}`);
  await client.query('CREATE DATABASE template');
  await client.end();
  const template = postgres.url.replace(/parley$/, 'template');
  await applyMigrations(template);
  await migrateJobs(template);

  const redisServer = findRedis();
  if (!redisServer)
    process.stdout.write('There is no redis-server on this machine: the suites of several nodes are skipped.\n');
  project.provide('postgresUrl', postgres.url);
  project.provide('redisServer', redisServer);
  return async () => {
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}

/**
 * Returns the folder for the databases: in memory if there is enough space. Each clone has 300 files, and ext4 spends a
 * third of the machine's time on inodes that were deleted shortly before.
 */
function findFolder(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize > ROOM ? MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}

function findRedis(): string {
  try {
    return execFileSync('sh', ['-c', 'command -v redis-server'], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}
