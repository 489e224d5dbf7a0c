import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { check, type Finding } from './checker.ts';
import { gather, startActors, startWriters } from './clients.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { runSchedule } from './faults.ts';
import { createHistory, type FinalState, groupBy, type History } from './history.ts';
import { clearUpAtExit } from './processes.ts';
import { type Reader, startReaders } from './readers.ts';
import { type FaultKind, makeSchedule, mulberry32, plannedMs } from './schedule.ts';
import { type Latency, measure } from './stats.ts';

const USAGE = `tsx test/faults/run.ts [--seeds N] [--first SEED] [--faults N] [--messages N] [--only KIND]… [--program FILE] [--history FILE]

  --seeds N      how many schedules, each of a seed of its own (2)
  --first SEED   the first of them (1)
  --faults N     how many faults each has (12)
  --messages N   about how many messages are sent meanwhile (2000)
  --only KIND    no faults but of this kind, such as "node killed"
  --program FILE the built program, in place of the sources
  --history FILE where the history of each seed is written, a line each
`;

const NODES = 3;
const ROOMS = 3;
/** Before the first fault and after the last: what a reader's latency is when all is well. */
const QUIET_MS = 4_000;
const CATCH_UP_MS = 60_000;
/** More is not the load that this looks for, and starves what it looks at. */
const MOST_PER_SECOND = 60;

interface Options {
  faults: number;
  messages: number;
  kinds: FaultKind[] | undefined;
  program: string | undefined;
  history: string | undefined;
}

async function runSeed(seed: number, options: Options): Promise<Finding[]> {
  const schedule = makeSchedule(mulberry32(seed), { faults: options.faults, nodes: NODES, kinds: options.kinds });
  const random = mulberry32(seed ^ 0x5eed);
  const history = createHistory();
  const stopWatch = watchLateness(history);
  const began = performance.now();
  say(seed, began, `starting PostgreSQL, Redis and ${NODES} nodes`);
  const cluster = await startCluster({
    size: NODES,
    killsPostgres: schedule.some((fault) => fault.kind === 'database killed'),
    program: options.program,
    onCrash: (node, output) => {
      history.note({ who: `node ${node}`, what: 'crashed', detail: output.slice(-2_000) });
      void cluster.nodes[node]?.start();
    },
  });
  const { nodes } = cluster;
  const cast = await gather(nodes, random, ROOMS);
  const { readers, slow } = await startReaders({ nodes, cast, history, random });
  const perSecond = Math.min(MOST_PER_SECOND, (options.messages * 1_000) / (plannedMs(schedule) + QUIET_MS * 2));
  const writing = startWriters({ nodes, cast, history, random, perSecond });
  const acting = startActors({ nodes, cast, history, random });
  say(seed, began, `${schedule.length} faults at ${Math.round(perSecond)} messages a second`);

  await sleep(QUIET_MS);
  await runSchedule({ cluster, slow, history }, schedule, (fault, index) => {
    const { sent, acknowledged } = writing.counts;
    const where = /^node |cut off/.test(fault.kind) ? ` (${fault.node})` : '';
    const how = fault.lastsMs > 0 ? `, ${(fault.lastsMs / 1_000).toFixed(1)} s` : '';
    const counts = `${sent} sent, ${acknowledged} acknowledged, ${sum(readers)} received`;
    say(seed, began, `${index + 1}/${schedule.length} ${fault.kind}${where}${how}   ${counts}`);
  });
  await sleep(QUIET_MS);
  await acting.stop();
  await writing.stop();
  const final = await readFinalState(cluster);
  for (const reader of readers) reader.settle();
  say(seed, began, 'waiting until all have caught up');
  await caughtUp(readers, final);
  await Promise.all(readers.map((reader) => reader.stop()));
  await cluster.close();
  await Promise.all(slow.map((proxy) => proxy.close()));
  stopWatch();

  if (options.history !== undefined)
    await writeFile(
      `${options.history}.${seed}`,
      history.entries.map((entry) => `${JSON.stringify(entry)}\n`),
    );
  const findings = check(history.entries, final);
  const stats = measure(history.entries);
  const { sent, acknowledged } = writing.counts;
  say(
    seed,
    began,
    `${sent} messages, ${acknowledged} acknowledged, ${sum(readers)} received, ${schedule.length} faults, ${findings.length} findings`,
  );
  process.stdout.write(
    `        healthy: ${describe(stats.healthy)}\n        without Redis: ${describe(stats.withoutRedis)}\n` +
      `        ${stats.retries} retries, ${stats.failed} events that failed, ${stats.resyncs} times RESYNC_REQUIRED\n`,
  );
  report(findings);
  return findings;
}

/** Waits until each reader has the last message of its rooms; who has not after a minute is a finding. */
async function caughtUp(readers: readonly Reader[], final: FinalState): Promise<void> {
  const deadline = performance.now() + CATCH_UP_MS;
  const behind = () =>
    readers.filter(({ rooms, last }) => rooms.some(({ name }) => (last[name] ?? 0) < (final.lastNumbers[name] ?? 0)));
  while (behind().length > 0 && performance.now() < deadline) await sleep(50);
  // What comes twice comes after it.
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

/** Notes where this process was held up, so that nobody else is blamed for it. */
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

function report(findings: readonly Finding[]): void {
  for (const [kind, each] of groupBy(findings, (finding) => finding.kind)) {
    process.stdout.write(`        ${kind}: ${each.length}\n`);
    for (const { detail } of each.slice(0, 12)) process.stdout.write(`          ${detail}\n`);
  }
}

function describe({ count, p50, p99, most, overdue }: Latency): string {
  return count === 0 ? 'nothing' : `p50 ${p50} ms, p99 ${p99} ms, most ${most} ms of ${count}; ${overdue} overdue`;
}

function sum(readers: readonly Reader[]): number {
  return readers.reduce((total, reader) => total + reader.received, 0);
}

function say(seed: number, began: number, text: string): void {
  const at = ((performance.now() - began) / 1_000).toFixed(1).padStart(6);
  process.stdout.write(`seed ${seed} ${at} s  ${text}\n`);
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ seeds: { ...text, default: '2' }, first: { ...text, default: '1' }, faults: { ...text, default: '12' } },
      ...{ messages: { ...text, default: '2000' }, only: { ...text, multiple: true }, program: text, history: text },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  clearUpAtExit();
  const options = {
    ...{ faults: Number(values.faults), messages: Number(values.messages) },
    ...{ kinds: values.only as FaultKind[] | undefined, program: values.program, history: values.history },
  };
  const failed: number[] = [];
  for (let seed = Number(values.first), left = Number(values.seeds); left > 0; seed += 1, left -= 1)
    if ((await runSeed(seed, options)).length > 0) failed.push(seed);
  process.stdout.write(
    failed.length === 0
      ? `\nNothing was lost, repeated or shown to the wrong people.\n`
      : `\nFindings with seed ${failed.join(', ')}. Again: npm run test:faults -- --seeds 1 --first ${failed[0]}\n`,
  );
  process.exit(failed.length === 0 ? 0 : 1);
}

await main();
