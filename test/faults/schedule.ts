import { pick, type Random } from './clients.ts';

/** Every fault with its relative frequency. */
const weights = {
  'redis killed': 3,
  'redis frozen': 3,
  'redis emptied': 1,
  'redis drops its subscribers': 2,
  'redis slow to answer': 2,
  'redis cut off from one node': 2,
  'node killed': 2,
  'node frozen': 1.5,
  // A rolling restart takes half a minute.
  'nodes restarted one by one': 0.4,
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
  /** Delay after the previous fault, and duration unless the fault ends by itself, in milliseconds. */
  afterMs: number;
  lastsMs: number;
  node: number;
  /** Number of bytes after which a response is cut off. */
  bytes: number;
  /** If true, all faults are repaired first. Latencies are then measured with and without Redis. */
  calmBefore: boolean;
}

/** Minimum and maximum duration of each fault in seconds. */
const seconds: Partial<Record<FaultKind, [least: number, most: number]>> = {
  'redis killed': [0.3, 2.5],
  'redis frozen': [0.5, 4],
  'redis drops its subscribers': [2, 2],
  'redis slow to answer': [0.5, 3],
  'redis cut off from one node': [0.5, 3],
  'node killed': [0.1, 1.5],
  'node frozen': [1, 4],
  'database killed': [0.2, 1],
  'database slow to answer': [0.3, 1.5],
  'database far away': [2, 4],
  'reader does not read': [3, 10],
};

/** Number of overlapping faults before everything is repaired. */
const BURST = 66;
/** One of this many faults freezes a node for a minute, while faults of other nodes continue. */
const LONG_FREEZE_EVERY = 200;
const LONG_FREEZE_MS = 60_000;
/** Number of faults that follow a long freeze while its node is left out. */
const FAULTS_DURING_LONG_FREEZE = 42;

/** Returns a generator with the same numbers for the same seed. */
export function mulberry32(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Creates the schedule from the seed alone. `kinds` limits it to some faults, to investigate one problem. */
export function makeSchedule(
  random: Random,
  options: { faults: number; nodes: number; kinds?: readonly FaultKind[] | undefined },
): Fault[] {
  const chosen = options.kinds ?? (Object.keys(weights) as FaultKind[]);
  const freezesLong = options.faults >= LONG_FREEZE_EVERY / 2 && chosen.includes('node frozen');
  const schedule: Fault[] = [];
  let frozen: { node: number; until: number } | null = null;
  let sinceCalm = 0;

  function draw(among: readonly FaultKind[]): FaultKind {
    let at = random() * among.reduce((sum, kind) => sum + weights[kind], 0);
    return among.find((kind) => (at -= weights[kind]) < 0) ?? 'node killed';
  }

  for (let i = 0; i < options.faults; i += 1) {
    if (frozen && i >= frozen.until) frozen = null;
    const calmBefore = sinceCalm === BURST && !frozen;
    sinceCalm = sinceCalm >= BURST ? 1 : sinceCalm + 1;
    // A fault of all nodes would wait until the frozen node wakes, and would delay all later faults.
    const kind = draw(frozen ? chosen.filter((each) => each !== 'nodes restarted one by one') : chosen);
    const [least, most] = seconds[kind] ?? [0, 0];
    const others = Array.from({ length: options.nodes }, (_, node) => node).filter((node) => node !== frozen?.node);
    const fault: Fault = {
      kind,
      // With one node missing, the others get more time to recover.
      afterMs: (200 + random() * 700) * (frozen ? 2 : 1),
      lastsMs: (least + random() * (most - least)) * 1_000,
      node: pick(random, others),
      bytes: Math.floor(random() * random() * 400),
      calmBefore,
    };
    schedule.push(fault);
    if (!freezesLong || i % LONG_FREEZE_EVERY !== BURST) continue;
    Object.assign(fault, { kind: 'node frozen', lastsMs: LONG_FREEZE_MS });
    frozen = { node: fault.node, until: i + FAULTS_DURING_LONG_FREEZE };
  }
  return schedule;
}

/**
 * Duration of each phase in milliseconds. `before` and `after` keep the effects of faults out of the measured phases.
 */
export const CALM_MS = { before: 3_500, healthy: 2_000, after: 2_000, withoutRedis: 4_500 };

/** Returns the approximate duration of a schedule in milliseconds. */
export function plannedMs(schedule: readonly Fault[]): number {
  const { before, healthy, after, withoutRedis } = CALM_MS;
  const calm = before + healthy + after + withoutRedis + after;
  // Faults of one part of the cluster wait for each other, and the end of a burst waits for all.
  return schedule.reduce((sum, { afterMs, calmBefore }) => sum + afterMs * 1.1 + (calmBefore ? calm + 5_000 : 0), 0);
}
