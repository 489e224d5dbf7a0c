import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import { freePort } from './ports.ts';

/** Runs statements as the superuser of the tests' cluster. */
export async function administer(database: string, ...statements: string[]): Promise<void> {
  await runSql(inject('postgresUrl').replace(/parley$/, database), ...statements);
}

/** Runs statements on a connection of their own. Returns the rows of the last one. */
export async function runSql(url: string, ...statements: string[]): Promise<any[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: any[] = [];
    for (const statement of statements) ({ rows } = await client.query(statement));
    return rows;
  } finally {
    await client.end();
  }
}

/** Creates an empty database and a role that may only connect to it. Both are dropped with the test. */
export async function createRoleAndDatabase(options = ''): Promise<{ url: string; database: string; role: string }> {
  const id = crypto.randomUUID().slice(0, 8);
  const [database, role] = [`own_${id}`, `role_${id}`];
  await administer('parley', `CREATE ROLE ${role} LOGIN PASSWORD 'hidden'`, `CREATE DATABASE ${database} ${options}`);
  onTestFinished(() => administer('parley', `DROP DATABASE ${database} WITH (FORCE)`, `DROP ROLE ${role}`), 60_000);
  const { host } = new URL(inject('postgresUrl'));
  return { url: `postgresql://${role}:hidden@${host}/${database}`, database, role };
}

/** Path of a program, or null if this machine lacks it. */
export function findProgram(name: string): string | null {
  try {
    // Debian installs servers in a folder that is not on every user's path.
    return execFileSync('sh', ['-c', `PATH="$PATH:/usr/sbin" command -v ${name}`], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
}

/**
 * Starts PgBouncer in front of the tests' cluster, with Debian's defaults but the pool mode.
 *
 * @returns the URL of a database behind it
 */
export async function startPgBouncer(databaseUrl: string, mode: string, settings: string[] = []): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-pgbouncer-'));
  await chmod(folder, 0o755);
  const port = await freePort();
  const { hostname, port: serverPort, username, password, pathname } = new URL(databaseUrl);
  const file = join(folder, 'pgbouncer.ini');
  const lines = [
    '[databases]',
    `* = host=${hostname} port=${serverPort} user=${username} password=${password}`,
    '[pgbouncer]',
    ...['listen_addr = 127.0.0.1', `listen_port = ${port}`, 'auth_type = any', 'unix_socket_dir =', 'logfile ='],
    ...[`pool_mode = ${mode}`, ...settings],
  ];
  await writeFile(file, lines.join('\n'));
  // PgBouncer refuses to run as root.
  const user = process.getuid?.() === 0 ? await nobody() : {};
  const bouncer = spawn(findProgram('pgbouncer') ?? '', [file], { stdio: 'ignore', ...user });
  onTestFinished(async () => {
    const exited = once(bouncer, 'exit');
    if (bouncer.exitCode === null) {
      bouncer.kill('SIGKILL');
      await exited;
    }
    await rm(folder, { recursive: true, force: true });
  });
  await waitForPort(port);
  return `postgresql://${username}:${password}@127.0.0.1:${port}${pathname}`;
}

async function nobody(): Promise<{ uid: number; gid: number }> {
  const [, uid, gid] = /^nobody:[^:]*:(\d+):(\d+)/m.exec(await readFile('/etc/passwd', 'utf8')) ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** Waits until something listens on the port. */
export async function waitForPort(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const outcome = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (outcome) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
