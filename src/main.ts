import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Logger } from 'pino';
import { administer } from './admin/admin.ts';
import { printableLines } from './admin/printable.ts';
import { createPasswords } from './auth/passwords.ts';
import { type Config, ConfigError, parseConfig } from './config.ts';
import { openDataDir } from './dataDir.ts';
import { type Database, openDatabase } from './database/database.ts';
import { isEmpty, seedDemo, signInDemo } from './demo/seed.ts';
import { exportChatroom, exportUser } from './export/export.ts';
import { importPath, type ImportSummary, printSummary } from './import/import.ts';
import { createLog } from './log.ts';
import { migrate, openPostgres, type Postgres, requireMigrated, requireUsable } from './postgres.ts';
import { createProgress } from './progress.ts';
import { waitForRedis } from './realtime/redisRequirements.ts';
import { type RunningServer, startServer } from './server.ts';
import { version } from './system/version.ts';

/** How long a shutdown may take before the process ends anyway. */
const SHUTDOWN_MS = 30_000;
/** Over how long its sockets are closed, so that not all of its clients come to the other nodes at once. */
const SPREAD_MS = 3_000;

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
  if (!run) throw new ConfigError(`There is no command "${command}". There are: ${Object.keys(commands).join(', ')}.`);
  await run(parseConfig(process.env), args);
}

/** Runs a node until it is told to stop. */
async function start(config: Config): Promise<void> {
  const began = performance.now();
  const log = createLog(config);
  const postgres = await openMigrated(config, {
    share: false,
    migrates: config.MIGRATE_ON_START === 'on',
  });
  if (config.MIGRATE_ON_START === 'off') await requireMigrated(postgres.url);
  if (config.REDIS_URL !== undefined) for (const doubt of await waitForRedis(config.REDIS_URL, say)) log.warn(doubt);
  const server = await startOn(postgres, config, log).catch(async (error: unknown) => {
    await postgres.stop();
    throw error;
  });

  const stop = async (signal: string) => {
    say(`\n${signal}: closing sockets and finishing what is under way.`);
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    await server.stop(SPREAD_MS);
    await server.node.tracing?.stop();
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
    `  Bus         ${config.REDIS_URL === undefined ? 'in memory, for this node alone' : 'REDIS_URL'}`,
    ...(demo
      ? [
          '',
          `  Demo user   ${demo.username} (password: ${demo.password}); its token, good for 15 minutes:`,
          `  ${demo.accessToken}`,
        ]
      : []),
    '',
  ];
  say(lines.join('\n'));
}

async function startOn(postgres: Postgres, config: Config, log: Logger): Promise<RunningServer> {
  const authSecret = config.AUTH_SECRET ?? (await keptSecret(config.DATA_DIR));
  if (postgres.embedded) {
    await withDatabase(postgres.url, async (database) => {
      if (await isEmpty(database)) await seedWith(database);
    });
  }
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER_ARG: ratio } = config;
  const tracing =
    endpoint === undefined ? null : await (await import('./tracing.ts')).startTracing({ endpoint, ratio, version });
  return startServer(config, { databaseUrl: postgres.url, authSecret, log, tracing });
}

/** Adds the demo users, rooms and history; what is there already stays. */
async function seed(config: Config): Promise<void> {
  const summary = await onDatabase(config, seedWith);
  say(`Added ${summary.users} users, ${summary.chatrooms} chatrooms and ${summary.messages} messages.`);
}

/** Imports chats: `import PATH [--member USERNAME]…`. */
async function importFiles(config: Config, [path, ...rest]: string[]): Promise<void> {
  if (path === undefined) throw new ConfigError('Say what to import: npm run import -- PATH [--member USERNAME]');
  const members = rest.flatMap((word, i) => (rest[i - 1] === '--member' ? [word] : []));
  const passwords = await createPasswords();
  const summary = await onDatabase(config, (database) =>
    importPath({ database, passwords, progress: createProgress(process.stderr) }, path, members),
  );
  say(printSummary(summary));
}

/** Writes a user's data or a room's history: `export user USERNAME FILE`, `export chatroom ID FILE`. */
async function exportFile(config: Config, [what = '', which, file]: string[]): Promise<void> {
  const write = { user: exportUser, chatroom: exportChatroom }[what];
  if (!write || which === undefined || file === undefined) {
    throw new ConfigError('Say what to export: npm run export -- user USERNAME FILE, or chatroom ID FILE');
  }
  const count = await onDatabase(config, (database) =>
    write({ database, progress: createProgress(process.stderr) }, which, file),
  );
  say(`Wrote ${file}, with ${count.toLocaleString('en')} messages.`);
}

/** What only those who run the server may do: `admin --help` lists it. */
async function administerWith(config: Config, words: string[]): Promise<void> {
  const tools = {
    config,
    nodeVersion: process.versions.node,
    readInput: () => text(process.stdin),
    progress: createProgress(process.stderr),
  };
  const answer = await administer(words, tools, () =>
    openMigrated(config, { share: true, migrates: false, checks: false }),
  );
  say(answer.text);
  if (answer.failed) process.exitCode = 1;
}

/** Brings the database up to this version, and does nothing else. */
async function migrateOnly(config: Config): Promise<void> {
  const postgres = await openMigrated(config, { share: true, migrates: true });
  await postgres.stop();
  say('The database has everything that this version needs.');
}

/**
 * Opens the PostgreSQL to work on. The embedded one is always migrated, because nobody else would do it.
 *
 * @param options.checks whether to wait for a configured database and check it; `doctor` does its own checks
 */
async function openMigrated(config: Config, options: { share: boolean; migrates: boolean; checks?: boolean }) {
  const { share, migrates, checks = true } = options;
  const postgres = await openPostgres(config, say, share);
  try {
    if (checks && postgres.embedded === undefined) await requireUsable(postgres.url, { migrates, say });
    if (migrates || postgres.embedded !== undefined) {
      const applied = await migrate(postgres.url);
      if (postgres.embedded === undefined) for (const name of applied) say(`Applied the migration ${name}.`);
    }
    return postgres;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** Works on the database of these settings, beside a node that may run. */
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

/** A secret of this folder, made on first use, for a start without settings. */
async function keptSecret(dataDir: string): Promise<string> {
  const file = join(await openDataDir(dataDir), 'auth-secret');
  const made = randomBytes(48).toString('base64url');
  // wx: of two that start at once, one makes it, and both read that.
  await writeFile(file, made, { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
  return readFile(file, 'utf8');
}

function say(text: string): void {
  process.stdout.write(`${printableLines(text)}\n`);
}

/** Prints why the process ends, and ends it. */
function fail(error: unknown): never {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const shown = process.env['LOG_LEVEL'] === 'debug' ? stack : message || stack;
  process.stderr.write(`${printableLines(String(shown))}\n`);
  process.exit(1);
}

main().catch(fail);
