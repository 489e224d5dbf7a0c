import { ApolloClient, gql as apolloGql, InMemoryCache } from '@apollo/client';
import { Client, gql as urqlGql } from '@urql/core';
import fc from 'fast-check';
import { type DocumentNode, parse, print } from 'graphql';
import { expect, test } from 'vitest';
import { addMessage, cachePolicies, createChatLink } from '../../client/apollo.ts';
import { type ChatClient, createChatClient, errorOf } from '../../client/index.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import WebSocket from 'ws';
import { sql } from '../../src/platform/database/database.ts';
import { createAccounts } from '../support/accounts.ts';
import { PASSWORD, type Person } from '../support/client.ts';
import { attach, PNG, textFile } from '../support/files.ts';
import { createRoom, REACT } from '../support/rooms.ts';
import { SEED } from '../support/seed.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { servePages } from '../support/web.ts';
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

// Three users with a page each change rooms, messages, files, link previews, friends and blocks, also on other devices. The cache of each page receives
// the responses to the mutations of its user, some of them late, and the events. It must then contain what a new query returns.

/** Number of histories for each cache. `CONVERGENCE_RUNS=200` takes some minutes. */
const RUNS = Number(process.env['CONVERGENCE_RUNS'] ?? 2);
/** Timeout of a history in milliseconds. A history takes 0.5 s on an idle machine. */
const HISTORY_TIMEOUT_MS = 20_000;
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

/** Prints an error that ends a stream, except for the end of a membership. The caches would then differ without a reason. */
function onSubscriptionError(error: unknown): void {
  if (error && errorOf(error)?.code !== 'NOT_FOUND') console.error(error);
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
        .subscribe(({ data, error }) => {
          onSubscriptionError(error);
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
      const following = client.subscription(urqlGql(document), variables, { onStarted }).subscribe(({ error }) => {
        onSubscriptionError(error);
      });
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

/** How a mutation is sent. */
interface Way {
  isLate: boolean;
  isElsewhere: boolean;
}

const REFUSALS = ['NOT_FOUND', 'FORBIDDEN', 'BLOCKED', 'BAD_USER_INPUT'];

/** Accepts errors of changes that the rules refuse. Throws all others. */
function onRefusal(errors: any[] = [], error: unknown = new Error(JSON.stringify(errors))): void {
  if (errors.some(({ extensions }) => !REFUSALS.includes(extensions?.code))) throw error;
}

/** A page that shows the viewer's rooms and lists of users, and all rooms that it may see. */
class Page {
  readonly #client: CacheClient;
  readonly #chat: ChatClient;
  readonly #held: (() => void)[] = [];
  readonly #pending: Promise<unknown>[] = [];
  readonly #stops: (() => void)[] = [];
  readonly #rooms = new Map<string, () => void>();
  #isListed = false;
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
        this.#isListed = true;
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

  /**
   * Sends a mutation. Resolves when the server has executed it. The response is applied later if `isLate`. If `isElsewhere`,
   * another device of the user sends the mutation.
   */
  async mutate(action: keyof typeof MUTATIONS, variables: object, { isLate, isElsewhere }: Way): Promise<void> {
    if (isElsewhere) {
      onRefusal((await this.person.connect().ask(MUTATIONS[action], variables)).errors);
      return;
    }
    const answered = new Promise<void>((resolve) => (this.#onAnswer = resolve));
    this.#isLate = isLate;
    const result = this.#client.mutate(MUTATIONS[action], variables).catch((error: unknown) => {
      onRefusal([{ extensions: { code: errorOf(error)?.code } }], error);
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

  /** Returns whether the page has loaded its list of rooms and each of these rooms. */
  isLoaded(): boolean {
    const rooms = [...this.#rooms.keys()];
    return this.#isListed && rooms.every((room) => this.#client.read(ROOM_QUERY, { room }) !== null);
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
        // The cache of a room that the page has closed may be empty. A page that opens the room loads it.
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

/**
 * Returns data without cursors, which differ between two responses to the same query. Sorts rooms by their ids, because no
 * event contains the order of the list, so pages sort it by `lastMessageAt`.
 */
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
    { weight: 2, arbitrary: fc.constantFrom<Action[]>('sendFile', 'sendPreview', 'sendLink', 'removePreview') },
    { weight: 2, arbitrary: fc.constantFrom<Action[]>('avatar', 'sendDirect', 'hide') },
    { weight: 5, arbitrary: fc.constantFrom(...(Object.keys(MUTATIONS) as Action[]), 'deleteAccount' as const) },
  ),
  actor: fc.nat(2),
  /** The other user whom the action is about: one of the two others. */
  other: fc.integer({ min: 1, max: 2 }),
  room: fc.nat(1),
  message: fc.nat(4),
  isReply: fc.boolean(),
  isLate: fc.boolean(),
  isElsewhere: fc.nat(3).map((n) => n === 0),
  value: fc.nat(3),
});
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const NEWEST = `query ($room: ID!) {
  chatroom(id: $room) { messages(last: 5) { nodes { id linkPreviews { id } } } }
}`;
const DELETE_ACCOUNT = `mutation ($password: String) { deleteAccount(input: { password: $password }) { ok } }`;
const PREVIEW = 'query ($url: String!) { linkPreview(url: $url) { id } }';

interface World {
  server: TestServer;
  /** Returns the URL of a web page with this path. */
  urlOf: (path: string) => string;
  /** The rooms of dot. */
  rooms: string[];
  /** The DIRECT rooms of the users. */
  direct: Set<string>;
  pages: readonly Page[];
  /** A member of both rooms whom nobody blocks or removes. */
  dot: Person;
  /** A member of both rooms without a page, who has written and reacted. Empty after the account has been deleted. */
  leavers: Person[];
}

/** Number of histories so far, which makes the names of a history unique. */
let runs = 0;

/** Runs one history with new users and rooms, and compares each page with new queries. */
async function play(
  { server, urlOf }: Pick<World, 'server' | 'urlOf'>,
  open: Open,
  steps: readonly Step[],
): Promise<void> {
  runs += 1;
  const names = ['ann', 'ben', 'cem', 'dot', 'eve'].map((name) => `${name}${runs}`);
  const people = (await createAccounts(server.node, server.url, names)) as [Person, Person, Person, Person, Person];
  const [ann, ben, cem, dot, eve] = people;
  const rooms = [
    await createRoom(ann, { kind: 'GROUP', name: 'Group', memberIds: [ben.id, cem.id, dot.id, eve.id] }),
    await createRoom(ben, { kind: 'OPEN', name: `Open ${runs}`, memberIds: [ann.id, dot.id, eve.id] }),
  ];
  for (const room of rooms) {
    await eve.ask(REACT, await send(dot, room, 'first'));
    await send(eve, room, 'of eve');
  }
  const pages = [ann, ben, cem].map((person) => new Page(open, person));
  const world: World = { server, urlOf, rooms, direct: new Set(), pages, dot, leavers: [eve] };
  try {
    await expect.poll(() => pages.every((page) => page.isLoaded()), { interval: 5 }).toBe(true);
    for (const each of steps) await run(each, world);
    await jobsDone(server);
    const { viewer } = await dot.ask('{ viewer { chatrooms(first: 10) { nodes { id } } } }');
    const kept = viewer.chatrooms.nodes.map(({ id }: { id: string }) => id);
    for (const room of kept) await send(dot, room, 'last');
    const haveLast = () => pages.every((page) => kept.every((room: string) => page.has(room, 'last')));
    await expect.poll(haveLast, { interval: 5 }).toBe(true);
    for (const page of pages) await page.release();
    await settle(world, steps);
  } finally {
    for (const page of pages) page.close();
  }
}

/** Waits until the server has processed all files and found all link previews. */
async function jobsDone({ node }: TestServer): Promise<void> {
  const waiting = async () => {
    const [row] = await node.database.query<{ count: number }>(sql`
      SELECT count(*)::int AS count FROM graphile_worker.jobs
        WHERE task_identifier IN ('preview_links', 'process_attachment')`);
    return row?.count;
  };
  await expect.poll(waiting, { interval: 20 }).toBe(0);
}

/** Waits until each page shows what new queries return. */
async function settle({ pages, rooms, direct }: World, steps: readonly Step[]): Promise<void> {
  const hasBlock = steps.some(({ action }) => action === 'block');
  // A block hides read marks: no event tells the blocked user, and the snapshots that the blocking user receives have no common
  // order with the stream of read marks.
  const isKnown = (path: string) => hasBlock && /members.*lastReadNumber$/.test(path);
  for (const page of pages) {
    await expect
      .poll(() => page.differences([...rooms, ...direct], isKnown), { timeout: SETTLE_TIMEOUT_MS, interval: 20 })
      .toEqual([]);
  }
}

async function run(each: Step, world: World): Promise<void> {
  const { pages, rooms, direct, dot, urlOf } = world;
  const { action, actor, value } = each;
  const page = pages[actor] as Page;
  const { person } = page;
  const room = rooms[each.room] as string;
  const { chatroom } = await dot.ask(NEWEST, { room });
  // The room may have been deleted.
  const nodes = chatroom?.messages.nodes ?? [];
  const message = (nodes.at(-1 - each.message) ?? nodes[0])?.id ?? room;
  const send = (body: string, more: object = {}) => {
    const input = { chatroomId: room, body, clientMessageId: crypto.randomUUID(), ...more };
    return page.mutate('send', { input: { ...input, ...(each.isReply ? { replyToId: message } : {}) } }, each);
  };
  const link = urlOf(`/${value}`);
  if (action === 'send') return send(`Text ${value}`);
  if (action === 'sendFile') {
    const file = await attach(person, value % 2 ? PNG : textFile(`File ${value}`));
    return send('', { attachmentIds: [file.id] });
  }
  if (action === 'sendPreview')
    return send('A page', { linkPreviewIds: [(await person.ask(PREVIEW, { url: link })).linkPreview.id] });
  if (action === 'sendLink') return send(`See ${link}`, { linkPreviews: 'AUTO' });
  const previewed = nodes.findLast((node: any) => node.linkPreviews.length > 0);
  if (action === 'removePreview' && !previewed) return;
  const user = (pages[(actor + each.other) % pages.length] as Page).person.id;
  const role = ['MEMBER', 'ADMIN', 'OWNER'][value % 3];
  const values = { body: `Edited ${value}`, emoji: ['👍', '🎉'][value % 2], name: `Room ${value} ${runs}`, role };
  const target: object =
    action === 'removePreview' ? { message: previewed.id, preview: previewed.linkPreviews[0].id } : { message };
  if (action === 'deleteAccount') {
    // The account can be deleted once.
    const [gone] = world.leavers.splice(0);
    await gone?.ask(DELETE_ACCOUNT, { password: PASSWORD });
    return;
  }
  if (action === 'sendDirect' || action === 'hide') {
    const opened = await person.connect().ask(MUTATIONS.direct, { user });
    const id = opened.data?.createChatroom?.chatroom.id;
    if (!id) return;
    direct.add(id);
    if (action === 'hide') return page.mutate('deleteRoom', { room: id }, each);
    const input = { chatroomId: id, body: `Text ${value}`, clientMessageId: crypto.randomUUID() };
    return page.mutate('send', { input }, each);
  }
  if (action === 'avatar')
    Object.assign(target, { image: value ? (await attach(person, { ...PNG, purpose: 'AVATAR' })).id : null });
  await page.mutate(action, { ...values, ...target, room, user }, each);
}

test.each([
  ['Apollo Client', openApollo],
  ['urql', openUrql],
] as const)(
  'the cache of %s becomes what new queries return',
  { timeout: 60_000 + RUNS * HISTORY_TIMEOUT_MS },
  async (name, open) => {
    const { web, urlOf } = await servePages(({ url }, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end(`<title>Page ${url}</title>`);
    });
    const server = await startTestServer({ web });
    const began = performance.now();
    let done = 0;
    const steps = fc.array(step, { minLength: 4, maxLength: 14 });
    const property = fc.asyncProperty(steps, async (each) => {
      await play({ server, urlOf }, open, each);
      done += 1;
      if (done % 20 === 0)
        console.log(
          `${name}: ${done} of ${RUNS} histories (seed ${SEED}), ${Math.round(performance.now() - began)} ms`,
        );
    });
    await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
  },
);
