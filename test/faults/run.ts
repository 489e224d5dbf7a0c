import { parseArgs } from 'node:util';
import { groupBy } from './history.ts';
import { PLANTS, PLANTED_OPTIONS, PLANTED_SEED, runPlanted } from './plants.ts';
import { clearUpAtExit } from './processes.ts';
import { withProgram } from './program.ts';
import type { FaultKind } from './schedule.ts';
import { type Outcome, runSeed, type SeedOptions } from './seed.ts';
import type { Latency } from './stats.ts';

const USAGE = `npm run test:faults -- [--seeds N] [--first SEED] [--faults N] [--messages N] [--only KIND]… [--program FILE] [--history FILE]
npm run test:faults -- --planted [--program FILE]

  --seeds N      number of schedules, one per seed (2)
  --first SEED   first seed (1)
  --faults N     faults per seed (30); from 100 on, a node freezes for a minute
  --messages N   approximate number of messages per seed (1000)
  --only KIND    only faults of this kind, such as "node killed"
  --program FILE built program, such as dist/main.js; the sources by default
  --history FILE file for the history of each seed, one line per entry
  --planted      servers with a deliberate defect each, which the checker must find
`;

function report({ sent, acknowledged, received, faults, findings, stats }: Outcome): void {
  const { healthy, withoutRedis, retries, failed, resyncs, heldUp } = stats;
  process.stdout.write(
    `        ${sent} messages, ${acknowledged} acknowledged, ${received} received, ${faults} faults, ${findings.length} findings\n` +
      `        healthy: ${describe(healthy)}\n        without Redis: ${describe(withoutRedis)}\n` +
      `        ${retries} retries, ${failed} events that failed, ${resyncs} times RESYNC_REQUIRED; held up ${(heldUp * 100).toFixed(1)} % of the time\n`,
  );
  for (const [kind, each] of groupBy(findings, (finding) => finding.kind)) {
    process.stdout.write(`        ${kind}: ${each.length}\n`);
    for (const { detail } of each.slice(0, 12)) process.stdout.write(`          ${detail}\n`);
  }
}

function describe({ count, p50, p99, most, overdue }: Latency): string {
  return count === 0 ? 'nothing' : `p50 ${p50} ms, p99 ${p99} ms, most ${most} ms of ${count}; ${overdue} overdue`;
}

/** Returns a function that prints progress with elapsed time. */
function speaker(name: string): (text: string) => void {
  const began = performance.now();
  return (text) => {
    const at = ((performance.now() - began) / 1_000).toFixed(1).padStart(6);
    process.stdout.write(`${name} ${at} s  ${text}\n`);
  };
}

async function runSeeds(first: number, count: number, options: SeedOptions): Promise<boolean> {
  const failed: number[] = [];
  for (let seed = first; seed < first + count; seed += 1) {
    const say = speaker(`seed ${seed}`);
    const outcome = await runSeed(seed, { ...options, say });
    say('is over');
    report(outcome);
    if (outcome.findings.length > 0) failed.push(seed);
  }
  process.stdout.write(
    failed.length === 0
      ? `\nNothing was lost, repeated or shown to the wrong people.\n`
      : `\nFindings with seed ${failed.join(', ')}. Again: npm run test:faults -- --seeds 1 --first ${failed[0]}\n`,
  );
  return failed.length === 0;
}

/**
 * Runs each deliberate defect, which its findings must reveal. The same schedule must find nothing without a defect.
 */
async function runPlants(program: string): Promise<boolean> {
  const say = speaker('nothing planted');
  const outcome = await runSeed(PLANTED_SEED, { ...PLANTED_OPTIONS, program, say });
  report(outcome);
  let allRight = outcome.findings.length === 0;
  for (const plant of PLANTS) {
    const sayOf = speaker(plant.name);
    const planted = await runPlanted(plant, sayOf);
    report(planted);
    const found = planted.findings.some(({ kind }) => plant.kinds.includes(kind));
    sayOf(found ? 'was found' : `WAS NOT FOUND: looked for ${plant.kinds.join(' or ')}`);
    allRight &&= found;
  }
  return allRight;
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ seeds: { ...text, default: '2' }, first: { ...text, default: '1' }, faults: { ...text, default: '30' } },
      ...{ messages: { ...text, default: '1000' }, only: { ...text, multiple: true }, program: text, history: text },
      ...{ planted: { type: 'boolean' }, help: { type: 'boolean' } },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  clearUpAtExit();
  const { planted, history } = values;
  const run = (program: string) =>
    planted
      ? runPlants(program)
      : runSeeds(Number(values.first), Number(values.seeds), {
          ...{ faults: Number(values.faults), messages: Number(values.messages), program, history },
          kinds: values.only as FaultKind[] | undefined,
        });
  const isRight = values.program === undefined ? await withProgram([], run) : await run(values.program);
  process.exit(isRight ? 0 : 1);
}

await main();
