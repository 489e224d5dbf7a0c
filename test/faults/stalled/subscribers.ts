import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import WebSocket from 'ws';
import type { Random } from '../clients.ts';
import { mulberry32 } from '../schedule.ts';
import type { Person } from './people.ts';

const QUERY = `subscription ($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) {
    cursor message { id number body createdAt sender { id username nickname } }
  }
}`;
/** Minimum time in milliseconds until a dead subscriber reconnects. The node needs less to detect it by its pings. */
const DEAD_MS = 40_000;
const PONG_MS = 5_000;
/** Maximum number of concurrent connection attempts, because the connection rate is not the subject of this test. */
const MOST_COMING = 16;

/** Opens a socket that has subscribed to a room's messages. */
async function subscribe(url: string, person: Person, room: string, after: string | null): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
    perMessageDeflate: false,
  });
  socket.on('error', () => undefined);
  const say = (what: object) => {
    socket.send(JSON.stringify(what));
  };
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      say({ type: 'connection_init', payload: { authorization: `Bearer ${person.token}` } });
    });
    socket.once('message', () => {
      // This is the acknowledgement, because no other message can come first.
      say({ id: 'one', type: 'subscribe', payload: { query: QUERY, variables: { room, after } } });
      resolve(socket);
    });
    socket.once('close', (code) => {
      reject(new Error(`The node closed a socket with ${code}.`));
    });
  });
}

export interface Stalled {
  /** Number of times that a subscriber reconnected. */
  comebacks: number;
  /** Resolves when each subscriber has connected once. */
  come: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts subscribers who never read. Dead subscribers answer no ping, so the node disconnects them and they reconnect.
 * Mute subscribers answer pings without reading, so they stay connected.
 */
export function startStalled(
  url: string,
  { people, rooms }: { people: readonly Person[]; rooms: readonly string[] },
  { count, mute, seed }: { count: number; mute: number; seed: number },
): Stalled {
  const sockets = new Set<WebSocket>();
  const come = new Set<number>();
  const limit = pLimit(MOST_COMING);
  let onCome: () => void = () => undefined;
  let stopped = false;
  const stalled: Stalled = {
    comebacks: 0,
    come: new Promise((resolve) => (onCome = resolve)),
    async stop() {
      stopped = true;
      for (const socket of sockets) socket.terminate();
      await Promise.all(lives);
    },
  };

  async function stall(i: number, random: Random): Promise<void> {
    const person = people[i % people.length];
    const room = rooms[i % rooms.length];
    if (!person || room === undefined) return;
    const socket = await limit(() => subscribe(url, person, room, null));
    socket.pause();
    sockets.add(socket);
    come.add(i);
    if (come.size === count) onCome();
    const until = performance.now() + DEAD_MS * (1 + random());
    while (!stopped && (i < mute || performance.now() < until)) {
      await sleep(PONG_MS * (0.9 + random() / 5));
      if (i < mute && !stopped) socket.pong();
    }
    sockets.delete(socket);
    socket.terminate();
  }

  async function live(i: number): Promise<void> {
    // A generator of its own, because the order in which the subscribers run differs in each run.
    const random = mulberry32(seed + i);
    while (!stopped) {
      await stall(i, random).catch(() => sleep(500));
      if (!stopped) stalled.comebacks += 1;
    }
  }
  const lives = Array.from({ length: count }, (_, i) => live(i));
  return stalled;
}

/** A client that reads, and reconnects with the last cursor after a disconnect. */
export interface Reader {
  room: string;
  /** Last number that was received. */
  last: number;
  received: number;
  /** Number of missing or repeated messages. */
  wrong: number;
  cuts: number;
  /** Latencies of messages since the last call of `forget`, in milliseconds. */
  latencies: number[];
  stop(): void;
}

/** Reads a room from its first message on. */
export async function startReader(url: string, person: Person, room: string): Promise<Reader> {
  let cursor: string | null = null;
  let stopped = false;
  let socket: WebSocket;
  const reader: Reader = {
    ...{ room, last: 0, received: 0, wrong: 0, cuts: 0, latencies: [] },
    stop() {
      stopped = true;
      socket.terminate();
    },
  };

  function take({ cursor: next, message }: { cursor: string; message: { number: number; body: string } }): void {
    cursor = next;
    reader.received += 1;
    if (message.number !== reader.last + 1) reader.wrong += 1;
    reader.last = message.number;
    reader.latencies.push(performance.now() - Number(message.body.split(' ')[0]));
  }

  async function open(): Promise<void> {
    socket = await subscribe(url, person, room, cursor);
    socket.on('message', (data: Buffer) => {
      const { type, payload } = JSON.parse(data.toString()) as { type: string; payload: any };
      if (type === 'ping') socket.send('{"type":"pong"}');
      if (type === 'next' && payload.data) take(payload.data.messageAdded);
      // The client reconnects with the cursor of its last message.
      if (type === 'error' || type === 'complete' || payload?.errors) socket.terminate();
    });
    socket.once('close', () => {
      if (stopped) return;
      reader.cuts += 1;
      void comeBack();
    });
  }

  async function comeBack(): Promise<void> {
    for (;;) {
      await sleep(500);
      if (stopped) return;
      try {
        return await open();
      } catch {
        // Retries.
      }
    }
  }
  await open();
  return reader;
}
