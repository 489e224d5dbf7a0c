import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { Benchmark, Row } from './benchmarks/benchmark.ts';
import { drawChart } from './chart.ts';
import { type StackName, titles } from './stacks.ts';

/** What is kept of a benchmark. */
export interface Result {
  name: string;
  at: string;
  machine: string;
  quick: boolean;
  rounds: number;
  /** With the share of the machine's time that its host gave to others meanwhile, in %. */
  rows: (Row & { stack: StackName; round: number; stolenPercent: number })[];
  failures: { stack: StackName; message: string }[];
}

/** The middle of the rounds, for each case and stack. */
export interface Medians {
  cases: string[];
  stacks: StackName[];
  of: (stack: StackName, caseName: string) => number | null;
}

/** The middle of what the host took while a stack was measured, for each of them. */
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

/** A number with as many digits as it is worth. */
export function format(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** The figures as a table of Markdown: a row for each case, a column for each stack; of the others how Parley compares, first. */
function tableOf(medians: Medians, benchmark: Benchmark): string {
  const { cases, stacks, of } = medians;
  const cell = (stack: StackName, caseName: string) => {
    const value = of(stack, caseName);
    if (value === null) return '–';
    const own = of('parley', caseName);
    // There is no multiple of nothing.
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

/** Shows the figures in the terminal. */
export function printResult(result: Result, benchmark: Benchmark): void {
  const medians = mediansOf(result);
  const lines = [
    `\n${tableOf(medians, benchmark)}\n`,
    ...goalsOf(medians, benchmark),
    ...result.failures.map(({ stack, message }) => `${titles[stack]}: ${message}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Keeps the figures as JSON and as a chart, and writes the page anew from all that are kept. */
export async function writeResult(result: Result, benchmark: Benchmark): Promise<void> {
  await mkdir(new URL('results/', import.meta.url), { recursive: true });
  await writeFile(file(`results/${result.name}.json`), `${JSON.stringify(result, null, 1)}\n`);
  await writeFile(file(`results/${result.name}.svg`), drawChart(mediansOf(result), benchmark));
  await writeReadme({ [result.name]: benchmark });
}

const file = (path: string) => new URL(path, import.meta.url);

/** Puts the figures between their marks in the page, which says the rest. */
async function writeReadme(written: Record<string, Benchmark>): Promise<void> {
  let page = await readFile(file('README.md'), 'utf8');
  for (const [name, benchmark] of Object.entries(written)) {
    const result = JSON.parse(await readFile(file(`results/${name}.json`), 'utf8')) as Result;
    const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [before, rest] = page.split(start);
    const after = rest?.split(end)[1];
    if (before === undefined || after === undefined) throw new Error(`README.md has no place for ${name}.`);
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
    `Of the others: Parley’s figure as a multiple of theirs, and in brackets theirs. \`npm run bench -- ${result.name}\`, ${when} What the host of this virtual machine gave to others meanwhile: ${stolenFrom(result, medians.stacks)}.`,
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
