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

/** What all stacks share: one PostgreSQL that writes to the disk in earnest, and one Redis. */
export interface Machine {
  parleyUrl: string;
  rivalsUrl: string;
  redisUrl: string;
  /** Runs SQL in one of the databases. */
  run: <Row extends object>(url: string, text: string) => Promise<Row[]>;
  /** Forgets what the last server left in Redis. */
  emptyRedis(): Promise<unknown>;
  close(): Promise<void>;
}

/** Beyond the defaults, so that neither memory nor checkpoints of a short run decide; the same for all. */
const SETTINGS = {
  max_connections: '150',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  // Counts statements, for the figures that are about their number.
  shared_preload_libraries: 'pg_stat_statements',
  maintenance_work_mem: '512MB',
};

/** Starts PostgreSQL and Redis, with the same people and rooms in a database of Parley's and in one of the rivals'. */
export async function startMachine(): Promise<Machine> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-bench-'));
  belongings.folders.add(dataDir);
  // Where root runs this, the database's user must be able to enter.
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
      reject(new Error(`redis-server ended:\n${output()}`));
    });
    redis.stdout?.on('data', () => {
      if (output().includes('Ready to accept connections')) resolve();
    });
  });
  const client = new Redis({ port });
  return {
    ...{ parleyUrl: postgres.url, rivalsUrl, redisUrl: `redis://127.0.0.1:${port}`, run: runStatement },
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

/** The processor and the system, for the heading of the figures. */
export function describeMachine(): string {
  return `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown processor'}, ${process.platform}, Node ${process.version}`;
}
