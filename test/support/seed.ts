import fc from 'fast-check';

/**
 * Seed of all random choices in the tests, and of each fast-check property. It is fixed, so that a failure in CI can be
 * repeated. `SEED=… npm test` uses another one.
 */
export const SEED = Number(process.env['SEED'] ?? 20_260_101);

// Without a seed, fast-check takes one from the clock.
fc.configureGlobal({ seed: SEED });
