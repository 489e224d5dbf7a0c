import { createRequire } from 'node:module';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Vite would take graphql's ES modules and Node its CommonJS: two copies do not know one another's schema.
  resolve: { alias: [{ find: /^graphql$/, replacement: createRequire(import.meta.url).resolve('graphql') }] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/setup.ts',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What is awaited comes within milliseconds; on a machine that is busy, later.
    expect: { poll: { timeout: 15_000 } },
    // Real servers on two cores: more at once only makes each slower.
    maxWorkers: 2,
  },
});
