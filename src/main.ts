import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Logger } from 'pino';
import { administer } from './cli/admin/admin.ts';
import { printableLines } from './cli/admin/printable.ts';
import { createPasswords } from './auth/passwordHashing.ts';
import { ConfigError, parseConfig } from './core/config/config.ts';
import type { Config } from './core/config/settings.ts';
import { createFileStore } from './platform/files/createFileStore.ts';
import { openDataDir } from './platform/dataDir.ts';
import { type Database, openDatabase } from './platform/database/database.ts';
import { isEmpty, seedDemo } from './cli/demo/seedDemo.ts';
import { signInDemo } from './server/demo/demoSignIn.ts';
import { exportChatroom, exportUser } from './cli/export/export.ts';
import type { ImportSummary } from './cli/import/importing.ts';
import { formatSummary, importPath } from './cli/import/importPath.ts';
import { createLog } from './platform/observability/log.ts';
import { migrate, openPostgres, type Postgres, requireMigrated, requireUsable } from './server/postgres.ts';
import { createProgress } from './cli/progressBar.ts';
import { requireSoleNode } from './server/soleNode.ts';
import { waitForRedis } from './platform/redis/requirements.ts';
import { type RunningServer, startServer } from './server/httpServer.ts';
import { version } from './core/version.ts';

/** Maximum duration of a shutdown, in milliseconds. After this time, the process exits with code 1. */
const SHUTDOWN_TIMEOUT_MS = 30_000;
/**
 * Time over which a shutdown spreads the closing of sockets, in milliseconds. Otherwise all clients would reconnect to
 * other nodes at once.
 */
const CLOSE_SPREAD_MS = 3_000;

const [command = 'start', ...args] = process.argv.slice(2);
const commands: Record<string, (config: Config, args: string[]) => Promise<void>> = {
  start,
  seed,
  import: importFiles,
  export: exportFile,
  migrate: migrateOnly,
  admin: administerWith,
};

async function main(): Promise<void> {
  const run = commands[command];
  if (!run) throw new ConfigError(`There is no command "${command}". Use one of: ${Object.keys(commands).join(', ')}.`);
  await run(parseConfig(process.env), args);
}

/** Runs a node until SIGINT or SIGTERM. */
async function start(config: Config): Promise<void> {
  const began = performance.now();
  const log = createLog(config);
  const postgres = await openMigrated(config, {
    share: false,
    migrates: config.MIGRATE_ON_START === 'on',
  });
  if (config.MIGRATE_ON_START === 'off') await requireMigrated(postgres.url);
  const releaseFiles = await requireSoleNode(config, postgres.url);
  if (config.REDIS_URL !== undefined)
    for (const problem of await waitForRedis(config.REDIS_URL, print)) log.warn(problem);
  const server = await startOn(postgres, config, log).catch(async (error: unknown) => {
    await postgres.stop();
    throw error;
  });

  const stop = async (signal: string) => {
    print(`\n${signal}: closing sockets and finishing requests in progress.`);
    setTimeout(() => process.exit(1), SHUTDOWN_TIMEOUT_MS).unref();
    await server.stop(CLOSE_SPREAD_MS);
    await server.node.tracing?.stop();
    await releaseFiles();
    await postgres.stop();
    process.exit(0);
  };
  let stopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (!stopping) void stop(signal);
      stopping = true;
    });
  }

  const demo = config.NODE_ENV === 'production' ? null : await signInDemo(server.node);
  const url = server.url.replace('//127.0.0.1:', '//localhost:');
  const lines = [
    `Parley is ready after ${((performance.now() - began) / 1000).toFixed(1)} s.`,
    '',
    `  Chat        ${url}/`,
    `  GraphiQL    ${url}/graphql`,
    `  HTTP, SSE   ${url}/graphql`,
    `  WebSocket   ${url.replace(/^http/, 'ws')}/graphql`,
    `  PostgreSQL  ${postgres.embedded ?? 'DATABASE_URL'}`,
    `  Bus         ${config.REDIS_URL === undefined ? 'in memory, for a single node' : 'REDIS_URL'}`,
    ...(demo
      ? [
          '',
          `  Demo user   ${demo.username} (password: ${demo.password}); access token, valid for 15 minutes:`,
          `  ${demo.accessToken}`,
        ]
      : []),
    '',
  ];
  print(lines.join('\n'));
}

async function startOn(postgres: Postgres, config: Config, log: Logger): Promise<RunningServer> {
  const authSecret = config.AUTH_SECRET ?? (await readOrCreateSecret(config.DATA_DIR));
  // With SIGN_UP=off, the demo users would be accounts whose password everybody knows.
  if (postgres.embedded && config.SIGN_UP === 'open') {
    await withDatabase(postgres.url, async (database) => {
      if (await isEmpty(database)) await seedWith(database);
    });
  }
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER_ARG: ratio } = config;
  const tracing =
    endpoint === undefined
      ? null
      : await (await import('./platform/observability/tracing.ts')).startTracing({ endpoint, ratio, version });
  // In development, one developer restarts the server often.
  const warmsUp = config.NODE_ENV === 'production';
  return startServer(config, { databaseUrl: postgres.url, authSecret, log, tracing, warmsUp });
}

/** Adds the demo users, rooms and history. Existing data stays unchanged. */
async function seed(config: Config): Promise<void> {
  const summary = await onDatabase(config, seedWith);
  print(`Added ${summary.users} users, ${summary.chatrooms} chatrooms and ${summary.messages} messages.`);
}

/** Imports chats from a file or folder: `import PATH [--member USERNAME]…`. */
async function importFiles(config: Config, [path, ...rest]: string[]): Promise<void> {
  if (path === undefined)
    throw new ConfigError('The path is missing. Usage: npm run import -- PATH [--member USERNAME]');
  const members = rest.flatMap((word, i) => (rest[i - 1] === '--member' ? [word] : []));
  const passwords = await createPasswords();
  const summary = await onDatabase(config, (database) =>
    importPath(
      { database, passwords, files: createFileStore(config), progress: createProgress(process.stderr) },
      path,
      members,
    ),
  );
  print(formatSummary(summary));
}

/** Exports the data of a user or the history of a room: `export user USERNAME FILE`, `export chatroom ID FILE`. */
async function exportFile(config: Config, [type = '', name, file]: string[]): Promise<void> {
  const write = { user: exportUser, chatroom: exportChatroom }[type];
  if (!write || name === undefined || file === undefined) {
    throw new ConfigError(
      'The arguments are invalid. Usage: npm run export -- user USERNAME FILE, or chatroom ID FILE',
    );
  }
  const count = await onDatabase(config, (database) =>
    write({ database, files: createFileStore(config), progress: createProgress(process.stderr) }, name, file),
  );
  print(`Wrote ${count.toLocaleString('en')} messages to ${file}.`);
}

/** Runs a command for operators. `admin --help` lists the commands. */
async function administerWith(config: Config, commandLine: string[]): Promise<void> {
  const tools = {
    config,
    nodeVersion: process.versions.node,
    readInput: () => text(process.stdin),
    progress: createProgress(process.stderr),
  };
  const result = await administer(commandLine, tools, () =>
    openMigrated(config, { share: true, migrates: false, checks: false }),
  );
  print(result.text);
  if (result.failed) process.exitCode = 1;
}

/** Applies all pending migrations and exits. */
async function migrateOnly(config: Config): Promise<void> {
  const postgres = await openMigrated(config, { share: true, migrates: true });
  await postgres.stop();
  print('The database is up to date. All migrations are applied.');
}

/**
 * Opens the configured or embedded PostgreSQL. Always migrates the embedded PostgreSQL, because nothing else would
 * migrate it.
 *
 * @param options.share whether to use the embedded PostgreSQL even if a running node already uses it
 * @param options.migrates whether to apply migrations to a configured PostgreSQL
 * @param options.checks whether to wait for a configured PostgreSQL and check its requirements
 */
async function openMigrated(config: Config, options: { share: boolean; migrates: boolean; checks?: boolean }) {
  const { share, migrates, checks = true } = options;
  const postgres = await openPostgres(config, print, share);
  try {
    if (checks && postgres.embedded === undefined) await requireUsable(postgres.url, { migrates, print });
    if (migrates || postgres.embedded !== undefined) {
      const applied = await migrate(postgres.url);
      if (postgres.embedded === undefined) for (const name of applied) print(`Applied migration ${name}.`);
    }
    return postgres;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** Runs a task on the migrated database. A node may be running on it at the same time. */
async function onDatabase<Result>(config: Config, work: (database: Database) => Promise<Result>): Promise<Result> {
  const postgres = await openMigrated(config, { share: true, migrates: true });
  try {
    return await withDatabase(postgres.url, work);
  } finally {
    await postgres.stop();
  }
}

async function withDatabase<Result>(url: string, work: (database: Database) => Promise<Result>): Promise<Result> {
  const database = await openDatabase(url);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

async function seedWith(database: Database): Promise<ImportSummary> {
  return seedDemo({ database, passwords: await createPasswords(), progress: createProgress(process.stderr) });
}

/** Returns the secret in the data folder, and creates it on first use. Needed if AUTH_SECRET is not set. */
async function readOrCreateSecret(dataDir: string): Promise<string> {
  const file = join(await openDataDir(dataDir), 'auth-secret');
  const created = randomBytes(48).toString('base64url');
  // `wx` fails if the file exists. If two processes start at the same time, one creates the file and both read it.
  await writeFile(file, created, { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
  return readFile(file, 'utf8');
}

function print(text: string): void {
  process.stdout.write(`${printableLines(text)}\n`);
}

/** Prints the error and exits with code 1. With LOG_LEVEL=debug, prints the stack. */
function fail(error: unknown): never {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const shown = process.env['LOG_LEVEL'] === 'debug' ? stack : message || stack;
  process.stderr.write(`${printableLines(String(shown))}\n`);
  process.exit(1);
}

main().catch(fail);
