import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PASSWORD } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const { resolve } = createRequire(import.meta.url);
const versions = (JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { devDependencies: object })
  .devDependencies as Record<string, string>;

/** Applications: the packages they install besides the client, and the maximum size of their bundle, minified and compressed. */
const applications = [
  { name: 'plain', packages: [], bundled: ['@parley/client', 'graphql', 'graphql-ws'], maxKb: 24 },
  {
    name: 'apollo',
    packages: ['@apollo/client', 'rxjs'],
    bundled: ['@parley/client', 'graphql', 'graphql-ws', '@apollo/client', 'rxjs'],
    maxKb: 90,
  },
  {
    name: 'urql',
    packages: ['@urql/core', '@urql/exchange-graphcache'],
    bundled: ['@parley/client', 'graphql', 'graphql-ws', '@urql/core', '@urql/exchange-graphcache', 'wonka'],
    maxKb: 60,
  },
];

/** Files of examples/react that both applications have. */
const REACT_FILES = [
  'App.tsx',
  'Avatar.tsx',
  'Composer.tsx',
  'Files.tsx',
  'fragments.ts',
  'LinkPreviews.tsx',
  'session.ts',
];
const REACT = ['react', 'react-dom', '@types/react', '@types/react-dom'];

const { exports } = JSON.parse(await readFile(join(root, 'client/package.json'), 'utf8')) as {
  exports: Record<string, Record<string, string>>;
};

/** A folder outside the checkout, so that no package of the checkout is resolved. */
let temp: string;
let tarball: string;
let files: string[];

beforeAll(async () => {
  temp = await mkdtemp(join(tmpdir(), 'parley-package-'));
  // Builds a copy of the checkout, because other tests use the files of the original.
  const checkout = join(temp, 'checkout');
  await mkdir(checkout);
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'schema.graphql'])
    await cp(join(root, name), join(checkout, name));
  await cp(join(root, 'client'), join(checkout, 'client'), {
    recursive: true,
    filter: (path) => !path.startsWith(join(root, 'client/dist')),
  });
  await symlink(join(root, 'node_modules'), join(checkout, 'node_modules'));
  const output = await run('npm', ['pack', '-w', 'client', '--json', '--silent', '--pack-destination', temp], checkout);
  const [packed] = JSON.parse(output.slice(output.indexOf('[\n'))) as [{ filename: string; files: { path: string }[] }];
  tarball = join(temp, packed.filename);
  files = packed.files.map(({ path }) => path);
}, 300_000);

afterAll(() => rm(temp, { recursive: true }));

/** Runs a program and returns its output. @throws An error with the output in its message. */
async function run(command: string, args: string[], cwd: string): Promise<string> {
  // Vitest's NODE_ENV would make Vite build for development.
  const env = { ...process.env, NODE_ENV: undefined };
  try {
    return (await promisify(execFile)(command, args, { cwd, env, timeout: 240_000 })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Installs the package and other packages. Those in `own` get the version of the checkout. */
async function install(folder: string, others: string[], own: string[]): Promise<void> {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const packages = [...others, ...own.map((each) => `${each}@${versions[each]}`)];
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...packages], folder);
}

// A dependency of Apollo Client has types for bundlers only. The check with `bundler` reads the types of all packages.
const NODENEXT = ['--module', 'nodenext', '--moduleResolution', 'nodenext', '--skipLibCheck'];
const typeCheck = (folder: string, ...options: string[]) =>
  run(process.execPath, [resolve('typescript/bin/tsc'), '-p', '.', ...options], folder);

/** Builds the application with Vite. Returns the packages in its bundle and its size. Expects one copy of each package. */
async function bundleOf(folder: string): Promise<{ packages: string[]; kilobytes: number }> {
  await run(process.execPath, [join(root, 'node_modules/vite/bin/vite.js'), 'build'], folder);
  const modules = JSON.parse(await readFile(join(folder, 'bundle/modules.json'), 'utf8')) as string[];
  const copies = new Map<string, Set<string>>();
  for (const path of modules) {
    const [, place, name = ''] = /^(.*\/node_modules)\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
    if (place) copies.set(name, (copies.get(name) ?? new Set()).add(place));
  }
  expect([...copies].filter(([, places]) => places.size > 1)).toEqual([]);
  const code = await readFile(join(folder, 'bundle/main.js'));
  return { packages: [...copies.keys()], kilobytes: gzipSync(code).length / 1024 };
}

test('the package has build, types and schema, but no sources or tests', () => {
  expect(files).toEqual(
    expect.arrayContaining([
      'LICENSE',
      'README.md',
      'dist/schema.graphql',
      'dist/fragments.graphql',
      'dist/index.js',
      'dist/index.d.ts',
    ]),
  );
  expect(
    files.filter((path) => !/^(dist\/.*\.(js|js\.map|d\.ts|graphql)|LICENSE|README\.md|package\.json)$/.test(path)),
  ).toEqual([]);
  expect(files.filter((path) => /test/.test(path))).toEqual([]);
  const targets = Object.values(exports).flatMap((entry) => Object.values(entry).map((path) => path.slice(2)));
  expect(targets.filter((path) => !files.includes(path))).toEqual([]);
});

describe.each(applications)('an application with $name', ({ name, packages, bundled, maxKb }) => {
  let folder: string;

  beforeAll(async () => {
    folder = join(temp, name);
    await cp(join(root, 'test/package'), folder, { recursive: true });
    await cp(join(root, 'examples/app/codegen.ts'), join(folder, 'codegen.ts'));
    const shared = [
      'files.graphql',
      'files.ts',
      'linkPreviews.ts',
      'live.graphql',
      'more.graphql',
      'roomList.ts',
      'view.ts',
    ];
    for (const file of [
      'documents.graphql',
      'session.ts',
      ...(name === 'plain' ? [] : [...shared, `${name}.ts`, `${name}Page.ts`]),
      ...(name === 'apollo' ? ['live.ts'] : []),
    ])
      await cp(join(root, 'examples/app/src', file), join(folder, 'src', file));
    const modules = name === 'plain' ? ['session'] : ['session', name];
    await writeFile(join(folder, 'src/main.ts'), modules.map((file) => `export * from './${file}.ts';\n`).join(''));
    // Codegen generates the types of documents.
    await install(folder, ['graphql@16', 'thumbhash@0.1', 'ws@8', '@graphql-typed-document-node/core@3'], packages);
    // Links a tool of the checkout instead of installing it.
    await symlink(join(root, 'node_modules/@graphql-codegen'), join(folder, 'node_modules/@graphql-codegen'));
    await run(process.execPath, [join(root, 'node_modules/@graphql-codegen/cli/esm/bin.js'), '--silent'], folder);
  }, 300_000);

  /** Starts a server and runs the application in Node. Returns the messages that it prints. */
  async function drive(program: string): Promise<string[]> {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    await send(ann, room, 'before');
    const args = [`${name}.mjs`, program, `${server.url}/graphql`, PASSWORD, room];
    return (await run(process.execPath, args, folder)).trim().split('\n');
  }

  const expected = name === 'plain' ? ['hello'] : ['1 before', '2 hello'];

  test('type-checks with moduleResolution bundler', { timeout: 120_000 }, async () => {
    await typeCheck(folder);
  });

  test('type-checks with moduleResolution nodenext, and runs in Node', { timeout: 240_000 }, async () => {
    const emit = [
      ...['--noEmit', 'false', '--rootDir', 'src'],
      '--outDir',
      'out',
      '--allowImportingTsExtensions',
      'false',
      '--rewriteRelativeImportExtensions',
    ];
    await typeCheck(folder, ...NODENEXT, ...emit);
    expect(await drive('./out/main.js')).toEqual(expected);
  });

  test('is bundled with one copy of each package, and runs', { timeout: 240_000 }, async () => {
    const { packages: found, kilobytes } = await bundleOf(folder);
    expect(found).toEqual(expect.arrayContaining(bundled));
    expect(found).not.toContain('react');
    expect(kilobytes).toBeLessThan(maxKb);
    expect(await drive('./bundle/main.js')).toEqual(expected);
  });
});

describe.each(applications.slice(1))('a React application with $name', ({ name, packages, bundled, maxKb }) => {
  let folder: string;

  beforeAll(async () => {
    folder = join(temp, `react-${name}`);
    await mkdir(join(folder, 'src'), { recursive: true });
    for (const file of ['tsconfig.json', 'vite.config.mjs'])
      await cp(join(root, 'test/package', file), join(folder, file));
    for (const file of [...REACT_FILES, `${name}.tsx`])
      await cp(join(root, 'examples/react', file), join(folder, 'src', file));
    await writeFile(join(folder, 'src/main.ts'), `import './${name}.tsx';\n`);
    await install(folder, ['graphql@16', 'thumbhash@0.1'], [...REACT, ...packages]);
  }, 300_000);

  test.each([
    ['bundler', []],
    ['nodenext', NODENEXT],
  ])('type-checks with moduleResolution %s', { timeout: 120_000 }, async (_, options) => {
    await typeCheck(folder, ...options);
  });

  test('is bundled with one copy of each package', { timeout: 240_000 }, async () => {
    const { packages: found, kilobytes } = await bundleOf(folder);
    expect(found).toEqual(expect.arrayContaining([...bundled, 'react', 'react-dom']));
    expect(found).not.toContain(name === 'apollo' ? '@urql/core' : '@apollo/client');
    // React itself has 60 KB.
    expect(kilobytes).toBeLessThan(maxKb + 75);
  });
});
