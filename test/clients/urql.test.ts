import { Client, type Exchange, fetchExchange, gql, type OperationResult } from '@urql/core';
import { authExchange } from '@urql/exchange-auth';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { errorOf, isChatError } from '../../client/index.ts';
import { cacheOptions, chatCacheExchange, chatExchange } from '../../client/urql.ts';
import type { Person } from '../support/client.ts';
import { request } from '../support/client.ts';
import { send, world } from '../support/world.ts';
import { startTestServer } from '../support/server.ts';
import { bodies, chatOf, sendAll } from './chatOf.ts';
import { heldSockets } from './heldSockets.ts';
import { CURSOR, HISTORY, MESSAGE_ADDED, SEND } from './documents.ts';
import { expiring, REFRESH } from './expiring.ts';
import { startRestarting } from './restarting.ts';

const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);
const numbersOf = (shown: () => any[][]): number[] =>
  shown()
    .at(-1)
    ?.map(({ number }) => number) ?? [];

function urqlOf(person: Person, cache: Exchange = chatCacheExchange(), chat = chatOf(person)): Client {
  return new Client({ url: `${person.url}/graphql`, exchanges: [cache, chatExchange(chat)] });
}

/** Runs an operation until the end of the test, and returns all its results so far. */
function listen(client: Client, document: string, variables: object): OperationResult[] {
  const results: OperationResult[] = [];
  const kind = document.startsWith('subscription') ? 'subscription' : 'query';
  const listening = client[kind](gql(document), variables).subscribe((result) => {
    results.push(result);
  });
  onTestFinished(() => {
    listening.unsubscribe();
  });
  return results;
}

/** Watches the history and returns all results so far. Resolves after the first result. */
async function watch(client: Client, variables: object): Promise<() => any[][]> {
  const results = listen(client, HISTORY, variables);
  await expect.poll(() => results.at(-1)?.data?.chatroom).toBeTruthy();
  return () => results.map(({ data }) => data.chatroom.messages.edges.map((edge: any) => edge.node));
}

describe('urql', { timeout: 150_000 }, () => {
  test('pages of the history form one list, backwards and forwards', async () => {
    const warned = vi.spyOn(console, 'warn');
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (let i = 1; i <= 25; i += 1) await send(ann, room, String(i));
    for (const [first, next, size] of [
      ['startCursor', 'before', 'last'],
      ['endCursor', 'after', 'first'],
    ] as const) {
      const client = urqlOf(ann);
      const page = async (more: object) =>
        (await client.query<any>(gql(HISTORY), { room, [size]: 10, ...more }).toPromise()).data.chatroom.messages;
      const one = await page({});
      const two = await page({ [next]: one.pageInfo[first] });
      const list = await page({ [next]: two.pageInfo[first] });
      expect(list.edges.map((edge: any) => edge.node.number)).toEqual(upTo(25));
      expect(list.pageInfo).toMatchObject({ hasPreviousPage: false, hasNextPage: false });
    }
    expect(warned.mock.calls).toEqual([]);
  });

  test('a subscription fills the list in order, over a server restart', async () => {
    const server = await startRestarting();
    const { ann, ben, room } = await world(server);
    const client = urqlOf(ben);
    const shown = await watch(client, { room, last: 10 });
    const { data } = await client.query<any>(gql(CURSOR), { room }).toPromise();
    const events = listen(client, MESSAGE_ADDED, { room, after: data.chatroom.cursor });
    const sending = sendAll(chatOf(ann), room, 40);
    await expect.poll(() => events.length).toBeGreaterThan(10);
    await server.stop();
    await server.start();
    await sending;
    await expect.poll(() => events.length).toBeGreaterThanOrEqual(40);
    expect(events.map((event) => event.data.messageAdded.message.body)).toEqual(bodies(40));
    await expect.poll(() => numbersOf(shown)).toEqual(upTo(40));
  });

  test('the stored message replaces the optimistic one without a duplicate', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const optimistic = {
      sendMessage: ({ input }: any) => ({
        __typename: 'SendMessagePayload',
        message: {
          ...{ __typename: 'Message', id: input.clientMessageId, clientMessageId: input.clientMessageId },
          ...{ body: input.body, number: Number.MAX_SAFE_INTEGER, cursor: input.clientMessageId },
          chatroom: { __typename: 'Chatroom', id: input.chatroomId },
          sender: { __typename: 'User', id: ben.id, username: 'ben' },
        },
      }),
    };
    const client = urqlOf(ben, chatCacheExchange({ ...cacheOptions, optimistic }));
    const shown = await watch(client, { room, last: 10 });
    listen(client, MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await send(ann, room, 'before');
    await expect.poll(() => shown().at(-1)).toHaveLength(1);
    for (const body of ['one', 'two', 'three']) {
      const input = { chatroomId: room, body, clientMessageId: crypto.randomUUID() };
      const { error } = await client.mutation<any>(gql(SEND), { input }, { retry: true }).toPromise();
      expect(error).toBeUndefined();
    }
    await send(ann, room, 'after');
    await expect.poll(() => shown().at(-1)).toHaveLength(5);
    expect(
      shown()
        .at(-1)
        ?.map(({ body }) => body),
    ).toEqual(['before', 'one', 'two', 'three', 'after']);
    expect(numbersOf(shown)).toEqual(upTo(5));
    const lists = shown();
    expect(lists.some((list) => list.some(({ id, clientMessageId }) => id === clientMessageId))).toBe(true);
    for (const list of lists) expect(new Set(list.map(({ body }) => body)).size).toBe(list.length);
  });

  test('sends that wait do not each write all events since then again', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { webSocketImpl, release } = heldSockets('mutation Send');
    let writes = 0;
    const { Subscription } = cacheOptions.updates;
    const cache = chatCacheExchange({
      ...cacheOptions,
      updates: {
        ...cacheOptions.updates,
        Subscription: {
          ...Subscription,
          messageAdded(...args) {
            writes += 1;
            Subscription.messageAdded(...args);
          },
        },
      },
    });
    const client = urqlOf(ben, cache, chatOf(ben, { webSocketImpl }));
    const shown = await watch(client, { room, last: 100 });
    listen(client, MESSAGE_ADDED, { room });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    const sends = upTo(10).map((i) => {
      const input = { chatroomId: room, body: `${i}`, clientMessageId: crypto.randomUUID() };
      return client.mutation<any>(gql(SEND), { input }, { retry: true }).toPromise();
    });
    for (let i = 1; i <= 20; i += 1) await send(ann, room, 'meanwhile');
    await expect.poll(() => shown().at(-1)).toHaveLength(20);
    release();
    await Promise.all(sends);
    await expect.poll(() => shown().at(-1)).toHaveLength(30);
    expect(numbersOf(shown)).toEqual(upTo(30));
    // The 20 events are written again after the first send, which was held in the socket, and after no other one.
    expect(writes).toBeLessThan(100);
  });

  test('a server error keeps its code', async () => {
    const server = await startTestServer();
    const { eve, room } = await world(server);
    const input = { chatroomId: room, body: 'x' };
    const { error } = await urqlOf(eve).mutation(gql(SEND), { input }).toPromise();
    expect(isChatError(error, 'NOT_FOUND')).toBe(true);
    const [refused] = await (async () => {
      const results = listen(urqlOf(eve), MESSAGE_ADDED, { room });
      await expect.poll(() => results.length).toBeGreaterThan(0);
      return results;
    })();
    expect(errorOf(refused?.error)?.code).toBe('NOT_FOUND');
  });

  test('authExchange refreshes an expired token without the chat exchange', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    let { refreshToken } = ann;
    let accessToken = await expiring(ann, -5);
    let refreshed = 0;
    const client = new Client({
      url: `${ann.url}/graphql`,
      exchanges: [
        authExchange((utils) =>
          Promise.resolve({
            addAuthToOperation: (operation) =>
              utils.appendHeaders(operation, { authorization: `Bearer ${accessToken}` }),
            didAuthError: (error) => isChatError(error, 'TOKEN_EXPIRED'),
            async refreshAuth() {
              refreshed += 1;
              const { data } = await request(ann.url, REFRESH, { input: { refreshToken } });
              ({ accessToken, refreshToken } = data.refreshSession);
            },
          }),
        ),
        fetchExchange,
      ],
    });
    // One after another: an error that arrives after the refresh of another query would refresh again.
    for (const name of ['a', 'b']) {
      const { data } = await client.query<any>(`query ${name} { viewer { user { username } } }`, {}).toPromise();
      expect(data?.viewer.user.username).toBe('ann');
    }
    expect(refreshed).toBe(1);
  });
});
