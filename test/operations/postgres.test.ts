import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { administer as runAdmin } from '../../src/cli/admin/admin.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { parseConfig } from '../../src/core/config/config.ts';
import { connectClient } from '../../src/platform/database/connections.ts';
import { openDataDir } from '../../src/platform/dataDir.ts';
import { waitForDatabase } from '../../src/platform/database/waiting.ts';
import { migrate, requireUsable } from '../../src/server/postgres.ts';
import { request } from '../support/client.ts';
import { freePort } from '../support/ports.ts';
import { administer, createRoleAndDatabase, findProgram, runSql, startPgBouncer } from '../support/postgres.ts';
import { createTestDatabase, startTestServer, type TestServer } from '../support/server.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';

const SIGN_UP = `mutation { signUp(input: { username: "ANN", password: "a long password" }) { accessToken } }`;
const RESET = `mutation { requestPasswordReset(input: { email: "nobody@example.org" }) { __typename } }`;
const LOOK_UP = `query ($id: ID!) { user(username: "ben") { id }
  viewer { chatroomWith(userId: $id) { id } pushDevices { id } chatrooms { nodes { id } } } }`;
const DIRECT = `mutation ($id: ID!) { createChatroom(input: { kind: DIRECT, memberIds: [$id] }) { chatroom { id } } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { __typename } }`;
const UNBLOCK = `mutation ($id: ID!) { unblockUser(input: { userId: $id }) { __typename } }`;

/** Uses the API by SQL, Prisma queries and the job queue. */
async function talk(server: TestServer): Promise<void> {
  const { ann, ben, eve, room } = await world(server);
  const stream = ben.connect().subscribe(MESSAGE_ADDED, { room });
  await stream.ready();
  await send(ann, room, 'hello');
  expect((await stream.next()).message.body).toBe('hello');
  const taken = await request(server.url, SIGN_UP);
  expect(taken.errors?.[0]?.extensions.code).toBe('USERNAME_TAKEN');
  expect((await request(server.url, RESET)).errors).toBeUndefined();
  await ann.ask(DIRECT, { id: eve.id });
  expect((await ann.ask(LOOK_UP, { id: eve.id })).user.id).toBe(ben.id);
  await ann.ask(BLOCK, { id: eve.id });
  await ann.ask(UNBLOCK, { id: eve.id });
}

describe('a schema other than public', () => {
  test.each([
    ['the "$user" of the default search_path', 'role', (url: string) => url],
    ['the search_path of the role', 'chat', (url: string) => url],
    ['the option of the connection', 'chat', (url: string) => `${url}?options=-c%20search_path%3Dchat`],
    ['the parameter `schema`', 'chat', (url: string) => `${url}?schema=chat`],
  ])('named by %s contains everything', { timeout: 60_000 }, async (way, name, urlOf) => {
    const { url, database, role } = await createRoleAndDatabase();
    const schema = name === 'role' ? role : name;
    await administer(
      database,
      `CREATE SCHEMA ${schema} AUTHORIZATION ${role}`,
      `GRANT CREATE ON DATABASE ${database} TO ${role}`,
    );
    if (way.endsWith('role')) await administer(database, `ALTER ROLE ${role} SET search_path = chat, public`);
    const databaseUrl = urlOf(url);
    await migrate(databaseUrl);
    await talk(await startTestServer({ databaseUrl }));
    const schemas = await runSql(
      url,
      `SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = '${role}' ORDER BY 1`,
    );
    expect(schemas.map(({ schemaname }) => schemaname)).toEqual([schema, 'graphile_worker'].sort());
  });
});

describe.skipIf(!findProgram('pgbouncer'))('behind PgBouncer', () => {
  test('in session mode works', { timeout: 60_000 }, async () => {
    const url = await startPgBouncer(await createTestDatabase(), 'session');
    await migrate(url);
    await talk(await startTestServer({ databaseUrl: url }));
  });
});

/** Checks a database as `start` does, then as `doctor` does. Returns the faults that each reports. */
async function refusals(url: string, migrates = true): Promise<{ start: string; doctor: string }> {
  const start = await requireUsable(url, { migrates, print: () => undefined }).then(
    () => '',
    (error: unknown) => (error as Error).message,
  );
  const config = parseConfig({ MIGRATE_ON_START: migrates ? 'on' : 'off' });
  const tools = {
    config,
    nodeVersion: process.versions.node,
    readInput: () => Promise.resolve(''),
    progress: createProgress({ isTTY: false, write: () => true }),
  };
  const database = { url, stop: () => Promise.resolve() };
  const { text } = await runAdmin(['doctor'], tools, () => Promise.resolve(database));
  return { start, doctor: text };
}

describe.skipIf(!findProgram('pgbouncer'))('a start and `doctor` behind PgBouncer', () => {
  test.each([
    ['transaction', []],
    ['transaction', ['default_pool_size = 1']],
    ['transaction', ['server_round_robin = 1', 'min_pool_size = 3']],
    ['statement', []],
  ])('refuse its %s mode (%j)', async (mode, settings) => {
    const url = await startPgBouncer(await createTestDatabase(), mode, settings);
    // Leaves several server connections in the pool.
    const clients = await Promise.all([1, 2, 3].map(() => connectClient(url)));
    await Promise.all(clients.map((client) => client.query('SELECT pg_sleep(0.05)')));
    await Promise.all(clients.map((client) => client.end()));
    const { start, doctor } = await refusals(url);
    expect(start).toMatch(/pools by transaction or statement.* Set pool_mode = session there/);
    expect(doctor).toContain(`fault   ${start}`);
  });

  test('accept its session mode, and explain a parameter it refuses', async () => {
    const url = await startPgBouncer(await createTestDatabase(), 'session');
    const { start, doctor } = await refusals(url);
    expect(start).toBe('');
    expect(doctor).toContain('ok      Connections pass through a pooler such as PgBouncer, which pools by session.');
    const withOptions = await refusals(`${url}?options=-c%20search_path%3Dchat`);
    expect(withOptions.start).toMatch(/^PgBouncer refuses the parameter `options` of DATABASE_URL\. Use \?schema=NAME/);
  });
});

describe('a start and `doctor` refuse', () => {
  test('a database that is not UTF-8', async () => {
    const { url } = await createRoleAndDatabase(`ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'`);
    const { start, doctor } = await refusals(url);
    expect(start).toMatch(/^The encoding of the database own_\w+ is LATIN1, .*CREATE DATABASE … ENCODING 'UTF8'/);
    expect(doctor).toContain('fault   The encoding of the database');
  });

  test('a role without the rights to migrate', async () => {
    const { url, database, role } = await createRoleAndDatabase();
    const { start, doctor } = await refusals(url);
    expect(start.split('\n')).toEqual([
      `The role ${role} may not create tables in the schema public. Run: GRANT CREATE, USAGE ON SCHEMA public TO ${role}`,
      `The role ${role} may not create the schema of the job queue. Run: GRANT CREATE ON DATABASE ${database} TO ${role}`,
    ]);
    expect(doctor).toContain(`fault   The role ${role} may not create tables`);
    await administer(
      database,
      `GRANT CREATE, USAGE ON SCHEMA public TO ${role}`,
      `GRANT CREATE ON DATABASE ${database} TO ${role}`,
    );
    expect((await refusals(url)).start).toBe('');
  });

  test('a role that neither owns the tables nor may write to them', async () => {
    const { role } = await createRoleAndDatabase();
    const migrated = await createTestDatabase();
    const database = new URL(migrated).pathname.slice(1);
    const url = `postgresql://${role}:hidden@${new URL(migrated).host}/${database}`;
    onTestFinished(() => administer(database, `DROP OWNED BY ${role}`));
    expect((await refusals(url)).start).toContain(`The role ${role} does not own the tables in the schema public`);
    const { start } = await refusals(url, false);
    expect(start).toMatch(/may not read and write .*graphile_worker\._private_jobs, .*public\.messages/);
    expect(start).toContain(`GRANT USAGE ON SCHEMA graphile_worker TO ${role}`);
    for (const schema of ['public', 'graphile_worker'])
      await administer(
        database,
        `GRANT USAGE ON SCHEMA ${schema} TO ${role}`,
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`,
      );
    expect((await refusals(url, false)).start).toBe('');
  });

  test('a connection with another schema than that of the tables', async () => {
    const url = await createTestDatabase();
    await runSql(url, 'CREATE SCHEMA chat');
    const { start } = await refusals(`${url}?schema=chat`);
    expect(start).toMatch(
      /^The tables of Parley are in the schema public, but the connection uses chat\. Add \?schema=public/,
    );
    expect((await refusals(`${url}?schema=nowhere`)).start).toMatch(
      /^No schema of the search_path \("nowhere"\) exists/,
    );
  });

  test('a read-only database', async () => {
    const url = await createTestDatabase();
    await runSql(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_read_only = on`);
    expect((await refusals(url)).start).toMatch(/^The database is read-only: default_transaction_read_only is on/);
  });
});

describe('DATA_DIR', () => {
  test.each(['/dev/null/data', '/sys/data'])('%s is refused in one sentence', async (folder) => {
    await expect(openDataDir(folder)).rejects.toThrow(
      new RegExp(`^DATA_DIR, which is ${folder}, is not writable \\(E[A-Z]+\\)\\. Choose a folder`),
    );
  });
});

describe('a start waits', () => {
  test('for a server that is not up yet, and reports this', async () => {
    const url = new URL(await createTestDatabase());
    const target = Number(url.port);
    const port = await freePort();
    url.port = String(port);
    const lines: string[] = [];
    const waiting = waitForDatabase(url.href, (line) => lines.push(line));
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatch(
      new RegExp(`^Waiting for PostgreSQL at 127.0.0.1:${port}, for another \\d+ s at most\\. .*ECONNREFUSED`),
    );
    const proxy = createServer((socket) => {
      const server = connect(target, '127.0.0.1');
      for (const each of [socket, server]) each.on('error', () => undefined);
      socket.pipe(server).pipe(socket);
    }).listen(port, '127.0.0.1');
    await once(proxy, 'listening');
    expect((proxy.address() as AddressInfo).port).toBe(port);
    await (await waiting).end();
    await new Promise((resolve) => proxy.close(resolve));
  });

  test.each([
    [
      'a server that never comes up',
      '127.0.0.1:1',
      /^The database does not respond: .*ECONNREFUSED.* Check DATABASE_URL/,
    ],
    ['a host that is never found', 'nowhere.invalid', /^The host "nowhere\.invalid" of DATABASE_URL is not found/],
  ])('no longer than the limit for %s', async (_what, host, sentence) => {
    const lines: string[] = [];
    const url = `postgresql://parley:hidden@${host}/parley`;
    await expect(waitForDatabase(url, (line) => lines.push(line), 600)).rejects.toThrow(sentence);
    expect(lines).toHaveLength(1);
  });

  test('not for a wrong password or an unknown database', async () => {
    const lines: string[] = [];
    const url = new URL(inject('postgresUrl'));
    url.pathname = '/nowhere';
    const wait = () => waitForDatabase(url.href, (line) => lines.push(line));
    await expect(wait()).rejects.toThrow(/^Database "nowhere" does not exist\. .*CREATE DATABASE "nowhere" ENCODING/);
    url.password = 'wrong';
    await expect(wait()).rejects.toThrow(
      /^PostgreSQL refuses the sign-in: password authentication failed.*Percent-encode/,
    );
    expect(lines).toEqual([]);
  });
});
