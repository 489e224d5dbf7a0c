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

/** What applications install beside the client, and the most that their bundle may have, minified and compressed. */
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

const { exports } = JSON.parse(await readFile(join(root, 'client/package.json'), 'utf8')) as {
  exports: Record<string, Record<string, string>>;
};

/** Outside the checkout, so that no package of it is found. */
let temp: string;
let tarball: string;
let files: string[];

beforeAll(async () => {
  temp = await mkdtemp(join(tmpdir(), 'parley-package-'));
  // A copy of the checkout: its build replaces no file that other tests use.
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

/** Runs a program. Returns what it prints; an error has that in its message. */
async function run(command: string, args: string[], cwd: string): Promise<string> {
  // Vitest's would make Vite build for development.
  const env = { ...process.env, NODE_ENV: undefined };
  try {
    return (await promisify(execFile)(command, args, { cwd, env, timeout: 240_000 })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

test('the package has its build, types, schema, license and README, and no sources or tests', () => {
  expect(files).toEqual(
    expect.arrayContaining(['LICENSE', 'README.md', 'dist/schema.graphql', 'dist/index.js', 'dist/index.d.ts']),
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
    for (const file of [
      'documents.graphql',
      'session.ts',
      'outbox.ts',
      ...(name === 'plain' ? [] : [`${name}.ts`, `${name}Page.ts`]),
    ])
      await cp(join(root, 'examples/app/src', file), join(folder, 'src', file));
    const modules = name === 'plain' ? ['session'] : ['session', name];
    await writeFile(join(folder, 'src/main.ts'), modules.map((file) => `export * from './${file}.ts';\n`).join(''));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
    // The types of documents come with codegen.
    const installed = [
      'graphql@16',
      'ws@8',
      '@graphql-typed-document-node/core@3',
      ...packages.map((each) => `${each}@${versions[each]}`),
    ];
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...installed], folder);
    // A tool of the checkout, as if it were installed.
    await symlink(join(root, 'node_modules/@graphql-codegen'), join(folder, 'node_modules/@graphql-codegen'));
    await run(process.execPath, [join(root, 'node_modules/@graphql-codegen/cli/esm/bin.js'), '--silent'], folder);
  }, 300_000);

  /** Starts a server and runs the application in Node; returns the messages of the room that it prints. */
  async function drive(program: string): Promise<string[]> {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    await send(ann, room, 'before');
    const args = [`${name}.mjs`, program, `${server.url}/graphql`, PASSWORD, room];
    return (await run(process.execPath, args, folder)).trim().split('\n');
  }

  const expected = name === 'plain' ? ['hello'] : ['1 before', '2 hello'];

  test('type-checks with moduleResolution bundler', { timeout: 120_000 }, async () => {
    await run(process.execPath, [resolve('typescript/bin/tsc'), '-p', '.', '--strict'], folder);
  });

  test('type-checks with moduleResolution nodenext, and runs in Node', { timeout: 240_000 }, async () => {
    const options = ['--module', 'nodenext', '--moduleResolution', 'nodenext', '--noEmit', 'false', '--rootDir', 'src'];
    const emit = [
      '--outDir',
      'out',
      '--allowImportingTsExtensions',
      'false',
      '--rewriteRelativeImportExtensions',
      '--skipLibCheck',
    ];
    await run(process.execPath, [resolve('typescript/bin/tsc'), '-p', '.', ...options, ...emit], folder);
    expect(await drive('./out/main.js')).toEqual(expected);
  });

  test('is bundled with one copy of each package, and runs', { timeout: 240_000 }, async () => {
    await run(process.execPath, [join(root, 'node_modules/vite/bin/vite.js'), 'build'], folder);
    const modules = JSON.parse(await readFile(join(folder, 'bundle/modules.json'), 'utf8')) as string[];
    const copies = new Map<string, Set<string>>();
    for (const path of modules) {
      const [, place, packageName = ''] = /^(.*\/node_modules)\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
      if (place) copies.set(packageName, (copies.get(packageName) ?? new Set()).add(place));
    }
    expect([...copies.keys()]).toEqual(expect.arrayContaining(bundled));
    expect([...copies].filter(([, places]) => places.size > 1)).toEqual([]);
    expect([...copies.keys()]).not.toContain('react');
    const code = await readFile(join(folder, 'bundle/main.js'));
    expect(gzipSync(code).length / 1024).toBeLessThan(maxKb);
    expect(await drive('./bundle/main.js')).toEqual(expected);
  });
});
