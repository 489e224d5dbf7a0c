import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Params } from '../bench/benchmarks/benchmark.ts';
import { benchmarks } from '../bench/benchmarks/benchmarks.ts';
import { drawChart } from '../bench/chart.ts';
import { type Machine, startMachine } from '../bench/machine.ts';
import { mediansOf, type Result } from '../bench/report.ts';
import { runBenchmark } from '../bench/run.ts';
import { isInstalled, type StackName, titles } from '../bench/stacks.ts';
import { clearUpAtExit } from './faults/processes.ts';

const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const missing = [
  ...(isInstalled('plain') ? [] : ['the rivals in bench/rivals']),
  ...(existsSync(program) ? [] : ['dist/main.js']),
];
if (missing.length > 0) process.stdout.write(`The benchmarks are not tried: ${missing.join(' and ')} are not there.\n`);

/**
 * Timeout in milliseconds. Each benchmark takes seconds on a quiet machine; its server and load processes have shorter
 * timeouts.
 */
const LONGEST_MS = 240_000;

/** Smallest parameters of each benchmark. The loads verify their own counts. */
const small: Record<string, Params> = {
  conversation: { ms: 100 },
  page: { pages: 3, senders: 2, subscriptions: 7, ms: 100, drainMs: 60_000 },
  fanout: { subscribers: 20, ms: 50 },
  send: { ms: 50 },
  cold: { sends: 100 },
  latency: { nodes: 2, ms: 200 },
  history: { requests: 1, largest: 100_000 },
  rooms: { requests: 1 },
  resume: { clients: 40 },
  storm: { pages: 60, subscriptions: 7 },
  idle: { subscriptions: 20, settleMs: 100, ms: 100 },
  search: { requests: 1, largest: 100_000 },
};

describe.skipIf(missing.length > 0)('the benchmarks', () => {
  let machine: Machine;
  beforeAll(async () => {
    clearUpAtExit();
    machine = await startMachine();
  }, 120_000);
  afterAll(() => machine.close());

  async function run(name: string, stack: StackName): Promise<Result> {
    const benchmark = benchmarks[name];
    if (!benchmark) throw new Error(`There is no benchmark ${name}.`);
    const runs = [small[name] ?? {}];
    const result = await runBenchmark(machine, {
      name,
      benchmark,
      stacks: [stack],
      runs,
      rounds: 1,
      quick: true,
      program,
    });
    expect(result.failures).toEqual([]);
    expect(result.rows.length).toBeGreaterThan(0);
    for (const row of result.rows) expect(row.value, row.case).toBeGreaterThanOrEqual(0);
    return result;
  }

  const rivals = (Object.keys(titles) as StackName[]).filter((stack) => stack !== 'parley' && isInstalled(stack));
  test.each(rivals)(
    '%s stores and delivers messages',
    async (stack) => {
      const { rows } = await run(stack === 'insert' ? 'send' : 'conversation', stack);
      expect(rows.every(({ value }) => value > 0)).toBe(true);
    },
    LONGEST_MS,
  );

  test.each(['plain', 'socketio'] as const)(
    '%s delivers messages and unread counts to chat pages',
    async (stack) => {
      const { rows } = await run('page', stack);
      expect(rows.find(({ case: name }) => name === '2 senders, sends/s')?.more).toMatchObject({ incomplete: 0 });
    },
    LONGEST_MS,
  );

  test.each(Object.keys(benchmarks))(
    '%s reports measurements',
    async (name) => {
      const result = await run(name, 'parley');
      const medians = mediansOf(result);
      expect(medians.stacks).toEqual(['parley']);
      const benchmark = benchmarks[name];
      expect(benchmark && drawChart(medians, benchmark)).toContain(titles.parley);
    },
    LONGEST_MS,
  );
});
