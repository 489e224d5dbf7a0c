import { setTimeout as sleep } from 'node:timers/promises';
import { type Cast, insist, type Person, pick, type Random, type Room } from './clients.ts';
import type { ClusterNode } from './cluster.ts';
import type { History } from './history.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { type Open, overSse, overWebSocket } from './streams.ts';

export interface Reader {
  name: string;
  user: string;
  /** Rooms that the reader must receive. */
  rooms: readonly Room[];
  /** Last known number of each room. */
  last: Record<string, number>;
  received: number;
  /** Stops the reader from changing nodes voluntarily. */
  settle: () => void;
  stop: () => Promise<void>;
}

export interface ReaderOptions {
  nodes: readonly ClusterNode[];
  cast: Cast;
  history: History;
  random: Random;
}

/** The room or all rooms, field and transport of a reader. */
interface Plan {
  person: Person;
  room: Room | null;
  field?: 'chatroomEvents';
  /** Selects viewer-dependent fields. */
  personal?: boolean;
  open?: Open;
  /** A separate proxy, which can be slowed down. */
  own?: Proxy;
}

/**
 * Fields of each message that need separate statements, which may fail after the message was found readable. Results
 * that do not depend on the viewer are shared. These fields are viewer-dependent and name the viewer.
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

/** Starts readers of all kinds for every user, and slow ones with separate proxies. */
export async function startReaders(options: ReaderOptions): Promise<{ readers: Reader[]; slow: Proxy[] }> {
  const { cast } = options;
  const slow: Proxy[] = [];
  const place = (i: number) => cast.rooms[i % cast.rooms.length] ?? null;
  // Volatile members have one kind each. Few readers select viewer-dependent fields, because backlogs of many would be
  // costly.
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
    // Readers of one room may share results, except for viewer-dependent fields.
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

/** Reads one room or all rooms. Reconnects with the last cursor after each disconnect. */
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

  /** Loads the position of each room by query. Returns false while the user is not a member. */
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

  /** Decodes the room from the message's id. Selecting the chatroom would cost the node another statement. */
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

  /** Opens one stream on a separate connection. Returns the code of its end. */
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
      // Reconnects at once after a disconnect, like the first attempt of a client. Waits longer if that cannot succeed.
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
