import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ServerNode } from '../../src/core/context.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/platform/database/embedded.ts';
import { migrate } from '../../src/server/postgres.ts';
import { waitForRedis } from '../../src/platform/redis/requirements.ts';
import { startEndpoint } from '../support/endpoint.ts';
import { freePort } from '../support/ports.ts';
import { runSql } from '../support/postgres.ts';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.ts';
import { createTestDatabase, startTestServer } from '../support/server.ts';
import { MESSAGE_ADDED, send, world } from '../support/world.ts';

const HISTORY = `query ($id: ID!) { chatroom(id: $id) { messages(first: 100) { nodes { body number } } } }`;
const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const SET_TYPING = `mutation ($id: ID!) { setTyping(input: { chatroomId: $id, typing: true }) { ok } }`;
const TYPING = `subscription ($room: ID!) { typingChanged(chatroomId: $room) { user { username } } }`;
const PRESENCE = `query ($name: String!) { user(username: $name) { presence { status } } }`;

/** Returns a log, and its lines at the default level. */
function collectLog() {
  const lines: string[] = [];
  const log = pino(
    { level: 'info' },
    { write: (line: string) => lines.push((JSON.parse(line) as { msg: string }).msg) },
  );
  return { lines, log };
}

async function readiness(url: string): Promise<string> {
  const response = await fetch(`${url}/health/ready`);
  return `${response.status} ${(await response.text()).trim()}`;
}

describe('/health/ready', () => {
  test('is 503 while the database is read-only', async () => {
    const server = await startTestServer();
    expect(await readiness(server.url)).toBe('200 ready');
    const name = new URL(server.databaseUrl).pathname.slice(1);
    const setReadOnly = async (value: string) => {
      await runSql(
        server.databaseUrl,
        'SET default_transaction_read_only = off',
        `ALTER DATABASE ${name} SET default_transaction_read_only = ${value}`,
      );
      // Existing connections keep the setting that they started with.
      await runSql(
        server.databaseUrl,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
    };
    await setReadOnly('on');
    await expect.poll(() => readiness(server.url)).toBe('503 The database is read-only: nothing can be written.');
    await setReadOnly('off');
    await expect.poll(() => readiness(server.url)).toBe('200 ready');
  });

  test('queries the database at most once a second', async () => {
    const server = await startTestServer();
    await readiness(server.url);
    server.statements();
    const began = performance.now();
    await Promise.all(Array.from({ length: 300 }, () => readiness(server.url)));
    const seconds = (performance.now() - began) / 1_000;
    const asked = server.statements().filter((text) => text.includes('transaction_read_only'));
    expect(asked.length).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
  });
});

/** Starts a primary and a synchronous standby, which tests may promote. */
async function startPostgresPair(): Promise<{ primary: EmbeddedPostgres; standby: EmbeddedPostgres }> {
  const [first, second] = await Promise.all([createFolder('primary'), createFolder('standby')]);
  const start = (dataDir: string, settings = {}) =>
    startEmbeddedPostgres({ dataDir, log: () => undefined, settings: { fsync: 'off', ...settings } });
  const founder = await start(first);
  await migrate(founder.url);
  await founder.stop();
  // `cp -a` keeps the owner of the files, unlike `fs.cp`.
  await promisify(execFile)('cp', ['-a', founder.folder, join(second, 'postgres')]);
  await writeFile(join(second, 'postgres', 'standby.signal'), '');
  const primary = await start(first);
  const { hostname, port, username, password } = new URL(primary.url);
  const standby = await start(second, {
    primary_conninfo: `host=${hostname} port=${port} user=${username} password=${password} application_name=standby`,
  });
  onTestFinished(() => standby.stop(), 60_000);
  await runSql(primary.url, `ALTER SYSTEM SET synchronous_standby_names = '*'`, 'SELECT pg_reload_conf()');
  await expect
    .poll(() => runSql(primary.url, 'SELECT sync_state FROM pg_stat_replication'))
    .toEqual([{ sync_state: 'sync' }]);
  return { primary, standby };
}

async function createFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `parley-${name}-`));
  // If root runs the tests, the database's user must be able to enter the folder.
  await chmod(folder, 0o755);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test('a node refuses a standby, and continues after its promotion', { timeout: 120_000 }, async () => {
  const { primary, standby } = await startPostgresPair();
  const [primaryPort, standbyPort] = [primary, standby].map(({ url }) => Number(new URL(url).port));
  const endpoint = await startEndpoint(primaryPort ?? 0);
  const databaseUrl = primary.url.replace(`:${primaryPort}/`, `:${endpoint.port}/`);
  const { lines, log } = collectLog();
  const server = await startTestServer({ databaseUrl, log });
  const { ann, ben, room } = await world(server);
  const stream = ben.connect().subscribe(MESSAGE_ADDED, { room });
  await stream.ready();
  const acknowledged: string[] = [];
  const say = async (body: string) => {
    await send(ann, room, body);
    acknowledged.push(body);
  };
  const STANDBY = '503 The database is a read-only standby. Point DATABASE_URL at the primary, or promote the standby.';
  await say('before');

  // The address temporarily points to the standby while its primary is healthy. A stream ends if an outage interrupts the
  // execution of an event, so the events are awaited before each outage.
  await expect.poll(() => stream.received.length).toBe(acknowledged.length);
  endpoint.moveTo(standbyPort ?? 0);
  endpoint.cut();
  await expect.poll(() => readiness(server.url)).toBe(STANDBY);
  await expect(say('to a standby')).rejects.toThrow('INTERNAL_SERVER_ERROR');
  endpoint.moveTo(primaryPort ?? 0);
  await expect.poll(() => readiness(server.url)).toBe('200 ready');
  for (let i = 0; i < 10; i += 1) await say(`back at the primary ${i}`);

  // A failover: the primary stops, and the standby is promoted later.
  await expect.poll(() => stream.received.length).toBe(acknowledged.length);
  await primary.stop();
  endpoint.moveTo(standbyPort ?? 0);
  await expect.poll(() => readiness(server.url)).toBe(STANDBY);
  await runSql(standby.url, 'SELECT pg_promote()');
  await expect.poll(() => readiness(server.url)).toBe('200 ready');
  for (let i = 0; i < 20; i += 1) await say(`after the failover ${i}`);

  const { chatroom } = await ann.ask(HISTORY, { id: room });
  expect(chatroom.messages.nodes.map((message: { body: string }) => message.body)).toEqual(acknowledged);
  const events = await stream.take(acknowledged.length);
  expect(events.map((event) => event.message.body)).toEqual(acknowledged);
  // Each cause is logged once per outage, not every second.
  await expect.poll(() => lines.filter((line) => line === 'The database works again.')).toHaveLength(2);
  expect(lines.filter((line) => line.startsWith('The database fails')).length).toBeLessThan(10);
});

describe.skipIf(!hasRedis())('a Redis failover', () => {
  /** Counts connections of nodes to a Redis. Connections of the tests run none of these commands. */
  async function connectionsOf(redis: TestRedis): Promise<number> {
    const list = (await redis.command('CLIENT', 'LIST')) as string;
    return list.split('\n').filter((line) => /cmd=(eval|publish|subscribe|ping|hmget|info|auth)/.test(line)).length;
  }

  test('moves all connections of nodes to the new primary within seconds', { timeout: 90_000 }, async () => {
    const [a, b] = [await startRedis(), await startRedis()];
    const [portOfA, portOfB] = [a, b].map(({ url }) => new URL(url).port);
    await b.command('REPLICAOF', '127.0.0.1', portOfA ?? '');
    await expect.poll(() => b.command('INFO', 'replication')).toContain('master_link_status:up');
    const endpoint = await startEndpoint(Number(portOfA));
    const redisUrl = `redis://127.0.0.1:${endpoint.port}`;
    const databaseUrl = await createTestDatabase();
    const { lines, log } = collectLog();
    const presenceTimes = { leaseMs: 6_000, graceMs: 300 };
    const startNode = () => startTestServer({ databaseUrl, redisUrl, presenceTimes, log, env: { RATE_LIMITS: 'on' } });
    const [here, there] = [await startNode(), await startNode()];
    const { ann, ben, room } = await world(here);
    await ann.ask(FRIEND, { id: ben.id });

    /** Expects that typing, presence and message notifications travel from one node to the other. */
    const expectAlive = async (from: { url: string; node: ServerNode }, to: { url: string; node: ServerNode }) => {
      const reader = ben.at(to.url).connect();
      const typing = reader.subscribe(TYPING, { room });
      await typing.ready();
      // A typing event may be lost until both nodes have left the old primary.
      const typed = expect.poll(
        async () => {
          await ann.at(from.url).ask(SET_TYPING, { id: room });
          return typing.received.length;
        },
        { timeout: 15_000, interval: 300 },
      );
      await typed.toBeGreaterThan(0);
      const presence = async () =>
        (await ann.at(from.url).ask(PRESENCE, { name: 'ben' })).user.presence.status as string;
      await expect.poll(presence).toBe('ONLINE');
      // This payload can only arrive over Redis, because no poll reads the topic.
      const heard: unknown[] = [];
      await to.node.bus.listen('test', (payload) => heard.push(payload));
      from.node.bus.publish('test', { hello: true });
      await expect.poll(() => heard.length).toBeGreaterThan(0);
      reader.cut();
      await expect.poll(presence).toBe('OFFLINE');
    };

    await expectAlive(here, there);
    expect(await connectionsOf(b)).toBe(0);
    await b.command('REPLICAOF', 'NO', 'ONE');
    endpoint.moveTo(Number(portOfB));
    await a.command('REPLICAOF', '127.0.0.1', portOfB ?? '');
    const began = performance.now();
    await expect.poll(() => connectionsOf(a)).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    await expect.poll(() => connectionsOf(b)).toBe(4);
    await expectAlive(here, there);
    const newcomer = await startNode();
    await expectAlive(here, newcomer);
    await expectAlive(newcomer, there);
    expect(lines.some((line) => line.startsWith('This Redis is read-only'))).toBe(true);
    await expect.poll(() => lines.filter((line) => line === 'Redis works again.').length).toBeGreaterThanOrEqual(2);
    // Failures are logged once per outage. A busy machine has more outages, because a command times out after half a
    // second.
    expect(lines.filter((line) => line.startsWith('This Redis')).length).toBeLessThan(10);
  });
});

describe.skipIf(!hasRedis())('an unusable Redis', () => {
  test.each([
    ['a missing password', ['CONFIG', 'SET', 'requirepass', 'hidden'], '', /^Redis requires a password/],
    ['a wrong password', ['CONFIG', 'SET', 'requirepass', 'hidden'], ':wrong@', /^Redis refuses the user or password/],
    [
      'a user without channels',
      ['ACL', 'SETUSER', 'chat', 'on', '>hidden', '~*', '+@all', 'resetchannels'],
      'chat:hidden@',
      /may not use the channels parley:\*.*&parley:\*/,
    ],
    [
      'a user without keys',
      ['ACL', 'SETUSER', 'chat', 'on', '>hidden', '+@all', '&*'],
      'chat:hidden@',
      /may not use the keys parley:\*.*~parley:\*/,
    ],
    [
      'a user without commands',
      ['ACL', 'SETUSER', 'chat', 'on', '>hidden', '~*', '&*', '+@connection', '+info'],
      'chat:hidden@',
      /may not run all commands .*Run: ACL SETUSER/,
    ],
  ])(
    'is reported at start and by a running node once: %s',
    { timeout: 60_000 },
    async (_what, command, user, sentence) => {
      const redis = await startRedis();
      const [name = '', ...words] = command;
      await redis.command(name, ...words);
      const url = redis.url.replace('//', `//${user}`);
      const doubts = await waitForRedis(url, () => undefined);
      expect(doubts.some((doubt) => sentence.test(doubt))).toBe(true);
      const { lines, log } = collectLog();
      const server = await startTestServer({ redisUrl: url, log, env: { RATE_LIMITS: 'on' } });
      const { ann, ben, room } = await world(server);
      const reader = ben.connect().subscribe(MESSAGE_ADDED, { room });
      await reader.ready();
      for (let i = 0; i < 5; i += 1) await send(ann, room, `message ${i}`);
      expect(await reader.take(1)).toHaveLength(1);
      await expect.poll(() => lines.filter((line) => sentence.test(line)).length).toBe(1);
    },
  );

  test('is named at start if it is a replica', async () => {
    const [a, b] = [await startRedis(), await startRedis()];
    await b.command('REPLICAOF', '127.0.0.1', new URL(a.url).port);
    expect(await waitForRedis(b.url, () => undefined)).toEqual([
      expect.stringMatching(/^This Redis is read-only: it is a replica/),
    ]);
  });

  test('delays a start, which reports it', async () => {
    const port = await freePort();
    const lines: string[] = [];
    const waiting = waitForRedis(`redis://127.0.0.1:${port}`, (line) => lines.push(line));
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatch(new RegExp(`^Waiting for Redis at 127.0.0.1:${port}, for another \\d+ s at most`));
    const redis = await startRedis();
    await startEndpoint(Number(new URL(redis.url).port), port);
    expect(await waiting).toEqual([]);
    expect(await waitForRedis('redis://127.0.0.1:1', () => undefined, 300)).toEqual([
      expect.stringMatching(/^Redis does not respond: .*ECONNREFUSED/),
    ]);
  });
});
