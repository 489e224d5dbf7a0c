import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { administer } from '../../src/cli/admin/admin.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { migrate } from '../../src/server/postgres.ts';
import type { Person } from '../support/client.ts';
import { startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';

const ALL = 'subscription ($after: String) { messageAdded(after: $after) { cursor message { number body } } }';
const CURSORS = 'query ($id: ID!) { viewer { cursor } chatroom(id: $id) { cursor messages { nodes { body } } } }';

/** The programs of this machine's PostgreSQL, because the embedded one has no backup tools. */
const programs = findPrograms();

function findPrograms(): string | null {
  try {
    return execFileSync('sh', ['-c', 'ls -d /usr/lib/postgresql/*/bin | tail -1'], { encoding: 'utf8' }).trim() || null;
  } catch {
    return null;
  }
}

/** If root runs the tests, PostgreSQL runs as nobody. */
const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody', '--'] : null;

async function run(program: string, ...args: string[]): Promise<string> {
  const path = join(programs ?? '', program);
  const [command, words] = asNobody ? ['runuser', [...asNobody, path, ...args]] : [path, args];
  return (await promisify(execFile)(command, words, { cwd: '/' })).stdout;
}

/** Starts a PostgreSQL server on a folder, with a database `parley`. */
async function startCluster(folder: string): Promise<{ url: string; port: number; stop(): Promise<void> }> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const words = [
    '-D',
    folder,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    'unix_socket_directories=',
  ];
  const path = join(programs ?? '', 'postgres');
  const [command, args] = asNobody ? ['runuser', [...asNobody, path, ...words]] : [path, words];
  const server = spawn(command, args, { cwd: '/', stdio: 'ignore' });
  const exited = once(server, 'exit');
  let stopped: Promise<unknown> | undefined;
  const stop = async () => {
    stopped ??= run('pg_ctl', 'stop', '-D', folder, '-m', 'fast', '-w').then(() => exited);
    await stopped;
  };
  onTestFinished(stop, 60_000);
  const url = `postgresql://nobody@127.0.0.1:${port}/`;
  const answers = async () => {
    const client = new pg.Client({ connectionString: `${url}postgres` });
    return client.connect().then(
      async () => {
        await client.query(`SELECT`);
        await client.end();
        return true;
      },
      () => false,
    );
  };
  await expect.poll(answers, { timeout: 60_000 }).toBe(true);
  return { url: `${url}parley`, port, stop };
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-restore-'));
  await chmod(folder, 0o777);
  onTestFinished(() => rm(folder, { recursive: true, force: true }), 60_000);
  return folder;
}

async function makeCluster(folder: string) {
  await run('initdb', '-D', folder, '-U', 'nobody', '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C');
  const cluster = await startCluster(folder);
  await run('createdb', '-h', '127.0.0.1', '-p', String(cluster.port), '-U', 'nobody', 'parley');
  return cluster;
}

function adminOf(url: string) {
  const tools = {
    config: parseConfig({ NODE_ENV: 'test' }),
    nodeVersion: process.versions.node,
    readInput: () => Promise.resolve(''),
    progress: createProgress({ isTTY: false, write: () => true }),
  };
  return (...words: string[]) =>
    administer(words, tools, () => Promise.resolve({ url, stop: () => Promise.resolve() }));
}

const cursorsOf = async (person: Person, room: string) => {
  const { viewer, chatroom } = await person.ask(CURSORS, { id: room });
  return { all: viewer.cursor as string, room: chatroom.cursor as string };
};

/** Expects that old cursors are refused, that the saved data is complete, and that new cursors work. */
async function expectNewBeginning(
  url: string,
  old: { ben: Person; room: string; cursors: { all: string; room: string }[] },
) {
  const server = await startTestServer({ databaseUrl: url });
  const { room, cursors } = old;
  const ben = old.ben.at(server.url);
  for (const cursor of cursors) {
    const streams = [
      ben.connect().subscribe(MESSAGE_ADDED, { room, after: cursor.room }),
      ben.connect().subscribe(ALL, { after: cursor.all }),
    ];
    for (const stream of streams)
      expect(await stream.ended).toMatchObject([{ extensions: { code: 'RESYNC_REQUIRED' } }]);
  }
  const { chatroom } = await ben.ask(CURSORS, { id: room });
  expect(chatroom.messages.nodes.map(({ body }: { body: string }) => body)).toEqual(['saved 1', 'saved 2']);
  const now = await cursorsOf(ben, room);
  for (const body of ['new 3', 'new 4', 'new 5']) await send(ben, room, body);
  const streams = [
    ben.connect().subscribe(MESSAGE_ADDED, { room, after: now.room }),
    ben.connect().subscribe(ALL, { after: now.all }),
  ];
  for (const stream of streams)
    expect((await stream.take(3)).map(({ message }) => message.body)).toEqual(['new 3', 'new 4', 'new 5']);
  await server.stop();
}

describe.skipIf(!programs)('a restored backup', { timeout: 240_000 }, () => {
  test('gets a new identity, from files and from a dump', async () => {
    const folder = await makeFolder();
    const original = await makeCluster(join(folder, 'original'));
    await migrate(original.url);
    const server = await startTestServer({ databaseUrl: original.url });
    const { ben, room } = await world(server);
    for (const body of ['saved 1', 'saved 2']) await send(ben, room, body);
    const before = await cursorsOf(ben, room);
    const { port } = original;
    const reach = ['-h', '127.0.0.1', '-p', String(port), '-U', 'nobody'];
    await run('pg_basebackup', ...reach, '-D', join(folder, 'copy'), '-X', 'stream', '--checkpoint=fast');
    await run('pg_dump', ...reach, '-Fc', '-f', join(folder, 'dump'), 'parley');
    for (const body of ['lost 3', 'lost 4']) await send(ben, room, body);
    const cursors = [before, await cursorsOf(ben, room)];

    await expect(adminOf(original.url)('restored', '--yes')).rejects.toThrow('A node is running on this database.');
    const mark = server.node.databaseId;
    await server.stop();
    await original.stop();

    const copy = await startCluster(join(folder, 'copy'));
    const unnamed = await startTestServer({ databaseUrl: copy.url });
    // This is the danger: PostgreSQL's own identifiers are the same for the copy and the original.
    expect(unnamed.node.databaseId).toBe(mark);
    await unnamed.stop();
    await expect(adminOf(copy.url)('restored')).rejects.toThrow('confirm with --yes');
    expect((await adminOf(copy.url)('restored', '--yes')).failed).toBe(false);
    await expectNewBeginning(copy.url, { ben, room, cursors });
    await copy.stop();

    const fresh = await makeCluster(join(folder, 'fresh'));
    const there = ['-h', '127.0.0.1', '-p', String(fresh.port), '-U', 'nobody'];
    // Transaction ids of the new server are low, unlike those of the original.
    await run('pg_restore', ...there, '-d', 'parley', '--exit-on-error', join(folder, 'dump'));
    const client = new pg.Client({ connectionString: fresh.url });
    await client.connect();
    await client.query(`UPDATE events SET xid = (xid::text::bigint + 1000000)::text::xid8`);
    await client.end();
    const { text } = await adminOf(fresh.url)('doctor');
    expect(text).toContain('a backup was loaded. Stop the nodes and run: npm run admin -- restored');
    await adminOf(fresh.url)('restored', '--yes');
    expect((await adminOf(fresh.url)('doctor')).text).not.toContain('a backup was loaded');
    await expectNewBeginning(fresh.url, { ben, room, cursors });
  });
});
