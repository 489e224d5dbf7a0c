import { Client, gql, type SubscriptionForwarder, subscriptionExchange } from '@urql/core';
import { expect, onTestFinished, test } from 'vitest';
import { urqlCache } from '../../client/react/urql.ts';
import { cacheOptions, chatCacheExchange } from '../../client/urql.ts';
import { HISTORY, MESSAGE_ADDED, SEND } from './documents.ts';

type Observer = Parameters<ReturnType<SubscriptionForwarder>['subscribe']>[0];

/** Creates an urql client whose results the test provides, in an order that exercises graphcache's layers. */
function scripted(options = cacheOptions) {
  let asked: { kind: string; variables: unknown; observer: Observer }[] = [];
  const last = subscriptionExchange({
    enableAllOperations: true,
    forwardSubscription: ({ variables }, { kind }) => ({
      subscribe(observer) {
        asked.push({ kind, variables, observer });
        return { unsubscribe: () => undefined };
      },
    }),
  });
  const client = new Client({ url: 'http://unused.invalid', exchanges: [chatCacheExchange(options), last] });
  return {
    client,
    /** Provides the result of the latest operation of a kind with these variables. Null provides an error. */
    answer: async (kind: 'query' | 'mutation' | 'subscription', data: object | null, variables: object = {}) => {
      const find = () => asked.findLast((each) => each.kind === kind && matches(each.variables, variables));
      await expect.poll(find).toBeDefined();
      const found = find();
      if (kind !== 'subscription') asked = asked.filter((each) => each !== found);
      found?.observer.next(
        data ? { data: data as Record<string, unknown> } : { errors: [{ message: 'It was rejected.' }] },
      );
      if (kind !== 'subscription') found?.observer.complete();
    },
    /** Runs an operation until the end of the test, and returns all its results so far. */
    watch: (document: string, variables: object) => {
      const kind = document.startsWith('subscription') ? 'subscription' : 'query';
      const results: any[] = [];
      const watching = client[kind](gql(document), variables).subscribe(({ data }) => results.push(data));
      onTestFinished(() => {
        watching.unsubscribe();
      });
      return results;
    },
  };
}

const matches = (actual: any, expected: any): boolean =>
  Object.entries(expected).every(([key, value]) =>
    typeof value === 'object' && value !== null ? matches(actual?.[key], value) : actual?.[key] === value,
  );

const ROOM = { room: 'room' };

function message(number: number, sender = 'ann') {
  return {
    ...{ __typename: 'Message', id: `m${number}`, number, body: `body ${number}`, clientMessageId: `id ${number}` },
    ...{ cursor: `cursor ${number}`, chatroom: { __typename: 'Chatroom', id: 'room' } },
    sender: { __typename: 'User', id: sender, username: sender },
  };
}

/** Returns a page of the room's messages. `version` changes the cursors, because they differ between queries. */
function page(numbers: readonly number[], info: { hasPreviousPage: boolean; hasNextPage: boolean }, version = '') {
  const cursor = (number: number | undefined) => (number === undefined ? null : `cursor ${number}${version}`);
  const messages = {
    __typename: 'MessageConnection',
    edges: numbers.map((number) => ({ __typename: 'MessageEdge', cursor: cursor(number), node: message(number) })),
    pageInfo: {
      ...{ __typename: 'PageInfo', ...info },
      ...{ startCursor: cursor(numbers[0]), endCursor: cursor(numbers.at(-1)) },
    },
  };
  return { chatroom: { __typename: 'Chatroom', id: 'room', cursor: 'now', messages } };
}

const NEWEST = { hasPreviousPage: true, hasNextPage: false };
const sent = (number: number) => ({
  sendMessage: { __typename: 'SendMessagePayload', message: message(number, 'ben') },
});
const came = (number: number) => ({
  messageAdded: { __typename: 'MessageAdded', cursor: `event ${number}`, message: message(number) },
});
const named = (number: number) => ({
  input: { chatroomId: 'room', body: `body ${number}`, clientMessageId: `id ${number}` },
});
const shownNumbers = (results: any[]) => results.at(-1)?.chatroom?.messages?.edges.map(({ node }: any) => node.number);

test('older data of a deleted message does not show it again', async () => {
  const FIELDS = '__typename id body deletedAt reactions { __typename emoji } attachments { __typename id }';
  const { answer, watch } = scripted();
  const shown = watch(`query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Message { ${FIELDS} } } }`, {
    ids: ['m1'],
  });
  watch(`subscription { messageAdded { __typename cursor message { ${FIELDS} } } }`, {});
  const older = {
    ...{ __typename: 'Message', id: 'm1', body: 'secret', deletedAt: null },
    reactions: [{ __typename: 'ReactionGroup', emoji: '👍' }],
    attachments: [{ __typename: 'Attachment', id: 'file' }],
  };
  const deleted = { ...older, body: null, deletedAt: '2030-01-01T00:00:00.000Z', reactions: [], attachments: [] };
  const come = (message: object) =>
    answer('subscription', { messageAdded: { __typename: 'MessageAdded', cursor: 'event', message } });
  await answer('query', { nodes: [older] }, { ids: ['m1'] });
  expect(shown.at(-1)?.nodes).toEqual([older]);
  for (const message of [deleted, older]) await come(message);
  expect(shown.at(-1)?.nodes).toEqual([deleted]);
});

test('a query shows the room of a snapshot without a request', async () => {
  const SNAPSHOT = `subscription ($room: ID!) { chatroomEvents(chatroomId: $room, snapshot: true) {
    __typename cursor ... on RoomSnapshot { chatroom { __typename id cursor messages(last: 2) {
      __typename
      edges { __typename cursor node { __typename id number body cursor clientMessageId chatroom { __typename id } sender { __typename id username } } }
      pageInfo { __typename hasNextPage hasPreviousPage startCursor endCursor }
    } } }
  } }`;
  const { answer, watch } = scripted();
  watch(SNAPSHOT, ROOM);
  const { chatroom } = page([5, 6], NEWEST);
  await answer('subscription', { chatroomEvents: { __typename: 'RoomSnapshot', cursor: 'now', chatroom } });
  expect(shownNumbers(watch(HISTORY, { ...ROOM, last: 2 }))).toEqual([5, 6]);
});

test('a write of the hooks does not hide an event between it and an earlier write', async () => {
  const { client, answer, watch } = scripted();
  const hooks = urqlCache(client);
  const NODES = gql('query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Message { id number body } } }');
  const write = (number: number, body: string) => {
    const nodes = [{ __typename: 'Message', id: `m${number}`, number, body }];
    hooks.write(NODES, { ids: [`m${number}`] }, { nodes });
  };
  const bodyOf = (id: string) => {
    let body: unknown;
    hooks.watch(NODES, { ids: [id] }, (data: any) => (body = data?.nodes[0]?.body))();
    return body;
  };
  watch(MESSAGE_ADDED, ROOM);
  // A pending query, whose response graphcache would write below all later results.
  watch('query { viewer { __typename id } }', {});
  write(1, 'old');
  await answer('subscription', came(1));
  expect(bodyOf('m1')).toBe('body 1');
  write(2, 'another');
  expect([bodyOf('m1'), bodyOf('m2')]).toEqual(['body 1', 'another']);
  await answer('query', { viewer: { __typename: 'Viewer', id: 'viewer' } });
  expect([bodyOf('m1'), bodyOf('m2')]).toEqual(['body 1', 'another']);
});

test('events between the results of pending sends stay in the list', async () => {
  const { client, answer, watch } = scripted();
  const shown = watch(HISTORY, { ...ROOM, last: 10 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', page([1], NEWEST));
  for (const number of [6, 2, 4]) client.mutation(gql(SEND), named(number)).subscribe(() => undefined);
  await answer('mutation', sent(2), named(2));
  await answer('subscription', came(3));
  await answer('mutation', sent(4), named(4));
  await answer('subscription', came(5));
  await expect.poll(() => shownNumbers(shown)).toEqual([1, 2, 3, 4, 5]);
  await answer('mutation', sent(6), named(6));
  await expect.poll(() => shownNumbers(shown)).toEqual([1, 2, 3, 4, 5, 6]);
});

test('an event overrides an earlier result while another operation is pending', async () => {
  const { client, answer, watch } = scripted();
  const shown = watch(HISTORY, { ...ROOM, last: 10 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', page([1], NEWEST));
  const edited = (body: string) => ({ ...message(1), body });
  const edit = `mutation Edit($body: String!) {
    editMessage(input: { messageId: "m1", body: $body }) { message { id body } }
  }`;
  for (const number of [3, 2]) client.mutation(gql(SEND), named(number)).subscribe(() => undefined);
  client.mutation(gql(edit), { body: 'one' }).subscribe(() => undefined);
  await answer('mutation', sent(2), named(2));
  await answer('subscription', came(2));
  const payload = { __typename: 'MessagePayload', message: edited('one') };
  await answer('mutation', { editMessage: payload }, { body: 'one' });
  await answer('subscription', { messageAdded: { ...came(1).messageAdded, message: edited('two') } });
  const bodies = () => shown.at(-1).chatroom.messages.edges.map(({ node }: any) => node.body);
  await expect.poll(bodies).toEqual(['two', 'body 2']);
  await answer('mutation', sent(3), named(3));
  await expect.poll(bodies).toEqual(['two', 'body 2', 'body 3']);
});

test('two equal mutations at once both end', async () => {
  const { client, answer } = scripted();
  const edit = 'mutation { editMessage(input: { messageId: "m1", body: "one" }) { message { id body } } }';
  const ended: number[] = [];
  for (const number of [1, 2])
    client.mutation(gql(edit), {}).subscribe(() => {
      ended.push(number);
    });
  const payload = { __typename: 'MessagePayload', message: { ...message(1), body: 'one' } };
  for (let i = 0; i < 2; i += 1) await answer('mutation', { editMessage: payload });
  await expect.poll(() => ended.toSorted()).toEqual([1, 2]);
});

const OPTIMISTIC = {
  ...cacheOptions,
  optimistic: {
    sendMessage: ({ input }: any) => ({
      __typename: 'SendMessagePayload',
      message: {
        ...{ ...message(0, 'ben'), id: input.clientMessageId, clientMessageId: input.clientMessageId },
        ...{ body: input.body, number: Number.MAX_SAFE_INTEGER },
      },
    }),
  },
} as never;

test('an optimistic message stays last until stored, without a duplicate', async () => {
  const { client, answer, watch } = scripted(OPTIMISTIC);
  const shown = watch(HISTORY, { ...ROOM, last: 10 });
  watch(MESSAGE_ADDED, ROOM);
  const bodies = () => shown.at(-1)?.chatroom.messages.edges.map(({ node }: any) => node.body);
  await answer('query', page([], { hasPreviousPage: false, hasNextPage: false }));
  for (const number of [2, 3, 4]) client.mutation(gql(SEND), named(number)).subscribe(() => undefined);
  await expect.poll(bodies).toEqual(['body 2', 'body 3', 'body 4']);
  await answer('subscription', came(1));
  await answer('subscription', { messageAdded: { ...came(2).messageAdded, message: message(2, 'ben') } });
  await expect.poll(bodies).toEqual(['body 1', 'body 2', 'body 3', 'body 4']);
  await answer('mutation', sent(2), named(2));
  await answer('mutation', null, named(3));
  await answer('mutation', sent(3), named(4));
  await expect.poll(() => shownNumbers(shown)).toEqual([1, 2, 3]);
});

test('an edit overrides an earlier send result while another send waits', async () => {
  const { client, answer, watch } = scripted(OPTIMISTIC);
  const shown = watch(HISTORY, { ...ROOM, last: 10 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', page([], { hasPreviousPage: false, hasNextPage: false }));
  const answers: any[] = [];
  for (const number of [1, 2])
    client
      .mutation<any>(gql(SEND), named(number))
      .subscribe(({ data }) => answers.push(data.sendMessage.message.number));
  await answer('mutation', sent(1), named(1));
  const edited = { ...message(1, 'ben'), body: 'edited' };
  await answer('subscription', { messageAdded: { ...came(1).messageAdded, message: edited } });
  const bodies = () => shown.at(-1)?.chatroom.messages.edges.map(({ node }: any) => node.body);
  await expect.poll(bodies).toEqual(['edited', 'body 2']);
  await answer('mutation', sent(2), named(2));
  await expect.poll(() => answers).toEqual([1, 2]);
  expect(bodies()).toEqual(['edited', 'body 2']);
  expect(shownNumbers(shown)).toEqual([1, 2]);
});

test('pages form one list, without pages that are not adjacent to it', async () => {
  const { client, answer, watch } = scripted();
  const shown = watch(HISTORY, { ...ROOM, last: 2 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', page([5, 6], NEWEST));
  watch(HISTORY, { ...ROOM, last: 2, before: 'cursor 5' });
  await answer('query', page([3, 4], { hasPreviousPage: true, hasNextPage: true }), { before: 'cursor 5' });
  await expect.poll(() => shownNumbers(shown)).toEqual([3, 4, 5, 6]);
  await answer('subscription', came(7));
  // Cursors of the same messages differ between results.
  client.query(gql(HISTORY), { ...ROOM, last: 2 }, { requestPolicy: 'network-only' }).subscribe(() => undefined);
  await answer('query', page([5, 6], NEWEST, ' again'), { before: undefined });
  await expect.poll(() => shownNumbers(shown)).toEqual([3, 4, 5, 6, 7]);
  // This page comes after a gap that no event has filled.
  client.query(gql(HISTORY), { ...ROOM, last: 2 }, { requestPolicy: 'network-only' }).subscribe(() => undefined);
  await answer('query', page([20, 21], NEWEST), { before: undefined });
  await expect.poll(() => shownNumbers(shown)).toEqual([20, 21]);
  await answer('subscription', came(22));
  await expect.poll(() => shownNumbers(shown)).toEqual([20, 21, 22]);
});

test('a reload of the newest page keeps earlier pages without a gap', async () => {
  const { client, answer, watch } = scripted();
  const shown = watch(HISTORY, { ...ROOM, last: 3 });
  const reload = async (numbers: number[]) => {
    client.query(gql(HISTORY), { ...ROOM, last: 3 }, { requestPolicy: 'network-only' }).subscribe(() => undefined);
    await answer('query', page(numbers, NEWEST), { before: undefined });
  };
  await answer('query', page([6, 7, 8], NEWEST));
  watch(HISTORY, { ...ROOM, last: 3, before: 'cursor 6' });
  await answer('query', page([3, 4, 5], { hasPreviousPage: true, hasNextPage: true }), { before: 'cursor 6' });
  await expect.poll(() => shownNumbers(shown)).toEqual([3, 4, 5, 6, 7, 8]);
  await reload([8, 9, 10]);
  await expect.poll(() => shownNumbers(shown)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  await reload([11, 12, 13]);
  await expect.poll(() => shownNumbers(shown)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  await reload([15, 16, 17]);
  await expect.poll(() => shownNumbers(shown)).toEqual([15, 16, 17]);
});

test('a newer message of a blocked user stays in DIRECT rooms only', async () => {
  const { client, answer, watch } = scripted();
  const shown = watch(HISTORY, { ...ROOM, last: 2 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', page([5, 6], NEWEST));
  await answer('subscription', came(7));
  await expect.poll(() => shownNumbers(shown)).toEqual([5, 6, 7]);
  const block = gql('query ($username: String!) { user(username: $username) { id viewerHasBlocked } }');
  client.query(block, { username: 'ann' }).subscribe(() => undefined);
  await answer('query', { user: { __typename: 'User', id: 'ann', viewerHasBlocked: true } }, { username: 'ann' });
  await expect.poll(() => shownNumbers(shown)).toEqual([5, 6]);
  const kind = gql('query ($id: ID!) { chatroom(id: $id) { id kind } }');
  client.query(kind, { id: 'room' }).subscribe(() => undefined);
  await answer('query', { chatroom: { __typename: 'Chatroom', id: 'room', kind: 'DIRECT' } }, { id: 'room' });
  await expect.poll(() => shownNumbers(shown)).toEqual([5, 6, 7]);
});

test('a list includes the pages of a query with another page size', async () => {
  const { client, answer, watch } = scripted();
  const shown = watch(HISTORY, { ...ROOM, last: 3 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', page([4, 5, 6], NEWEST), { last: 3 });
  // This page comes after a resync. The events below fill the gap before it.
  client.query(gql(HISTORY), { ...ROOM, last: 2 }, { requestPolicy: 'network-only' }).subscribe(() => undefined);
  await answer('query', page([9, 10], NEWEST), { last: 2 });
  await expect.poll(() => shownNumbers(shown)).toEqual([9, 10]);
  expect(shown.at(-1).chatroom.messages.pageInfo).toMatchObject({ hasPreviousPage: true, startCursor: 'cursor 9' });
  for (const number of [7, 8]) await answer('subscription', came(number));
  await expect.poll(() => shownNumbers(shown)).toEqual([4, 5, 6, 7, 8, 9, 10]);
});

const ROOMS = `query Rooms($after: String) {
  viewer { chatrooms(first: 2, after: $after) {
    edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  } }
}`;

test('a page of rooms that is no longer adjacent is left out', async () => {
  const { client, answer, watch } = scripted();
  const rooms = (ids: string[], hasNextPage: boolean) => ({
    viewer: {
      __typename: 'Viewer',
      chatrooms: {
        __typename: 'ChatroomConnection',
        edges: ids.map((id) => ({
          __typename: 'ChatroomEdge',
          cursor: `at ${id}`,
          node: { __typename: 'Chatroom', id },
        })),
        pageInfo: {
          ...{ __typename: 'PageInfo', hasNextPage, hasPreviousPage: false },
          ...{ startCursor: `at ${ids[0]}`, endCursor: `at ${ids.at(-1)}` },
        },
      },
    },
  });
  const shown = watch(ROOMS, {});
  const ids = () => shown.at(-1)?.viewer.chatrooms.edges.map(({ node }: any) => node.id);
  await answer('query', rooms(['a', 'b'], true));
  watch(ROOMS, { after: 'at b' });
  await answer('query', rooms(['c', 'd'], false), { after: 'at b' });
  await expect.poll(ids).toEqual(['a', 'b', 'c', 'd']);
  // Two rooms have moved to the front of the list.
  client.query(gql(ROOMS), {}, { requestPolicy: 'network-only' }).subscribe(() => undefined);
  await answer('query', rooms(['e', 'a'], true), { after: undefined });
  await expect.poll(ids).toEqual(['e', 'a']);
  expect(shown.at(-1).viewer.chatrooms.pageInfo.hasNextPage).toBe(true);
  watch(ROOMS, { after: 'at a' });
  await answer('query', rooms(['b', 'c'], true), { after: 'at a' });
  await expect.poll(ids).toEqual(['e', 'a', 'b', 'c']);
});

test('a list of nodes is kept up to date and paged', async () => {
  const { answer, watch } = scripted();
  const nodes = `query Nodes($room: ID!, $last: Int, $before: String) {
    chatroom(id: $room) {
      id messages(last: $last, before: $before) { nodes { id number body } pageInfo { startCursor hasPreviousPage hasNextPage } }
    }
  }`;
  const withNodes = (numbers: number[], hasNextPage: boolean) => {
    const { chatroom } = page(numbers, { hasPreviousPage: true, hasNextPage });
    const { edges, ...messages } = chatroom.messages;
    return { chatroom: { ...chatroom, messages: { ...messages, nodes: edges.map(({ node }) => node) } } };
  };
  const shown = watch(nodes, { ...ROOM, last: 2 });
  watch(MESSAGE_ADDED, ROOM);
  await answer('query', withNodes([5, 6], false));
  watch(nodes, { ...ROOM, last: 2, before: 'cursor 5' });
  await answer('query', withNodes([3, 4], true), { before: 'cursor 5' });
  await answer('subscription', came(7));
  await expect
    .poll(() => shown.at(-1)?.chatroom.messages.nodes.map(({ number }: any) => number))
    .toEqual([3, 4, 5, 6, 7]);
});

test('an event with unread counts updates the room and the viewer', async () => {
  const { answer, watch } = scripted();
  const shown = watch('query { viewer { unreadCount } chatroom(id: "room") { id unreadCount } }', {});
  watch('subscription { viewerEvents { ... on UnreadChanged { totalUnreadCount unreadCount chatroom { id } } } }', {});
  await answer('query', {
    viewer: { __typename: 'Viewer', unreadCount: 0 },
    chatroom: { __typename: 'Chatroom', id: 'room', unreadCount: 0 },
  });
  const chatroom = { __typename: 'Chatroom', id: 'room' };
  await answer('subscription', {
    viewerEvents: { __typename: 'UnreadChanged', totalUnreadCount: 5, unreadCount: 3, chatroom },
  });
  await expect.poll(() => shown.at(-1)).toMatchObject({ viewer: { unreadCount: 5 }, chatroom: { unreadCount: 3 } });
});

test('users of a reaction are loaded again after an event without them', async () => {
  const { answer, watch } = scripted();
  const group = (emoji: string, username?: string) => ({
    ...{ __typename: 'ReactionGroup', emoji, count: 1 },
    ...(username
      ? { users: { __typename: 'UserConnection', nodes: [{ __typename: 'User', id: username, username }] } }
      : {}),
  });
  const node = (...reactions: object[]) => ({ __typename: 'Message', id: 'm1', reactions });
  const shown = watch(
    'query ($room: ID!) { node(id: $room) { ... on Message { id reactions { emoji count users(first: 10) { nodes { id username } } } } } }',
    ROOM,
  );
  await answer('query', { __typename: 'Query', node: node(group('👍', 'ben'), group('🎉', 'cat')) });
  watch(
    'subscription ($room: ID!) { chatroomEvents(chatroomId: $room) { ... on ReactionsChanged { message { id reactions { emoji count } } } } }',
    ROOM,
  );
  const event = { __typename: 'ReactionsChanged', message: node(group('🎉')) };
  await answer('subscription', { __typename: 'Subscription', chatroomEvents: event });
  await answer('query', { __typename: 'Query', node: node(group('🎉', 'cat')) });
  const names = () =>
    shown
      .at(-1)
      .node.reactions.map((each: any) => `${each.emoji} ${each.users.nodes.map((user: any) => user.username)}`);
  await expect.poll(names).toEqual(['🎉 cat']);
  expect(
    shown.flatMap(({ node: { reactions } }) => reactions).filter((each: any) => each.emoji === '🎉'),
  ).not.toContainEqual(
    expect.objectContaining({
      users: expect.objectContaining({ nodes: [expect.objectContaining({ username: 'ben' })] }),
    }),
  );
});
