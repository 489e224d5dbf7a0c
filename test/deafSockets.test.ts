import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { connect, signUp } from './support/client.ts';
import { readOpen } from './support/metrics.ts';
import { startProgram } from './support/process.ts';
import { frame, openDeaf, type RawSocket, textFrame } from './support/rawSocket.ts';
import { createTestDatabase, WIDE_LIMITS } from './support/server.ts';
import { send, world } from './support/world.ts';

/** Maximum bytes and milliseconds that a client sends of each kind, unless the server stops reading. */
const MAX_SENT = 64 * 1024 * 1024;
const MAX_MS = 3_000;
const PIECE = 64 * 1024;
const MAX_GROWTH_MB = 50;

const subscribe = (i: number, query: string) => textFrame({ id: `${i}`, type: 'subscribe', payload: { query } });
const big = 'y'.repeat(60_000);

/** Messages that a client may send indefinitely. Kinds that end the socket are included to verify that they do. */
const KINDS: Record<string, (i: number, room: string) => Buffer> = {
  'pings of the protocol': () => textFrame({ type: 'ping' }),
  'pings with 1 KB': () => textFrame({ type: 'ping', payload: { a: 'y'.repeat(1_000) } }),
  'pings with 60 KB': () => textFrame({ type: 'ping', payload: { a: big } }),
  'pongs of the protocol': () => textFrame({ type: 'pong', payload: { a: big } }),
  'WebSocket pings': () => frame(0x9, 'y'.repeat(125)),
  'WebSocket pongs': () => frame(0xa, 'y'.repeat(125)),
  'refused operations': (i) => subscribe(i, '{ x }'),
  'refused operations of 60 KB': (i) => subscribe(i, `{ ${big} }`),
  'small queries': (i) => subscribe(i, '{ server { version } }'),
  'mutations that fail': (i) => subscribe(i, 'mutation { markRead(input: { messageId: "x" }) { viewer { id } } }'),
  'queries with 1 MB': (i, room) =>
    subscribe(i, `{ chatroom(id: "${room}") { messages(last: 100) { nodes { body } } } }`),
  'subscriptions that fail': (i) => subscribe(i, 'subscription { messageAdded(chatroomId: "x") { cursor } }'),
  'subscriptions beyond their number': (i) => subscribe(i, 'subscription { messageAdded { cursor } }'),
  'ids in use': () => subscribe(1, 'subscription { messageAdded { cursor } }'),
  'ends of what is not there': (i) => textFrame({ id: `${i}`, type: 'complete' }),
  'unknown types': () => textFrame({ type: 'hello' }),
  'text that is no message': () => frame(0x1, 'hello'),
  fragments: () => frame(0x1, 'y').map((byte, i) => (i === 0 ? 0x01 : byte)) as Buffer,
};

/** Kinds that the server treats differently for a signed-out client. All others get the same refusal. */
const SIGNED_OUT = ['pings with 1 KB', 'WebSocket pings', 'refused operations', 'small queries'];

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/**
 * Sends one kind of message until a limit is reached or the server stops reading. Returns the largest memory growth of
 * the server in MB.
 */
async function flood(socket: RawSocket, pid: number, make: (i: number) => Buffer): Promise<number> {
  const before = await residentMb(pid);
  let most = 0;
  let i = 0;
  const end = performance.now() + MAX_MS;
  for (let sent = 0; sent < MAX_SENT && performance.now() < end;) {
    const frames: Buffer[] = [];
    for (let bytes = 0; bytes < PIECE; bytes += frames.at(-1)?.length ?? 0) frames.push(make((i += 1)));
    const piece = Buffer.concat(frames);
    sent += piece.length;
    const taken = await socket.write(piece);
    most = Math.max(most, (await residentMb(pid)) - before);
    if (!taken) break;
  }
  return most;
}

test.skipIf(process.platform !== 'linux')(
  'a client that never reads costs under 50 MB and is closed',
  { timeout: 240_000 },
  async () => {
    const env = { NODE_ENV: 'test', RATE_LIMITS: 'off', AUTH_SECRET: 'a secret of the tests, which guards nothing' };
    const server = await startProgram({
      ...{ ...env, ...WIDE_LIMITS, DATABASE_URL: await createTestDatabase(), LOG_LEVEL: 'fatal' },
      ...{ MAX_SIGNED_OUT_SOCKETS: '100', MAX_SOCKETS_PER_USER: '100' },
      // With a larger heap, V8 leaves up to 62 MB of garbage uncollected, for clients that read as well. In a small
      // heap, only memory held for clients counts. A node that held more would run out of memory and crash.
      NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=150',
    });
    const { ann, ben, room } = await world(server);
    for (let i = 0; i < 100; i += 1) await send(ann, room, 'x'.repeat(10_000));
    const grown: Record<string, number> = {};
    const before = await residentMb(server.pid);
    const sockets = [await openDeaf(server.url, ben.accessToken)];
    for (let i = 0; i < 120; i += 1)
      await sockets[0]?.write(subscribe(i, 'subscription { messageAdded { message { body } } }'));
    const reader = connect(server.url, ben.accessToken).subscribe(
      'subscription { messageAdded { message { number } } }',
    );
    for (let i = 0; i < 100; i += 1) await send(ann, room, 'x'.repeat(10_000));
    await expect.poll(() => reader.received.at(-1)?.message.number, { timeout: 20_000 }).toBe(200);
    grown['subscriptions with many events'] = (await residentMb(server.pid)) - before;

    for (const [kind, make] of Object.entries(KINDS))
      for (const token of SIGNED_OUT.includes(kind) ? [ann.accessToken, undefined] : [ann.accessToken]) {
        const socket = await openDeaf(server.url, token);
        grown[`${kind}, signed ${token === undefined ? 'out' : 'in'}`] = await flood(socket, server.pid, (i) =>
          make(i, room),
        );
        if (kind.startsWith('WebSocket')) sockets.push(socket);
        else socket.connection.destroy();
        // The server must still serve other clients.
        expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
      }

    expect(Object.entries(grown).filter(([, mb]) => mb >= MAX_GROWTH_MB)).toEqual([]);
    // These sockets are never read, so only the server notices that their connections ended.
    await expect.poll(async () => (await readOpen(server.url)).parley_sockets, { timeout: 60_000 }).toBe(1);
    await signUp(server.url, 'cem');
  },
);
