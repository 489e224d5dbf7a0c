import type { Machine } from '../machine.ts';
import type { StackName } from '../stacks.ts';

/** Input of a load process. */
export interface Assignment {
  benchmark: string;
  stack: StackName;
  /** URLs of the nodes. For a stack without a server, the URL of the database. */
  urls: string[];
  pids: number[];
  params: Params;
  databaseUrl: string;
}

/** Parameters of a run. `nodes` is the number of nodes, 1 by default. */
export type Params = Readonly<Record<string, number>>;

/** One measurement of one run. */
export interface Row {
  case: string;
  value: number;
  /** Additional measurements, such as CPU time. */
  more?: Record<string, number>;
}

/** A goal. `reached` decides by medians, and returns null if they are missing. */
export interface Goal {
  text: string;
  reached: (median: (stack: StackName, caseName: string) => number | null) => boolean | null;
}

export interface Benchmark {
  title: string;
  /** Description of the work and the measurement, in a few sentences. */
  about: string;
  unit: string;
  /** Null if it depends on the line. */
  better: 'more' | 'less' | null;
  stacks: readonly StackName[];
  /** Folder of bench/rivals with the rivals' servers for this benchmark, such as `page/`. */
  rivals?: string;
  /** Returns the parameters of all runs. Each run starts the servers and a load process. */
  runs(quick: boolean): Params[];
  /** Returns whether a stack takes part in a run. By default, all do. */
  takesPart?(stack: StackName, params: Params): boolean;
  /** Maximum number of rounds, for benchmarks whose round is already a median of hundreds. */
  enoughRounds?: number;
  /** Adds the data of this benchmark to the databases. */
  prepare?(machine: Machine, params: Params): Promise<void>;
  /** Generates the load, in the load process. */
  load(assignment: Assignment): Promise<Row[]>;
  goals: readonly Goal[];
}

/** Returns a goal: in each case, Parley's median is at least `times` that of the rival. */
export function atLeast(times: number, rival: StackName, cases: readonly string[], text: string): Goal {
  return {
    text,
    reached(median) {
      const ratios = cases.flatMap((name) => {
        const [own, theirs] = [median('parley', name), median(rival, name)];
        return own === null || theirs === null ? [] : [own / theirs];
      });
      return ratios.length === 0 ? null : ratios.every((ratio) => ratio >= times);
    },
  };
}

/** Returns a goal: in each case, Parley's median is at most `most`. */
export function atMost(most: number, cases: readonly string[], text: string): Goal {
  return {
    text,
    reached(median) {
      const values = cases.flatMap((name) => median('parley', name) ?? []);
      return values.length === 0 ? null : values.every((value) => value <= most);
    },
  };
}

/** Returns a percentile of values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? NaN;
}

/** Calls `work` for each item, with at most `atOnce` calls at a time. Returns the results in order. */
export async function eachOf<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(atOnce, items.length) }, async () => {
      while (next < items.length) {
        const index = next++;
        results[index] = await work(items[index] as Item, index);
      }
    }),
  );
  return results;
}

/** Returns the numbers from 1 to n. */
export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
