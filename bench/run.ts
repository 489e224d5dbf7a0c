import { fork } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { clearUpAtExit, belongings, end } from '../test/faults/processes.ts';
import type { Assignment, Benchmark, Params, Row } from './benchmarks/benchmark.ts';
import { benchmarks } from './benchmarks/benchmarks.ts';
import { describeMachine, type Machine, startMachine } from './machine.ts';
import { format, printResult, type Result, writeResult } from './report.ts';
import { isInstalled, type ParleyOptions, type StackName, startStack, titles } from './stacks.ts';
import { measureStolenTime } from './usage.ts';

const USAGE = `npm run bench -- [NAME…] [--quick] [--rounds N] [--stack NAME]… [--program PATH] [--profile FOLDER] [--set PARAMETER=NUMBER]… [--no-write]
Names: ${Object.keys(benchmarks).join(', ')}. Stacks: ${Object.keys(titles).join(', ')}.`;

/** Timeout of one run in milliseconds, including the start of the servers. On a quiet machine no run comes close. */
const LONGEST_MS = 180_000;
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      stack: { type: 'string', multiple: true },
      program: { type: 'string', default: here('../dist/main.js') },
      profile: { type: 'string' },
      set: { type: 'string', multiple: true, default: [] },
      write: { type: 'boolean', default: true },
    },
    allowNegative: true,
  });
  const unknown = positionals.filter((name) => !Object.hasOwn(benchmarks, name));
  if (unknown.length > 0) throw new Error(`There is no benchmark ${unknown.join(', ')}.`);
  const strangers = values.stack?.filter((name) => !Object.hasOwn(titles, name)) ?? [];
  if (strangers.length > 0) throw new Error(`There is no stack ${strangers.join(', ')}.`);
  // One round of all benchmarks takes some 16 minutes. Named benchmarks run three rounds, for a median.
  const rounds = Number(values.rounds ?? (values.quick || positionals.length === 0 ? 1 : 3));
  if (!(rounds >= 1)) throw new Error('--rounds must be at least 1.');
  return {
    ...values,
    rounds,
    overrides: readParams(values.set),
    names: positionals.length > 0 ? positionals : Object.keys(benchmarks),
  };
}

/** Reads `NAME=NUMBER`. These parameters replace those of every run. */
function readParams(settings: readonly string[]): Params {
  const entries = settings.map((setting) => {
    const [, name, value] = /^(\w+)=(\d+)$/.exec(setting) ?? [];
    if (name === undefined) throw new Error(`--set ${setting} is invalid. Write it as NAME=NUMBER.`);
    return [name, Number(value)] as const;
  });
  return Object.fromEntries(entries);
}

async function main(): Promise<void> {
  const { names, rounds, ...values } = explain(readArguments);
  await warnIfStale(values.program);
  clearUpAtExit();
  const began = performance.now();
  say(`${describeMachine()}. Starting PostgreSQL and Redis …`);
  const machine = await startMachine();
  try {
    for (const name of names) {
      const benchmark = benchmarks[name];
      if (!benchmark) continue;
      const stacks = benchmark.stacks.filter((stack) => values.stack?.includes(stack) ?? true);
      const result = await runBenchmark(machine, { ...values, name, benchmark, stacks, rounds });
      printResult(result, benchmark);
      if (values.write) await writeResult(result, benchmark);
    }
  } finally {
    await machine.close();
  }
  say(`Done after ${((performance.now() - began) / 60_000).toFixed(1)} minutes.`);
}

/** Appends the usage to errors of the arguments. */
function explain<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`, { cause: error });
  }
}

/** Runs all stacks in each round. A failure is recorded, and the run continues. */
export async function runBenchmark(
  machine: Machine,
  options: {
    name: string;
    benchmark: Benchmark;
    stacks: readonly StackName[];
    rounds: number;
    quick: boolean;
    /** Replaces the runs of the benchmark. */
    runs?: Params[];
    /** Parameters that replace those of every run. */
    overrides?: Params;
  } & ParleyOptions,
): Promise<Result> {
  const { name, benchmark, quick, program, profile } = options;
  const rounds = Math.min(options.rounds, benchmark.enoughRounds ?? Infinity);
  const result: Result = {
    ...{ name, quick, rounds, at: new Date().toISOString(), machine: describeMachine() },
    ...{ rows: [], failures: [] },
  };
  const stacks = options.stacks.filter((stack) => {
    if (!isInstalled(stack)) result.failures.push({ stack, message: 'is not installed here' });
    return isInstalled(stack);
  });
  const runs = (options.runs ?? benchmark.runs(quick)).map((params) => ({ ...params, ...options.overrides }));
  say(`\n${name}: ${benchmark.title}\n${benchmark.about}`);
  try {
    for (const params of runs) await benchmark.prepare?.(machine, params);
  } catch (error) {
    result.failures.push({ stack: 'parley', message: `could not be prepared: ${(error as Error).message}` });
    return result;
  }
  for (let round = 1; round <= rounds; round += 1)
    for (const params of runs)
      for (const stack of stacks) {
        if (benchmark.takesPart?.(stack, params) === false) continue;
        const [began, stolen] = [performance.now(), measureStolenTime()];
        try {
          const rows = await runOnce(machine, { benchmark: name, stack, params, program, profile });
          const stolenPercent = stolen();
          result.rows.push(...rows.map((row) => ({ ...row, stack, round, stolenPercent })));
          const seconds = ((performance.now() - began) / 1_000).toFixed(0);
          say(`  ${round}/${rounds} ${titles[stack]}, ${seconds} s, ${stolenPercent.toFixed(0)} % of CPU time stolen`);
          for (const row of rows) say(`      ${row.case}: ${format(row.value)}${tellMore(row)}`);
        } catch (error) {
          const { message } = error as Error;
          result.failures.push({ stack, message: `round ${round}: ${message}` });
          say(`  ${round}/${rounds} ${titles[stack]} failed: ${message}`);
        }
      }
  return result;
}

async function runOnce(
  machine: Machine,
  options: { benchmark: string; stack: StackName; params: Params } & ParleyOptions,
): Promise<Row[]> {
  const { benchmark, stack, params } = options;
  await machine.emptyRedis();
  const databaseUrl = stack === 'parley' ? machine.parleyUrl : machine.rivalsUrl;
  const nodes = [];
  try {
    for (let i = 0; i < (params['nodes'] ?? 1); i += 1) {
      const node = await startStack(stack, machine, {
        ...options,
        rivals: benchmarks[benchmark]?.rivals,
        files: params['imageEvery'] ? machine.filesDir : undefined,
      });
      if (node) nodes.push(node);
    }
    const urls = nodes.length > 0 ? nodes.map(({ url }) => url) : [databaseUrl];
    return await makeLoad({ benchmark, stack, params, databaseUrl, urls, pids: nodes.map(({ pid }) => pid) });
  } finally {
    for (const node of nodes) await node.stop();
  }
}

/** Runs the load in a separate process. */
async function makeLoad(assignment: Assignment): Promise<Row[]> {
  const child = fork(here('load.ts'), { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
  belongings.children.add(child);
  child.once('exit', () => belongings.children.delete(child));
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Row[]>((resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`took longer than ${LONGEST_MS / 1_000} s`));
      }, LONGEST_MS);
      child.once('message', (answer: { rows: Row[] } | { failure: string }) => {
        if ('rows' in answer) resolve(answer.rows);
        else reject(new Error(answer.failure));
      });
      child.once('error', reject);
      child.once('exit', (code) => {
        reject(new Error(`the load process exited with ${code ?? 'a signal'}`));
      });
      child.send(assignment);
    });
  } finally {
    clearTimeout(timer);
    await end(child, 'SIGKILL');
  }
}

/** Warns if the built program is older than the sources, because its figures would be misleading. */
async function warnIfStale(program: string): Promise<void> {
  if (!existsSync(program)) throw new Error(`${program} does not exist. Run npm run build first.`);
  const [built, changed] = [await newest(dirname(program)), await newest(here('../src'))];
  if (changed > built) say(`${program} is older than the sources. Run npm run build first to measure them.`);
}

async function newest(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('generated'));
  return Math.max(...files.map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs));
}

function tellMore({ more = {} }: Row): string {
  return Object.entries(more)
    .map(([name, value]) => `, ${name} ${format(value)}`)
    .join('');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  main().then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
