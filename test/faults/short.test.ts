import { describe, expect, test } from 'vitest';
import { hasRedis } from '../support/redis.ts';
import { PLANTS, runPlanted } from './plants.ts';
import { withProgram } from './program.ts';
import { runSeed } from './seed.ts';

/** Timeout in milliseconds. Most of it is waiting for servers, faults and backlogs. A busy machine needs longer. */
const LIMITS = { timeout: 600_000 };

/** Defects that are found by lateness need an idle machine. `npm run test:faults -- --planted` runs all of them. */
const FOUND_BY_ANY = PLANTS.filter((plant) => !plant.kinds.includes('late'));

/** A short version of `npm run test:faults`. */
describe.skipIf(!hasRedis())('three nodes under faults (skipped without a redis-server)', () => {
  test('lose, repeat and reveal nothing', LIMITS, async () => {
    const outcome = await withProgram([], (program) => runSeed(1, { faults: 30, messages: 500, program }));
    expect(outcome.findings).toEqual([]);
    // Precondition: there was enough traffic to check.
    expect(outcome.acknowledged).toBeGreaterThan(250);
    expect(outcome.received).toBeGreaterThan(outcome.acknowledged);
  });

  test.each(FOUND_BY_ANY)('$name is detected', LIMITS, async (plant) => {
    const { findings } = await runPlanted(plant);
    expect(findings.map(({ kind }) => kind)).toEqual(expect.arrayContaining([expect.toBeOneOf(plant.kinds)]));
  });
});
