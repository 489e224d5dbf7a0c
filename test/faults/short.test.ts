import { describe, expect, test } from 'vitest';
import { hasRedis } from '../support/redis.ts';
import { PLANTS, runPlanted } from './plants.ts';
import { withProgram } from './program.ts';
import { runSeed } from './seed.ts';

/** Most of it is waiting: for servers to start, for what goes wrong, for what has been missed. A busy machine needs longer. */
const LIMITS = { timeout: 600_000 };

/** Those that are found because messages come late want a machine that is not busy; `npm run test:faults -- --planted` has all. */
const FOUND_BY_ANY = PLANTS.filter((plant) => !plant.kinds.includes('late'));

/** The run of `npm run test:faults`, made short. */
describe.skipIf(!hasRedis())('three nodes of which things go wrong (skipped without a redis-server)', () => {
  test('lose nothing, repeat nothing and show nothing to the wrong people', LIMITS, async () => {
    const outcome = await withProgram([], (program) => runSeed(1, { faults: 30, messages: 500, program }));
    expect(outcome.findings).toEqual([]);
    // It had something to look at.
    expect(outcome.acknowledged).toBeGreaterThan(250);
    expect(outcome.received).toBeGreaterThan(outcome.acknowledged);
  });

  test.each(FOUND_BY_ANY)('$name: it is found out', LIMITS, async (plant) => {
    const { findings } = await runPlanted(plant);
    expect(findings.map(({ kind }) => kind)).toEqual(expect.arrayContaining([expect.toBeOneOf(plant.kinds)]));
  });
});
