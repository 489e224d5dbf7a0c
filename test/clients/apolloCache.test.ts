import { type ApolloCache, gql, InMemoryCache } from '@apollo/client';
import { expect, test } from 'vitest';
import { addMessage, cachePolicies } from '../../client/apollo.ts';
import { HISTORY } from './documents.ts';

const history = gql(HISTORY);
const NODES = gql`
  query Nodes($room: ID!, $last: Int, $before: String) {
    chatroom(id: $room) {
      __typename
      id
      messages(last: $last, before: $before) {
        __typename
        nodes {
          __typename
          id
          number
          body
        }
      }
    }
  }
`;

function message(number: number, more: object = {}) {
  return {
    ...{ __typename: 'Message' as const, id: `m${number}`, number, body: `body ${number}`, cursor: `cursor ${number}` },
    ...{ clientMessageId: `id ${number}`, chatroom: { __typename: 'Chatroom', id: 'room' } },
    ...{ sender: { __typename: 'User', id: 'ann', username: 'ann' }, ...more },
  };
}

const optimistic = (name: string) => message(Number.MAX_SAFE_INTEGER, { id: name, clientMessageId: name, body: name });

function connection(numbers: readonly number[], hasNextPage: boolean) {
  const pageInfo = {
    ...{ __typename: 'PageInfo', hasPreviousPage: true, hasNextPage },
    ...{ startCursor: `cursor ${numbers[0]}`, endCursor: `cursor ${numbers.at(-1)}` },
  };
  const edges = numbers.map((n) => ({ __typename: 'MessageEdge', cursor: `cursor ${n}`, node: message(n) }));
  return { __typename: 'MessageConnection', edges, pageInfo };
}

function chatroom(messages: object) {
  return { chatroom: { __typename: 'Chatroom', id: 'room', cursor: 'now', messages } };
}

const MESSAGE = gql`
  fragment Whole on Message {
    id
    number
    body
    cursor
    clientMessageId
    chatroom {
      id
    }
    sender {
      id
      username
    }
  }
`;

/** Writes a message into a cache, like a subscription or an optimistic response. */
function add(cache: ApolloCache, data: ReturnType<typeof message>): void {
  cache.writeFragment({ fragment: MESSAGE, data });
  addMessage(cache, 'room', data);
}

/** Creates a cache with the newest page of a room, numbers 5 and 6. */
function openRoom(): { cache: InMemoryCache; bodies: () => string[]; write: (numbers: number[]) => void } {
  const cache = new InMemoryCache(cachePolicies);
  const variables = { room: 'room', last: 2 };
  const write = (numbers: number[]) => {
    cache.writeQuery({ query: history, variables, data: chatroom(connection(numbers, false)) });
  };
  const bodies = () => {
    const data = cache.readQuery<any>({ query: history, variables }, true);
    return data.chatroom.messages.edges.map(({ node }: any) => node.body);
  };
  write([5, 6]);
  return { cache, bodies, write };
}

test('lists of nodes are paged and receive new messages', () => {
  const cache = new InMemoryCache(cachePolicies);
  const read = () =>
    cache.readQuery<any>({ query: NODES, variables: { room: 'room', last: 2 } })?.chatroom.messages.nodes;
  for (const [numbers, before] of [[[5, 6]], [[3, 4], 'cursor 5']] as [number[], string?][]) {
    const messages = { __typename: 'MessageConnection', nodes: numbers.map((number) => message(number)) };
    cache.writeQuery({ query: NODES, variables: { room: 'room', last: 2, before }, data: chatroom(messages) });
  }
  add(cache, message(7));
  expect(read().map(({ number }: any) => number)).toEqual([3, 4, 5, 6, 7]);
});

test('older data of a deleted message does not show it again', () => {
  const cache = new InMemoryCache(cachePolicies);
  const fragment = gql`
    fragment Row on Message {
      id
      body
      deletedAt
      reactions {
        emoji
      }
      attachments {
        id
      }
    }
  `;
  const older = {
    ...{ __typename: 'Message', id: 'm1', body: 'secret', deletedAt: null },
    reactions: [{ __typename: 'ReactionGroup', emoji: '👍' }],
    attachments: [{ __typename: 'Attachment', id: 'file' }],
  };
  const deleted = { ...older, body: null, deletedAt: '2030-01-01T00:00:00.000Z', reactions: [], attachments: [] };
  for (const data of [older, deleted, older]) cache.writeFragment({ fragment, data });
  expect(cache.readFragment({ fragment, id: 'Message:m1' })).toEqual(deleted);
});

test('a message that arrives while optimistic ones wait is shown at once', () => {
  const { cache, bodies } = openRoom();
  for (const name of ['one', 'two'])
    cache.recordOptimisticTransaction((layer) => {
      add(layer, optimistic(name));
    }, name);
  add(cache, message(7));
  expect(bodies()).toEqual(['body 5', 'body 6', 'body 7', 'one', 'two']);
  add(cache, message(8, { clientMessageId: 'two', body: 'two' }));
  expect(bodies()).toEqual(['body 5', 'body 6', 'body 7', 'two', 'one']);
  cache.removeOptimistic('one');
  cache.removeOptimistic('two');
  expect(bodies()).toEqual(['body 5', 'body 6', 'body 7', 'two']);
});

test('refetching a page keeps newer messages, except those of blocked users', () => {
  const { cache, bodies, write } = openRoom();
  add(cache, message(7));
  write([5, 6]);
  expect(bodies()).toEqual(['body 5', 'body 6', 'body 7']);
  const fragment = gql('fragment Blocked on User { id viewerHasBlocked }');
  cache.writeFragment({ fragment, data: { __typename: 'User', id: 'ann', viewerHasBlocked: true } });
  write([5, 6]);
  expect(bodies()).toEqual(['body 5', 'body 6']);
  // A block hides no messages of a DIRECT room.
  const kind = gql('fragment Kind on Chatroom { id kind }');
  cache.writeFragment({ fragment: kind, data: { __typename: 'Chatroom', id: 'room', kind: 'DIRECT' } });
  expect(bodies()).toEqual(['body 5', 'body 6', 'body 7']);
  // This page comes after a gap that no event has filled.
  write([20, 21]);
  expect(bodies()).toEqual(['body 20', 'body 21']);
});

test('a message that arrives while messages load again after a block is kept', () => {
  const { cache, bodies, write } = openRoom();
  cache.writeQuery({
    id: 'ROOT_SUBSCRIPTION',
    query: gql('subscription { viewerEvents { __typename ... on BlockChanged { userId blocked } } }'),
    data: { viewerEvents: { __typename: 'BlockChanged', userId: 'eve', blocked: true } },
  });
  expect(cache.readQuery({ query: history, variables: { room: 'room', last: 2 } })).toBeNull();
  add(cache, message(7));
  // The last message of the page is new to the cache, because it was hidden before.
  write([4, 6]);
  expect(bodies()).toEqual(['body 4', 'body 6', 'body 7']);
  write([6, 7]);
  expect(bodies()).toEqual(['body 4', 'body 6', 'body 7']);
});

test('a shorter newest page keeps the older rows that adjoin it', () => {
  const { cache, bodies, write } = openRoom();
  write([3, 4, 5, 6]);
  write([5, 6, 7]);
  expect(bodies()).toEqual(['body 3', 'body 4', 'body 5', 'body 6', 'body 7']);
  const { chatroom: room } = cache.readQuery<any>({ query: history, variables: { room: 'room', last: 2 } });
  expect(room.messages.pageInfo).toMatchObject({ startCursor: 'cursor 3', endCursor: 'cursor 7' });
  // The list does not contain the first row of this page, so there may be a gap before it.
  write([9, 10]);
  expect(bodies()).toEqual(['body 9', 'body 10']);
});

test('a message without a cursor is refused, and the list stays complete', () => {
  const { cache, bodies } = openRoom();
  const incomplete = message(7);
  Reflect.deleteProperty(incomplete, 'cursor');
  expect(() => {
    addMessage(cache, 'room', incomplete);
  }).toThrow('addMessage needs cursor of the message.');
  expect(bodies()).toEqual(['body 5', 'body 6']);
});

test('equal client ids of two users are two messages', () => {
  const { cache, bodies } = openRoom();
  add(cache, message(7, { clientMessageId: 'same' }));
  add(cache, message(8, { clientMessageId: 'same', sender: { __typename: 'User', id: 'ben', username: 'ben' } }));
  expect(bodies()).toEqual(['body 5', 'body 6', 'body 7', 'body 8']);
});

test('an event with unread counts updates the viewer', () => {
  const cache = new InMemoryCache(cachePolicies);
  const query = gql('{ viewer { unreadCount } }');
  cache.writeQuery({ query, data: { viewer: { __typename: 'Viewer', unreadCount: 0 } } });
  const viewerEvents = { __typename: 'UnreadChanged', totalUnreadCount: 5 };
  const event = gql('subscription { viewerEvents { ... on UnreadChanged { totalUnreadCount } } }');
  cache.writeQuery({ id: 'ROOT_SUBSCRIPTION', query: event, data: { viewerEvents } });
  expect(cache.readQuery({ query })).toEqual({ viewer: { __typename: 'Viewer', unreadCount: 5 } });
});
