import { spawn } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createServiceToken } from '../src/auth/serviceTokens.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { type Database, openDatabase, sql } from '../src/platform/database/database.ts';
import { mulberry32 } from './faults/schedule.ts';
import { request, signUp } from './support/client.ts';
import { type ServerProcess, untilReady } from './support/process.ts';
import { hasRedis, startRedis } from './support/redis.ts';
import { createRoom } from './support/rooms.ts';
import { SEED } from './support/seed.ts';
import { AUTH_SECRET, createTestDatabase } from './support/server.ts';
import { CREATE_WEBHOOK, type Receiver, seqsOf, startReceiver } from './support/webhooks.ts';
import { SEND } from './support/world.ts';

/** `EVENTS=5000 npx vitest run test/webhookKills.test.ts` runs the check at full size. */
const EVENTS = Number(process.env['EVENTS'] ?? 600);
const ROOMS = 20;
const NODES = 3;
/** Time between two kills of a node. */
const KILL_MS = 1_000;
/** Minimum number of kills, so that a fast machine does not finish before the first one. */
const MIN_KILLS = 5;

interface Cluster {
  database: Database;
  nodes: (ServerProcess | null)[];
  start(index: number): Promise<void>;
}

async function startCluster(): Promise<Cluster> {
  const databaseUrl = await createTestDatabase();
  const redis = await startRedis();
  const database = await openDatabase(databaseUrl);
  const nodes: (ServerProcess | null)[] = Array.from({ length: NODES }, () => null);
  const env = {
    ...{ PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', LOG_LEVEL: 'fatal' },
    ...{ DATABASE_URL: databaseUrl, REDIS_URL: redis.url, AUTH_SECRET, RATE_LIMITS: 'off', FILES: 'off' },
    ...{ WEBHOOK_ALLOW: '127.0.0.1', DATABASE_POOL_SIZE: '5' },
  };
  let isOver = false;
  onTestFinished(async () => {
    isOver = true;
    for (const node of nodes) await node?.end('SIGKILL');
    await database.close();
  });
  return {
    database,
    nodes,
    async start(index) {
      const child = spawn(process.execPath, ['--import', 'tsx', 'test/support/webhookNode.ts'], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const node = await untilReady(child);
      nodes[index] = node;
      if (isOver) await node.end('SIGKILL');
    },
  };
}

/** Fails at random: refuses, closes the connection before or after it has counted the event, and stops for a moment. */
function failAtRandom(receiver: Receiver, random: () => number): void {
  receiver.respond = (_, response) => {
    const chance = random();
    if (chance < 0.05) response.destroy();
    else response.writeHead(chance < 0.1 ? 503 : 204).end();
  };
}

describe.skipIf(!hasRedis())('while nodes are killed and the receiver fails at random', () => {
  test('every event of every room arrives in order and signed', { timeout: 900_000 }, async () => {
    const random = mulberry32(SEED);
    const cluster = await startCluster();
    const { database, nodes } = cluster;
    await Promise.all(nodes.map((_, index) => cluster.start(index)));
    const alive = () => nodes.filter((node) => node !== null);
    const urlOf = () => alive()[Math.floor(random() * alive().length)]?.url ?? '';
    const ann = await signUp(urlOf(), 'ann');
    const rooms: string[] = [];
    for (let i = 0; i < ROOMS; i += 1) rooms.push(await createRoom(ann, { kind: 'GROUP', name: `Room ${i}` }));

    const receiver = await startReceiver();
    const token = await createServiceToken(database, 'shop', ['webhooks:write']);
    const input = { name: 'all', url: receiver.url, events: ['MESSAGE_ADDED'] };
    const created = await request(urlOf(), CREATE_WEBHOOK, { input }, { authorization: `Bearer ${token}` });
    receiver.secret = created.data.createWebhook.secret;
    failAtRandom(receiver, random);

    let kills = 0;
    const progress = { isSending: true };
    const killing = (async () => {
      while (progress.isSending || kills < MIN_KILLS) {
        await wait(KILL_MS);
        const victims = nodes.flatMap((node, index) => (node ? [{ node, index }] : []));
        const victim = victims[Math.floor(random() * victims.length)];
        // One node stays, so that messages can be sent.
        if (!victim || victims.length < 2) continue;
        nodes[victim.index] = null;
        await victim.node.end('SIGKILL');
        kills += 1;
        if (random() < 0.3) receiver.interrupt();
        void cluster.start(victim.index);
      }
    })();

    // Each room has its own sender, who repeats a message with its id until it is acknowledged.
    const headers = { authorization: `Bearer ${ann.accessToken}` };
    const sendAll = rooms.map(async (chatroomId) => {
      for (let i = 0; i < EVENTS / ROOMS; i += 1)
        for (;;) {
          const message = { input: { chatroomId, body: `message ${i}`, clientMessageId: `m${i}` } };
          const sent = await request(urlOf(), SEND, message, headers).catch(() => null);
          if (sent?.data?.sendMessage) break;
          await wait(20);
        }
    });
    await Promise.all(sendAll);
    progress.isSending = false;
    await killing;

    const logged = await database.query<{ room: string; seqs: number[] }>(sql`
      SELECT chatroom_id AS room, array_agg(seq ORDER BY seq) AS seqs FROM events
        WHERE kind = 'MESSAGE_ADDED' AND chatroom_id = ANY (${rooms.map((room) => keyOf('Chatroom', room))}::uuid[])
        GROUP BY chatroom_id`);
    expect(logged.flatMap(({ seqs }) => seqs).length).toBe(EVENTS);
    const expected = new Map(logged.map(({ room, seqs }) => [room, seqs]));
    const distinct = () => new Set(receiver.received.map(({ id }) => id)).size;
    await expect.poll(distinct, { timeout: 300_000, interval: 200 }).toBe(EVENTS);
    for (const room of rooms) expect(seqsOf(receiver, room)).toEqual(expected.get(keyOf('Chatroom', room) ?? ''));
    expect(receiver.invalid).toEqual([]);
    expect(kills).toBeGreaterThanOrEqual(MIN_KILLS);
    console.log(`${EVENTS} events, ${receiver.received.length} requests, ${kills} kills, seed ${SEED}`);
  });
});
