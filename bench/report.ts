import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { Benchmark, Row } from './benchmarks/benchmark.ts';
import { drawChart } from './chart.ts';
import { type StackName, titles } from './stacks.ts';

/** The stored result of a benchmark. */
export interface Result {
  name: string;
  at: string;
  machine: string;
  quick: boolean;
  rounds: number;
  /** Measurements. `stolenPercent` is the share of CPU time that the host gave to other virtual machines. */
  rows: (Row & { stack: StackName; round: number; stolenPercent: number })[];
  failures: { stack: StackName; message: string }[];
}

/** Medians of the rounds, for each case and stack. */
export interface Medians {
  cases: string[];
  stacks: StackName[];
  of: (stack: StackName, caseName: string) => number | null;
}

/** Returns the median of stolen CPU time for each stack, as text. */
function stolenFrom({ rows }: Result, stacks: readonly StackName[]): string {
  const of = (stack: StackName) =>
    median(rows.filter((row) => row.stack === stack).map(({ stolenPercent }) => stolenPercent)) ?? 0;
  return stacks.map((stack) => `${titles[stack]} ${of(stack).toFixed(0)} %`).join(', ');
}

export function mediansOf({ rows }: Result): Medians {
  const of = (stack: StackName, caseName: string) =>
    median(rows.filter((row) => row.stack === stack && row.case === caseName).map(({ value }) => value));
  return { cases: [...new Set(rows.map((row) => row.case))], stacks: [...new Set(rows.map(({ stack }) => stack))], of };
}

function median(values: number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

/** Formats a number with about three significant digits. */
export function format(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Returns a Markdown table: a row per case, a column per stack. A rival's cell begins with Parley's ratio to it. */
function tableOf(medians: Medians, benchmark: Benchmark): string {
  const { cases, stacks, of } = medians;
  const cell = (stack: StackName, caseName: string) => {
    const value = of(stack, caseName);
    if (value === null) return '–';
    const own = of('parley', caseName);
    // A ratio to zero is undefined.
    return stack === 'parley' || own === null || value === 0
      ? format(value)
      : `${format(own / value)} (${format(value)})`;
  };
  return [
    `| ${benchmark.unit} | ${stacks.map((stack) => titles[stack]).join(' | ')} |`,
    `| --- | ${stacks.map(() => '--:').join(' | ')} |`,
    ...cases.map((name) => `| ${name} | ${stacks.map((stack) => cell(stack, name)).join(' | ')} |`),
  ].join('\n');
}

function goalsOf(medians: Medians, benchmark: Benchmark): string[] {
  return benchmark.goals.map(({ text, reached }) => {
    const is = reached(medians.of);
    return `${is === null ? 'not measured' : is ? 'reached' : 'not reached'}: ${text}`;
  });
}

/** Prints the result to the terminal. */
export function printResult(result: Result, benchmark: Benchmark): void {
  const medians = mediansOf(result);
  const lines = [
    `\n${tableOf(medians, benchmark)}\n`,
    ...goalsOf(medians, benchmark),
    ...result.failures.map(({ stack, message }) => `${titles[stack]}: ${message}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Stores a result as JSON and as a chart, and updates its section of README.md. */
export async function writeResult(result: Result, benchmark: Benchmark): Promise<void> {
  await mkdir(new URL('results/', import.meta.url), { recursive: true });
  await writeFile(file(`results/${result.name}.json`), `${JSON.stringify(result, null, 1)}\n`);
  await writeFile(file(`results/${result.name}.svg`), drawChart(mediansOf(result), benchmark));
  await writeReadme({ [result.name]: benchmark });
}

const file = (path: string) => new URL(path, import.meta.url);

/** Replaces the sections between their marks in README.md. */
async function writeReadme(written: Record<string, Benchmark>): Promise<void> {
  let page = await readFile(file('README.md'), 'utf8');
  for (const [name, benchmark] of Object.entries(written)) {
    const result = JSON.parse(await readFile(file(`results/${name}.json`), 'utf8')) as Result;
    const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [before, rest] = page.split(start);
    const after = rest?.split(end)[1];
    if (before === undefined || after === undefined)
      throw new Error(`README.md has no section between <!-- ${name} --> and <!-- /${name} -->.`);
    page = `${before}${start}\n\n${sectionOf(result, benchmark)}\n\n${end}${after}`;
  }
  await writeFile(file('README.md'), page);
}

function sectionOf(result: Result, benchmark: Benchmark): string {
  const medians = mediansOf(result);
  const when = `${result.at.slice(0, 10)}, ${result.machine}; ${result.quick ? 'a quick run' : 'medians'} of ${result.rounds} round${result.rounds === 1 ? '' : 's'}.`;
  return [
    `![${benchmark.title}](results/${result.name}.svg)`,
    tableOf(medians, benchmark),
    `Rivals’ cells show Parley’s figure divided by theirs, and theirs in brackets. \`npm run bench -- ${result.name}\`, ${when} Stolen CPU time: ${stolenFrom(result, medians.stacks)}.`,
    goalsOf(medians, benchmark)
      .map((goal) => `- ${goal}`)
      .join('\n'),
    ...(result.failures.length === 0
      ? []
      : [
          result.failures.map(({ stack, message }) => `- ${titles[stack]}: ${message.split('\n')[0] ?? ''}`).join('\n'),
        ]),
  ].join('\n\n');
}
