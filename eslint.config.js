import graphql from '@graphql-eslint/eslint-plugin';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// Imports run one way: main → server → schema → */schema.ts → */<noun>.ts → realtime, auth, database, errors, config.
// Each wall is closed everywhere in src, and opened below for the few files behind it.
const walls = {
  main: { regex: '(^|/)main\\.ts$', message: 'main.ts is the process: nothing imports it.' },
  server: { regex: '(^|/)server\\.ts$', message: 'Only main.ts starts servers.' },
  schema: {
    regex: '(^|/)(schema|builder)\\.ts$',
    message: 'How GraphQL sees a feature is known to schema.ts files alone.',
  },
  graphql: {
    regex: '^(graphql|graphql-yoga|@graphql-yoga|@pothos)(/|$)',
    message: 'Features know no GraphQL; their schema.ts does.',
  },
  redis: {
    regex: '^ioredis(/|$)',
    message: 'Only realtime/redis.ts knows ioredis.',
  },
  secrets: { regex: '^(jose|@node-rs/argon2)(/|$)', message: 'Only auth/ knows tokens and password hashes.' },
  sockets: {
    regex: '^(ws|graphql-ws|(node:)?https?)(/|$)',
    message: 'Only server.ts, realtime/websocket.ts and realtime/writing.ts know sockets.',
  },
  mail: { regex: '^nodemailer(/|$)', message: 'Only mail/ knows how mail is sent.' },
  push: { regex: '^web-push(/|$)', message: 'Only push/senders.ts knows the providers.' },
  queue: { regex: '^graphile-worker(/|$)', message: 'Only jobs.ts knows the queue.' },
  metrics: { regex: '^prom-client(/|$)', message: 'Only metrics.ts knows Prometheus.' },
  rates: { regex: '^rate-limiter-flexible(/|$)', message: 'Only limits/counters.ts knows how is counted.' },
  net: {
    regex: '^(node:)?net$',
    message: 'Only server.ts, realtime/websocket.ts and database/embedded.ts know sockets.',
  },
  process: { regex: '^(node:)?process$', message: 'Only main.ts and the embedded database touch the process.' },
};

const foundation = {
  realtime: { regex: '^\\.\\./(?!database/)[^./]+/', message: 'realtime/ knows nothing of chat features.' },
  database: { regex: '^\\.\\./[^./]+/', message: 'database/ knows nothing of what is kept in it.' },
};

/** Closes all walls to some files but those that are named. A later call outdoes an earlier one. */
function imports(files, { open = [], closed = [] } = {}) {
  const patterns = Object.entries(walls).flatMap(([name, wall]) => (open.includes(name) ? [] : [wall]));
  return { files, rules: { 'no-restricted-imports': ['error', { patterns: [...patterns, ...closed] }] } };
}

/** How the names of events end. */
const events = [
  'Added',
  'Appeared',
  'CaughtUp',
  'Changed',
  'Deleted',
  'Edited',
  'Joined',
  'Left',
  'Notice',
  'Seen',
  'Updated',
  'Vanished',
];

const processIsMains = { name: 'process', message: walls.process.message };

export default defineConfig(
  globalIgnores([
    '**/dist/',
    'coverage/',
    '.data/',
    'src/database/generated/',
    'test/generated/',
    'examples/web/generated/',
    'examples/app/src/generated/',
    // Installed by itself, with types of its own.
    'bench/rivals/',
  ]),
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  },

  {
    files: ['src/**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-restricted-globals': ['error', processIsMains],
      'no-restricted-properties': [
        'error',
        { object: 'globalThis', property: 'process', message: walls.process.message },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'Program > VariableDeclaration[kind!="const"], Program > ExportNamedDeclaration > VariableDeclaration[kind!="const"]',
          message: 'No state of modules: two nodes live in one test process.',
        },
        {
          selector: 'ExportDefaultDeclaration, ExportSpecifier[exported.name="default"]',
          message: 'Export by name.',
        },
      ],
    },
  },
  imports(['src/**/*.ts']),
  imports(['src/*/schema.ts'], { open: ['graphql', 'schema'] }),
  imports(['src/auth/**/*.ts'], { open: ['secrets'] }),
  imports(['src/mail/**/*.ts'], { open: ['mail'] }),
  imports(['src/push/senders.ts'], { open: ['push'] }),
  imports(['src/jobs.ts'], { open: ['queue'] }),
  imports(['src/auth/schema.ts'], { open: ['graphql', 'schema'] }),
  imports(['src/database/**/*.ts'], { closed: [foundation.database] }),
  imports(['src/database/postgresHome.ts'], { open: ['process'], closed: [foundation.database] }),
  imports(['src/database/embedded.ts'], { open: ['process', 'net'], closed: [foundation.database] }),
  imports(['src/realtime/**/*.ts'], { open: ['graphql'], closed: [foundation.realtime] }),
  imports(['src/realtime/redis.ts'], { open: ['redis'], closed: [foundation.realtime] }),
  imports(['src/realtime/{intake,keepAlive,outlet,websocket,writing}.ts'], {
    open: ['graphql', 'sockets', 'net'],
    closed: [foundation.realtime],
  }),
  imports(['src/metrics.ts'], { open: ['metrics'] }),
  // It takes requests, and opens no socket of its own.
  imports(['src/tracing.ts'], { open: ['sockets'] }),
  imports(['src/{builder,graphiql,mask,requests,reread,schema}.ts'], { open: ['graphql', 'schema'] }),
  imports(['src/graphql.ts', 'src/pipelining.ts', 'src/server.ts'], { open: ['graphql', 'schema', 'sockets', 'net'] }),
  imports(['src/limits/{complexity,documentCache,documents,largestList,plugins,queries,trusted,variables}.ts'], {
    open: ['graphql'],
  }),
  imports(['src/limits/address.ts', 'src/limits/hosts.ts'], { open: ['net'] }),
  imports(['src/limits/counters.ts'], { open: ['rates'] }),
  imports(['src/main.ts'], { open: ['server', 'process'] }),
  {
    files: ['src/main.ts', 'src/database/embedded.ts', 'src/database/postgresHome.ts'],
    rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off' },
  },

  {
    files: ['client/**/*.ts'],
    ignores: ['client/generated/**'],
    extends: [tseslint.configs.strictTypeChecked],
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // What comes back is what the document says; where that is no type, it is anything.
      '@typescript-eslint/no-explicit-any': 'off',
    },
  },

  {
    files: ['test/**/*.ts', 'scripts/**/*.ts', 'bench/**/*.ts', '*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    rules: {
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },

  {
    files: ['examples/web/**/*.{ts,tsx}', 'examples/app/src/**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Handlers are one-liners, and what they answer is nobody's.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },

  {
    files: ['schema.graphql'],
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: 'schema.graphql' } } },
    plugins: { '@graphql-eslint': graphql },
    extends: [graphql.configs['flat/schema-recommended'], graphql.configs['flat/schema-relay']].map(({ rules }) => ({
      rules,
    })),
    rules: {
      // Connections have `nodes` beside their edges.
      '@graphql-eslint/relay-edge-types': ['error', { listTypeCanWrapOnlyEdgeType: false }],
      // `User.username` is what it is called.
      '@graphql-eslint/no-typename-prefix': 'off',
      '@graphql-eslint/require-description': [
        'error',
        {
          types: true,
          rootField: true,
          FieldDefinition: true,
          InputValueDefinition: true,
          EnumValueDefinition: true,
          DirectiveDefinition: true,
        },
      ],
      // Whatever can be found again has an id; lists, answers and events cannot.
      '@graphql-eslint/strict-id-in-types': [
        'error',
        {
          exceptions: {
            suffixes: ['Connection', 'Edge', 'Payload', ...events],
            types: ['NoticeAuthor', 'PageInfo', 'Presence', 'ReactionGroup', 'Server'],
          },
        },
      ],
    },
  },
);
