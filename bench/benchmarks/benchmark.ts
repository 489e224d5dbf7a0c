import type { Machine } from '../machine.ts';
import type { StackName } from '../stacks.ts';

/** What a load process is told. */
export interface Assignment {
  benchmark: string;
  stack: StackName;
  /** Where the nodes listen; for what is no server, the database. */
  urls: string[];
  pids: number[];
  params: Params;
  databaseUrl: string;
}

/** What differs between the runs of a benchmark; `nodes` says how many, one unless given. */
export type Params = Readonly<Record<string, number>>;

/** One figure of one run. */
export interface Row {
  case: string;
  value: number;
  /** What else was seen, such as processor time. */
  more?: Record<string, number>;
}

/** What is to be reached, decided by medians; null where they are missing. */
export interface Goal {
  text: string;
  reached: (median: (stack: StackName, caseName: string) => number | null) => boolean | null;
}

export interface Benchmark {
  title: string;
  /** What is done and counted, in a sentence or two. */
  about: string;
  unit: string;
  better: 'more' | 'less';
  stacks: readonly StackName[];
  /** Each is a start of the servers and a load of its own. */
  runs(quick: boolean): Params[];
  /** Whether a stack takes part in a run; all do unless given. */
  takesPart?(stack: StackName, params: Params): boolean;
  /** How many rounds are enough, where each is a median of hundreds already. */
  enoughRounds?: number;
  /** Fills the databases with what this benchmark needs besides the world. */
  prepare?(machine: Machine, params: Params): Promise<void>;
  /** Runs in the load's process. */
  load(assignment: Assignment): Promise<Row[]>;
  goals: readonly Goal[];
}

/** That in each of the cases one stack's median is at least so many times another's. */
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

/** That Parley's figure is at most so much in each of the cases. */
export function atMost(most: number, cases: readonly string[], text: string): Goal {
  return {
    text,
    reached(median) {
      const values = cases.flatMap((name) => median('parley', name) ?? []);
      return values.length === 0 ? null : values.every((value) => value <= most);
    },
  };
}

/** The value below which so many of a hundred lie. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? NaN;
}

/** Does something for each item, so many at a time. */
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

/** 1 to n. */
export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
