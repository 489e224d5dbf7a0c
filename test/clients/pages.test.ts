import { ApolloClient, gql as apolloGql, InMemoryCache } from '@apollo/client';
import { Client, gql as urqlGql } from '@urql/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addMessage, cachePolicies, createChatLink } from '../../client/apollo.ts';
import type { ChatClient } from '../../client/index.ts';
import { chatCacheExchange, chatExchange } from '../../client/urql.ts';
import { HISTORY, MESSAGE_ADDED } from './documents.ts';

const SIZE = 3;
const VIEWER_EVENTS = 'subscription { viewerEvents { __typename ... on BlockChanged { userId blocked } } }';

interface Args {
  last?: number;
  before?: string;
}

/** One room of a server. Requests are answered from the list, and events go to the streams that are open. */
class Server {
  messages = ['ann', 'ben', 'ann', 'ann', 'ben', 'ann', 'ben', 'ann', 'ann'].map((sender, i) => ({
    number: i + 1,
    sender,
  }));
  isBlocked = false;
  /** Called once between the execution of the next query and its response. */
  beforeResponse: (() => void) | null = null;
  private queries = 0;
  private readonly streams: { field: string; push: (data: object) => void }[] = [];

  /** Client over this server. Caches use only these two functions. */
  readonly chat = {
    request: async (_query: unknown, variables: Args) => {
      const data = this.page(variables);
      await Promise.resolve();
      this.beforeResponse?.();
      this.beforeResponse = null;
      return { data };
    },
    subscribe: (query: string | { loc?: { source: { body: string } } }) => {
      const text = typeof query === 'string' ? query : JSON.stringify(query);
      const values: object[] = [];
      let wake: (() => void) | null = null;
      const push = (data: object) => {
        values.push(data);
        wake?.();
      };
      this.streams.push({ field: text.includes('viewerEvents') ? 'viewerEvents' : 'messageAdded', push });
      return {
        async next() {
          while (values.length === 0) await new Promise<void>((resolve) => (wake = resolve));
          return { value: values.shift(), done: false };
        },
        return: () => Promise.resolve(),
      };
    },
  } as unknown as ChatClient;

  visible(): number[] {
    return this.messages.filter(({ sender }) => !this.isBlocked || sender !== 'ben').map(({ number }) => number);
  }

  /** Stores a message. `isLive` is false if the client receives no event of it. */
  add(sender: string, isLive: boolean): void {
    const number = this.messages.length + 1;
    this.messages.push({ number, sender });
    if (!isLive || (this.isBlocked && sender === 'ben')) return;
    this.push('messageAdded', { __typename: 'MessageAdded', cursor: `event ${number}`, message: this.message(number) });
  }

  toggleBlock(): void {
    this.isBlocked = !this.isBlocked;
    this.push('viewerEvents', { __typename: 'BlockChanged', userId: 'ben', blocked: this.isBlocked });
  }

  private push(field: string, event: object): void {
    for (const stream of this.streams) if (stream.field === field) stream.push({ [field]: event });
  }

  private message(number: number) {
    const sender = this.messages[number - 1]!.sender;
    return {
      ...{ __typename: 'Message', id: `m${number}`, number, body: `body ${number}`, clientMessageId: `id ${number}` },
      ...{ cursor: `own ${number}`, chatroom: { __typename: 'Chatroom', id: 'room' } },
      sender: { __typename: 'User', id: sender, username: sender },
    };
  }

  /** Returns a page. Cursors of a message differ between queries, as those of the server do. */
  private page({ last = SIZE, before }: Args) {
    this.queries += 1;
    const cursor = (number: number | undefined) => (number === undefined ? null : `${this.queries} ${number}`);
    const end = before === undefined ? Infinity : Number(before.split(' ')[1]);
    const earlier = this.visible().filter((number) => number < end);
    const numbers = earlier.slice(-last);
    const pageInfo = {
      ...{ __typename: 'PageInfo', hasPreviousPage: earlier.length > numbers.length, hasNextPage: end < Infinity },
      ...{ startCursor: cursor(numbers[0]), endCursor: cursor(numbers.at(-1)) },
    };
    const edges = numbers.map((number) => ({
      ...{ __typename: 'MessageEdge', cursor: cursor(number), node: this.message(number) },
    }));
    const messages = { __typename: 'MessageConnection', edges, pageInfo };
    return { chatroom: { __typename: 'Chatroom', id: 'room', cursor: 'now', messages } };
  }
}

/** A client that shows a room. */
interface Shown {
  messages(): any;
  reload(last: number): Promise<unknown>;
  loadOlder(): Promise<unknown>;
}

const VARIABLES = { room: 'room', last: SIZE };

function urqlShows(server: Server): Shown {
  const client = new Client({
    ...{ url: 'http://unused.invalid', exchanges: [chatCacheExchange(), chatExchange(server.chat)] },
  });
  const document = urqlGql(HISTORY);
  let latest: any = null;
  const follow = () => {
    client.query<any>(document, VARIABLES).subscribe(({ data }) => (latest = data?.chatroom?.messages ?? latest));
    client.subscription(urqlGql(MESSAGE_ADDED), { room: 'room' }).subscribe(() => undefined);
    client.subscription(urqlGql(VIEWER_EVENTS), {}).subscribe(() => undefined);
  };
  follow();
  return {
    messages: () => latest,
    reload: (last) => client.query(document, { room: 'room', last }, { requestPolicy: 'network-only' }).toPromise(),
    loadOlder: () => client.query(document, { ...VARIABLES, before: latest.pageInfo.startCursor }).toPromise(),
  };
}

function apolloShows(server: Server): Shown {
  const client = new ApolloClient({ link: createChatLink(server.chat), cache: new InMemoryCache(cachePolicies) });
  const query = apolloGql(HISTORY);
  const watched = client.watchQuery<any>({ query, variables: VARIABLES });
  watched.subscribe(() => undefined);
  client.subscribe({ query: apolloGql(VIEWER_EVENTS) }).subscribe(() => undefined);
  const messages = () => client.readQuery<any>({ query, variables: VARIABLES })?.chatroom.messages;
  client.subscribe<any>({ query: apolloGql(MESSAGE_ADDED), variables: { room: 'room' } }).subscribe(({ data }) => {
    addMessage(client.cache, 'room', data.messageAdded.message);
  });
  return {
    messages,
    reload: (last) => client.query({ query, variables: { room: 'room', last }, fetchPolicy: 'network-only' }),
    loadOlder: () => watched.fetchMore({ variables: { before: messages().pageInfo.startCursor } }),
  };
}

type Step =
  | { type: 'arrive'; sender: string; count: number }
  | { type: 'miss'; sender: string; count: number }
  | { type: 'reload'; last: number; arriving: number }
  | { type: 'older'; arriving: number }
  | { type: 'block'; arriving: number };

const sender = fc.constantFrom('ann', 'ben');
const arriving = fc.integer({ min: 0, max: 2 });
const count = fc.integer({ min: 1, max: 4 });
const reload = { type: 'reload', last: SIZE, arriving: 0 } as const;
const step = fc.oneof<fc.Arbitrary<Step>[]>(
  fc.record({ type: fc.constant('arrive'), sender, count }),
  fc.record({ type: fc.constant('miss'), sender, count }),
  fc.record({ type: fc.constant('reload'), last: fc.constantFrom(SIZE, SIZE, SIZE + 2), arriving }),
  fc.record({ type: fc.constant('older'), arriving }),
  fc.record({ type: fc.constant('block'), arriving }),
);

/** Resolves after all queued responses and events have been processed. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const numbersOf = (shown: Shown): number[] => shown.messages().edges.map(({ node }: any) => node.number);

async function run(steps: readonly Step[], show: (server: Server) => Shown): Promise<void> {
  const server = new Server();
  const shown = show(server);
  await settle();
  // A client that missed messages loads the newest page before it receives events again.
  let isLive = true;
  for (const each of [...steps, reload]) {
    const [before, pageBefore] = [numbersOf(shown), server.visible()];
    const arrivesMeanwhile = (count: number) => () => {
      for (let i = 0; i < count; i += 1) server.add('ann', true);
    };
    if (each.type === 'arrive' || each.type === 'miss') {
      if (each.type === 'miss') isLive = false;
      for (let i = 0; i < each.count; i += 1) server.add(each.sender, isLive);
    } else if (each.type === 'block') {
      // The client loads the newest page again.
      server.beforeResponse = arrivesMeanwhile(isLive ? each.arriving : 0);
      server.toggleBlock();
    } else if (each.type === 'reload') {
      server.beforeResponse = arrivesMeanwhile(each.arriving);
      await shown.reload(each.last);
      isLive = true;
    } else if (shown.messages().pageInfo.hasPreviousPage) {
      server.beforeResponse = arrivesMeanwhile(isLive ? each.arriving : 0);
      await shown.loadOlder();
    }
    await settle();
    // After a block, the client loads the list again.
    await expect.poll(() => shown.messages(), { interval: 1 }).toBeTruthy();
    const [numbers, visible] = [numbersOf(shown), server.visible()];
    const start = visible.indexOf(numbers[0]!);
    // A reload keeps the earlier messages if the list contains the first message of the page.
    if (each.type === 'reload' && !server.isBlocked && before.includes(pageBefore.slice(-each.last)[0]!))
      expect(start).toBeLessThanOrEqual(pageBefore.indexOf(before[0]!));
    expect(numbers).toEqual(visible.slice(start, isLive ? undefined : start + numbers.length));
    expect(shown.messages().pageInfo.hasPreviousPage).toBe(start > 0);
  }
  while (shown.messages().pageInfo.hasPreviousPage) {
    const before = numbersOf(shown).length;
    await shown.loadOlder();
    await settle();
    expect(numbersOf(shown).length).toBeGreaterThan(before);
  }
  expect(numbersOf(shown)).toEqual(server.visible());
}

test.each([
  ['urql', urqlShows],
  ['Apollo Client', apolloShows],
] as const)('%s shows a range of the server’s list over pages, reloads and blocks', async (_name, show) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), (steps) => run(steps, show)),
    { numRuns: 50 },
  );
});
