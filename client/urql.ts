import {
  composeExchanges,
  type Exchange,
  gql,
  makeOperation,
  mapExchange,
  type Operation,
  type OperationResult,
  subscriptionExchange,
} from '@urql/core';
import { cacheExchange, type CacheExchangeOpts, type Resolver, type UpdateResolver } from '@urql/exchange-graphcache';
import { fromArray, mergeMap, pipe } from 'wonka';
import { introspection } from './generated/introspection.ts';
import { connections, keyless } from './generated/schema.ts';
import type { ChatClient, RequestOptions, StreamOptions } from './index.ts';
import { observe } from './observe.ts';
import { list } from './urqlLists.ts';
import { addMessage, messages, pageWritten } from './urqlMessages.ts';

/** What operations can be given as `context`. */
export type ChatContext = Pick<RequestOptions, 'retry'> & StreamOptions;

/** The last exchange of an urql client: sends all operations with the chat client, whose subscriptions come back by themselves. */
export function chatExchange(client: ChatClient): Exchange {
  return subscriptionExchange({
    enableAllOperations: true,
    forwardSubscription: ({ variables }, { kind, context, query }) => ({
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
 * How urql's graphcache keeps what Parley answers: `chatCacheExchange()`, or `chatCacheExchange({ ...cacheOptions, … })`. With
 * graphcache's own `cacheExchange`, events that come while a mutation is pending can be hidden.
 *
 * Lists are one list of all pages that adjoin each other. A message that is sent or comes in by a subscription is put into
 * `Chatroom.messages` where that has been read up to its end: select `id number cursor clientMessageId chatroom { id }`.
 */
export const cacheOptions = {
  schema: introspection,
  keys: {
    ...Object.fromEntries(keyless.map((type) => [type, () => null])),
    // There is one of each, also where nobody asks for its id.
    Viewer: () => 'viewer',
    Server: () => 'server',
  },
  resolvers: resolvers(),
  updates: {
    Chatroom: { messages: pageWritten },
    Mutation: { sendMessage: messageAdded },
    Subscription: { messageAdded, chatroomEvents: messageAdded, viewerEvents: unreadChanged },
  },
} satisfies CacheExchangeOpts;

function resolvers(): Record<string, Record<string, Resolver>> {
  const lists = Object.entries(connections).map(
    ([type, fields]) => [type, Object.fromEntries(Object.keys(fields).map((field) => [field, list]))] as const,
  );
  const all = Object.fromEntries(lists);
  return { ...all, Chatroom: { ...all['Chatroom'], messages } };
}

/** Keys of operations are hashes of 32 bits. */
const FIRST_KEY = 2 ** 32;

/**
 * Graphcache for Parley, in the place of `cacheExchange`. It writes what arrives in the order of arrival.
 *
 * Graphcache gives a subscription one layer. While another operation is pending, the results of mutations lie above that layer,
 * and hide later events of the subscription for good. Here each event is an operation of its own, whose layer is the newest.
 *
 * Graphcache writes the answers to optimistic mutations when all of them are there, over the events that came meanwhile. Here an
 * answer is written at once, and what is written later are only the keys of its entities.
 */
export function chatCacheExchange(options: CacheExchangeOpts = cacheOptions): Exchange {
  return (input) => {
    const subscriptions = new WeakMap<Operation, Operation>();
    let count = 0;
    const asOwnOperation = ({ operation, ...result }: OperationResult): OperationResult => {
      count += 1;
      const own = makeOperation(operation.kind, { ...operation, key: FIRST_KEY + count }, operation.context);
      return { ...result, operation: own };
    };
    const inOrder = (result: OperationResult): OperationResult[] => {
      const { operation, error } = result;
      const data: unknown = result.data;
      if (operation.kind === 'subscription') {
        const event = asOwnOperation(result);
        subscriptions.set(event.operation, operation);
        return [event];
      }
      const isHeld = operation.kind === 'mutation' && operation.context['optimistic'] === true;
      if (!isHeld || !data || error) return [result];
      return [asOwnOperation(result), { ...result, data: keysOf(data) }];
    };
    const separate: Exchange =
      ({ forward }) =>
      (operations) =>
        pipe(
          forward(operations),
          mergeMap((result) => fromArray(inOrder(result))),
        );
    const restore = mapExchange({
      onResult: (result) => ({ ...result, operation: subscriptions.get(result.operation) ?? result.operation }),
    });
    return composeExchanges([restore, cacheExchange(options), separate])(input);
  };
}

/** The same data with nothing but the keys of its entities, which graphcache completes out of the cache. */
function keysOf(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(keysOf);
  if (typeof data !== 'object' || data === null) return data;
  const { __typename, id } = data as { __typename?: unknown; id?: unknown };
  if (__typename !== undefined && id !== undefined) return { __typename, id };
  return Object.fromEntries(Object.entries(data).map(([field, value]) => [field, keysOf(value)]));
}

interface AddedMessage {
  id: string;
  chatroom?: { id?: string };
}

interface Event {
  __typename: string;
  message?: AddedMessage;
  edge?: { node?: AddedMessage };
  chatroom?: { id?: string };
  unreadCount?: number;
  totalUnreadCount?: number;
}

function messageAdded(...[result, args, cache, { fieldName }]: Parameters<UpdateResolver>): void {
  const event = result[fieldName] as Event | null;
  if (!event || !['MessageAdded', 'SendMessagePayload'].includes(event.__typename)) return;
  const message = event.message ?? event.edge?.node;
  const { chatroomId, input } = args as { chatroomId?: string; input?: { chatroomId?: string } };
  const id = message?.chatroom?.id ?? event.chatroom?.id ?? chatroomId ?? input?.chatroomId;
  const key = message && cache.keyOfEntity({ __typename: 'Message', id: message.id });
  const chatroom = id === undefined ? null : cache.keyOfEntity({ __typename: 'Chatroom', id });
  if (key && chatroom) addMessage(cache, chatroom, key, fieldName === 'messageAdded' && chatroomId == null);
}

const TOTAL_UNREAD = gql`
  fragment TotalUnread on Viewer {
    unreadCount
  }
`;
const UNREAD = gql`
  fragment Unread on Chatroom {
    id
    unreadCount
  }
`;

/** The event names the counts of a room and of the viewer. */
function unreadChanged(...[result, , cache, { fieldName }]: Parameters<UpdateResolver>): void {
  const { chatroom, unreadCount, totalUnreadCount } = (result[fieldName] ?? {}) as Event;
  if (totalUnreadCount !== undefined)
    cache.writeFragment(TOTAL_UNREAD, { __typename: 'Viewer', unreadCount: totalUnreadCount });
  if (unreadCount !== undefined && chatroom?.id !== undefined)
    cache.writeFragment(UNREAD, { __typename: 'Chatroom', id: chatroom.id, unreadCount });
}
