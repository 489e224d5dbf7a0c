import { createRequire } from 'node:module';
import { defineConfig } from 'vitest/config';

/** What streams are told must not depend on whether executions are shared: these files are run both ways. */
const STREAMS = [
  ...['allRooms', 'blocks', 'changes', 'managing', 'membership', 'messageAdded', 'origins', 'presence', 'resilience'],
  ...['resume', 'rules', 'seen', 'sessions', 'systemMessages', 'typing', 'viewerEvents'],
];

// Vite would take graphql's ES modules and Node its CommonJS: two copies do not know one another's schema.
const resolve = { alias: [{ find: /^graphql$/, replacement: createRequire(import.meta.url).resolve('graphql') }] };
const limits = {
  setupFiles: ['test/support/seed.ts'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // What is awaited comes within milliseconds; on a machine that is busy, later.
  expect: { poll: { timeout: 15_000 } },
};

export default defineConfig({
  test: {
    // One PostgreSQL for all of them.
    globalSetup: 'test/support/setup.ts',
    // Real servers on two cores: more at once only makes each slower.
    maxWorkers: 2,
    projects: [
      { resolve, test: { ...limits, name: 'parley', include: ['test/**/*.test.ts'] } },
      {
        resolve,
        test: {
          ...limits,
          name: 'without sharing',
          include: STREAMS.map((name) => `test/${name}.test.ts`),
          env: { SHARED_EXECUTION: 'off' },
        },
      },
    ],
  },
});
