import { recommended, strict } from './scripts/lint/rules.js';

// Libraries that only a few files may use. Each is closed everywhere in src and opened below for those files. Layers, the
// order of features and cycles are checked by dependency-cruiser, see .dependency-cruiser.js.
const libraries = {
  graphql: {
    regex: '^(graphql|graphql-yoga|@graphql-yoga|@pothos)(/|$)',
    message: 'What a feature does knows no GraphQL. Its schema file does.',
  },
  redis: { regex: '^ioredis(/|$)', message: 'Only clients.ts and redisPubSub.ts of platform/redis know ioredis.' },
  secrets: { regex: '^(jose|@node-rs/argon2)(/|$)', message: 'Only auth/ knows tokens and password hashes.' },
  sockets: {
    regex: '^(ws|graphql-ws|(node:)?https?)(/|$)',
    message: 'Only server/, platform/web, graphql/{yoga,transport}.ts and the tracing know sockets and HTTP.',
  },
  mail: { regex: '^nodemailer(/|$)', message: 'Only platform/mailer.ts knows nodemailer.' },
  push: { regex: '^web-push(/|$)', message: 'Only features/push/providers.ts knows the providers.' },
  queue: { regex: '^graphile-worker(/|$)', message: 'Only platform/jobQueue.ts knows the queue.' },
  metrics: { regex: '^prom-client(/|$)', message: 'Only platform/observability/metrics.ts knows Prometheus.' },
  rates: { regex: '^rate-limiter-flexible(/|$)', message: 'Only platform/rateLimits/counters.ts counts.' },
  web: {
    regex: '^(ipaddr\\.js|htmlparser2|encoding-sniffer)(/|$)',
    message: 'Only platform/web requests URLs of users.',
  },
  net: {
    regex: '^(node:)?net$',
    message: 'Only server/, platform/web, client addresses, the scanner and the embedded database know sockets.',
  },
  images: { regex: '^(sharp|file-type|thumbhash)(/|$)', message: 'Only platform/images/ decodes files, in workers.' },
  process: { regex: '^(node:)?process$', message: 'Only main.ts and the embedded database touch the process.' },
};

/** Closes all libraries to some files but those that are named. A later call replaces an earlier one. */
function opens(files, ...open) {
  const patterns = Object.entries(libraries).flatMap(([name, library]) => (open.includes(name) ? [] : [library]));
  return { files, rules: { 'no-restricted-imports': ['error', { patterns }] } };
}

const processIsMains = { name: 'process', message: libraries.process.message };

export default {
  plugins: ['eslint', 'typescript'],
  jsPlugins: [{ name: 'syntax', specifier: './scripts/lint/syntax.js' }],
  categories: { correctness: 'off' },
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: [
    '**/dist/',
    'coverage/',
    '.data/',
    'src/platform/database/generated/',
    'test/generated/',
    'examples/web/generated/',
    'examples/app/src/generated/',
    // Installed by itself, with types of its own.
    'bench/rivals/',
  ],
  overrides: [
    // Tests, benchmarks and scripts. The folders below are stricter.
    {
      files: ['**/*.{ts,tsx}'],
      rules: {
        ...recommended,
        'typescript/no-explicit-any': 'off',
        'typescript/no-unsafe-argument': 'off',
        'typescript/no-unsafe-assignment': 'off',
        'typescript/no-unsafe-call': 'off',
        'typescript/no-unsafe-member-access': 'off',
        'typescript/no-unsafe-return': 'off',
      },
    },

    {
      files: ['src/**/*.ts'],
      rules: {
        ...strict,
        // Pothos collects the types of its plugins in a global namespace.
        'typescript/no-namespace': ['error', { allowDeclarations: true }],
        'no-restricted-globals': ['error', processIsMains],
        'no-restricted-properties': [
          'error',
          { object: 'globalThis', property: 'process', message: libraries.process.message },
        ],
        'syntax/no-restricted-syntax': [
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
    opens(['src/**/*.ts']),
    opens(['src/features/**/*chema.ts'], 'graphql'),
    opens(['src/auth/**/*.ts', 'src/core/config/googleServiceAccount.ts'], 'secrets'),
    opens(['src/platform/mailer.ts'], 'mail'),
    opens(['src/features/push/providers.ts'], 'push'),
    opens(['src/platform/images/*.ts'], 'images'),
    opens(['src/platform/scanner.ts'], 'net'),
    opens(['src/platform/jobQueue.ts'], 'queue'),
    opens(['src/platform/database/postgresHome.ts'], 'process'),
    opens(['src/platform/database/embedded.ts'], 'process', 'net'),
    opens(['src/platform/web/**/*.ts'], 'web', 'sockets', 'net'),
    opens(['src/platform/redis/{clients,redisPubSub}.ts'], 'redis'),
    opens(['src/platform/observability/metrics.ts'], 'metrics'),
    // It reads requests and opens no socket of its own.
    opens(['src/platform/observability/tracing.ts'], 'sockets'),
    opens(['src/platform/rateLimits/counters.ts'], 'rates'),
    opens(['src/graphql/**/*.ts'], 'graphql'),
    opens(['src/graphql/{yoga,transport}.ts'], 'graphql', 'sockets'),
    opens(['src/server/**/*.ts'], 'graphql', 'sockets', 'net'),
    opens(['src/core/clientAddress.ts', 'src/core/hosts.ts'], 'net'),
    opens(['src/main.ts'], 'process'),
    {
      files: ['src/main.ts', 'src/platform/database/embedded.ts', 'src/platform/database/postgresHome.ts'],
      rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off' },
    },

    {
      files: ['client/**/*.ts'],
      excludeFiles: ['client/generated/**'],
      rules: {
        ...strict,
        // What comes back is what the document says; where that is no type, it is anything.
        'typescript/no-explicit-any': 'off',
      },
    },

    {
      files: ['examples/web/**/*.{ts,tsx}', 'examples/app/src/**/*.ts'],
      rules: {
        ...strict,
        // Handlers are one-liners, and what they answer is nobody's.
        'typescript/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      },
    },
  ],
};
