/**
 * Upgrades a deployment under load: `npm run test:upgrade -- GIT_REF`.
 *
 * A node of the version at GIT_REF serves; the database is migrated and a node of this version joins it; both serve; the old
 * one is told to stop. All the while people send to one room on both, retry what was not answered, refresh their sessions,
 * and listen. At the end each acknowledged message must be there once, and each listener must have heard each, in order.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
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

const here = fileURLToPath(new URL('..', import.meta.url));
const [ref] = process.argv.slice(2);
if (ref === undefined) throw new Error('Say which version to upgrade from: npm run test:upgrade -- GIT_REF');

/** How long each phase is under load. */
const PHASE_MS = 8_000;
const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { number } } }`;
const LISTEN = `subscription ($room: ID!, $after: String!) {
  messageAdded(chatroomId: $room, after: $after) { cursor message { number } }
}`;

const temp = await mkdtemp(join(tmpdir(), 'parley-upgrade-'));
await chmod(temp, 0o755);
const children: ChildProcess[] = [];

/** The sources of a version, beside the packages of this one. */
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

/** Runs the program of a folder. Answers where it is when it is ready. */
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
    if (child.exitCode !== null) throw new Error(`The node ended:\n${text}`);
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

/** Sends one message after the other until it is told to stop, each to whichever node the turn has come to. */
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
          // A node that stops takes no connections: another does. Whatever a node says is held against it.
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

/** Listens from a cursor on, and comes back by it, to the next node, whenever it is cut off. */
function startListener(person: Person, room: string, nodes: string[], after: string) {
  const heard: number[] = [];
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
          heard.push(data.messageAdded.message.number as number);
        }
      } catch {
        await delay(20);
      }
    }
  };
  let stop = () => {};
  void run();
  return {
    heard,
    end() {
      over = true;
      stop();
    },
  };
}

async function main(): Promise<void> {
  process.stdout.write(`Preparing the version at ${ref}.\n`);
  const previous = await checkOut(ref ?? '');
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
    // One begins at the old node and comes over; one begins at the new node when it is there.
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
    await phase('Both, on the migrated database');
    const exited = once(old.child, 'exit');
    old.child.kill('SIGTERM');
    nodes.shift();
    await exited;
    await phase('This version alone');
    for (const stop of stops) await stop();

    const last = Math.max(...sent);
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline && listeners.some(({ heard }) => (heard.at(-1) ?? 0) < last)) await delay(100);
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
      ...(count === sent.size ? [] : [`${sent.size} were acknowledged, and the room has ${count}.`]),
      ...listeners.flatMap(({ heard }, i) =>
        heard.length === last && heard.every((number, at) => number === at + 1)
          ? []
          : [`Listener ${i} heard ${heard.length} of ${last}, or not in order.`],
      ),
      ...[...new Set(refused)].map((reason) => `A node failed: ${reason}`),
      ...[old, current].flatMap(
        ({ output }) => /"level":(50|60)/.exec(output())?.map(() => `A node logged an error:\n${output()}`) ?? [],
      ),
    ];
    process.stdout.write(faults.length === 0 ? `${last} messages, none lost, none twice.\n` : `${faults.join('\n')}\n`);
    if (faults.length > 0) process.exitCode = 1;
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await postgres.stop();
    await rm(temp, { recursive: true, force: true });
  }
}

await main();
process.exit();
