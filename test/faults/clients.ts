import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterNode } from './cluster.ts';
import type { History } from './history.ts';

export interface Person {
  id: string;
  username: string;
  token: string;
}

export interface Room {
  /** Name of the room in the history and in the database. */
  name: string;
  id: string;
}

/** Participants. All are members of all rooms. Only volatile members are ever removed. */
export interface Cast {
  rooms: Room[];
  admin: Person;
  writers: Person[];
  steady: Person[];
  slow: Person[];
  volatile: Person[];
  blockers: Person[];
}

export type Random = () => number;
export const pick = <Item>(random: Random, items: readonly Item[]): Item =>
  items[Math.floor(random() * items.length)] as Item;

type Answer = { data: any; code?: never } | { data?: never; code: string };

/** Codes that leave unknown whether the operation took effect. */
const uncertain = (code: string) => ['NETWORK', 'TIMEOUT', 'INTERNAL_SERVER_ERROR'].includes(code);

/** Sends one operation over HTTP. Never throws. */
export async function ask(
  url: string,
  token: string | null,
  query: string,
  variables: object,
  ms = 12_000,
): Promise<Answer> {
  try {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(ms),
    });
    const { data, errors } = (await response.json()) as { data?: any; errors?: { extensions: { code: string } }[] };
    return errors?.[0] ? { code: errors[0].extensions.code } : { data };
  } catch (error) {
    return { code: (error as Error).name === 'TimeoutError' ? 'TIMEOUT' : 'NETWORK' };
  }
}

/** Tries one node after another until a response shows the outcome. */
export async function insist(
  nodes: readonly ClusterNode[],
  random: Random,
  person: Person | null,
  query: string,
  variables: object,
  /** Receives the nodes that may have executed the operation, or may still do so. */
  doubtful = new Set<ClusterNode>(),
): Promise<Answer> {
  for (;;) {
    const node = pick(random, nodes);
    const answer = await ask(node.url, person?.token ?? null, query, variables, 4_000);
    if (answer.code === undefined || !uncertain(answer.code)) return answer;
    doubtful.add(node);
    await sleep(100 + random() * 200);
  }
}

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken viewer { user { id username } } } }`;
const CREATE = `mutation ($input: CreateChatroomInput!) { createChatroom(input: $input) { chatroom { id } } }`;

/** Timeout in milliseconds for setup requests, which run once before any fault. A busy machine may need this long. */
const GATHER_MS = 60_000;

/** Creates accounts and rooms, with one attempt each. A retry would create another room, or find the name taken. */
export async function gather(nodes: readonly ClusterNode[], random: Random, roomCount: number): Promise<Cast> {
  async function make(person: Person | null, query: string, input: object): Promise<any> {
    const { data, code } = await ask(pick(random, nodes).url, person?.token ?? null, query, { input }, GATHER_MS);
    if (code !== undefined) throw new Error(`${query}\n${JSON.stringify(input)}\n${code}`);
    return data;
  }
  async function signUp(username: string): Promise<Person> {
    const { signUp } = await make(null, SIGN_UP, { username, password: 'correct horse' });
    return { ...signUp.viewer.user, token: signUp.accessToken };
  }
  const several = (name: string, count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => signUp(`${name}-${i}`)));
  const admin = await signUp('admin');
  const people = {
    writers: await several('writer', 4),
    steady: await several('steady', 2),
    slow: await several('slow', 1),
    volatile: await several('volatile', 2),
    blockers: await several('blocker', 2),
  };
  const memberIds = Object.values(people).flatMap((group) => group.map((person) => person.id));
  const rooms: Room[] = [];
  for (let i = 0; i < roomCount; i += 1) {
    const name = `room-${i}`;
    const { createChatroom } = await make(admin, CREATE, { kind: 'GROUP', name, memberIds });
    rooms.push({ name, id: createChatroom.chatroom.id });
  }
  return { rooms, admin, ...people };
}

const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id number } } }`;

export interface Writing {
  counts: { sent: number; acknowledged: number };
  /** Sends a last message to each room after all others. A reader that has received it is complete. */
  stop(): Promise<void>;
}

/** Maximum number of messages in flight. With a hanging node, a steady rate would otherwise accumulate requests. */
const MOST_UNDER_WAY = 100;

/**
 * Sends at a steady rate. Each message goes from a random sender to a random room over a random node, until it is
 * acknowledged.
 */
export function startWriters(options: {
  nodes: readonly ClusterNode[];
  cast: Cast;
  history: History;
  random: Random;
  perSecond: number;
}): Writing {
  const { nodes, cast, history, random, perSecond } = options;
  const underWay = new Set<Promise<void>>();
  const counts = { sent: 0, acknowledged: 0 };
  let owed = 0;

  async function send(writer: Person, room: Room, mayGiveUp: boolean): Promise<void> {
    const clientMessageId = `${writer.username}:${(counts.sent += 1)}`;
    // Long messages fill the buffers of a stalled reader.
    const body = random() < 0.05 ? `${clientMessageId} ${'long '.repeat(1_000)}` : clientMessageId;
    const input = { chatroomId: room.id, body, clientMessageId };
    const who = writer.username;
    history.note({ who, what: 'sending', room: room.name, clientMessageId, body });
    for (let tries = 1; ; tries += 1) {
      // An impatient client retries while the first attempt may still be running.
      const patience = random() < 0.7 ? 2_500 : 12_000;
      const { data, code } = await ask(pick(random, nodes).url, writer.token, SEND, { input }, patience);
      if (code === undefined) {
        const { number, id } = data.sendMessage.message;
        counts.acknowledged += 1;
        history.note({ who, what: 'acknowledged', room: room.name, clientMessageId, number, id });
        return;
      }
      if (!uncertain(code)) {
        // An earlier attempt may still have stored the message.
        history.note({ who, what: tries > 1 ? 'unknown' : 'refused', clientMessageId, code });
        return;
      }
      if (mayGiveUp && random() < 0.03) {
        history.note({ who, what: 'unknown', clientMessageId, code });
        return;
      }
      history.note({ who, what: 'retrying', clientMessageId, code });
      await sleep(50 + random() * 300);
    }
  }

  const timer = setInterval(() => {
    owed = Math.min(owed + perSecond / 50, MOST_UNDER_WAY);
    while (owed >= 1 && underWay.size < MOST_UNDER_WAY) {
      owed -= 1;
      const sending = send(pick(random, cast.writers), pick(random, cast.rooms), true).finally(() =>
        underWay.delete(sending),
      );
      underWay.add(sending);
    }
  }, 20);
  return {
    counts,
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
      for (const room of cast.rooms) await send(pick(random, cast.writers), room, false);
    },
  };
}
