import { ApolloClient, gql as apolloGql, InMemoryCache } from '@apollo/client';
import { Client, gql as urqlGql } from '@urql/core';
import fc from 'fast-check';
import { type DocumentNode, parse, print } from 'graphql';
import { expect, test } from 'vitest';
import { addMessage, cachePolicies, createChatLink } from '../../client/apollo.ts';
import { type ChatClient, createChatClient, errorOf } from '../../client/index.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import WebSocket from 'ws';
import { createAccounts } from '../support/accounts.ts';
import type { Person } from '../support/client.ts';
import { createRoom } from '../support/rooms.ts';
import { startTestServer, type TestServer, WIDE_LIMITS } from '../support/server.ts';
import { send } from '../support/world.ts';
import {
  type Action,
  MUTATIONS,
  READ_MARKS,
  ROOM_EVENTS,
  ROOM_QUERY,
  VIEWER_EVENTS,
  VIEWER_QUERY,
} from './wholePage.ts';

// Three users with a page each change rooms, messages, friends and blocks. The cache of each page receives the responses to
// the mutations of its user, some of them late, and the events. It must then contain what a new query returns.

/** Number of histories for each cache. `CONVERGENCE_RUNS=200` takes some minutes. */
const RUNS = Number(process.env['CONVERGENCE_RUNS'] ?? 2);
/** Time within which all pages must show the state that new queries return, in milliseconds. */
const SETTLE_TIMEOUT_MS = 10_000;

/** A client with a normalized cache. */
interface CacheClient {
  mutate(document: string, variables: object): Promise<void>;
  /** Shows the result of a query until the function returned is called. */
  watch(query: string, variables: object, listener: (data: any) => void): () => void;
  /** `onStarted` is called when the server has started the stream. */
  subscribe(document: string, variables: object, onStarted?: () => void): () => void;
  /** Sends a query and writes the response to the cache. */
  reload(query: string, variables: object): Promise<unknown>;
  /** Returns the cached result of a query; null if the cache lacks a field. */
  read(query: string, variables: object): any;
  stop(): void;
}

function openApollo(chat: ChatClient): CacheClient {
  const client = new ApolloClient({ link: createChatLink(chat), cache: new InMemoryCache(cachePolicies) });
  const add = (data: any) => {
    const [result] = Object.values<any>(data ?? {});
    if (['MessageAdded', 'SendMessagePayload'].includes(result?.__typename))
      addMessage(client.cache, result.message.chatroom.id, result.message);
  };
  return {
    async mutate(document, variables) {
      await client.mutate<any>({
        mutation: apolloGql(document),
        variables,
        update: (_cache, { data }) => {
          add(data);
        },
      });
    },
    watch(query, variables, listener) {
      const watching = client
        .watchQuery<any>({ query: apolloGql(query), variables })
        .subscribe(({ data, dataState }) => {
          if (dataState === 'complete') listener(data);
        });
      return () => {
        watching.unsubscribe();
      };
    },
    subscribe(document, variables, onStarted) {
      const following = client
        .subscribe<any>({ query: apolloGql(document), variables, context: { onStarted } })
        .subscribe(({ data }) => {
          add(data);
        });
      return () => {
        following.unsubscribe();
      };
    },
    reload: (query, variables) => client.query({ query: apolloGql(query), variables, fetchPolicy: 'network-only' }),
    read: (query, variables) => client.readQuery<any>({ query: apolloGql(query), variables }),
    stop() {
      client.stop();
    },
  };
}

function openUrql(chat: ChatClient): CacheClient {
  const client = new Client({
    ...{ url: 'http://unused.invalid', preferGetMethod: false, exchanges: [chatCacheExchange(), chatExchange(chat)] },
  });
  return {
    async mutate(document, variables) {
      const { error } = await client.mutation(urqlGql(document), variables).toPromise();
      if (error) throw error;
    },
    watch(query, variables, listener) {
      const watching = client.query<any>(urqlGql(query), variables).subscribe(({ data, stale }) => {
        if (data && !stale) listener(data);
      });
      return () => {
        watching.unsubscribe();
      };
    },
    subscribe(document, variables, onStarted) {
      const following = client.subscription(urqlGql(document), variables, { onStarted }).subscribe(() => undefined);
      return () => {
        following.unsubscribe();
      };
    },
    reload: (query, variables) =>
      client.query(urqlGql(query), variables, { requestPolicy: 'network-only' }).toPromise(),
    read: (query, variables) => {
      const context = { requestPolicy: 'cache-only' } as const;
      return client.readQuery<any>(urqlGql(query), variables, context)?.data ?? null;
    },
    stop: () => undefined,
  };
}

type Open = (chat: ChatClient) => CacheClient;

/** A page that shows the viewer's rooms and lists of users, and all rooms that it may see. */
class Page {
  readonly #client: CacheClient;
  readonly #chat: ChatClient;
  readonly #held: (() => void)[] = [];
  readonly #pending: Promise<unknown>[] = [];
  readonly #stops: (() => void)[] = [];
  readonly #rooms = new Map<string, () => void>();
  /** Whether the responses to mutations are delayed. */
  #isLate = false;
  /** Calls its listener when a response has arrived, before it may be delayed. */
  #onAnswer: () => void = () => undefined;
  readonly person: Person;

  constructor(open: Open, person: Person) {
    this.person = person;
    this.#chat = createChatClient({
      url: `${person.url}/graphql`,
      getAccessToken: () => person.accessToken,
      webSocketImpl: WebSocket,
    });
    const { request, subscribe } = this.#chat;
    this.#client = open({
      ...{ ...this.#chat, subscribe },
      request: async (document, variables, options) => {
        const result = await request(document, variables, options);
        if (!isMutation(document)) return result;
        this.#onAnswer();
        if (this.#isLate) await new Promise<void>((resolve) => this.#held.push(resolve));
        return result;
      },
    });
    this.#stops.push(
      this.#client.subscribe(VIEWER_EVENTS, {}),
      this.#client.watch(VIEWER_QUERY, {}, ({ viewer }) => {
        this.#show(viewer.chatrooms.edges.map(({ node }: any) => node.id));
      }),
    );
  }

  /** Opens the rooms of the list, and closes those that have vanished. */
  #show(ids: readonly string[]): void {
    for (const [id, close] of this.#rooms)
      if (!ids.includes(id)) {
        this.#rooms.delete(id);
        close();
      }
    for (const room of ids) {
      if (this.#rooms.has(room)) continue;
      const stops = [
        this.#client.subscribe(ROOM_EVENTS, { room }),
        // Read marks before the start of their stream are not sent.
        this.#client.subscribe(
          READ_MARKS,
          { room },
          () => void this.#client.reload(ROOM_QUERY, { room }).catch(() => 0),
        ),
        this.#client.watch(ROOM_QUERY, { room }, () => undefined),
      ];
      this.#rooms.set(room, () => {
        for (const stop of stops) stop();
      });
    }
  }

  /** Sends a mutation. Resolves when the server has executed it. The response is applied later if `isLate`. */
  async mutate(action: Action, variables: object, isLate: boolean): Promise<void> {
    const answered = new Promise<void>((resolve) => (this.#onAnswer = resolve));
    this.#isLate = isLate;
    const result = this.#client.mutate(MUTATIONS[action], variables).catch((error: unknown) => {
      // A history may contain changes that the rules refuse.
      if (!['NOT_FOUND', 'FORBIDDEN', 'BLOCKED', 'BAD_USER_INPUT'].includes(errorOf(error)?.code ?? '')) throw error;
    });
    this.#pending.push(result);
    await (isLate ? answered : result);
  }

  /** Applies all delayed responses. */
  async release(): Promise<void> {
    this.#isLate = false;
    for (const release of this.#held.splice(0)) release();
    await Promise.all(this.#pending);
  }

  /** Returns whether the page shows a message, or the viewer may not see it. */
  has(room: string, body: string): boolean {
    if (!this.#rooms.has(room)) return true;
    const messages = this.#client.read(ROOM_QUERY, { room })?.chatroom?.messages;
    return messages?.edges.some(({ node }: any) => node.body === body) ?? false;
  }

  /** Returns in what the cache differs from new queries. */
  async differences(rooms: readonly string[], isKnown: (path: string) => boolean): Promise<Difference[]> {
    const queries = [[VIEWER_QUERY, {}] as const, ...rooms.map((room) => [ROOM_QUERY, { room }] as const)];
    const found = await Promise.all(
      queries.map(async ([query, variables]) => {
        const fresh = comparable(await this.person.ask(query, variables));
        const cached = this.#client.read(query, variables);
        const isShown = !('room' in variables) || this.#rooms.has(variables.room);
        // A query that is not shown is loaded when it is.
        if (cached === null && !isShown) return [];
        return differ(comparable(cached), fresh, this.person.username);
      }),
    );
    return found.flat().filter(({ path }) => !isKnown(path));
  }

  close(): void {
    for (const stop of [...this.#stops, ...this.#rooms.values()]) stop();
    this.#client.stop();
    this.#chat.close();
  }
}

interface Difference {
  path: string;
  cached: unknown;
  fresh: unknown;
}

const isMutation = (document: unknown) =>
  print(typeof document === 'string' ? parse(document) : (document as DocumentNode)).startsWith('mutation');

/** Returns data without cursors, and with rooms in a fixed order, because the page sorts them by activity. */
function comparable(data: any): any {
  if (Array.isArray(data)) return data.map(comparable);
  if (typeof data !== 'object' || data === null) return data;
  const entries = Object.entries(data)
    .filter(([key]) => !/^(startCursor|endCursor|cursor)$/.test(key))
    .map(([key, value]) => [key, comparable(value)]);
  const result = Object.fromEntries(entries);
  if (result.__typename === 'ChatroomConnection')
    result.edges.sort((a: any, b: any) => (a.node.id < b.node.id ? -1 : 1));
  return result;
}

/** Returns the paths at which two values differ, with both values. */
function differ(cached: any, fresh: any, path: string): Difference[] {
  if (Object.is(cached, fresh)) return [];
  if (typeof cached !== 'object' || typeof fresh !== 'object' || !cached || !fresh) return [{ path, cached, fresh }];
  const keys = new Set([...Object.keys(cached), ...Object.keys(fresh)]);
  return [...keys].flatMap((key) => differ(cached[key], fresh[key], `${path}.${key}`));
}

const step = fc.record({
  action: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<Action[]>('send', 'edit', 'react') },
    { weight: 4, arbitrary: fc.constantFrom(...(Object.keys(MUTATIONS) as Action[])) },
  ),
  actor: fc.nat(2),
  /** The other user whom the action is about: one of the two others. */
  other: fc.integer({ min: 1, max: 2 }),
  room: fc.nat(1),
  message: fc.nat(4),
  isReply: fc.boolean(),
  isLate: fc.boolean(),
  value: fc.nat(3),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const NEWEST = 'query ($room: ID!) { chatroom(id: $room) { messages(last: 5) { nodes { id } } } }';

let runs = 0;

/** Runs one history with new users and rooms, and compares each page with new queries. */
async function play(server: TestServer, open: Open, steps: readonly Step[]): Promise<void> {
  runs += 1;
  const names = ['ann', 'ben', 'cem', 'dot'].map((name) => `${name}${runs}`);
  const people = (await createAccounts(server.node, server.url, names)) as [Person, Person, Person, Person];
  const [ann, ben, cem, dot] = people;
  // Nobody blocks or removes dot, who sends the last message of each room.
  const rooms = [
    await createRoom(ann, { kind: 'GROUP', name: 'Group', memberIds: [ben.id, cem.id, dot.id] }),
    await createRoom(ben, { kind: 'OPEN', name: `Open ${runs}`, memberIds: [ann.id, dot.id] }),
  ];
  for (const room of rooms) await send(dot, room, 'first');
  const pages = [ann, ben, cem].map((person) => new Page(open, person));
  try {
    await settle(pages, rooms, []);
    for (const each of steps) await run(each, pages, rooms, dot);
    for (const room of rooms) await send(dot, room, 'last');
    await expect.poll(() => pages.every((page) => rooms.every((room) => page.has(room, 'last')))).toBe(true);
    for (const page of pages) await page.release();
    await settle(pages, rooms, steps);
  } finally {
    for (const page of pages) page.close();
  }
}

/** Waits until each page shows what new queries return. */
async function settle(pages: readonly Page[], rooms: readonly string[], steps: readonly Step[]): Promise<void> {
  const hasBlock = steps.some(({ action }) => action === 'block');
  // A block hides read marks. No event tells the blocked user. The stream of read marks is not in order with other streams.
  const isKnown = (path: string) => hasBlock && /members.*lastReadNumber$/.test(path);
  for (const page of pages)
    await expect.poll(() => page.differences(rooms, isKnown), { timeout: SETTLE_TIMEOUT_MS }).toEqual([]);
}

async function run(each: Step, pages: readonly Page[], rooms: readonly string[], dot: Person): Promise<void> {
  const { action, actor, isLate, value } = each;
  const page = pages[actor] as Page;
  const room = rooms[each.room] as string;
  const { chatroom } = await dot.ask(NEWEST, { room });
  const message = chatroom.messages.nodes.at(-1 - each.message)?.id ?? chatroom.messages.nodes[0].id;
  const user = (pages[(actor + each.other) % pages.length] as Page).person.id;
  if (action === 'send') {
    const clientMessageId = crypto.randomUUID();
    const input = { chatroomId: room, body: `Text ${value}`, clientMessageId };
    await page.mutate('send', { input: { ...input, ...(each.isReply ? { replyToId: message } : {}) } }, isLate);
    return;
  }
  const role = ['MEMBER', 'ADMIN', 'OWNER'][value % 3];
  const values = { body: `Edited ${value}`, emoji: ['👍', '🎉'][value % 2], name: `Room ${value} ${runs}`, role };
  await page.mutate(action, { ...values, message, room, user }, isLate);
}

test.each([
  ['Apollo Client', openApollo],
  ['urql', openUrql],
] as const)('the cache of %s becomes what new queries return', { timeout: 600_000 }, async (_name, open) => {
  const server = await startTestServer({ env: WIDE_LIMITS });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), (steps) => play(server, open, steps)),
    { numRuns: RUNS, endOnFailure: true },
  );
});
