import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import WebSocket from 'ws';
import type { Person } from './people.ts';

const QUERY = `subscription ($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) {
    cursor message { id number body createdAt sender { id username nickname } }
  }
}`;
/** Longer than the node takes to find by its pings that nobody answers. */
const DEAD_MS = 40_000;
const PONG_MS = 5_000;
/** So many come at once: it is not how fast they come that this looks at. */
const MOST_COMING = 16;

/** A socket that has asked for a room's messages. */
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
      // The acknowledgement: nothing else comes first.
      say({ id: 'one', type: 'subscribe', payload: { query: QUERY, variables: { room, after } } });
      resolve(socket);
    });
    socket.once('close', (code) => {
      reject(new Error(`The node closed a socket with ${code}.`));
    });
  });
}

export interface Stalled {
  /** How often one of them has come back. */
  comebacks: number;
  /** Resolves when each of them has come once. */
  come: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Subscribers who never read. The dead answer no ping either: the node cuts them off, and they come back. The mute answer
 * pings that they have not read, so that nobody cuts them off.
 */
export function startStalled(
  url: string,
  { people, rooms }: { people: readonly Person[]; rooms: readonly string[] },
  { count, mute }: { count: number; mute: number },
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

  async function stall(i: number): Promise<void> {
    const person = people[i % people.length];
    const room = rooms[i % rooms.length];
    if (!person || room === undefined) return;
    const socket = await limit(() => subscribe(url, person, room, null));
    socket.pause();
    sockets.add(socket);
    come.add(i);
    if (come.size === count) onCome();
    const until = performance.now() + DEAD_MS * (1 + Math.random());
    while (!stopped && (i < mute || performance.now() < until)) {
      await sleep(PONG_MS * (0.9 + Math.random() / 5));
      if (i < mute && !stopped) socket.pong();
    }
    sockets.delete(socket);
    socket.terminate();
  }

  async function live(i: number): Promise<void> {
    while (!stopped) {
      await stall(i).catch(() => sleep(500));
      if (!stopped) stalled.comebacks += 1;
    }
  }
  const lives = Array.from({ length: count }, (_, i) => live(i));
  return stalled;
}

/** Somebody who reads, and comes back with the last cursor when cut off. */
export interface Reader {
  room: string;
  /** The last number that was received. */
  last: number;
  received: number;
  /** Messages that were left out, or came twice. */
  wrong: number;
  cuts: number;
  /** How long messages took since `forget` was called last, in ms. */
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
      // It comes back with the cursor of the last message that it has.
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
        // Again.
      }
    }
  }
  await open();
  return reader;
}
