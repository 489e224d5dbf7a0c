import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../clients.ts';

/** A signed-in user, who is a member of all rooms. */
export interface Person {
  id: string;
  token: string;
}

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken viewer { user { id } } } }`;
const CREATE = `mutation ($input: CreateChatroomInput!) { createChatroom(input: $input) { chatroom { id } } }`;
const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { number } } }`;

async function ask(url: string, token: string | null, query: string, variables: object): Promise<any> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as { data?: any; errors?: unknown };
  if (errors) throw new Error(`${query}\n${JSON.stringify(errors)}`);
  return data;
}

/** Signs users up, and creates rooms in which all of them are members. */
export async function gather(url: string, names: readonly string[], roomCount: number) {
  const people: Person[] = [];
  for (const username of names) {
    const { signUp } = await ask(url, null, SIGN_UP, { input: { username, password: 'correct horse' } });
    people.push({ id: signUp.viewer.user.id, token: signUp.accessToken });
  }
  const [owner, ...others] = people;
  const rooms: string[] = [];
  for (let i = 0; i < roomCount; i += 1) {
    const input = { kind: 'GROUP', name: `Room ${i}`, memberIds: others.map(({ id }) => id) };
    const { createChatroom } = await ask(url, owner?.token ?? null, CREATE, { input });
    rooms.push(createChatroom.chatroom.id);
  }
  return { people, rooms };
}

export interface Writing {
  /** Last number of each room. */
  last: Map<string, number>;
  acknowledged: number;
  failed: number;
  /** Resolves when all sent messages have a response. */
  stop(): Promise<void>;
}

/** Maximum number of messages in flight. With a hanging node, a steady rate would otherwise accumulate requests. */
const MOST_UNDER_WAY = 20;

/** Sends at a steady rate. Each message begins with the time at which it was sent. */
export function startWriting(
  url: string,
  { people, rooms }: { people: readonly Person[]; rooms: readonly string[] },
  perSecond: number,
  random: Random,
): Writing {
  const underWay = new Set<Promise<void>>();
  const writing: Writing = {
    ...{ last: new Map(), acknowledged: 0, failed: 0 },
    async stop() {
      clearInterval(timer);
      while (underWay.size > 0) await Promise.race([...underWay, sleep(100)]);
    },
  };
  let sent = 0;

  async function send(): Promise<void> {
    const room = rooms[sent % rooms.length] ?? '';
    const person = people[(sent += 1) % people.length];
    // Typical lengths of messages: mostly a line, sometimes a page.
    const length = random() < 0.05 ? 4_000 : 20 + random() ** 3 * 600;
    const body = `${performance.now()} ${'word '.repeat(length / 5)}`;
    try {
      const { sendMessage } = await ask(url, person?.token ?? null, SEND, { input: { chatroomId: room, body } });
      writing.acknowledged += 1;
      writing.last.set(room, Math.max(sendMessage.message.number, writing.last.get(room) ?? 0));
    } catch {
      writing.failed += 1;
    }
  }

  let owed = 0;
  const timer = setInterval(() => {
    owed = Math.min(owed + perSecond / 50, MOST_UNDER_WAY);
    for (; owed >= 1 && underWay.size < MOST_UNDER_WAY; owed -= 1) {
      const sending = send().finally(() => underWay.delete(sending));
      underWay.add(sending);
    }
  }, 20);
  return writing;
}
