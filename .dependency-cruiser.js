// Layers of src/, lowest first. A file imports only from its own layer or a lower one.
const LAYERS = ['core', 'platform', 'auth', 'delivery', 'graphql', 'features', 'server', 'cli'];

// Features, lowest first. A feature imports only itself and earlier ones.
const FEATURES = [
  ...[
    'users',
    'relationships',
    'chatrooms',
    'messages',
    'attachments',
    'search',
    'reactions',
    'linkPreviews',
    'chatroomEvents',
    'readReceipts',
  ],
  ...[
    'chatroomList',
    'viewerEvents',
    'appEvents',
    'typing',
    'presence',
    'push',
    'systemMessages',
    'webhooks',
    'incomingWebhooks',
    'accounts',
    'bots',
    'services',
    'administration',
    'server',
  ],
];

/** One rule for each folder that has folders above it. */
function inOrder(parent, folders, comment) {
  return folders.slice(0, -1).map((folder, i) => ({
    name: `${folder}-imports-downwards`,
    comment,
    severity: 'error',
    from: { path: `^${parent}/${folder}/` },
    to: { path: `^${parent}/(${folders.slice(i + 1).join('|')})/` },
  }));
}

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Cycles of types count too: neither file can be read without the other.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-loose-files',
      comment: 'Each file but main.ts is in a layer.',
      severity: 'error',
      from: { path: '^src/[^/]+$', pathNot: '^src/main\\.ts$' },
      to: {},
    },
    {
      name: 'main-is-the-process',
      comment: 'Nothing imports main.ts.',
      severity: 'error',
      from: {},
      to: { path: '^src/main\\.ts$' },
    },
    {
      name: 'schema-is-the-face-of-a-feature',
      comment: 'Only schema files know how GraphQL sees a feature; what a feature does knows no GraphQL.',
      severity: 'error',
      from: { path: '^src/', pathNot: '(^src/graphql/|[sS]chema\\.ts$|^src/server/httpServer\\.ts$)' },
      to: { path: '([sS]chema|/builder)\\.ts$' },
    },
    ...inOrder('src', LAYERS, 'A layer imports only itself and lower layers.'),
    ...inOrder('src/features', FEATURES, 'Features import each other in one order.'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'generated/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
