import type { Random } from './clients.ts';

/** Every fault, and how often it comes in comparison with the others. */
const weights = {
  'redis killed': 3,
  'redis frozen': 3,
  'redis emptied': 1,
  'redis drops its subscribers': 2,
  'redis slow to answer': 2,
  'redis cut off from one node': 2,
  'node killed': 4,
  'node frozen': 3,
  'nodes restarted one by one': 1,
  'database connections ended': 3,
  'database killed': 1,
  'database slow to answer': 2,
  'database far away': 1,
  'answers of the database cut off': 4,
  'client sockets dropped': 3,
  'reader does not read': 2,
};

export type FaultKind = keyof typeof weights;

export interface Fault {
  kind: FaultKind;
  /** How long after the one before it, and how long it lasts where it does not end by itself. */
  afterMs: number;
  lastsMs: number;
  node: number;
  /** After how many bytes an answer is cut off. */
  bytes: number;
  /** Whether the next one comes while this one lasts. */
  overlaps: boolean;
}

/** The shortest and the longest that each lasts, in seconds. */
const seconds: Partial<Record<FaultKind, [least: number, most: number]>> = {
  'redis killed': [1, 5],
  'redis frozen': [2, 8],
  'redis drops its subscribers': [5, 5],
  'redis slow to answer': [1, 5],
  'redis cut off from one node': [2, 6],
  'node killed': [0.2, 3],
  'node frozen': [3, 12],
  'database killed': [0.2, 2],
  'database slow to answer': [1, 5],
  'database far away': [3, 6],
  'reader does not read': [4, 15],
};

/** The same numbers for the same seed. */
export function mulberry32(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What goes wrong when, out of the seed alone. `kinds` limits it to some faults, to look for one thing. */
export function makeSchedule(
  random: Random,
  options: { faults: number; nodes: number; kinds?: readonly FaultKind[] | undefined },
): Fault[] {
  const chosen = options.kinds ?? (Object.keys(weights) as FaultKind[]);
  const total = chosen.reduce((sum, kind) => sum + weights[kind], 0);

  function draw(): FaultKind {
    let at = random() * total;
    return chosen.find((kind) => (at -= weights[kind]) < 0) ?? 'node killed';
  }
  return Array.from({ length: options.faults }, () => {
    const kind = draw();
    const [least, most] = seconds[kind] ?? [0, 0];
    // Few freezes are long: they cost a minute each.
    const lasts = kind === 'node frozen' && random() < 0.04 ? 60 : least + random() * (most - least);
    return {
      kind,
      afterMs: 300 + random() * 2_200,
      lastsMs: lasts * 1_000,
      node: Math.floor(random() * options.nodes),
      bytes: Math.floor(random() * random() * 400),
      overlaps: random() < 0.35,
    };
  });
}

/** About how long a schedule takes. */
export function plannedMs(schedule: readonly Fault[]): number {
  return schedule.reduce((sum, { kind, afterMs, lastsMs, overlaps }) => {
    const restart = { 'node killed': 4_000, 'nodes restarted one by one': 14_000, 'database killed': 1_500 };
    return sum + afterMs + (overlaps ? 0 : lastsMs + ((restart as Record<string, number>)[kind] ?? 0));
  }, 0);
}
