/**
 * Upgrades a deployment under load: `npm run test:upgrade -- GIT_REF`. Without an argument, upgrades from the last release.
 *
 * First, a node of the version at GIT_REF runs alone. Then the database is migrated, and a node of this version runs beside
 * it. Finally, the old node receives SIGTERM. During all phases, clients send to one room on all nodes, retry after failed
 * connections, refresh their sessions, and subscribe. At the end, each acknowledged message must be stored once, and each
 * subscriber must have received all messages in order. While both nodes run, the new one stores an event whose kind the old
 * one does not know. A stream of the old node must deliver the event as MessageEdited.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { startEmbeddedPostgres } from '../src/platform/database/embedded.ts';
import { freePort } from '../test/support/ports.ts';
import { lastRelease } from './compatibility.ts';

const here = fileURLToPath(new URL('..', import.meta.url));
const ref = process.argv[2] ?? commitOf(await lastRelease());

/** Duration of each phase in milliseconds. */
const PHASE_MS = 8_000;
const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { number } } }`;
const LISTEN = `subscription ($room: ID!, $after: String!) {
  messageAdded(chatroomId: $room, after: $after) { cursor message { number } }
}`;

/** A picture of one pixel. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

const temp = await mkdtemp(join(tmpdir(), 'parley-upgrade-'));
await chmod(temp, 0o755);
const children: ChildProcess[] = [];

/** Returns the commit of a release, which added the schema of the release. */
function commitOf(release: string): string {
  const path = `releases/${release}.graphql`;
  const args = ['log', '--diff-filter=A', '--format=%H', '-1', '--', path];
  const commit = execFileSync('git', args, { cwd: here, encoding: 'utf8' }).trim();
  if (commit === '') throw new Error(`No commit adds ${path}. Name a version: npm run test:upgrade -- GIT_REF.`);
  return commit;
}

/** Checks out the sources of a version, with the installed packages of this one. Returns the folder. */
async function checkOut(version: string): Promise<string> {
  const folder = join(temp, 'previous');
  await mkdir(folder);
  const archive = execFileSync('git', ['archive', version], { cwd: here, maxBuffer: 1e9 });
  execFileSync('tar', ['-x', '-C', folder], { input: archive });
  await symlink(join(here, 'node_modules'), join(folder, 'node_modules'));
  execFileSync(process.execPath, [join(here, 'node_modules/prisma/build/index.js'), 'generate'], {
    cwd: folder,
    stdio: 'ignore',
  });
  return folder;
}

/** Runs the program of a folder. Returns its URL once it is ready. */
async function startNode(
  folder: string,
  env: Record<string, string>,
): Promise<{ url: string; child: ChildProcess; output: () => string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
    cwd: folder,
    env: { PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  for (;;) {
    const [, url] = /HTTP, SSE +(http\S+)\/graphql/.exec(text) ?? [];
    if (url !== undefined) return { url, child, output: () => text };
    if (child.exitCode !== null) throw new Error(`The node exited:\n${text}`);
    await delay(50);
  }
}

async function ask(url: string, query: string, variables: object, token?: string): Promise<any> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as {
    data?: any;
    errors?: { message: string; extensions: { code: string } }[];
  };
  if (errors?.[0]) throw new Error(`${errors[0].extensions.code}: ${errors[0].message}`);
  return data;
}

interface Person {
  accessToken: string;
  refreshToken: string;
}

/** Sends one message after another, alternating between the nodes. Returns a function that stops sending. */
function startSender(
  name: string,
  person: Person,
  room: string,
  nodes: string[],
  sent: Set<number>,
  refused: string[],
) {
  let over = false;
  const run = async () => {
    for (let i = 0; !over; i += 1) {
      const input = { chatroomId: room, body: `${name} ${i}`, clientMessageId: `${name} ${i}` };
      for (let turn = i; ; turn += 1) {
        const url = nodes[turn % nodes.length] ?? '';
        try {
          if (i % 20 === 19 && turn === i) {
            const token = person.refreshToken;
            const REFRESH =
              'mutation ($token: String!) { refreshSession(input: { refreshToken: $token }) { accessToken refreshToken } }';
            Object.assign(person, (await ask(url, REFRESH, { token })).refreshSession);
          }
          const { sendMessage } = await ask(url, SEND, { input }, person.accessToken);
          sent.add(sendMessage.message.number as number);
          break;
        } catch (error) {
          // A stopping node refuses connections, so the next node is tried. Any error response counts as a failure.
          const { message } = error as Error;
          if (message !== 'fetch failed') refused.push(`${url}: ${message}`);
          await delay(20);
        }
      }
    }
  };
  const done = run();
  return async () => {
    over = true;
    await done;
  };
}

/** Subscribes from a cursor. After each disconnection, resumes from the last cursor at the next node. */
function startListener(person: Person, room: string, nodes: string[], after: string) {
  const received: number[] = [];
  let cursor = after;
  let over = false;
  const run = async () => {
    for (let turn = 0; !over; turn += 1) {
      const client = createClient({
        url: `${(nodes[turn % nodes.length] ?? '').replace('http', 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        retryAttempts: 0,
        connectionParams: () => ({ authorization: `Bearer ${person.accessToken}` }),
      });
      stop = () => void client.dispose();
      try {
        for await (const { data } of client.iterate<any>({ query: LISTEN, variables: { room, after: cursor } })) {
          cursor = data.messageAdded.cursor as string;
          received.push(data.messageAdded.message.number as number);
        }
      } catch {
        await delay(20);
      }
    }
  };
  let stop = () => {};
  void run();
  return {
    received,
    end() {
      over = true;
      stop();
    },
  };
}

/** Sends a picture, whose processing ends with an event. Returns the number of the message. */
async function sendPicture(url: string, { accessToken }: Person, room: string): Promise<number> {
  const sha256 = createHash('sha256').update(PICTURE).digest('hex');
  const file = { fileName: 'dot.png', mediaType: 'image/png', byteSize: PICTURE.length, sha256 };
  const CREATE =
    'mutation ($input: CreateUploadInput!) { createUpload(input: $input) { upload { id url headers { name value } } } }';
  const { upload } = (await ask(url, CREATE, { input: file }, accessToken)).createUpload;
  const headers = upload.headers.map(({ name, value }: { name: string; value: string }) => [name, value]);
  await fetch(new URL(upload.url, url), { method: 'PUT', headers, body: new Uint8Array(PICTURE) });
  const COMPLETE = 'mutation ($id: ID!) { completeUpload(input: { uploadId: $id }) { attachment { id } } }';
  const { attachment } = (await ask(url, COMPLETE, { id: upload.id }, accessToken)).completeUpload;
  const input = { chatroomId: room, body: '', attachmentIds: [attachment.id] };
  return (await ask(url, SEND, { input }, accessToken)).sendMessage.message.number as number;
}

/** Waits for an event of a type, in a stream from a cursor. Returns whether the stream delivers one before it ends. */
async function receives(type: string, url: string, person: Person, room: string, after: string): Promise<boolean> {
  const client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: { authorization: `Bearer ${person.accessToken}` },
  });
  const query =
    'subscription ($room: ID!, $after: String!) { chatroomEvents(chatroomId: $room, after: $after) { __typename } }';
  try {
    for await (const { data } of client.iterate<any>({ query, variables: { room, after } }))
      if (data?.chatroomEvents?.__typename === type) return true;
  } catch {
    // The stream has failed.
  } finally {
    await client.dispose();
  }
  return false;
}

async function main(): Promise<void> {
  process.stdout.write(`Preparing the version at ${ref}.\n`);
  const previous = await checkOut(ref);
  const postgres = await startEmbeddedPostgres({ dataDir: join(temp, 'data'), log: () => undefined });
  const redisPort = await freePort();
  children.push(
    spawn('redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', ''], { stdio: 'ignore' }),
  );
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    AUTH_SECRET: randomBytes(48).toString('base64'),
    RATE_LIMITS: 'off',
    DATA_DIR: join(temp, 'files'),
  };
  try {
    const old = await startNode(previous, env);
    const nodes = [old.url];
    const sent = new Set<number>();
    const refused: string[] = [];
    const SIGN_UP = `mutation ($name: String!) {
      signUp(input: { username: $name, password: "a long password" }) { accessToken refreshToken viewer { user { id } } }
    }`;
    const people = await Promise.all(
      ['upgrade.a', 'upgrade.b', 'upgrade.c'].map(async (name) => (await ask(old.url, SIGN_UP, { name })).signUp),
    );
    const [first, ...others] = people;
    const made = await ask(
      old.url,
      'mutation ($ids: [ID!]!) { createChatroom(input: { kind: GROUP, name: "Upgrade", memberIds: $ids }) { chatroom { id cursor } } }',
      { ids: others.map((person) => person.viewer.user.id as string) },
      first.accessToken,
    );
    const { id: room, cursor } = made.createChatroom.chatroom;
    // One subscriber starts at the old node and moves to the new one. Another starts at the new node later.
    const listeners = [startListener(people[0], room, nodes, cursor)];
    const stops = people.slice(1).map((person, i) => startSender(`sender ${i}`, person, room, nodes, sent, refused));

    const phase = async (what: string) => {
      const before = sent.size;
      await delay(PHASE_MS);
      process.stdout.write(`${what}: ${sent.size - before} messages acknowledged.\n`);
    };
    await phase('The previous version alone');
    const current = await startNode(here, env);
    nodes.push(current.url);
    listeners.push(startListener(people[0], room, [current.url, old.url], cursor));
    const isEventDelivered = receives('MessageEdited', old.url, people[0], room, cursor);
    sent.add(await sendPicture(current.url, people[0], room));
    await phase('Both, on the migrated database');
    const exited = once(old.child, 'exit');
    old.child.kill('SIGTERM');
    nodes.shift();
    await exited;
    await phase('This version alone');
    for (const stop of stops) await stop();

    const last = Math.max(...sent);
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline && listeners.some(({ received }) => (received.at(-1) ?? 0) < last)) await delay(100);
    for (const listener of listeners) listener.end();
    const { messages } = (
      await ask(
        current.url,
        'query ($id: ID!) { chatroom(id: $id) { messages(last: 1) { nodes { number } } } }',
        { id: room },
        first.accessToken,
      )
    ).chatroom;
    const count = messages.nodes[0].number as number;
    const faults = [
      ...((await isEventDelivered) ? [] : ['A stream of the previous version did not deliver an event of this one.']),
      ...(count === sent.size ? [] : [`${sent.size} messages were acknowledged, but the room has ${count}.`]),
      ...listeners.flatMap(({ received }, i) =>
        received.length === last && received.every((number, at) => number === at + 1)
          ? []
          : [`Subscriber ${i} received ${received.length} of ${last} messages, or not in order.`],
      ),
      ...[...new Set(refused)].map((reason) => `A node failed: ${reason}`),
      ...[old, current].flatMap(
        ({ output }) => /"level":(50|60)/.exec(output())?.map(() => `A node logged an error:\n${output()}`) ?? [],
      ),
    ];
    process.stdout.write(faults.length === 0 ? `${last} messages, none lost or repeated.\n` : `${faults.join('\n')}\n`);
    if (faults.length > 0) process.exitCode = 1;
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await postgres.stop();
    await rm(temp, { recursive: true, force: true });
  }
}

await main();
process.exit();
