import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedPostgres } from '../../../src/platform/database/embedded.ts';
import { applyMigrations } from '../../../src/platform/database/migrations.ts';
import { migrateJobs } from '../../../src/platform/jobQueue.ts';
import { readMetrics } from '../../support/metrics.ts';
import { belongings, collect, end, launch } from '../processes.ts';
import { freePort } from '../../support/ports.ts';

/** One node with its own PostgreSQL and Redis. */
export interface Place {
  url: string;
  redisUrl: string;
  /** Returns the latest output of the node. */
  output(): string;
  /**
   * Forces a garbage collection in the node. Returns its metrics afterwards, which then only include retained memory.
   */
  weigh(): Promise<Map<string, number>>;
  close(): Promise<void>;
}

const GC_ON_SIGNAL = 'data:text/javascript,process.on("SIGUSR2",()=>globalThis.gc())';
const COLLECTIONS = 'nodejs_gc_duration_seconds_count{kind="major"}';

/**
 * Starts the built program.
 *
 * @param settings of the node; they override the defaults
 */
export async function startPlace(program: string, settings: Record<string, string> = {}): Promise<Place> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-place-'));
  belongings.folders.add(dataDir);
  // If root runs this, the database's user must be able to enter the folder.
  await chmod(dataDir, 0o755);
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined, settings: { fsync: 'off' } });
  belongings.postgres.add(postgres.folder);
  await applyMigrations(postgres.url);
  await migrateJobs(postgres.url);
  const port = await freePort();
  const redisUrl = `redis://127.0.0.1:${port}`;
  const PATH = process.env['PATH'];
  const redis = launch('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--save', ''], { PATH });

  const node = launch(process.execPath, ['--expose-gc', '--import', GC_ON_SIGNAL, program], {
    ...{ PATH, DATABASE_URL: postgres.url, REDIS_URL: redisUrl },
    ...{ PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', LOG_LEVEL: 'warn', RATE_LIMITS: 'off' },
    ...{
      AUTH_SECRET: 'a secret of the tests, which guards nothing',
      MAX_SOCKETS_PER_USER: '1000',
      MAX_STREAMS_PER_USER: '100000',
    },
    ...settings,
  });
  const output = collect(node);
  const url = await new Promise<string>((resolve, reject) => {
    node.stdout?.on('data', () => {
      const [, found] = /HTTP, SSE +(http\S+)\/graphql/.exec(output()) ?? [];
      if (found) resolve(found.replace('localhost', '127.0.0.1'));
    });
    node.once('exit', () => {
      reject(new Error(`The node ended:\n${output()}`));
    });
  });
  return {
    ...{ url, redisUrl, output },
    async weigh() {
      const before = (await readMetrics(url)).get(COLLECTIONS) ?? 0;
      for (;;) {
        // Repeats the signal, because the metrics only count the first of several collections in quick succession.
        node.kill('SIGUSR2');
        const metrics = await readMetrics(url);
        if ((metrics.get(COLLECTIONS) ?? 0) > before) return metrics;
        await sleep(200);
      }
    },
    async close() {
      await end(node, 'SIGTERM');
      await end(redis, 'SIGKILL');
      await postgres.stop();
      belongings.postgres.delete(postgres.folder);
      await rm(dataDir, { recursive: true, force: true });
      belongings.folders.delete(dataDir);
    },
  };
}
