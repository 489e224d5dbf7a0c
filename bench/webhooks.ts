import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Measures whether webhooks slow down `sendMessage`: `npx tsx bench/webhooks.ts`. One server runs for the whole time. Blocks
// without a webhook, with a receiver that responds and with one that hangs take turns, so that changes of the machine reach
// all of them. The two cases without a webhook are the same: their difference is the noise. Each block sends at a fixed rate,
// so that a slower server shows as latency and not as fewer sends.

const ROUNDS = Number(process.env['ROUNDS'] ?? 12);
const BLOCK_MS = Number(process.env['BLOCK_MS'] ?? 4_000);
/** Time before each block in which sends are not counted, so that a new webhook has its deliveries under way. */
const SETTLE_MS = 1_000;
/** Sends per second. */
const RATE = Number(process.env['RATE'] ?? 100);
const ROOMS = 20;

/** Path of each case's receiver; null without a webhook. */
const CASES = {
  'no webhook': null,
  'hung receiver': '/hangs',
  'no webhook, again': null,
  'responding receiver': '/responds',
} as const;
const NAMES = Object.keys(CASES) as (keyof typeof CASES)[];

const dataDir = await mkdtemp(join(tmpdir(), 'parley-bench-webhooks-'));
const env = {
  ...{ PATH: process.env['PATH'], PORT: '0', HOST: '127.0.0.1', DATA_DIR: dataDir, LOG_LEVEL: 'warn' },
  ...{ RATE_LIMITS: 'off', WEBHOOK_ALLOW: '127.0.0.1' },
};

/** Runs the built program. Resolves with its output when `isReady` accepts it, or at its end. */
async function run(args: string[], isReady: (output: string) => boolean) {
  const child = spawn(process.execPath, ['dist/main.js', ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (isReady(output)) resolve();
    });
    child.once('exit', () => {
      resolve();
    });
  });
  return { child, output };
}

const { child: server, output } = await run([], (text) => /HTTP, SSE +http\S+/.test(text));
try {
  const [, url = ''] = /HTTP, SSE +(http\S+\/graphql)/.exec(output) ?? [];
  const scopes = ['create-service-token', 'bench', '--scopes', 'webhooks:write'];
  const made = await run(['admin', ...scopes], () => false);
  await measure(url, made.output.trim().split('\n').at(-1) ?? '');
} finally {
  server.kill('SIGTERM');
  await once(server, 'exit');
  await rm(dataDir, { recursive: true, force: true });
}

async function ask(url: string, token: string | null, query: string, variables: object = {}): Promise<any> {
  const headers = {
    'content-type': 'application/json',
    ...(token === null ? {} : { authorization: `Bearer ${token}` }),
  };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = (await response.json()) as { data?: object; errors?: unknown };
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

async function measure(url: string, serviceToken: string): Promise<void> {
  const signUp = `mutation { signUp(input: { username: "bench", password: "correct horse" }) { accessToken } }`;
  const { accessToken } = (await ask(url, null, signUp)).signUp;
  const rooms: string[] = [];
  for (let i = 0; i < ROOMS; i += 1) {
    const create = `mutation { createChatroom(input: { kind: GROUP, name: "Room" }) { chatroom { id } } }`;
    rooms.push((await ask(url, accessToken, create)).createChatroom.chatroom.id);
  }
  let received = 0;
  const receiver = createServer((request, response) => {
    request.resume();
    received += 1;
    if (request.url === '/responds') response.writeHead(204).end();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const origin = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;

  const latencies = new Map<string, number[]>(NAMES.map((name) => [name, []]));
  await sendFor(url, accessToken, rooms, 2 * BLOCK_MS);
  for (let round = 0; round < ROUNDS; round += 1) {
    // The order rotates, so that no case always follows the same one.
    for (const index of NAMES.keys()) {
      const name = NAMES[(index + round) % NAMES.length] ?? 'no webhook';
      const target = CASES[name];
      const id = target === null ? null : await createWebhook(url, serviceToken, origin + target, `${round} ${name}`);
      await sendFor(url, accessToken, rooms, SETTLE_MS);
      latencies.get(name)?.push(...(await sendFor(url, accessToken, rooms, BLOCK_MS)));
      const remove = `mutation ($id: ID!) { deleteWebhook(input: { webhookId: $id }) { deletedWebhookId } }`;
      if (id !== null) await ask(url, serviceToken, remove, { id });
    }
  }
  receiver.closeAllConnections();
  receiver.close();
  const base = quantile(latencies.get('no webhook') ?? [], 0.99);
  for (const [name, all] of latencies) {
    const [p50, p99] = [quantile(all, 0.5), quantile(all, 0.99)];
    const change = `${p99 >= base ? '+' : ''}${(((p99 - base) / base) * 100).toFixed(1)} %`;
    process.stdout.write(
      `${name.padEnd(20)} ${all.length} sends  p50 ${p50.toFixed(2)} ms  p99 ${p99.toFixed(2)} ms  ${change}\n`,
    );
  }
  process.stdout.write(`${received} requests to receivers\n`);
}

async function createWebhook(url: string, token: string, target: string, name: string): Promise<string> {
  const create = `mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { webhook { id } } }`;
  const input = { name, url: target, events: ['MESSAGE_ADDED'] };
  return (await ask(url, token, create, { input })).createWebhook.webhook.id;
}

/** Sends at a fixed rate. Returns the latencies in milliseconds. */
async function sendFor(url: string, token: string, rooms: string[], ms: number): Promise<number[]> {
  const send = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }`;
  const found: Promise<number>[] = [];
  const startedAt = performance.now();
  for (let i = 0; ; i += 1) {
    const due = startedAt + (i * 1_000) / RATE;
    if (due - startedAt >= ms) break;
    const early = due - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const input = { chatroomId: rooms[i % rooms.length], body: `message ${i}` };
    const sentAt = performance.now();
    found.push(ask(url, token, send, { input }).then(() => performance.now() - sentAt));
  }
  return Promise.all(found);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? NaN;
}
