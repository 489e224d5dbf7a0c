import { setTimeout as sleep } from 'node:timers/promises';
import { type Cast, insist, type Person, pick, type Random, type Room } from './clients.ts';
import type { ClusterNode } from './cluster.ts';
import type { History } from './history.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { type Open, overSse, overWebSocket } from './streams.ts';

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

/** What a reader reads: one room or all of them, by which field, and over what. */
interface Plan {
  person: Person;
  room: Room | null;
  field?: 'chatroomEvents';
  /** It asks for what is its own. */
  personal?: boolean;
  open?: Open;
  /** A way of its own, which can be made slow. */
  own?: Proxy;
}

/**
 * What is asked of each message takes statements of its own, which may fail after it was found readable. Answers that are
 * the same for everybody are shared by those who ask; these are the viewer's own, and say whose.
 */
const PERSONAL = 'chatroom { name unreadCount viewerMembership { user { username } } }';
const message = (more: string) => `message { id number kind body sender { id username } ${more} }`;
const ofOne = (more: string) => `subscription ($room: ID, $after: String) {
  messageAdded(chatroomId: $room, after: $after) { cursor ${message(more)} }
}`;
const OF_ALL = `subscription ($after: String) { messageAdded(after: $after) { cursor ${message('')} } }`;
const EVENTS = `subscription ($room: ID!, $after: String) {
  chatroomEvents(chatroomId: $room, after: $after) { cursor ... on MessageAdded { ${message('')} } }
}`;
const CURSORS = `query { viewer { cursor chatrooms(first: 100) { nodes { name cursor lastMessage { number } } } } }`;

/** Readers of all kinds for everybody, and slow ones, whose own proxies come with them. */
export async function startReaders(options: ReaderOptions): Promise<{ readers: Reader[]; slow: Proxy[] }> {
  const { cast } = options;
  const slow: Proxy[] = [];
  const place = (i: number) => cast.rooms[i % cast.rooms.length] ?? null;
  // One kind for each of those who come and go, and few that ask for more: what is missed by many is much to make up for.
  const plans: Plan[] = [
    ...cast.steady.flatMap((person, i): Plan[] => {
      const over = i % 2 === 0 ? {} : { open: overSse };
      return [
        { person, room: place(i), personal: i === 0 },
        { person, room: null, ...over },
        { person, room: place(i + 2), field: 'chatroomEvents', ...over },
      ];
    }),
    ...cast.steady.slice(0, 1).map((person) => ({ person, room: place(1), open: overSse })),
    // Those who ask the same of one room may be told the same, but for what is their own.
    ...[...cast.volatile, ...cast.blockers].map((person, i) => ({
      ...{ person, room: i % 2 === 0 ? place(0) : null, personal: i % 2 === 0 },
    })),
  ];
  for (const person of cast.slow)
    for (const room of [place(2), null]) {
      const own = await startProxy();
      slow.push(own);
      plans.push({ person, room, own });
    }
  const readers: Reader[] = [];
  for (const plan of plans) readers.push(await startReader(options, plan));
  return { readers, slow };
}

/** Reads one room, or all rooms, and comes back with its last cursor whenever it is cut off. */
async function startReader(
  { nodes, cast, history, random }: ReaderOptions,
  { person, room, field, personal, open = overWebSocket, own }: Plan,
): Promise<Reader> {
  const how = `${field ? ', all events' : ''}${open === overSse ? ', over SSE' : ''}`;
  const name = `${person.username} in ${room?.name ?? 'all rooms'}${how}`;
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
    cursor = event.cursor;
    if (!event.message) return;
    const { number, id, body, chatroom } = event.message;
    const room = roomOf(id);
    const viewer = chatroom?.viewerMembership?.user.username as string | undefined;
    reader.received += 1;
    reader.last[room] = Math.max(number, reader.last[room] ?? 0);
    history.note({ who: name, what: 'received', stream: now, room, number, id, body, cursor, viewer });
  }

  /** One stream on a connection of its own. Answers how it ended. */
  function read(): Promise<string> {
    const node = pick(random, nodes);
    const now = (stream += 1);
    own?.aim(node.front.port);
    return new Promise((resolve) => {
      const asked = {
        ...{ url: own ? `http://127.0.0.1:${own.port}` : node.url, token: person.token, patient: own !== undefined },
        query: field ? EVENTS : room ? ofOne(personal ? PERSONAL : '') : OF_ALL,
        variables: { after: cursor, ...(room ? { room: room.id } : {}) },
      };
      hangUp = open(asked, {
        onOpen() {
          history.note({ who: name, what: 'subscribed', stream: now, node: node.index, cursor });
        },
        onEvent(data) {
          take(data.chatroomEvents ?? data.messageAdded, now);
        },
        onFailure(code) {
          history.note({ who: name, what: 'failed', stream: now, code });
        },
        onEnd(code) {
          hangUp = () => undefined;
          history.note({ who: name, what: 'ended', stream: now, code });
          resolve(code);
        },
      });
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

function decode(id: string): string {
  return Buffer.from(id, 'base64url').toString();
}
