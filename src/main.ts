import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { createPasswords } from './auth/passwords.ts';
import { createServiceToken, listServiceTokens, revokeServiceToken } from './auth/services.ts';
import { type Config, ConfigError, parseConfig } from './config.ts';
import { type Database, openDatabase } from './database/database.ts';
import { startEmbeddedPostgres } from './database/embedded.ts';
import { applyMigrations } from './database/migrations.ts';
import { isEmpty, seedDemo, signInDemo } from './demo/seed.ts';
import { exportChatroom, exportUser } from './export/export.ts';
import { importPath, type ImportSummary, printSummary } from './import/import.ts';
import { migrateJobs } from './jobs.ts';
import { createProgress } from './progress.ts';
import { type RunningServer, startServer } from './server.ts';

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
  admin: administer,
};

async function main(): Promise<void> {
  const run = commands[command];
  if (!run) throw new ConfigError(`There is no command "${command}". There are: ${Object.keys(commands).join(', ')}.`);
  await run(parseConfig(process.env), args);
}

/** Runs a node until it is told to stop. */
async function start(config: Config): Promise<void> {
  const began = performance.now();
  const log = pino({ level: config.LOG_LEVEL, base: null }, pino.destination({ sync: false }));
  const postgres = await openPostgres(config, false);
  const server = await startOn(postgres, config, log).catch(async (error: unknown) => {
    await postgres.stop();
    throw error;
  });

  const stop = async (signal: string) => {
    say(`\n${signal}: closing sockets and finishing what is under way.`);
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    await server.stop(SPREAD_MS);
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
  return startServer(config, { databaseUrl: postgres.url, authSecret, log });
}

/** Adds the demo users, rooms and history; what is there already stays. */
async function seed(config: Config): Promise<void> {
  const postgres = await openPostgres(config, true);
  try {
    const summary = await withDatabase(postgres.url, (database) => seedWith(database));
    say(`Added ${summary.users} users, ${summary.chatrooms} chatrooms and ${summary.messages} messages.`);
  } finally {
    await postgres.stop();
  }
}

/** Imports chats: `import PATH [--member USERNAME]…`. */
async function importFiles(config: Config, [path, ...rest]: string[]): Promise<void> {
  if (path === undefined) throw new ConfigError('Say what to import: npm run import -- PATH [--member USERNAME]');
  const members = rest.flatMap((word, i) => (rest[i - 1] === '--member' ? [word] : []));
  const postgres = await openPostgres(config, true);
  try {
    const passwords = await createPasswords();
    const summary = await withDatabase(postgres.url, (database) =>
      importPath({ database, passwords, progress: createProgress(process.stderr) }, path, members),
    );
    say(printSummary(summary));
  } finally {
    await postgres.stop();
  }
}

/** Writes a user's data or a room's history: `export user USERNAME FILE`, `export chatroom ID FILE`. */
async function exportFile(config: Config, [what = '', which, file]: string[]): Promise<void> {
  const write = { user: exportUser, chatroom: exportChatroom }[what];
  if (!write || which === undefined || file === undefined) {
    throw new ConfigError('Say what to export: npm run export -- user USERNAME FILE, or chatroom ID FILE');
  }
  const postgres = await openPostgres(config, true);
  try {
    const count = await withDatabase(postgres.url, (database) =>
      write({ database, progress: createProgress(process.stderr) }, which, file),
    );
    say(`Wrote ${file}, with ${count.toLocaleString('en')} messages.`);
  } finally {
    await postgres.stop();
  }
}

/** What only those who run the server may do: `admin create-service-token NAME` and others. */
async function administer(config: Config, [what = '', name = '']: string[]): Promise<void> {
  const deeds: Record<string, (database: Database) => Promise<string>> = {
    'create-service-token': async (database) =>
      `${await createServiceToken(database, name)}\n\nIt is shown this once. Send it as "Authorization: Bearer TOKEN".`,
    'revoke-service-token': async (database) => {
      await revokeServiceToken(database, name);
      return `The token of "${name}" counts no more.`;
    },
    'list-service-tokens': async (database) =>
      (await listServiceTokens(database)).map((made) => `${made.createdAt.toISOString()}  ${made.name}`).join('\n') ||
      'There are none.',
  };
  const deed = deeds[what];
  if (!deed) throw new ConfigError(`Say what to do: ${Object.keys(deeds).join(', ')}.`);
  const postgres = await openPostgres(config, true);
  try {
    say(await withDatabase(postgres.url, deed));
  } finally {
    await postgres.stop();
  }
}

interface Postgres {
  url: string;
  /** What the embedded one is and where its data lives. */
  embedded?: string;
  stop(): Promise<void>;
}

/** The configured PostgreSQL, or the embedded one; migrated. */
async function openPostgres(config: Config, share: boolean): Promise<Postgres> {
  if (config.DATABASE_URL !== undefined) {
    for (const name of await applyMigrations(config.DATABASE_URL)) say(`Applied the migration ${name}.`);
    await migrateJobs(config.DATABASE_URL);
    return { url: config.DATABASE_URL, stop: () => Promise.resolve() };
  }
  const postgres = await startEmbeddedPostgres({ dataDir: config.DATA_DIR, log: say, share });
  await applyMigrations(postgres.url);
  await migrateJobs(postgres.url);
  return {
    url: postgres.url,
    embedded: `${postgres.version}, embedded; data in ${postgres.folder}`,
    stop: () => postgres.stop(),
  };
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
  await mkdir(dataDir, { recursive: true });
  const file = join(dataDir, 'auth-secret');
  const made = randomBytes(48).toString('base64url');
  // wx: of two that start at once, one makes it, and both read that.
  await writeFile(file, made, { mode: 0o600, flag: 'wx' }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
  return readFile(file, 'utf8');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error: unknown) => {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`${process.env['LOG_LEVEL'] === 'debug' ? stack : message}\n`);
  process.exit(1);
});
