import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { expectAllClosed } from '../support/metrics.ts';
import { clearUpAtExit } from './processes.ts';
import { mulberry32 } from './schedule.ts';
import { type Course, follow, tableOf } from './soak/courses.ts';
import { type FigureName, type Sample, startLooking } from './soak/figures.ts';
import { createLife, type Life } from './soak/life.ts';
import { type Living, type Size, startLiving } from './soak/living.ts';
import { drawChart } from './stalled/chart.ts';
import { type Place, startPlace } from './stalled/place.ts';

const USAGE = `npm run test:soak -- [--minutes N] [--rate N] [--people N] [--rooms N] [--streams N] [--seed N] [--program FILE] [--chart FILE]

  --minutes N    duration of the measurement, once all users are there (20)
  --rate N       actions of users per second (30)
  --people N     number of users at a time (60)
  --rooms N      number of rooms (40)
  --streams N    number of subscriptions (100)
  --seed N       seed of the users' choices (1)
  --program FILE the built program (dist/main.js)
  --chart FILE   file for the chart, an SVG; by default, no chart is written
`;

const SAMPLE_MS = 15_000;
/** Minimum duration in minutes. In a shorter run, the trend of the second half depends on chance. */
const LEAST_MINUTES = 5;
/** All limits are on because they store data per client, but they are too high to be reached. */
const SETTINGS = { RATE_LIMITS: 'on', RATE_PER_USER: '1000000', RATE_PER_ADDRESS: '10000000' };

interface Options extends Size {
  minutes: number;
  rate: number;
  seed: number;
}

const COLUMNS: readonly FigureName[] = [
  ...(['heap, MB', 'resident, MB', 'external, MB', 'open files', 'handles', 'sockets', 'streams', 'tails'] as const),
  ...(['watches', 'Redis keys', 'lag p99, ms', 'CPU, %', 'requests/s', 'events/s'] as const),
];

/** A sample of the node, and the cumulative number of each kind of arrival. */
type Look = Sample & { came: Record<string, number> };

async function watch(place: Place, life: Life, living: Living, minutes: number): Promise<Look[]> {
  const looking = startLooking(place);
  await living.full;
  await looking.look();
  looking.restart();
  say(row('min', ...COLUMNS.map((name) => name.replace(/,.*/, ''))));
  const samples: Look[] = [];
  for (let at = 0; at < minutes; at = samples.at(-1)?.at ?? at) {
    await sleep(SAMPLE_MS);
    const sample = await looking.look();
    const { people, sessions, rooms } = life.counts;
    samples.push({ ...sample, came: { people, sessions, rooms, streams: life.listening.counts.begun } });
    life.listening.findOverdue();
    const codes = [...sample.codes].map(([code, count]) => `${code} ${count}`).join(', ');
    say(`${row(sample.at.toFixed(2), ...COLUMNS.map((name) => sample.figures[name].toFixed(1)))}  ${codes}`);
  }
  looking.stop();
  return samples;
}

async function run(options: Options, program: string, chart: string | undefined): Promise<boolean> {
  const { minutes, rate, seed, people, rooms, streams } = options;
  say(`seed ${seed}: ${people} people, ${rooms} rooms, ${streams} streams, ${rate} deeds a second, ${minutes} minutes`);
  const place = await startPlace(program, SETTINGS);
  const life = createLife(place.url, mulberry32(seed));
  const living = startLiving(life, options, rate);
  const samples = await watch(place, life, living, minutes).catch((error: unknown) => {
    say(place.output());
    throw error;
  });
  await living.end();
  await expectAllClosed(place.url).catch((error: Error) => {
    life.find(error.message);
  });
  const left = await place.weigh();
  const courses = follow(samples);
  if (chart !== undefined) await draw(chart, samples, rate);
  await place.close();

  const { told, resumed, expired, silent } = life.listening.counts;
  const { asked, refused } = life.counts;
  say(`\n${tableOf(courses, minutes >= LEAST_MINUTES)}`);
  say(`${asked} requests: ${refused} refused as they had to be, ${living.leftOut} left out.`);
  say(`${told} events; ${resumed} times back with a cursor, ${expired} times a token ran out, ${silent} silent.`);
  for (const [what, count] of comings(samples))
    say(`${count} ${what} came in the second half: ${least(courses, count)} kept of each would have been seen.`);
  const megabytes = (name: string) => ((left.get(name) ?? NaN) / 1024 / 1024).toFixed(1);
  say(
    `When all had gone: heap ${megabytes('nodejs_heap_size_used_bytes')} MB, resident ${megabytes('process_resident_memory_bytes')} MB.`,
  );
  return judge(life, courses, minutes, place);
}

/** Returns the number of arrivals of each kind in the second half. */
function comings(samples: readonly Look[]): [what: string, count: number][] {
  const [from, to] = [samples[Math.floor(samples.length / 2)]?.came ?? {}, samples.at(-1)?.came ?? {}];
  return Object.entries(to).map(([what, count]) => [what, count - (from[what] ?? 0)]);
}

/** Returns the smallest leak per arrival that would make the heap count as growing. */
function least(courses: readonly Course[], count: number): string {
  const megabytes = courses.find(({ name }) => name === 'heap, MB')?.most ?? NaN;
  return `${((megabytes * 1024) / count).toFixed(1)} KB`;
}

/** Prints the findings and the growing figures. Returns true if there are none. */
function judge({ findings }: Life, courses: readonly Course[], minutes: number, place: Place): boolean {
  const grown = courses.filter(({ isFlat }) => !isFlat).map(({ name }) => name);
  const tooShort = minutes < LEAST_MINUTES;
  if (tooShort) say(`Too short to tell what grows: it takes ${LEAST_MINUTES} minutes.`);
  else if (grown.length > 0) say(`GROWS: ${grown.join('; ')}`);
  for (const [what, count] of findings) say(`FOUND ${count} times: ${what}`);
  if (findings.size > 0) say(`\nThe last that the node has printed:\n${place.output()}`);
  const isRight = findings.size === 0 && (tooShort || grown.length === 0);
  if (isRight) say(tooShort ? 'Nothing was found.' : 'All is flat, and nothing was found.');
  return isRight;
}

async function draw(file: string, samples: readonly Sample[], rate: number): Promise<void> {
  const line = (name: FigureName, colour: string) => ({
    ...{ name, colour },
    points: samples.map(({ at, figures }) => [at, figures[name]] as const),
  });
  const lines = [
    ...[line('resident, MB', '#3b82f6'), line('heap, MB', '#d97706')],
    ...[line('open files', '#16a34a'), line('lag p99, ms', '#db2777')],
  ];
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, drawChart(`A node while people come and go, ${rate} deeds a second`, '', lines));
}

function row(...cells: readonly (string | number)[]): string {
  return cells.map((cell) => String(cell).padStart(8)).join(' ');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const number = (usual: number) => ({ type: 'string', default: String(usual) }) as const;
  const { values } = parseArgs({
    options: {
      ...{ minutes: number(20), rate: number(30), people: number(60), rooms: number(40), streams: number(100) },
      ...{ seed: number(1), program: { type: 'string', default: 'dist/main.js' } },
      ...{ chart: { type: 'string' }, help: { type: 'boolean' } },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  clearUpAtExit();
  const { minutes, rate, people, rooms, streams, seed } = values;
  const [N, size] = [Number, { people: Number(people), rooms: Number(rooms), streams: Number(streams) }];
  const options: Options = { ...size, minutes: N(minutes), rate: N(rate), seed: N(seed) };
  process.exit((await run(options, values.program, values.chart)) ? 0 : 1);
}

await main();
