import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { type PostgresHome, preparePostgresHome } from './postgresHome.ts';

/** Embedded PostgreSQL server, installed from an npm package. */
export interface EmbeddedPostgres {
  url: string;
  version: string;
  /** Data directory. */
  folder: string;
  /**
   * Closes the connection to the server. If this process owns the server, also stops the server with a fast shutdown.
   */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  dataDir: string;
  log: (line: string) => void;
  /**
   * Whether to use a server that another Parley process owns. If false, the start fails instead. Commands set this
   * option, nodes do not.
   */
  share?: boolean;
  /** Further server settings, by their names in postgresql.conf. */
  settings?: Record<string, string>;
}

const SUPERUSER = 'parley';
const DATABASE = 'parley';
const START_TIMEOUT_MS = 60_000;
/** Interval at which the state of the server is polled, in milliseconds. */
const POLL_INTERVAL_MS = 25;
/** Advisory lock of the Parley process that owns the server. The number is 'parl' in ASCII. */
const OWNER_LOCK = 0x7061726c;
/**
 * How long a start waits for the lock of a killed owner, in milliseconds. PostgreSQL needs some time to notice that the
 * owner's connection is gone.
 */
const OWNER_EXIT_TIMEOUT_MS = 3_000;

/**
 * Starts the embedded PostgreSQL, or connects to a server that already runs on the same data directory. The server
 * listens on a free port of 127.0.0.1. A random password keeps other local users out.
 *
 * PostgreSQL prevents two servers on one data directory. The Parley process with the advisory lock owns the server and
 * stops it. PostgreSQL releases the lock when the owner's connection ends, even after a crash.
 *
 * @throws Error with a sentence that says what is wrong and what to do
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const home = await preparePostgresHome(options.dataDir, options.log);
  const data = join(home.folder, 'postgres');
  await ensureCluster(home, data, options.log);
  const password = (await readFile(join(data, 'parley.password'), 'utf8')).trim();
  const owner = await startServer(home, data, password, options.settings ?? {});
  const shared = !(await becomeOwner(owner, options.share ? 0 : OWNER_EXIT_TIMEOUT_MS));
  if (shared && !options.share) {
    await owner.end();
    throw new Error(`Another Parley is running on ${home.folder}. Stop it first, or give this one its own DATA_DIR.`);
  }
  await ensureDatabase(owner);
  return {
    url: `postgresql://${SUPERUSER}:${password}@127.0.0.1:${owner.port}/${DATABASE}`,
    version: home.version,
    folder: data,
    async stop() {
      await owner.end();
      if (!shared) await run(home, 'pg_ctl', ['stop', '-D', data, '-m', 'fast', '-w', '-t', '30']);
    },
  };
}

/** Creates the data directory if it is missing. The directory gets its final name only when it is complete. */
async function ensureCluster(home: PostgresHome, data: string, log: (line: string) => void): Promise<void> {
  const version = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => null);
  if (version !== null) {
    if (Number.parseInt(version) === Number.parseInt(home.version)) return;
    throw new Error(
      `The data in ${data} was written by PostgreSQL ${version.trim()}, but the embedded version is ${home.version}. Dump the data with the old version and restore the dump, or move the folder away.`,
    );
  }
  log(`Creating the embedded database in ${data}. This happens once for each DATA_DIR.`);
  await removeIncomplete(home.folder);
  const incomplete = await mkdtemp(join(home.folder, `postgres.new-${process.pid}-`));
  const password = `${incomplete}.password`;
  await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600 });
  if (home.user) {
    await chown(incomplete, home.user.uid, home.user.gid);
    await chown(password, home.user.uid, home.user.gid);
  }
  await run(home, 'initdb', [
    ...['-D', incomplete, '-U', SUPERUSER, '--pwfile', password, '--auth', 'scram-sha-256', '--encoding', 'UTF8'],
    ...['--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C', '--no-instructions'],
  ]);
  await rename(password, join(incomplete, 'parley.password'));
  await rename(incomplete, data).catch(async (error: unknown) => {
    // Another process was faster. Use its directory.
    await rm(incomplete, { recursive: true, force: true });
    if ((await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => null)) === null) throw error;
  });
}

/** Deletes incomplete data directories of processes that no longer run. */
async function removeIncomplete(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /^postgres\.new-(\d+)/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

/** Returns a connection to the running server. Starts a server if none is running. */
async function startServer(
  home: PostgresHome,
  data: string,
  password: string,
  settings: Record<string, string>,
): Promise<pg.Client> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  const logFile = join(home.user ? join(home.folder, 'run') : home.folder, 'postgres.log');
  let failure = '';
  while (Date.now() < deadline) {
    const running = await readPostmaster(data);
    if (running) {
      const client = await tryConnect(running.port, password);
      if (client) return client;
      await delay(POLL_INTERVAL_MS);
      continue;
    }
    const ended = await spawnServer(home, data, logFile, settings);
    // Waits until the server is ready or has exited. A server exits if its port was taken, another server was faster,
    // or processes of a killed server are still running. The outer loop then tries again.
    while (Date.now() < deadline && !ended()) {
      const started = await readPostmaster(data);
      const client = started && (await tryConnect(started.port, password));
      if (client) return client;
      await delay(POLL_INTERVAL_MS);
    }
    failure = await tailOf(logFile);
    if (/FATAL/.test(failure) && !/already exists|still in use|Address already in use|could not bind/.test(failure))
      break;
    await delay(POLL_INTERVAL_MS * 4);
  }
  throw new Error(
    `The embedded PostgreSQL does not start. Fix the cause, or set DATABASE_URL. Its log, ${logFile}, ends with:\n${failure || (await tailOf(logFile))}`,
  );
}

/**
 * Starts a server, and returns a function that reports whether the server has exited. The server has its own process
 * group. Otherwise Ctrl-C in the terminal would end the server before Parley.
 */
async function spawnServer(
  home: PostgresHome,
  data: string,
  logFile: string,
  settings: Record<string, string>,
): Promise<() => boolean> {
  const all = {
    listen_addresses: '127.0.0.1',
    // No Unix socket, because the path of the folder may exceed the maximum length of a socket path.
    unix_socket_directories: '',
    max_connections: '200',
    // The default of 4 assumes a rotating disk, and makes the planner avoid indexes.
    random_page_cost: '1.1',
    ...settings,
  };
  const output = await open(logFile, 'a', 0o600);
  const server = spawn(
    join(home.programs, 'bin', 'postgres'),
    [
      '-D',
      data,
      '-p',
      String(await freePort()),
      ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { cwd: '/', detached: true, stdio: ['ignore', output.fd, output.fd], ...home.user },
  );
  let ended = false;
  server.once('exit', () => {
    ended = true;
  });
  server.once('error', () => {
    ended = true;
  });
  server.unref();
  await output.close();
  return () => ended;
}

/** Returns the process id and port in `postmaster.pid`, or null if no server is running on the directory. */
async function readPostmaster(data: string): Promise<{ pid: number; port: number } | null> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const [pid, , , port] = text.split('\n').map(Number);
  if (!pid || !port || !isAlive(pid)) return null;
  // The process id may have been reused by another program, or the process may be a zombie. PostgreSQL would mistake
  // either for a running server and refuse to start, so the file is deleted.
  const [, command = 'postgres', state] =
    /\((.*)\) (\w)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')) ?? [];
  if (command === 'postgres' && state !== 'Z') return { pid, port };
  await rm(join(data, 'postmaster.pid'), { force: true });
  return null;
}

async function tryConnect(port: number, password: string): Promise<pg.Client | null> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: SUPERUSER,
    password,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
  });
  // If the server stops, this connection emits an error. Without a listener, the error would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch {
    await client.end().catch(() => undefined);
    return null;
  }
}

/**
 * Tries to acquire the owner lock until the timeout. Returns true if this process now owns the server, and false if
 * another process does. Ownership ends when the connection is closed.
 */
async function becomeOwner(client: pg.Client, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [OWNER_LOCK]);
    if (rows[0]?.locked) return true;
    if (Date.now() >= deadline) return false;
    await delay(POLL_INTERVAL_MS * 4);
  }
}

async function ensureDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
  if (rowCount === 0) {
    await client.query(`CREATE DATABASE ${DATABASE}`).catch((error: unknown) => {
      if ((error as { code?: string }).code !== '42P04') throw error;
    });
  }
}

async function run(home: PostgresHome, program: string, args: string[]): Promise<void> {
  try {
    await promisify(execFile)(join(home.programs, 'bin', program), args, { cwd: '/', ...home.user });
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    throw new Error(`PostgreSQL's ${program} failed: ${stderr.trim() || message}`);
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => {
        resolve(port);
      });
    });
  });
}

async function tailOf(file: string): Promise<string> {
  return (await readFile(file, 'utf8').catch(() => '')).trim().split('\n').slice(-8).join('\n');
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
