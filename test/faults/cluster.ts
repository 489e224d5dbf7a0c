import type { ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/platform/database/embedded.ts';
import { applyMigrations } from '../../src/platform/database/migrations.ts';
import { migrateJobs } from '../../src/platform/jobQueue.ts';
import { belongings, collect, end, launch, postmasterOf, signalPid } from './processes.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { freePort } from '../support/ports.ts';
import { runStatement } from '../support/statement.ts';

/** A node, and the three kinds of connections to and from it that can be made to fail. */
export interface ClusterNode {
  index: number;
  /** Address for clients, which stays the same after restarts. */
  url: string;
  front: Proxy;
  database: Proxy;
  redis: Proxy;
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Ends the node. Returns the exit code, or null after a signal. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null>;
  /** Starts the node. Retries until it is ready, because PostgreSQL may be down. */
  start: () => Promise<void>;
}

export interface Cluster {
  nodes: ClusterNode[];
  redis: {
    start: () => Promise<void>;
    kill: () => Promise<void>;
    signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
    /** Sends a command, such as FLUSHALL. Returns null if Redis does not respond. */
    command(name: string, ...args: string[]): Promise<unknown>;
  };
  postgres: {
    kill: () => Promise<void>;
    start: () => Promise<void>;
    /** Queries PostgreSQL directly, not through the proxies. */
    query<Row extends object>(text: string): Promise<Row[]>;
  };
  close(): Promise<void>;
}

export interface ClusterOptions {
  size: number;
  /** True if PostgreSQL will be killed, which requires durable settings. */
  killsPostgres: boolean;
  /** Path of the program that the nodes run. */
  program: string;
  /** Called when a node ends without a request to do so. */
  onCrash: (node: number, output: string) => void;
}

const START_MS = 90_000;

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-faults-'));
  belongings.folders.add(dataDir);
  // If root runs this, the database's user must be able to enter the folder.
  await chmod(dataDir, 0o755);
  const postgres = await startPostgres(dataDir, options.killsPostgres);
  const redis = await startRedis();
  const nodes = await Promise.all(
    Array.from({ length: options.size }, async (_, index) => {
      const database = await startProxy();
      postgres.behind(database);
      const url = postgres.url().replace(/@[^/]+/, `@127.0.0.1:${database.port}`);
      return createNode(index, { ...options, database, databaseUrl: url, redis: await startProxy(redis.port) });
    }),
  );
  await Promise.all(nodes.map((node) => node.start()));
  return {
    nodes,
    redis,
    postgres,
    async close() {
      await Promise.all(nodes.map((node) => node.end('SIGKILL')));
      for (const proxy of nodes.flatMap(({ front, database, redis }) => [front, database, redis])) proxy.close();
      await redis.close();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
      belongings.folders.delete(dataDir);
    },
  };
}

async function startPostgres(dataDir: string, durable: boolean) {
  const proxies: Proxy[] = [];
  const open = () =>
    startEmbeddedPostgres({
      dataDir,
      log: () => undefined,
      settings: { ...(durable ? {} : { fsync: 'off' }), max_connections: '150' },
    });
  let server: EmbeddedPostgres = await open();
  belongings.postgres.add(server.folder);
  await applyMigrations(server.url);
  await migrateJobs(server.url);
  const postgres = {
    url: () => server.url,
    behind(proxy: Proxy) {
      proxies.push(proxy);
      proxy.aim(Number(new URL(server.url).port));
    },
    async kill() {
      const pid = postmasterOf(server.folder);
      if (pid !== null) signalPid(pid, 'SIGKILL');
      while (pid !== null && signalPid(pid, 0)) await sleep(20);
    },
    async start() {
      server = await open();
      for (const proxy of proxies) proxy.aim(Number(new URL(server.url).port));
    },
    query: (text: string) => runStatement(server.url, text),
    async stop() {
      await server.stop();
      belongings.postgres.delete(server.folder);
    },
  };
  return postgres;
}

async function startRedis() {
  const port = await freePort();
  const client = new Redis({ port, retryStrategy: () => 50, commandTimeout: 2_000 });
  client.on('error', () => undefined);
  let server: ChildProcess | undefined;
  const redis = {
    port,
    async start() {
      server = launch(
        'redis-server',
        ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
        {
          PATH: process.env['PATH'],
        },
      );
      const deadline = Date.now() + START_MS;
      while ((await redis.command('PING')) !== 'PONG') {
        if (Date.now() > deadline) throw new Error('redis-server does not start. Is it installed?');
        await sleep(50);
      }
    },
    async kill() {
      if (server) await end(server, 'SIGKILL');
    },
    signal: (signal: 'SIGSTOP' | 'SIGCONT') => void server?.kill(signal),
    command: (name: string, ...args: string[]): Promise<unknown> => client.call(name, ...args).catch(() => null),
    async close() {
      client.disconnect();
      await redis.kill();
    },
  };
  await redis.start();
  return redis;
}

async function createNode(
  index: number,
  options: Pick<ClusterOptions, 'program' | 'onCrash'> & { database: Proxy; databaseUrl: string; redis: Proxy },
): Promise<ClusterNode> {
  const front = await startProxy();
  let child: ChildProcess | null = null;
  let wanted = false;

  async function attempt(): Promise<boolean> {
    const env = {
      PATH: process.env['PATH'],
      DATABASE_URL: options.databaseUrl,
      REDIS_URL: `redis://127.0.0.1:${options.redis.port}`,
      AUTH_SECRET: 'a secret of the tests, which guards nothing',
      ...{ PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', LOG_LEVEL: 'warn', RATE_LIMITS: 'off' },
      MAX_SOCKETS_PER_USER: '1000',
      MAX_STREAMS_PER_USER: '100000',
    };
    const started = launch(process.execPath, [options.program], env);
    const output = collect(started);
    child = started;
    let ready = false;
    started.once('exit', () => {
      if (ready && wanted && child === started) options.onCrash(index, output());
    });
    ready = await new Promise<boolean>((resolve) => {
      const look = () => {
        const [, port] = /HTTP, SSE +http\S+:(\d+)\/graphql/.exec(output()) ?? [];
        if (port === undefined) return;
        front.aim(Number(port));
        resolve(true);
      };
      started.stdout?.on('data', look);
      started.once('exit', () => {
        resolve(false);
      });
    });
    return ready;
  }

  return {
    index,
    url: `http://127.0.0.1:${front.port}`,
    ...{ front, database: options.database, redis: options.redis },
    signal: (signal) => void child?.kill(signal),
    async end(signal) {
      wanted = false;
      return child && end(child, signal);
    },
    async start() {
      wanted = true;
      const deadline = Date.now() + START_MS;
      while (wanted && !(await attempt())) {
        if (Date.now() > deadline) throw new Error(`Node ${index} does not start.`);
        await sleep(300);
      }
    },
  };
}
