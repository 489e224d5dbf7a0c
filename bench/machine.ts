import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startEmbeddedPostgres } from '../src/platform/database/embedded.ts';
import { applyMigrations } from '../src/platform/database/migrations.ts';
import { migrateJobs } from '../src/platform/jobQueue.ts';
import { belongings, collect, end, launch } from '../test/faults/processes.ts';
import { PARLEY_WORLD, RIVALS_WORLD } from './world.ts';
import { freePort } from '../test/support/ports.ts';
import { runStatement } from '../test/support/statement.ts';

/** PostgreSQL, with fsync on, and Redis. All stacks share them. */
export interface Machine {
  parleyUrl: string;
  rivalsUrl: string;
  redisUrl: string;
  /** Empty folder for files of a node. */
  filesDir: string;
  /** Runs SQL in one of the databases. */
  run: <Row extends object>(url: string, text: string) => Promise<Row[]>;
  /** Deletes all data of the previous server in Redis. */
  emptyRedis(): Promise<unknown>;
  close(): Promise<void>;
}

/** Settings of PostgreSQL for all stacks. With the defaults, memory and checkpoints would dominate a short run. */
const SETTINGS = {
  max_connections: '150',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '1h',
  // Counts statements, for benchmarks that report their number.
  shared_preload_libraries: 'pg_stat_statements',
  maintenance_work_mem: '512MB',
};

/** Starts PostgreSQL and Redis. Fills one database for Parley and one for the rivals with identical users and rooms. */
export async function startMachine(): Promise<Machine> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  belongings.folders.add(dataDir);
  // If root runs the benchmarks, the database's user must be able to enter the folder.
  await chmod(dataDir, 0o755);
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined, settings: SETTINGS });
  belongings.postgres.add(postgres.folder);
  const rivalsUrl = postgres.url.replace(/parley$/, 'rivals');
  await applyMigrations(postgres.url);
  await migrateJobs(postgres.url);
  await runStatement(postgres.url, PARLEY_WORLD);
  await runStatement(postgres.url, 'CREATE DATABASE rivals');
  await runStatement(rivalsUrl, await readFile(new URL('rivals/schema.sql', import.meta.url), 'utf8'));
  await runStatement(rivalsUrl, RIVALS_WORLD);
  for (const url of [postgres.url, rivalsUrl]) {
    await runStatement(url, 'CREATE EXTENSION pg_stat_statements');
    await runStatement(url, 'VACUUM ANALYZE');
  }

  const port = await freePort();
  const redis = launch(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { PATH: process.env['PATH'] },
  );
  const output = collect(redis);
  await new Promise<void>((resolve, reject) => {
    redis.once('error', reject);
    redis.once('exit', () => {
      reject(new Error(`redis-server exited:\n${output()}`));
    });
    redis.stdout?.on('data', () => {
      if (output().includes('Ready to accept connections')) resolve();
    });
  });
  const client = new Redis({ port });
  return {
    ...{ parleyUrl: postgres.url, rivalsUrl, redisUrl: `redis://127.0.0.1:${port}`, run: runStatement },
    filesDir: join(dataDir, 'files'),
    emptyRedis: () => client.flushall(),
    async close() {
      client.disconnect();
      await end(redis, 'SIGTERM');
      await postgres.stop();
      belongings.postgres.delete(postgres.folder);
      await rm(dataDir, { recursive: true, force: true });
      belongings.folders.delete(dataDir);
    },
  };
}

/** Returns the processor and system, for the caption of results. */
export function describeMachine(): string {
  return `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown processor'}, ${process.platform}, Node ${process.version}`;
}
