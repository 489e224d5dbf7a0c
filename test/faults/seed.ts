import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expectAllClosed } from '../support/metrics.ts';
import { check } from './checker.ts';
import type { Finding } from './findings.ts';
import { startActors } from './actors.ts';
import { gather, startWriters } from './clients.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { runSchedule } from './faults.ts';
import { createHistory, type FinalState, type History } from './history.ts';
import { type Reader, startReaders } from './readers.ts';
import { type FaultKind, makeSchedule, mulberry32, plannedMs } from './schedule.ts';
import { findLateness, measure, type Stats } from './stats.ts';

/** Queries the database directly. */
export type Query = (text: string) => Promise<Record<string, unknown>[]>;

export interface SeedOptions {
  faults: number;
  messages: number;
  /** Number of nodes (3). */
  nodes?: number | undefined;
  /** Limits the faults to these kinds. */
  kinds?: readonly FaultKind[] | undefined;
  /** Path of the program that the nodes run. */
  program: string;
  /** File for the history, one entry per line. The seed is appended to its name. */
  history?: string | undefined;
  /** Damages the database deliberately after the rooms were created. */
  plant?: ((query: Query) => Promise<unknown>) | undefined;
  say?: ((text: string) => void) | undefined;
}

/** Result of one schedule. */
export interface Outcome {
  faults: number;
  sent: number;
  acknowledged: number;
  received: number;
  findings: Finding[];
  stats: Stats;
}

const NODES = 3;
const ROOMS = 3;
/** Time in milliseconds before the first fault, in which all readers catch up. */
const QUIET_MS = 4_000;
const CATCH_UP_MS = 30_000;
/** Maximum send rate. A higher rate is not the subject of these tests, and would starve the cluster. */
const MOST_PER_SECOND = 60;

/** Runs a cluster through the schedule of one seed. Checks what its clients observed. */
export async function runSeed(seed: number, options: SeedOptions): Promise<Outcome> {
  const { say = () => undefined, nodes: size = NODES } = options;
  const schedule = makeSchedule(mulberry32(seed), { faults: options.faults, nodes: size, kinds: options.kinds });
  const random = mulberry32(seed ^ 0x5eed);
  const history = createHistory();
  const stopWatch = watchLateness(history);
  say(`starting PostgreSQL, Redis and ${size} ${size === 1 ? 'node' : 'nodes'}`);
  const cluster = await startCluster({
    size,
    killsPostgres: schedule.some((fault) => fault.kind === 'database killed'),
    program: options.program,
    onCrash: (node, output) => {
      history.note({ who: `node ${node}`, what: 'crashed', detail: output.slice(-2_000) });
      void cluster.nodes[node]?.start();
    },
  });
  const { nodes } = cluster;
  const cast = await gather(nodes, random, ROOMS);
  await options.plant?.((text) => cluster.postgres.query(text));
  const { readers, slow } = await startReaders({ nodes, cast, history, random });
  const perSecond = Math.min(MOST_PER_SECOND, (options.messages * 1_000) / (plannedMs(schedule) + QUIET_MS));
  const writing = startWriters({ nodes, cast, history, random, perSecond });
  const acting = startActors({ nodes, cast, history, random });
  const received = () => readers.reduce((total, reader) => total + reader.received, 0);
  say(`${schedule.length} faults at ${Math.round(perSecond)} messages a second`);

  await sleep(QUIET_MS);
  await runSchedule({ cluster, slow, history, progress: received }, schedule, (fault, index) => {
    const { sent, acknowledged } = writing.counts;
    const where = /^node |cut off/.test(fault.kind) ? ` (${fault.node})` : '';
    const how = fault.lastsMs > 0 ? `, ${(fault.lastsMs / 1_000).toFixed(1)} s` : '';
    const counts = `${sent} sent, ${acknowledged} acknowledged, ${received()} received`;
    say(`${index + 1}/${schedule.length} ${fault.kind}${where}${how}   ${counts}`);
  });
  await acting.stop();
  await writing.stop();
  const final = await readFinalState(cluster);
  for (const reader of readers) reader.settle();
  say('waiting until all have caught up');
  await caughtUp(readers, final, received);
  await Promise.all(readers.map((reader) => reader.stop()));
  await Promise.all(
    nodes.map(({ index, url }) =>
      expectAllClosed(url).catch((error: unknown) => {
        history.note({ who: `node ${index}`, what: 'leaked', detail: (error as Error).message });
      }),
    ),
  );
  await cluster.close();
  for (const proxy of slow) proxy.close();
  stopWatch();

  const { entries } = history;
  if (options.history !== undefined)
    await writeFile(
      `${options.history}.${seed}`,
      [...entries, final].map((entry) => `${JSON.stringify(entry)}\n`),
    );
  const stats = measure(entries);
  const findings = [...check(entries, final), ...findLateness(stats)];
  return { faults: schedule.length, ...writing.counts, received: received(), findings, stats };
}

/**
 * Waits until each reader has the last message of its rooms. A reader that is still behind when events stop is a
 * finding.
 */
async function caughtUp(readers: readonly Reader[], final: FinalState, received: () => number): Promise<void> {
  const behind = () =>
    readers.filter(({ rooms, last }) => rooms.some(({ name }) => (last[name] ?? 0) < (final.lastNumbers[name] ?? 0)));
  let before = received();
  for (let since = performance.now(); behind().length > 0 && performance.now() < since + CATCH_UP_MS;) {
    await sleep(50);
    if (received() === before) continue;
    before = received();
    since = performance.now();
  }
  // Waits for repeated events, which arrive later.
  await sleep(1_500);
}

async function readFinalState({ postgres }: Cluster): Promise<FinalState> {
  const messages = await postgres.query<FinalState['messages'][number]>(`
    SELECT c.name AS room, m.number, u.username AS sender, m.client_message_id AS "clientMessageId", m.body
      FROM messages m JOIN chatrooms c ON c.id = m.chatroom_id LEFT JOIN users u ON u.id = m.sender_id
      ORDER BY c.name, m.number`);
  const rooms = await postgres.query<{ name: string; last: number }>(
    `SELECT name, last_number AS last FROM chatrooms WHERE kind = 'GROUP'`,
  );
  return { messages, lastNumbers: Object.fromEntries(rooms.map(({ name, last }) => [name, last])) };
}

/** Records when this process was blocked, so that the delay is not attributed to the nodes. */
function watchLateness(history: History): () => void {
  let last = performance.now();
  const timer = setInterval(() => {
    const ms = performance.now() - last - 50;
    last = performance.now();
    if (ms > 100) history.note({ who: 'this process', what: 'late', ms });
  }, 50);
  return () => {
    clearInterval(timer);
  };
}
