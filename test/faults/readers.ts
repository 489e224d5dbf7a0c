import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { type Cast, insist, type Person, pick, type Random, type Room } from './clients.ts';
import type { ClusterNode } from './cluster.ts';
import type { History } from './history.ts';
import { type Proxy, startProxy } from './proxy.ts';

export interface Reader {
  name: string;
  user: string;
  /** The rooms that it has to hear of. */
  rooms: readonly Room[];
  /** The last number that it knows of each room. */
  last: Record<string, number>;
  received: number;
  /** Changes nodes no more of its own accord. */
  settle: () => void;
  stop: () => Promise<void>;
}

export interface ReaderOptions {
  nodes: readonly ClusterNode[];
  cast: Cast;
  history: History;
  random: Random;
}

/** What is asked of each event takes statements of its own, which may fail after it was found readable. */
const subscription = (more: string) => `subscription ($room: ID, $after: String) {
  messageAdded(chatroomId: $room, after: $after) {
    cursor message { id number kind body sender { id username } ${more} }
  }
}`;
// Answers that are the same for everybody are shared by those who ask; these are the viewer's own.
const OF_ONE = subscription('chatroom { name unreadCount }');
const OF_ALL = subscription('');
const CURSORS = `query { viewer { cursor chatrooms(first: 100) { nodes { name cursor lastMessage { number } } } } }`;

/** Readers of both kinds for everybody, and slow ones, whose own proxies come with them. */
export async function startReaders(options: ReaderOptions): Promise<{ readers: Reader[]; slow: Proxy[] }> {
  const { cast } = options;
  const readers: Reader[] = [];
  const slow: Proxy[] = [];
  const place = (i: number) => cast.rooms[i % cast.rooms.length] ?? null;
  // One kind for each of those who come and go: each event that is received costs a node four statements.
  const plan = [
    ...cast.steady.flatMap((person, i) => [
      { person, room: place(i) },
      { person, room: null },
    ]),
    ...[...cast.volatile, ...cast.blockers].map((person, i) => ({ person, room: i % 2 === 0 ? place(i / 2) : null })),
  ];
  for (const { person, room } of plan) readers.push(await startReader(options, person, room, null));
  for (const person of cast.slow) {
    for (const room of [place(2), null]) {
      const own = await startProxy();
      slow.push(own);
      readers.push(await startReader(options, person, room, own));
    }
  }
  return { readers, slow };
}

/** A socket that is given up while it is being opened says so; without a listener that would end this process. */
class PatientSocket extends WebSocket {
  constructor(url: string, protocols?: string | string[]) {
    super(url, protocols);
    this.on('error', () => undefined);
  }
}

/** Reads one room, or all rooms, and comes back with its last cursor whenever it is cut off. */
async function startReader(
  { nodes, cast, history, random }: ReaderOptions,
  person: Person,
  room: Room | null,
  own: Proxy | null,
): Promise<Reader> {
  const name = `${person.username} in ${room?.name ?? 'all rooms'}`;
  const reader: Reader = {
    ...{ name, user: person.username, rooms: room ? [room] : cast.rooms, last: {}, received: 0 },
    settle() {
      settled = true;
    },
    async stop() {
      stopped = true;
      hangUp();
      await reading;
    },
  };
  let stopped = false;
  let settled = false;
  let cursor = '';
  let stream = 0;
  let hangUp: () => void = () => undefined;

  /** Asks where its rooms stand, and takes that for known. False while it is no member. */
  async function begin(): Promise<boolean> {
    const { data } = await insist(nodes, random, person, CURSORS, {});
    const found: any[] = data?.viewer.chatrooms.nodes ?? [];
    const own = found.filter((each) => reader.rooms.some((wanted) => wanted.name === each.name));
    cursor = room ? own[0]?.cursor : data?.viewer.cursor;
    if (!cursor) return false;
    const known = Object.fromEntries(own.map((each) => [each.name as string, each.lastMessage?.number ?? 0]));
    Object.assign(reader.last, known);
    history.note({ who: name, what: 'began', user: person.username, ofOneRoom: room !== null, known });
    return true;
  }

  /** Out of the message's id, which clients do not look into: its chatroom would cost the node one more statement. */
  function roomOf(messageId: string): string {
    const [, key = ''] = decode(messageId).split(':');
    return cast.rooms.find(({ id }) => decode(id).endsWith(key))?.name ?? key;
  }

  function take(event: any, now: number): void {
    const { number, id, body } = event.message;
    const room = roomOf(id);
    reader.received += 1;
    reader.last[room] = Math.max(number, reader.last[room] ?? 0);
    cursor = event.cursor;
    history.note({ who: name, what: 'received', stream: now, room, number, id, body, cursor });
  }

  /** One socket with one stream. Answers how it ended. */
  function read(): Promise<string> {
    const node = pick(random, nodes);
    const now = (stream += 1);
    own?.aim(node.front.port);
    const patience: { timer?: NodeJS.Timeout } = {};
    return new Promise((resolve) => {
      let over = false;
      let failure = 'COMPLETE';
      const end = (code: string) => {
        if (over) return;
        over = true;
        clearTimeout(patience.timer);
        hangUp = () => undefined;
        client.terminate();
        history.note({ who: name, what: 'ended', stream: now, code });
        resolve(code);
      };
      const client = createClient({
        url: `${own ? `ws://127.0.0.1:${own.port}` : node.url.replace('http', 'ws')}/graphql`,
        webSocketImpl: PatientSocket,
        connectionParams: { authorization: `Bearer ${person.token}` },
        retryAttempts: 0,
        connectionAckWaitTimeout: 5_000,
        // One that reads slowly cannot tell a node that hangs from its own slowness.
        keepAlive: own ? 0 : 3_000,
        on: {
          connected() {
            history.note({ who: name, what: 'subscribed', stream: now, node: node.index, cursor });
          },
          ping(heard) {
            if (!heard)
              patience.timer = setTimeout(() => {
                end('NO_PONG');
              }, 4_000);
          },
          pong(heard) {
            if (heard) clearTimeout(patience.timer);
          },
        },
      });
      hangUp = () => {
        end('HUNG_UP');
      };
      const variables = { after: cursor, ...(room ? { room: room.id } : {}) };
      client.subscribe(
        { query: room ? OF_ONE : OF_ALL, variables },
        {
          next({ data, errors }) {
            if (over) return;
            if (!errors) return take((data as any).messageAdded, now);
            // It reads on, as clients do: what comes next must not leave out what failed.
            failure = codeOf(errors);
            history.note({ who: name, what: 'failed', stream: now, code: failure });
          },
          error(error) {
            end(codeOf(error));
          },
          complete() {
            // What is refused is one result with errors.
            end(failure);
          },
        },
      );
    });
  }

  async function readOn(): Promise<void> {
    while (!stopped) {
      const hop = setTimeout(
        () => {
          if (!settled) hangUp();
        },
        15_000 + random() * 25_000,
      );
      const code = await read();
      clearTimeout(hop);
      if (code === 'RESYNC_REQUIRED') while (!stopped && !(await begin())) await sleep(300);
      // At once after a cut, as the first reconnection of a client is; later where that is of no use.
      await sleep(code === 'HUNG_UP' ? random() * 50 : 100 + random() * 200);
    }
  }

  while (!(await begin())) await sleep(100);
  const reading = readOn();
  return reader;
}

/** The code of a failure: that of GraphQL errors, or with which the socket was closed. */
function codeOf(error: unknown): string {
  if (Array.isArray(error)) return String((error[0] as { extensions?: { code?: string } }).extensions?.code);
  const { code, message } = error as { code?: number; message?: string };
  return code === undefined ? `NETWORK ${message ?? ''}` : `CLOSED ${code}`;
}

function decode(id: string): string {
  return Buffer.from(id, 'base64url').toString();
}
