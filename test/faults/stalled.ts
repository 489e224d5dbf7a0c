import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { expectAllClosed, readMetrics } from '../support/metrics.ts';
import { clearUpAtExit } from './processes.ts';
import { mulberry32 } from './schedule.ts';
import { drawChart } from './stalled/chart.ts';
import { gather, startWriting, type Writing } from './stalled/people.ts';
import { type Place, startPlace } from './stalled/place.ts';
import { type Reader, startReader, startStalled } from './stalled/subscribers.ts';

const USAGE = `npm run test:stalled -- [--minutes N] [--stalled N] [--mute N] [--healthy N] [--rate N] [--seed N] [--program FILE] [--chart FILE]

  --minutes N    duration of the measurement after the warm-up (5, at most 9)
  --stalled N    number of subscribers that never read (1000)
  --mute N       number of these subscribers that answer pings, so that the node does not disconnect them (900)
  --healthy N    number of subscribers that read, and must receive every message (50)
  --rate N       messages per second, over ten rooms (50)
  --seed N       seed of the random lengths and times (1)
  --program FILE the built program (dist/main.js)
  --chart FILE   file for the chart, an SVG; by default, no chart is written

A socket accepts some megabytes before it is full, most of them in buffers of the system. With small buffers, the unread data waits
in the node instead. To make the buffers small, run as root on Linux, in a network namespace:
  unshare -n sh -c 'ip link set lo up mtu 1500; sysctl -qw net.ipv4.tcp_wmem="4096 16384 16384" net.ipv4.tcp_rmem="4096 16384 16384"; npm run test:stalled'
`;

const ROOMS = 10;
/** Warm-up ends when nearly all staying subscribers have full socket buffers, or after a timeout in milliseconds. */
const WARM = { share: 0.95, mostMs: 180_000 };
const SAMPLE_MS = 10_000;
/** Maximum duration in minutes. Access tokens expire after 15 minutes, and no client refreshes its token here. */
const MOST_MINUTES = 9;
/** Growth up to these bounds is ignored, because memory after garbage collection fluctuates slightly. */
const MOST_GROWTH = { share: 0.05, megabytes: 8 };
const CATCH_UP_MS = 60_000;

interface Sample {
  /** Minutes since the end of the warm-up. */
  at: number;
  rss: number;
  heap: number;
  /** Memory outside the heap. */
  external: number;
  sockets: number;
  waiting: number;
  /** Number of statements that wait for a connection. */
  queued: number;
  /** Values since the start of the node: delivered events, executed events, and CPU seconds. */
  delivered: number;
  executed: number;
  cpu: number;
}

async function takeSample(place: Place, began: number): Promise<Sample> {
  const metrics = await place.weigh();
  const megabytes = (name: string) => (metrics.get(name) ?? NaN) / 1024 / 1024;
  return {
    at: (performance.now() - began) / 60_000,
    rss: megabytes('process_resident_memory_bytes'),
    heap: megabytes('nodejs_heap_size_used_bytes'),
    external: megabytes('nodejs_external_memory_bytes'),
    sockets: metrics.get('parley_sockets') ?? NaN,
    waiting: metrics.get('parley_subscriptions_waiting') ?? NaN,
    delivered: metrics.get('parley_deliveries_total{transport="websocket"}') ?? NaN,
    executed: ['shared', 'own'].reduce(
      (sum, kind) => sum + (metrics.get(`parley_event_executions_total{transport="websocket",kind="${kind}"}`) ?? NaN),
      0,
    ),
    queued: metrics.get('parley_database_waiting') ?? NaN,
    cpu: metrics.get('process_cpu_seconds_total') ?? NaN,
  };
}

function compare(samples: readonly Sample[], of: 'rss' | 'heap' | 'external') {
  const end = samples.at(-1)?.at ?? 0;
  const first = median(samples.filter(({ at }) => at <= 1).map((sample) => sample[of]));
  const last = median(samples.filter(({ at }) => at >= end - 1).map((sample) => sample[of]));
  const flat = last <= Math.max(first * (1 + MOST_GROWTH.share), first + MOST_GROWTH.megabytes);
  say(
    `${of.padEnd(9)} first minute ${first.toFixed(1)} MB, last minute ${last.toFixed(1)} MB: ${flat ? 'flat' : 'GROWS'}`,
  );
  return flat;
}

async function warmUp(place: Place, mute: number): Promise<void> {
  const deadline = performance.now() + WARM.mostMs;
  const full = async () => (await readMetrics(place.url)).get('parley_subscriptions_waiting') ?? 0;
  while ((await full()) < mute * WARM.share && performance.now() < deadline) await sleep(1_000);
}

/** Waits until each reader has the last message of its room. */
async function caughtUp(readers: readonly Reader[], { last }: Writing): Promise<boolean> {
  const deadline = performance.now() + CATCH_UP_MS;
  const behind = () => readers.some((reader) => reader.last < (last.get(reader.room) ?? 0));
  while (behind() && performance.now() < deadline) await sleep(50);
  return !behind();
}

async function run(
  options: Record<'minutes' | 'stalled' | 'mute' | 'healthy' | 'rate' | 'seed', number>,
  program: string,
  chart: string | undefined,
): Promise<boolean> {
  const { seed } = options;
  say(`seed ${seed}`);
  const place = await startPlace(program);
  const names = Array.from({ length: 40 }, (_, i) => `person-${i}`);
  const { people, rooms } = await gather(place.url, names, ROOMS);
  const [reading, stalling] = [people.slice(0, 20), people.slice(20)];
  const readers: Reader[] = [];
  for (let i = 0; i < options.healthy; i += 1) {
    const [person, room] = [reading[i % reading.length], rooms[i % rooms.length]];
    if (person && room !== undefined) readers.push(await startReader(place.url, person, room));
  }
  const writing = startWriting(place.url, { people: reading, rooms }, options.rate, mulberry32(seed));
  const stalled = startStalled(
    place.url,
    { people: stalling, rooms },
    { count: options.stalled, mute: options.mute, seed },
  );

  await stalled.come;
  await warmUp(place, options.mute);
  for (const reader of readers) reader.latencies.length = 0;
  const began = performance.now();
  say(
    row('min', 'RSS', 'heap', 'external', 'sockets', 'full', 'queued', 'sent', 'given/s', 'run/s', 'CPU %', 'p50, p99'),
  );
  const samples: Sample[] = [];
  const latencies: number[] = [];
  const end = began + options.minutes * 60_000;
  while (performance.now() < end) {
    await sleep(SAMPLE_MS);
    const taken = readers.flatMap((reader) => reader.latencies.splice(0));
    latencies.push(...taken);
    const sample = await takeSample(place, began);
    const before = samples.at(-1);
    samples.push(sample);
    const rate = (of: 'delivered' | 'executed' | 'cpu') =>
      before ? (sample[of] - before[of]) / ((sample.at - before.at) * 60) : NaN;
    say(
      row(
        ...[sample.at.toFixed(2), sample.rss.toFixed(1), sample.heap.toFixed(1), sample.external.toFixed(1)],
        ...[sample.sockets, sample.waiting, sample.queued, writing.acknowledged],
        ...[rate('delivered').toFixed(0), rate('executed').toFixed(0), (rate('cpu') * 100).toFixed(0)],
        percentiles(taken),
      ),
    );
  }

  await writing.stop();
  const complete = await caughtUp(readers, writing);
  const sum = (of: 'received' | 'wrong' | 'cuts') => readers.reduce((total, reader) => total + reader[of], 0);
  say(
    `\n${options.stalled} stalled subscribers, ${stalled.comebacks} times cut off and back; ${samples.at(-1)?.waiting ?? 0} of their sockets were full at the end.`,
  );
  say(
    `${writing.acknowledged} messages, ${writing.failed} failed. ${readers.length} readers received ${sum('received')}, ${sum('wrong')} left out or twice, ${sum('cuts')} times cut off; ${complete ? 'all have everything' : 'NOT ALL HAVE EVERYTHING'}; p50, p99: ${percentiles(latencies)} ms.`,
  );
  const flat = (['rss', 'heap', 'external'] as const).map((of) => compare(samples, of)).every(Boolean);
  await stalled.stop();
  for (const reader of readers) reader.stop();
  const closed = await expectAllClosed(place.url).then(
    () => 'Nothing is left open.',
    (error: Error) => error.message,
  );
  say(closed);
  const left = await takeSample(place, began);
  say(`Without clients: RSS ${left.rss.toFixed(1)} MB, heap ${left.heap.toFixed(1)} MB.`);
  if (chart !== undefined) {
    await mkdir(new URL('.', `file://${chart}`), { recursive: true }).catch(() => undefined);
    const title = `Memory of a node with ${options.stalled} stalled subscribers at ${options.rate} messages a second`;
    const line = (of: 'rss' | 'heap') => samples.map((sample) => [sample.at, sample[of]] as const);
    const lines = [
      { name: 'resident', colour: '#3b82f6', points: line('rss') },
      { name: 'heap', colour: '#d97706', points: line('heap') },
    ];
    await writeFile(chart, drawChart(title, 'MB', lines));
  }
  await place.close();
  return flat && complete && sum('wrong') === 0 && closed === 'Nothing is left open.';
}

function percentiles(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  return [0.5, 0.99]
    .map((share) => String(Math.round(sorted[Math.floor(sorted.length * share)] ?? NaN)).padStart(5))
    .join(' ');
}

function row(...cells: readonly (string | number)[]): string {
  return cells.map((cell) => String(cell).padStart(8)).join(' ');
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{
        minutes: { ...text, default: '5' },
        stalled: { ...text, default: '1000' },
        mute: { ...text, default: '900' },
      },
      ...{ healthy: { ...text, default: '50' }, rate: { ...text, default: '50' }, seed: { ...text, default: '1' } },
      ...{ program: { ...text, default: 'dist/main.js' }, chart: text, help: { type: 'boolean' } },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  clearUpAtExit();
  const { minutes, stalled, mute, healthy, rate, seed } = values;
  const options = {
    minutes: Math.min(Number(minutes), MOST_MINUTES),
    stalled: Number(stalled),
    mute: Number(mute),
    healthy: Number(healthy),
    rate: Number(rate),
    seed: Number(seed),
  };
  process.exit((await run(options, values.program, values.chart)) ? 0 : 1);
}

await main();
