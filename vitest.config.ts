import { createRequire } from 'node:module';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Suites that wait for processes, browsers, timeouts and other servers, or that try hundreds of inputs: `npm run
 * test:slow`, the longest first.
 */
const SLOW = [
  ...['web/keyboard', 'web/drives'],
  ...['faults/short', 'package', 'web/react', 'sockets', 'process', 'faults/presence', 'web', 'clients/chat'],
  ...[
    'limits/texts',
    'export',
    'push',
    'resilience',
    'web/keeping',
    'web/reading',
    'clients/screens',
    'deafSockets',
    'limits/stalls',
  ],
  ...[
    'web/admin',
    'integration',
    'web/outbox',
    'web/outages',
    'web/apps',
    'embedded',
    'addresses',
    'import',
    'openidKeys',
    'externalKeys',
    'operations/postgres',
    'operations/admin',
    'operations/doctor',
    'operations/logs',
    'operations/production',
    'operations/dataProtection',
    'operations/keys',
    'operations/failover',
    'origins',
    'searchData',
    'openid',
    'files',
    'files/metadata',
    'files/images',
    'files/hostileImages',
    'filesHostile',
    'email',
    'limits/attempts',
    'limits/refusals',
    'limits/rates',
    'linkPreviews',
    'linkPreviewImages',
    'clients/convergence',
    'metrics',
    'filesCleanUp',
    'filesProcessing',
    'filesExport',
    's3',
    'echo',
    'connections',
    'web/composing',
    'web/linkPreviews',
    'web/attachments',
    'web/hostileFiles',
  ],
  ...['limits/fuzz', 'clients/restarts', 'clients/outbox', 'operations/restore', 'web/signUp', 'web/cors'],
  ...[
    'clients/hooks',
    'clients/uploads',
    'clients/socketSends',
    'clients/lists',
    'clients/outages',
    'clients/missedEvents',
    'clients/pages',
    'clients/atEnd',
    'crash',
    'bench',
  ],
  ...[
    'faults/soak',
    'operations/nginx',
    'operations/dockerfile',
    'web/objectStore',
    'presence',
    'graphiql',
    'typing',
    'endedSessions',
    'operations/traces',
    'sharedResults',
    'snapshotRaces',
    'viewerSnapshots',
    'appEventRaces',
    'app',
    'filesCrash',
    'files/bomb',
    'webhookKills',
  ],
].map((name) => `test/${name}.test.ts`);

/** What subscribers receive must not depend on whether executions are shared: these files also run without sharing. */
const UNSHARED = ['allRooms', 'appEvents', 'blocks', 'messageAdded', 'roomSnapshots', 'viewerEvents'].map(
  (name) => `test/${name}.test.ts`,
);

/** A long file that starts last makes everything wait for it. Other files are sorted by how long they took, or by size. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = SLOW.findIndex((name) => moduleId.endsWith(`/${name}`));
      return index < 0 ? SLOW.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

// Vite would take graphql's ES modules and Node its CommonJS: two copies do not know one another's schema.
const alias = [
  { find: /^graphql$/, replacement: createRequire(import.meta.url).resolve('graphql') },
  // The sources of the client, not what was built last.
  { find: /^@parley\/client$/, replacement: `${import.meta.dirname}/client/index.ts` },
  { find: /^@parley\/client\/(apollo|urql)$/, replacement: `${import.meta.dirname}/client/$1.ts` },
  { find: /^@parley\/client\/react$/, replacement: `${import.meta.dirname}/client/react/index.ts` },
];
const resolve = { alias };
const settings = {
  // Modules of the program and of the tests keep no state, so files share one module graph. Loading it takes 3 s of CPU.
  isolate: false,
  setupFiles: ['test/support/seed.ts'],
  // What is awaited comes within milliseconds, on a busy machine within seconds. Only a test that fails waits this long.
  testTimeout: 60_000,
  hookTimeout: 60_000,
  expect: { poll: { timeout: 30_000 } },
};

export default defineConfig({
  test: {
    // One PostgreSQL for all of them.
    globalSetup: 'test/support/setup.ts',
    // Real servers on two cores: more at once only makes each slower.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    projects: [
      { resolve, test: { ...settings, name: 'parley', include: ['test/**/*.test.ts'], exclude: SLOW } },
      { resolve, test: { ...settings, name: 'slow', include: SLOW, globalSetup: 'test/support/page.ts' } },
      { resolve, test: { ...settings, name: 'unshared', include: UNSHARED, env: { SHARED_EXECUTION: 'off' } } },
    ],
  },
});
