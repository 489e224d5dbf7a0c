import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ServerNode } from '../../src/context.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/database/embedded.ts';
import { migrate } from '../../src/postgres.ts';
import { waitForRedis } from '../../src/realtime/redisRequirements.ts';
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

/** A log, and its lines as the default level prints them. */
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
      // Connections keep the setting that they began with.
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

  test('asks the database at most once a second, however many ask', async () => {
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

/** A primary and a synchronous standby of it, which tests may promote. */
async function startPostgresPair(): Promise<{ primary: EmbeddedPostgres; standby: EmbeddedPostgres }> {
  const [first, second] = await Promise.all([createFolder('primary'), createFolder('standby')]);
  const start = (dataDir: string, settings = {}) =>
    startEmbeddedPostgres({ dataDir, log: () => undefined, settings: { fsync: 'off', ...settings } });
  const founder = await start(first);
  await migrate(founder.url);
  await founder.stop();
  // Keeps the owner of the files, which `fs.cp` does not.
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
  // Where root runs the tests, the database's user must be able to enter.
  await chmod(folder, 0o755);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test(
  'a node that lands on a PostgreSQL standby refuses it, and goes on when the standby is promoted',
  { timeout: 120_000 },
  async () => {
    const { primary, standby } = await startPostgresPair();
    const [primaryPort, standbyPort] = [primary, standby].map(({ url }) => Number(new URL(url).port));
    const endpoint = await startEndpoint(primaryPort ?? 0);
    const databaseUrl = primary.url.replace(`:${primaryPort}/`, `:${endpoint.port}/`);
    const { lines, log } = collectLog();
    const server = await startTestServer({ databaseUrl, log });
    const { ann, ben, room } = await world(server);
    const stream = ben.connect().subscribe(MESSAGE_ADDED, { room });
    await stream.taken();
    const acknowledged: string[] = [];
    const say = async (body: string) => {
      await send(ann, room, body);
      acknowledged.push(body);
    };
    const STANDBY =
      '503 The database is a standby: nothing can be written. Point DATABASE_URL at the primary, or promote it.';
    await say('before');

    // The address names the standby for a while, whose primary is well.
    endpoint.moveTo(standbyPort ?? 0);
    endpoint.cut();
    await expect.poll(() => readiness(server.url)).toBe(STANDBY);
    await expect(say('to a standby')).rejects.toThrow('INTERNAL_SERVER_ERROR');
    endpoint.moveTo(primaryPort ?? 0);
    await expect.poll(() => readiness(server.url)).toBe('200 ready');
    for (let i = 0; i < 10; i += 1) await say(`back at the primary ${i}`);

    // A failover: the primary ends, and the standby is promoted later.
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
    // Each cause once for each outage, not a line a second.
    await expect.poll(() => lines.filter((line) => line === 'The database works again.')).toHaveLength(2);
    expect(lines.filter((line) => line.startsWith('The database fails')).length).toBeLessThan(10);
  },
);

describe.skipIf(!hasRedis())('a Redis failover', () => {
  /** The connections of nodes to a Redis; those of the tests have no script or subscription. */
  async function connectionsOf(redis: TestRedis): Promise<number> {
    const list = (await redis.command('CLIENT', 'LIST')) as string;
    return list.split('\n').filter((line) => /cmd=(eval|publish|subscribe|ping|hmget|info|auth)/.test(line)).length;
  }

  test(
    'moves all connections of nodes to the new primary within seconds, though the old ones stand',
    { timeout: 90_000 },
    async () => {
      const [a, b] = [await startRedis(), await startRedis()];
      const [portOfA, portOfB] = [a, b].map(({ url }) => new URL(url).port);
      await b.command('REPLICAOF', '127.0.0.1', portOfA ?? '');
      await expect.poll(() => b.command('INFO', 'replication')).toContain('master_link_status:up');
      const endpoint = await startEndpoint(Number(portOfA));
      const redisUrl = `redis://127.0.0.1:${endpoint.port}`;
      const databaseUrl = await createTestDatabase();
      const { lines, log } = collectLog();
      const presenceTimes = { leaseMs: 6_000, graceMs: 300 };
      const startNode = () =>
        startTestServer({ databaseUrl, redisUrl, presenceTimes, log, env: { RATE_LIMITS: 'on' } });
      const [here, there] = [await startNode(), await startNode()];
      const { ann, ben, room } = await world(here);
      await ann.ask(FRIEND, { id: ben.id });

      /** Typing, presence and notifications of messages go from one node to the other. */
      const expectAlive = async (from: { url: string; node: ServerNode }, to: { url: string; node: ServerNode }) => {
        const reader = ben.at(to.url).connect();
        const typing = reader.subscribe(TYPING, { room });
        await typing.taken();
        // Until both nodes have left the old primary, it may be lost.
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
        // A notification that arrives over Redis, not by the poll, which knows no such topic.
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
      expect(lines.some((line) => line.startsWith('This Redis takes no writes'))).toBe(true);
      await expect.poll(() => lines.filter((line) => line === 'Redis works again.').length).toBeGreaterThanOrEqual(2);
      // Once for each outage. A busy machine has more of them, because a command has half a second.
      expect(lines.filter((line) => line.startsWith('This Redis')).length).toBeLessThan(10);
    },
  );
});

describe.skipIf(!hasRedis())('what is wrong with Redis', () => {
  test.each([
    ['a password that it wants', ['CONFIG', 'SET', 'requirepass', 'hidden'], '', /^Redis wants a password/],
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
  ])('is said at start and by a running node once: %s', { timeout: 60_000 }, async (_what, command, user, sentence) => {
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
    for (let i = 0; i < 5; i += 1) await send(ann, room, `message ${i}`);
    expect(await reader.take(1)).toHaveLength(1);
    await expect.poll(() => lines.filter((line) => sentence.test(line)).length).toBe(1);
  });

  test('a replica is named at start', async () => {
    const [a, b] = [await startRedis(), await startRedis()];
    await b.command('REPLICAOF', '127.0.0.1', new URL(a.url).port);
    expect(await waitForRedis(b.url, () => undefined)).toEqual([
      expect.stringMatching(/^This Redis takes no writes: it is a replica/),
    ]);
  });

  test('a start waits for it, and says so', async () => {
    const port = await freePort();
    const lines: string[] = [];
    const waiting = waitForRedis(`redis://127.0.0.1:${port}`, (line) => lines.push(line));
    await expect.poll(() => lines.length).toBe(1);
    expect(lines[0]).toMatch(new RegExp(`^Waiting for Redis at 127.0.0.1:${port}, for another \\d+ s at most`));
    const redis = await startRedis();
    await startEndpoint(Number(new URL(redis.url).port), port);
    expect(await waiting).toEqual([]);
    expect(await waitForRedis('redis://127.0.0.1:1', () => undefined, 300)).toEqual([
      expect.stringMatching(/^Redis does not answer: .*ECONNREFUSED/),
    ]);
  });
});
