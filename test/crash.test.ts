import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/platform/database/embedded.ts';
import { applyMigrations } from '../src/platform/database/migrations.ts';
import { migrateJobs } from '../src/platform/jobQueue.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const ALL = `subscription ($after: String) { messageAdded(after: $after) { message { number body } } }`;
const CURSOR = `{ viewer { cursor } }`;
const NEXT = `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint::int AS next`;

/** Starts a PostgreSQL that writes to disk only at a commit. */
async function startLazyPostgres() {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-crash-'));
  await chmod(dataDir, 0o755);
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const start = async (): Promise<EmbeddedPostgres> => {
    const postgres = await startEmbeddedPostgres({
      dataDir,
      log: () => undefined,
      settings: { wal_writer_delay: '10s' },
    });
    onTestFinished(() => postgres.stop().catch(() => undefined), 60_000);
    return postgres;
  };
  const connect = async ({ url }: EmbeddedPostgres) => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  return { start, connect };
}

test('a cursor from before a PostgreSQL crash skips no later message', async () => {
  const { start, connect } = await startLazyPostgres();
  const postgres = await start();
  await applyMigrations(postgres.url);
  await migrateJobs(postgres.url);
  const before = await startTestServer({ databaseUrl: postgres.url });
  const { ann, ben, room } = await world(before);
  await send(ann, room, 'before');

  // Aborted transactions use up ids, but none of them reaches the disk.
  const client = await connect(postgres);
  for (let i = 0; i < 500; i += 1) await client.query('BEGIN; SELECT pg_current_xact_id(); ROLLBACK');
  const { cursor } = (await ben.ask(CURSOR)).viewer;
  const [{ next: reached }] = (await client.query(NEXT)).rows;
  const [pid] = (await readFile(join(postgres.folder, 'postmaster.pid'), 'utf8')).split('\n');
  process.kill(Number(pid), 'SIGKILL');
  await before.stop();

  const again = await start();
  const [{ next }] = (await (await connect(again)).query(NEXT)).rows;
  expect(next, 'numbers of transactions are given again').toBeLessThan(reached - 100);
  const after = await startTestServer({ databaseUrl: again.url });
  await send(ann.at(after.url), room, 'after');
  const stream = ben.at(after.url).connect().subscribe(ALL, { after: cursor });
  expect((await stream.next()).message.body).toBe('after');
}, 90_000);
