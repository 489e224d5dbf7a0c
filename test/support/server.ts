import { type Logger, pino } from 'pino';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import type { HashCost } from '../../src/auth/passwords.ts';
import { parseConfig } from '../../src/config.ts';
import type { ServerNode } from '../../src/context.ts';
import { type RunningServer, startServer } from '../../src/server.ts';
import type { Tracing } from '../../src/tracing.ts';

export const AUTH_SECRET = 'a secret of the tests, which guards nothing';

/** Limits under which a document may ask for so much that its answers fill a socket. */
export const WIDE = { MAX_ALIASES: '2000', MAX_TOKENS: '10000', MAX_COMPLEXITY: '1000000' };

/** The least that argon2 allows. The default parameters are pinned in origins.test.ts. */
const CHEAP_HASH = { memoryCost: 8, timeCost: 1, parallelism: 1 };

/** The nodes that run in this process, by their address. */
export const nodes = new Map<string, ServerNode>();

export interface TestServer extends RunningServer {
  databaseUrl: string;
  /** The statements that were sent to the database since the last call. */
  statements(): string[];
}

/** Keeps something to be done at the end: of the test unless it is said otherwise. */
type AtEnd = (end: () => Promise<void>, timeoutMs: number) => unknown;

/** A migrated, empty database for this test alone. */
export async function createTestDatabase(atEnd: AtEnd = onTestFinished): Promise<string> {
  const url = inject('postgresUrl');
  const name = `test_${process.pid}_${crypto.randomUUID().slice(0, 8)}`;
  // To create and drop a clone takes 77 ms, and 136 ms through the log (WAL_LOG).
  await admin(url, `CREATE DATABASE ${name} TEMPLATE template STRATEGY FILE_COPY`);
  atEnd(() => admin(url, `DROP DATABASE ${name} WITH (FORCE)`), 60_000);
  return url.replace(/parley$/, name);
}

async function admin(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // Two clones at once: the template must not be in use.
  await client.query('SELECT pg_advisory_lock(1)');
  await client.query(statement);
  await client.end();
}

/** A node on a database of its own, or on one that it shares with others. It ends with the test. */
export async function startTestServer(
  options: {
    databaseUrl?: string;
    redisUrl?: string;
    env?: Record<string, string>;
    /** Cost of password hashes: cheap unless given, and `undefined` for the default of a node. */
    hashCost?: HashCost | undefined;
    presenceTimes?: { leaseMs: number; graceMs: number };
    log?: Logger;
    tracing?: Tracing;
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
    // One person of a test is many clients; the limit has a test of its own.
    MAX_SOCKETS_PER_USER: '1000',
    MAX_STREAMS_PER_USER: '10000',
    MAX_SIGNED_OUT_SOCKETS: '1000',
    RATE_LIMITS: 'off',
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
    hashCost: 'hashCost' in options ? options.hashCost : CHEAP_HASH,
    onStatement: (text) => statements.push(text),
  });
  nodes.set(server.url, server.node);
  let stopped: Promise<void> | undefined;
  const stop = (spreadMs = 0) => (stopped ??= server.stop(spreadMs));
  atEnd(() => stop(), 60_000);
  return {
    ...server,
    stop,
    databaseUrl,
    statements() {
      // The sweep asks once a second, whatever else goes on; and who has been read is looked for a little later.
      const seen = statements.filter((text) => !/FROM endings|may_be_seen_anew/.test(text));
      statements = [];
      return seen;
    },
  };
}

/** Runs a statement in a transaction of its own, which stays open until it is let go. */
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

/** Waits for a sweep that has begun since. */
export async function swept({ node }: TestServer): Promise<void> {
  // One may be under way, which does not count.
  for (let looks = 0; looks < 2; looks += 1) {
    const look = new Promise<void>((resolve) => {
      const stop = node.sweep.listen(() => {
        stop();
        resolve();
      });
    });
    node.sweep.announce();
    await look;
  }
}
