import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type DocumentNode,
  isInputObjectType,
  isObjectType,
  Kind,
  parse,
  specifiedRules,
  validate,
  visit,
} from 'graphql';
import { describe, expect, onTestFinished, test } from 'vitest';
import { buildSchema } from '../src/features/schema.ts';
import * as serverSdk from '../server-sdk/index.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const root = new URL('../', import.meta.url);
const read = (name: string) => readFile(new URL(name, root), 'utf8');
const guides = (await readdir(new URL('docs/', root), { recursive: true })).filter((name) => name.endsWith('.md'));
const pages = await Promise.all(
  ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...guides.map((name) => `docs/${name}`)].map(
    async (name) => ({ name, text: await read(name) }),
  ),
);
const schema = buildSchema();

/** Returns the code blocks of a page in one language. */
function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code = '']) => code);
}

const operations = pages.flatMap(({ name, text }) => blocks(text, 'graphql').map((code) => ({ name, code })));

const fragments = parse(await read('examples/app/src/documents.graphql')).definitions.filter(
  (definition) => definition.kind === Kind.FRAGMENT_DEFINITION,
);

/** Adds the fragments of the application that a document uses without defining them. */
function complete({ definitions, ...document }: DocumentNode): DocumentNode {
  const defined = new Set(definitions.map((each) => ('name' in each ? each.name?.value : undefined)));
  const used = new Set<string>();
  visit({ ...document, definitions }, { FragmentSpread: ({ name }) => void used.add(name.value) });
  const missing = fragments.filter(({ name }) => used.has(name.value) && !defined.has(name.value));
  const completed = { ...document, definitions: [...definitions, ...missing] };
  return missing.length > 0 ? complete(completed) : completed;
}

test.each(operations)('the operations in $name are valid', ({ code }) => {
  // One block may show several operations of a client; each has a name.
  expect(validate(schema, complete(parse(code)), specifiedRules).map(({ message }) => message)).toEqual([]);
});

const examples = await Promise.all(
  (await readdir(new URL('examples/', root), { recursive: true }))
    .filter((name) => name.endsWith('.mjs') && !name.includes('node_modules'))
    .map(async (name) => [name, await read(`examples/${name}`)] as const),
);
// test/integration.test.ts runs the program of docs/integration.md.
const programs = pages
  .filter(({ name }) => name !== 'docs/integration.md')
  .flatMap(({ name, text }) => blocks(text, 'js').map((code) => ({ name, code })));

test.each(programs)('the programs in $name match those of examples/', ({ code }) => {
  expect(examples.map(([, text]) => text)).toContain(code);
});

const app = await Promise.all(
  (await readdir(new URL('examples/app/', root), { recursive: true }))
    .filter((name) => /\.(ts|graphql)$/.test(name) && !/generated|node_modules/.test(name))
    .map((name) => read(`examples/app/${name}`)),
);

test.each([
  ['docs/apollo.md', 9],
  ['docs/urql.md', 9],
  ['docs/files.md', 3],
])('the files in %s match those of examples/app', (name, count) => {
  const text = pages.find((page) => page.name === name)?.text ?? '';
  // The blocks with the fragments of @parley/client show another way, which the application does not use.
  const files = ['ts', 'graphql']
    .flatMap((language) => blocks(text, language))
    .filter((code) => !code.includes('@parley/client/fragments'));
  expect(files).toHaveLength(count);
  expect(files.filter((code) => !app.includes(code))).toEqual([]);
});

describe.each(examples.filter(([name]) => /^follow|^listen|^clients/.test(name)))('examples/%s', (name) => {
  test('prints the messages of a chatroom', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await send(ann, room, 'before');
    const { chatroom } = await ben.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
    const after = name === 'listen.mjs' ? [chatroom.cursor as string] : [];
    const output = start(process.execPath, [`examples/${name}`, ben.accessToken, room, ...after], server.url);
    // Waits until the program is subscribed, because only programs with a cursor receive earlier messages.
    const isScript = name === 'clients/graphql-request.mjs';
    if (!isScript) await expect.poll(() => server.node.gauges.streams).toBe(1);
    if (!isScript) await send(ann, room, 'hello');
    await expect.poll(output).toMatch(isScript ? /^2 ben: Hello/m : /^2 ann: hello/m);
  });
});

/** Runs a program until the end of the test. Returns a function that returns its output so far. */
function start(command: string, args: string[], url: string, cwd = fileURLToPath(root)): () => string {
  const env = {
    PATH: process.env['PATH'],
    PARLEY_URL: `${url}/graphql`,
    PARLEY_WS: `${url.replace('http', 'ws')}/graphql`,
  };
  // Starts a process group, so that child processes end with the program.
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  onTestFinished(() => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return () => output;
}

const conversation = blocks(await read('docs/first-conversation.md'), 'sh');

/** Runs commands of the conversation against a new server. Returns a function that returns their output so far. */
async function converse(...commands: string[]): Promise<() => string> {
  const { url } = await startTestServer();
  const folder = await mkdtemp(join(tmpdir(), 'parley-conversation-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const name of ['examples', 'docs']) await symlink(fileURLToPath(new URL(name, root)), join(folder, name));
  const script = ['set -m', ...commands].join('\n').replaceAll('localhost:4000', new URL(url).host);
  return start('bash', ['-c', script], url, folder);
}

test('the conversation with curl works as written', async () => {
  const [signUp = '', openRoom = '', listen = '', comeBack = ''] = conversation;
  const untilHeard = 'until grep -q Hello $temp/received; do read -rt 0.1 <> <(:); done';
  const output = await converse(signUp, openRoom, listen, untilHeard, comeBack);
  await expect.poll(output).toMatch(/^4 cara: three/m);
  expect(output()).toContain('one room');
  expect(output().match(/^\d+ cara: \w+/gm)).toEqual(['1 cara: Hello', '2 cara: one', '3 cara: two', '4 cara: three']);
});

test('the upload with curl works as written', async () => {
  const [signUp = '', openRoom = '', , , upload = '', look = '', get = ''] = conversation;
  const output = await converse(signUp, openRoom, upload, look, get);
  await expect.poll(output).toMatch(/^404 /m);
  expect(output().match(/^\d{3}(?= |$)/gm)).toEqual(['200', '200', '206', '401', '404']);
  expect(output()).toContain('"state":"READY"');
});

test.each(pages)('the links of $name point to existing files', async ({ name, text }) => {
  const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)\s#]+)/g)].map(([, link = '']) => link);
  const missing: string[] = [];
  for (const link of links)
    await readFile(new URL(link, new URL(name, root))).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EISDIR') missing.push(link);
    });
  expect(missing).toEqual([]);
});

describe('the mapping from other backends only uses existing names', () => {
  const names = new Set(
    Object.values(schema.getTypeMap()).flatMap((type) => [
      type.name,
      ...(isObjectType(type)
        ? Object.values(type.getFields()).flatMap((field) => [field.name, ...field.args.map(({ name }) => name)])
        : []),
      ...(isInputObjectType(type) ? Object.keys(type.getFields()) : []),
    ]),
  );
  const rows = (pages.find(({ name }) => name === 'docs/from-another-backend.md')?.text ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.includes('---'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, there = '', here = '']) => ({ there, here }));

  test.each(rows)('$there', ({ here }) => {
    const said = [...here.matchAll(/`([A-Za-z]+)[`(]/g)].map(([, name = '']) => name);
    const known = (name: string) => names.has(name) || /^[A-Z]+$/.test(name) || name in serverSdk;
    expect(said.filter((name) => !known(name))).toEqual([]);
  });
});
