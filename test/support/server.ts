import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import type { HashCost } from '../../src/auth/passwordHashing.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import type { ServerNode } from '../../src/core/context.ts';
import type { WebOptions } from '../../src/platform/web/webClient.ts';
import type { NodeOptions } from '../../src/server/node.ts';
import { type RunningServer, startServer } from '../../src/server/httpServer.ts';
import type { Tracing } from '../../src/platform/observability/tracing.ts';

export const AUTH_SECRET = 'a secret of the tests, which guards nothing';

/** Limits that allow a document to select enough for its results to fill a socket. */
export const WIDE_LIMITS = { MAX_ALIASES: '2000', MAX_TOKENS: '10000', MAX_COMPLEXITY: '1000000' };

/** Minimum cost that argon2 allows. The default parameters are pinned in origins.test.ts. */
const CHEAP_HASH = { memoryCost: 8, timeCost: 1, parallelism: 1 };

/** Nodes that run in this process, by address. */
export const nodes = new Map<string, ServerNode>();

export interface TestServer extends RunningServer {
  databaseUrl: string;
  /**
   * Returns the statements sent to the database since the last call. Leaves out checks of sessions by default, because a
   * node caches a session only until the next poll is due.
   */
  statements(options?: { sessionChecks: boolean }): string[];
}

/** Registers a cleanup, by default for the end of the test. */
type AtEnd = (end: () => Promise<void>, timeoutMs: number) => unknown;

/** Creates a migrated, empty database for the current test. */
export async function createTestDatabase(atEnd: AtEnd = onTestFinished): Promise<string> {
  const url = inject('postgresUrl');
  const name = `test_${process.pid}_${crypto.randomUUID().slice(0, 8)}`;
  // Creating and dropping a clone takes 77 ms, compared to 136 ms through the log (WAL_LOG).
  await admin(url, `CREATE DATABASE ${name} TEMPLATE template STRATEGY FILE_COPY`);
  atEnd(() => admin(url, `DROP DATABASE ${name} WITH (FORCE)`), 60_000);
  return url.replace(/parley$/, name);
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // The lock prevents two clones at once, because the template must not be in use.
  await client.query('SELECT pg_advisory_lock(1)');
  await client.query(statement);
  await client.end();
}

/** Returns the folder of the files of a test database. All nodes on the database use it. */
export function dataDirOf(databaseUrl: string): string {
  return join(tmpdir(), `parley-${new URL(databaseUrl).pathname.slice(1)}`);
}

/** Starts a node on a new database, or on one shared with other nodes. It ends with the test. */
export async function startTestServer(
  options: {
    databaseUrl?: string;
    redisUrl?: string;
    env?: Record<string, string>;
    /** Cost of password hashes: cheap by default, and `undefined` for the default of a node. */
    hashCost?: HashCost | undefined;
    presenceTimes?: { leaseMs: number; graceMs: number };
    log?: Logger;
    tracing?: Tracing;
    /** Public servers of the test; see `WebOptions`. By default, those of production. */
    web?: WebOptions;
    /** Times of webhooks; see `NodeOptions`. */
    webhooks?: NodeOptions['webhooks'];
    /** Whether the node warms up before it accepts requests. */
    warmsUp?: boolean;
    atEnd?: AtEnd;
  } = {},
): Promise<TestServer> {
  const { atEnd = onTestFinished } = options;
  const databaseUrl = options.databaseUrl ?? (await createTestDatabase(atEnd));
  let statements: string[] = [];
  const config = parseConfig({
    PORT: '0',
    HOST: '127.0.0.1',
    NODE_ENV: 'test',
    // One person of a test uses many clients. Other tests cover these limits.
    MAX_SOCKETS_PER_USER: '1000',
    MAX_STREAMS_PER_USER: '10000',
    MAX_SIGNED_OUT_SOCKETS: '1000',
    RATE_LIMITS: 'off',
    DATA_DIR: dataDirOf(databaseUrl),
    ...(process.env['SHARED_EXECUTION'] ? { SHARED_EXECUTION: process.env['SHARED_EXECUTION'] } : {}),
    ...(options.redisUrl ? { REDIS_URL: options.redisUrl } : {}),
    ...options.env,
  });
  const server = await startServer(config, {
    databaseUrl,
    authSecret: config.AUTH_SECRET ?? AUTH_SECRET,
    log: options.log ?? pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
    presenceTimes: options.presenceTimes,
    tracing: options.tracing ?? null,
    web: options.web,
    webhooks: options.webhooks,
    warmsUp: options.warmsUp ?? false,
    // A test that counts statements would fail when it meets the time of a job.
    periodicJobs: false,
    hashCost: 'hashCost' in options ? options.hashCost : CHEAP_HASH,
    onStatement: (text) => statements.push(text),
  });
  nodes.set(server.url, server.node);
  let stopped: Promise<void> | undefined;
  const stop = (spreadMs = 0) => (stopped ??= server.stop(spreadMs));
  atEnd(() => rm(dataDirOf(databaseUrl), { recursive: true, force: true }), 60_000);
  atEnd(() => stop(), 60_000);
  return {
    ...server,
    stop,
    databaseUrl,
    statements({ sessionChecks } = { sessionChecks: false }) {
      // Leaves out the statements of the change poller and of the workers of webhooks, and of checks that follow
      // reads with a delay.
      const ignored = sessionChecks
        ? /FROM endings|webhook|may_be_seen_anew/
        : /FROM endings|webhook|may_be_seen_anew|FROM sessions WHERE id = ANY/;
      const seen = statements.filter((text) => !ignored.test(text));
      statements = [];
      return seen;
    },
  };
}

/** Starts two nodes on one new database. */
export async function startTestNodes(
  redisUrl?: string,
  env: Record<string, string> = {},
): Promise<[TestServer, TestServer]> {
  const options = { databaseUrl: await createTestDatabase(), env, ...(redisUrl === undefined ? {} : { redisUrl }) };
  return [await startTestServer(options), await startTestServer(options)];
}

/** Runs a statement in a separate transaction. The transaction stays open until the returned function is called. */
export async function holdTransaction(
  { databaseUrl }: TestServer,
  statement: string,
  ...values: string[]
): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: databaseUrl });
  const release = () => client.end();
  onTestFinished(release);
  await client.connect();
  await client.query('BEGIN');
  await client.query(statement, values);
  return release;
}

/** Waits for a poll that began after the call. */
export async function waitForPoll({ node }: TestServer): Promise<void> {
  // A poll may already be running, so the first report does not count.
  for (let looks = 0; looks < 2; looks += 1) {
    const look = new Promise<void>((resolve) => {
      const stop = node.changePoller.listen(() => {
        stop();
        resolve();
      });
    });
    node.changePoller.requestPoll();
    await look;
  }
}
