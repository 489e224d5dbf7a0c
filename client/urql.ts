import { type Exchange, gql, subscriptionExchange } from '@urql/core';
import type { Cache, CacheExchangeOpts, UpdateResolver } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { introspection } from './generated/introspection.ts';
import { connections, keyless } from './generated/schema.ts';
import type { ChatClient, RequestOptions, StreamOptions } from './index.ts';
import { observe } from './observe.ts';

/** What operations can be given as `context`. */
export type ChatContext = Pick<RequestOptions, 'retry'> & StreamOptions;

/** The last exchange of an urql client: sends all operations with the chat client, whose subscriptions come back by themselves. */
export function chatExchange(client: ChatClient): Exchange {
  return subscriptionExchange({
    enableAllOperations: true,
    forwardSubscription: ({ query = '', variables }, { kind, context }) => ({
      subscribe(observer) {
        const { retry, onResync, onResumed } = context as ChatContext;
        if (kind === 'subscription') {
          const stream = client.subscribe<Record<string, unknown>>(query, variables ?? {}, { onResync, onResumed });
          const unsubscribe = observe(stream, {
            next(data) {
              observer.next({ data });
            },
            error(error) {
              observer.error(error);
            },
            complete() {
              observer.complete();
            },
          });
          return { unsubscribe };
        }
        const unsubscribed = new AbortController();
        client.request<unknown>(query, variables ?? {}, { retry, signal: unsubscribed.signal }).then(
          (result) => {
            observer.next(result as Parameters<typeof observer.next>[0]);
            observer.complete();
          },
          (error: unknown) => {
            if (!unsubscribed.signal.aborted) observer.error(error);
          },
        );
        return {
          unsubscribe() {
            unsubscribed.abort();
          },
        };
      },
    }),
  });
}

/**
 * How urql's graphcache keeps what Parley answers: `cacheExchange(cacheOptions)`.
 *
 * Lists are one list, however many pages were read. A message that is sent or comes in by a subscription is put into
 * `Chatroom.messages` where that has been read up to its end: select `id number cursor clientMessageId chatroom { id }`.
 */
export const cacheOptions = {
  schema: introspection,
  keys: {
    ...Object.fromEntries(keyless.map((type) => [type, () => null])),
    // Edges of messages are made here; those of other lists are parts of their pages.
    MessageEdge: ({ cursor }) => (typeof cursor === 'string' ? cursor : null),
    // There is one of each, also where nobody asks for its id.
    Viewer: () => 'viewer',
    Server: () => 'server',
  },
  resolvers: Object.fromEntries(
    Object.entries(connections).map(([type, lists]) => [
      type,
      Object.fromEntries(Object.keys(lists).map((field) => [field, relayPagination()])),
    ]),
  ),
  updates: {
    Mutation: { sendMessage: added('sendMessage') },
    Subscription: { messageAdded: added('messageAdded'), chatroomEvents: added('chatroomEvents') },
  },
} satisfies CacheExchangeOpts;

const EDGE = gql`
  fragment AddedEdge on MessageEdge {
    cursor
  }
`;

interface Message {
  id: string;
  number?: number;
  cursor?: string;
  clientMessageId?: string | null;
}

function added(field: string): UpdateResolver {
  return (result, _args, cache) => {
    const event = result[field] as { __typename: string; message?: Message } | null;
    if (!event?.message || !['MessageAdded', 'SendMessagePayload'].includes(event.__typename)) return;
    const key = cache.keyOfEntity({ __typename: 'Message', id: event.message.id });
    const chatroom = cache.resolve(key, 'chatroom');
    if (key && typeof chatroom === 'string') addMessage(cache, chatroom, key);
  };
}

/** Puts a message into the pages of its room that go up to the end, in its place, and once. */
function addMessage(cache: Cache, chatroom: string, message: string): void {
  const number = Number(cache.resolve(message, 'number'));
  const name = cache.resolve(message, 'clientMessageId');
  const cursor = cache.resolve(message, 'cursor');
  if (typeof cursor !== 'string') return;
  const nodeOf = (edge: string) => cache.resolve(edge, 'node') as string;
  for (const { fieldName, fieldKey } of cache.inspectFields(chatroom)) {
    if (fieldName !== 'messages') continue;
    const page = cache.resolve(chatroom, fieldKey) as string | null;
    const edges = cache.resolve(page, 'edges') as string[] | null;
    // What lies between would be missing; the next page brings it.
    if (!page || !edges || cache.resolve(cache.resolve(page, 'pageInfo') as string, 'hasNextPage') !== false) continue;
    if (edges.some((edge) => nodeOf(edge) === message)) continue;
    const edge = cache.keyOfEntity({ __typename: 'MessageEdge', cursor });
    const others = edges.filter((each) => name == null || cache.resolve(nodeOf(each), 'clientMessageId') !== name);
    const before = others.findLastIndex((each) => Number(cache.resolve(nodeOf(each), 'number')) < number);
    cache.writeFragment(EDGE, { cursor });
    cache.link(edge, 'node', message);
    cache.link(page, 'edges', others.toSpliced(before + 1, 0, edge as string));
  }
}
