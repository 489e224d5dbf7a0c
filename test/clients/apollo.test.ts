import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { addMessage, cachePolicies, createChatLink } from '../../client/apollo.ts';
import { errorOf, isChatError } from '../../client/index.ts';
import type { Person } from '../support/client.ts';
import { send, world } from '../support/world.ts';
import { startTestServer } from '../support/server.ts';
import { bodies, chatOf, sendAll } from './chatOf.ts';
import { heldSockets } from './heldSockets.ts';
import { HISTORY, MESSAGE_ADDED, SEND } from './documents.ts';
import { startRestarting } from './restarting.ts';

function apolloOf(person: Person, chat = chatOf(person)): ApolloClient {
  const client = new ApolloClient({
    link: createChatLink(chat),
    cache: new InMemoryCache(cachePolicies),
  });
  onTestFinished(() => {
    client.stop();
  });
  return client;
}

const HISTORY_DOCUMENT = gql(HISTORY);
const numbersOf = (shown: any[][]): number[] => shown.at(-1)?.map(({ number }) => number) ?? [];
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

/** Watches the history and returns all results so far. Resolves after the first result. */
async function watch(client: ApolloClient, variables: object) {
  const query = client.watchQuery<any>({ query: HISTORY_DOCUMENT, variables: variables });
  const shown: any[][] = [];
  const subscription = query.subscribe(({ data }) => {
    if (data?.chatroom) shown.push(data.chatroom.messages.edges.map((edge: any) => edge.node));
  });
  onTestFinished(() => {
    subscription.unsubscribe();
  });
  await expect.poll(() => shown.length).toBeGreaterThan(0);
  return { query, shown, pageInfo: () => query.getCurrentResult().data.chatroom.messages.pageInfo };
}

describe('Apollo Client', { timeout: 150_000 }, () => {
  test('pages of the history form one list, backwards and forwards', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (let i = 1; i <= 25; i += 1) await send(ann, room, String(i));

    const back = await watch(apolloOf(ann), { room, last: 10 });
    for (const length of [20, 25]) {
      await back.query.fetchMore({ variables: { before: back.pageInfo().startCursor } });
      await expect.poll(() => back.shown.at(-1)).toHaveLength(length);
    }
    expect(numbersOf(back.shown)).toEqual(upTo(25));
    expect(back.pageInfo()).toMatchObject({ hasPreviousPage: false, hasNextPage: false });

    const forth = await watch(apolloOf(ann), { room, first: 10 });
    for (const length of [20, 25]) {
      await forth.query.fetchMore({ variables: { after: forth.pageInfo().endCursor } });
      await expect.poll(() => forth.shown.at(-1)).toHaveLength(length);
    }
    expect(numbersOf(forth.shown)).toEqual(upTo(25));
    expect(forth.pageInfo()).toMatchObject({ hasPreviousPage: false, hasNextPage: false });
  });

  test('a subscription fills the list in order, over a server restart', async () => {
    const server = await startRestarting();
    const { ann, ben, room } = await world(server);
    const client = apolloOf(ben);
    const { query, shown } = await watch(client, { room, last: 10 });
    const { data } = query.getCurrentResult();
    const received: string[] = [];
    const subscription = client
      .subscribe<any>({ query: gql(MESSAGE_ADDED), variables: { room, after: data.chatroom.cursor } })
      .subscribe(({ data: event }) => {
        const { message } = event.messageAdded;
        received.push(message.body);
        addMessage(client.cache, room, message);
      });
    const sending = sendAll(chatOf(ann), room, 40);
    await expect.poll(() => received.length).toBeGreaterThan(10);
    await server.stop();
    await server.start();
    await sending;
    await expect.poll(() => received.length).toBeGreaterThanOrEqual(40);
    expect(received).toEqual(bodies(40));
    await expect.poll(() => numbersOf(shown)).toEqual(upTo(40));
    subscription.unsubscribe();
  });

  test('the stored message replaces the optimistic one without a duplicate', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const client = apolloOf(ben);
    const { query, shown } = await watch(client, { room, last: 10 });
    const { data } = query.getCurrentResult();
    const subscription = client
      .subscribe<any>({ query: gql(MESSAGE_ADDED), variables: { room, after: data.chatroom.cursor } })
      .subscribe(({ data: event }) => {
        addMessage(client.cache, room, event.messageAdded.message);
      });
    onTestFinished(() => {
      subscription.unsubscribe();
    });
    await send(ann, room, 'before');
    await expect.poll(() => shown.at(-1)).toHaveLength(1);
    for (const body of ['one', 'two', 'three']) {
      const clientMessageId = crypto.randomUUID();
      await client.mutate<any>({
        mutation: gql(SEND),
        variables: { input: { chatroomId: room, body, clientMessageId } },
        context: { retry: true },
        optimisticResponse: {
          sendMessage: {
            __typename: 'SendMessagePayload',
            message: {
              ...{ __typename: 'Message', id: clientMessageId, clientMessageId, body, cursor: '' },
              number: Number.MAX_SAFE_INTEGER,
              chatroom: { __typename: 'Chatroom', id: room },
              sender: { __typename: 'User', id: ben.id, username: 'ben' },
            },
          },
        },
        update(cache, { data: answer }) {
          addMessage(cache, room, answer.sendMessage.message);
        },
      });
    }
    await send(ann, room, 'after');
    await expect.poll(() => shown.at(-1)).toHaveLength(5);
    expect(shown.at(-1)?.map(({ body }) => body)).toEqual(['before', 'one', 'two', 'three', 'after']);
    expect(numbersOf(shown)).toEqual(upTo(5));
    // The optimistic message was shown first. No result contained both messages.
    expect(shown.some((list) => list.some(({ id, clientMessageId }) => id === clientMessageId))).toBe(true);
    for (const list of shown) expect(new Set(list.map(({ body }) => body)).size).toBe(list.length);
  });

  test('sends that wait do not each write all events since then again', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { webSocketImpl, release } = heldSockets('mutation Send');
    const client = apolloOf(ben, chatOf(ben, { webSocketImpl }));
    const { shown } = await watch(client, { room, last: 100 });
    const events = client.subscribe<any>({ query: gql(MESSAGE_ADDED), variables: { room } }).subscribe(({ data }) => {
      addMessage(client.cache, room, data.messageAdded.message);
    });
    onTestFinished(() => {
      events.unsubscribe();
    });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    const sends = upTo(10).map((i) =>
      client.mutate<any>({
        mutation: gql(SEND),
        variables: { input: { chatroomId: room, body: `${i}`, clientMessageId: crypto.randomUUID() } },
        context: { retry: true },
        update(cache, { data }) {
          addMessage(cache, room, data.sendMessage.message);
        },
      }),
    );
    for (let i = 1; i <= 20; i += 1) await send(ann, room, 'meanwhile');
    await expect.poll(() => shown.at(-1)).toHaveLength(20);
    const written = vi.spyOn(client.cache, 'writeQuery');
    release();
    await Promise.all(sends);
    await expect.poll(() => shown.at(-1)).toHaveLength(30);
    expect(numbersOf(shown)).toEqual(upTo(30));
    // The 20 events are written again after the first send, which was held in the socket, and after no other one.
    expect(written.mock.calls.length).toBeLessThan(60);
  });

  test('errors keep their code, and losing the room ends the subscription', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const refused = await apolloOf(eve)
      .mutate({ mutation: gql(SEND), variables: { input: { chatroomId: room, body: 'x' } } })
      .catch((error: unknown) => error);
    expect(isChatError(refused, 'NOT_FOUND')).toBe(true);
    expect(errorOf(refused)?.message).toMatch(/may not see it/);

    const client = apolloOf(ben);
    const received: unknown[] = [];
    const failed = new Promise<unknown>((resolve) => {
      client
        .subscribe<any>({ query: gql(MESSAGE_ADDED), variables: { room } })
        .subscribe(({ data, error }) => (error ? resolve(error) : received.push(data)));
    });
    await expect.poll(() => server.node.gauges.streams).toBe(1);
    await ann.ask(
      `mutation ($input: RemoveChatroomMemberInput!) { removeChatroomMember(input: $input) { chatroom { id } } }`,
      {
        input: { chatroomId: room, userId: ben.id },
      },
    );
    expect(isChatError(await failed, 'NOT_FOUND')).toBe(true);
  });
});
