import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { belongings, collect, end, launch } from '../test/faults/processes.ts';
import type { Machine } from './machine.ts';
import type { Running } from './stacks.ts';
import { freePort } from '../test/support/ports.ts';

const START_MS = 30_000;

/**
 * Starts Debian's ejabberd on the same PostgreSQL, with archived rooms and WebSockets. The configuration omits the rate
 * limits (shapers) of the default one.
 */
export async function startEjabberd(machine: Machine): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-ejabberd-'));
  belongings.folders.add(folder);
  await chmod(folder, 0o755);
  const databaseUrl = await createDatabase(machine);
  const port = await freePort();
  const config = join(folder, 'ejabberd.yml');
  await writeFile(config, configOf(port, new URL(databaseUrl)));
  const child = launch(
    'erl',
    [
      ...['-noinput', '+K', 'true', '+P', '250000', '-mnesia', 'dir', `"${folder}"`],
      ...['-ejabberd', 'config', `"${config}"`, 'log_path', `"${join(folder, 'ejabberd.log')}"`, '-s', 'ejabberd'],
    ],
    { PATH: process.env['PATH'], HOME: folder, ERL_LIBS: '/usr/lib/x86_64-linux-gnu' },
  );
  const output = collect(child);
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    await end(child, 'SIGKILL');
    await rm(folder, { recursive: true, force: true });
    belongings.folders.delete(folder);
  };
  const deadline = Date.now() + START_MS;
  while (
    !(await fetch(`${url}/ws`).then(
      () => true,
      () => false,
    ))
  ) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const log = await readFile(join(folder, 'ejabberd.log'), 'utf8').catch(() => '');
      await stop();
      throw new Error(`ejabberd did not start:\n${output()}\n${log.slice(-2_000)}`);
    }
    await sleep(50);
  }
  return { url, pid: child.pid ?? 0, stop };
}

async function createDatabase({ rivalsUrl, run }: Machine): Promise<string> {
  const url = rivalsUrl.replace(/rivals$/, 'ejabberd');
  await run(rivalsUrl, 'DROP DATABASE IF EXISTS ejabberd WITH (FORCE)');
  await run(rivalsUrl, 'CREATE DATABASE ejabberd');
  await run(url, await readFile('/usr/share/ejabberd/sql/pg.sql', 'utf8'));
  return url;
}

function configOf(port: number, database: URL): string {
  return `
hosts: [localhost]
loglevel: warning
listen:
  - port: ${port}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers:
      /ws: ejabberd_http_ws
auth_method: [anonymous]
anonymous_protocol: sasl_anon
allow_multiple_connections: true
default_db: sql
sql_type: pgsql
sql_server: "${database.hostname}"
sql_port: ${database.port}
sql_database: ejabberd
sql_username: "${database.username}"
sql_password: "${database.password}"
sql_pool_size: 10
modules:
  mod_muc:
    access: all
    access_create: all
    history_size: 0
    max_users: 5000
    default_room_options:
      mam: true
      max_users: 5000
      presence_broadcast: []
  mod_mam:
    default: always
`;
}
