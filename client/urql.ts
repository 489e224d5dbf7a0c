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
import {
  type Cache,
  cacheExchange,
  type CacheExchangeOpts,
  type Resolver,
  type UpdateResolver,
} from '@urql/exchange-graphcache';
import { fromArray, mergeMap, onPush, pipe } from 'wonka';
import { introspection } from './generated/introspection.ts';
import { connections, keyless } from './generated/schema.ts';
import { beginsWithSnapshot } from './document.ts';
import type { ChatClient, RequestOptions, StreamOptions } from './index.ts';
import { observe } from './observe.ts';
import { type Collection, createReplays } from './replays.ts';
import { deletedFields, deletionWritten } from './urqlDeleted.ts';
import { resolveConnection, resolveNodes } from './urqlLists.ts';
import { addMessage, invalidateRoom, membersWritten, messages, pageWritten, removeBlocked } from './urqlMessages.ts';
import { keepWatched, RECEIVED, SENDING, writeExchange, WRITTEN } from './urqlWrites.ts';

/** Options of an operation, passed as its `context`. */
export type ChatContext = Pick<RequestOptions, 'retry'> & StreamOptions;

/** Creates the last exchange of an urql client. The chat client sends all operations and reconnects subscriptions. */
export function chatExchange(client: ChatClient): Exchange {
  return subscriptionExchange({
    enableAllOperations: true,
    forwardSubscription: ({ variables }, { kind, context, query }) => ({
      subscribe(observer) {
        const { retry, onResync, onStarted, onResumed } = context as ChatContext;
        const onReceived = context[RECEIVED] as ((data: unknown) => void) | undefined;
        if (kind === 'subscription') {
          const start = () =>
            client.subscribe<Record<string, unknown>>(query, variables ?? {}, { onResync, onStarted, onResumed });
          const unsubscribe = observe(start, {
            next(data) {
              onReceived?.(data);
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
        const onSend = context[SENDING] as (() => void) | undefined;
        client.request<unknown>(query, variables ?? {}, { retry, onSend, signal: unsubscribed.signal }).then(
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
 * Options of urql's graphcache for Parley's schema. `chatCacheExchange()` uses these options by default. To change some
 * of them, call `chatCacheExchange({ ...cacheOptions, … })`. Graphcache's own `cacheExchange` can hide events that
 * arrive while a mutation is pending.
 *
 * Adjoining pages of a connection are merged into one list. Messages of `sendMessage` and of subscriptions are added to
 * `Chatroom.messages` if the newest page of the list is loaded. Select
 * `id number cursor clientMessageId chatroom { id }` of each message.
 */
export const cacheOptions = {
  schema: introspection,
  keys: {
    ...Object.fromEntries(keyless.map((type) => [type, () => null])),
    // `Viewer` and `Server` are singletons. A query need not select their ids.
    Viewer: () => 'viewer',
    Server: () => 'server',
  },
  resolvers: resolvers(),
  updates: {
    Chatroom: { messages: pageWritten, members: membersWritten },
    Message: { reactions: reactionsWritten, deletedAt: deletionWritten },
    Mutation: { sendMessage: messageAdded },
    Subscription: { messageAdded, chatroomEvents: chatroomEvent, viewerEvents: viewerEvent },
  },
} satisfies CacheExchangeOpts;

function resolvers(): Record<string, Record<string, Resolver>> {
  const lists = Object.entries(connections).map(
    ([type, fields]) =>
      [type, Object.fromEntries(Object.keys(fields).map((field) => [field, resolveConnection]))] as const,
  );
  const all = Object.fromEntries(lists);
  return {
    ...all,
    Chatroom: { ...all['Chatroom'], messages },
    Message: { ...all['Message'], ...deletedFields },
    Query: { ...all['Query'], nodes: resolveNodes },
  };
}

/**
 * Invalidates the cached `users` of reaction groups that were written without `users`. Graphcache stores groups by
 * index, because a `ReactionGroup` has no id. If an earlier group vanishes, the next group would show the users of that
 * group.
 */
function reactionsWritten(
  message: { reactions?: unknown },
  _args: unknown,
  cache: Cache,
  { parentKey }: { parentKey: string },
): void {
  const keys = cache.resolve(parentKey, 'reactions');
  if (!Array.isArray(keys) || !Array.isArray(message.reactions)) return;
  for (const [i, group] of message.reactions.entries()) {
    const key = keys[i] as string;
    if (hasUsers(group as object)) continue;
    for (const { fieldName, arguments: args } of cache.inspectFields(key)) {
      if (fieldName === 'users') cache.invalidate(key, fieldName, args);
    }
  }
}

/**
 * Returns whether the written data of a reaction group includes `users`. Compares types, because a document may select
 * `users` under an alias.
 */
function hasUsers(group: object): boolean {
  return Object.values(group).some(
    (value) => (value as { __typename?: string } | null)?.__typename === 'UserConnection',
  );
}

/** First key of the operations that `chatCacheExchange` creates. Keys of urql are 32-bit hashes, which are smaller. */
const FIRST_KEY = 2 ** 32;

/**
 * Creates graphcache for Parley, to be used instead of `cacheExchange`. It writes results in the order of arrival. The
 * response to a query or mutation, and the snapshot at the beginning of a stream, may be older than events that arrived
 * since the operation was sent. These events are then written again.
 *
 * Graphcache writes all events of a subscription to one layer. Results of mutations are written to higher layers while
 * another operation is pending. These layers permanently hide later events. Therefore this exchange turns each event
 * into a separate operation with the newest layer.
 *
 * Graphcache confuses two mutations with the same variables that run at once: both results resolve the later mutation, and
 * the earlier one never ends. Therefore each mutation has a key of its own.
 *
 * Graphcache delays results of optimistic mutations until all of them have arrived, and then overwrites newer events.
 * Therefore this exchange writes each result at once. The delayed write contains only entity keys, so that it
 * overwrites nothing.
 */
export function chatCacheExchange(options: CacheExchangeOpts = cacheOptions): Exchange {
  return (input) => {
    const subscriptions = new WeakMap<Operation, Operation>();
    /** The mutations of the application, by the keys of their own operations. */
    const mutations = new Map<number, Operation>();
    const replays = createReplays<OperationResult>();
    /**
     * Events since each running query or mutation began, and since each stream without a snapshot yet, by its key. A query may run twice at once, because graphcache
     * sends it again after each change that it lacks. Its events then are those since the first run began, because the
     * responses may arrive in any order.
     */
    const running = new Map<number, Collection<OperationResult> & { runs: number }>();
    let count = 0;
    const withOwnKey = (operation: Operation): Operation => {
      count += 1;
      return makeOperation(operation.kind, { ...operation, key: FIRST_KEY + count }, operation.context);
    };
    const asOwnOperation = ({ operation, ...result }: OperationResult): OperationResult => ({
      ...result,
      operation: withOwnKey(operation),
    });
    const begin = ({ kind, key, query, variables = {} }: Operation): void => {
      const current = running.get(key);
      if (kind === 'teardown') {
        current?.end();
        running.delete(key);
      } else if (current) current.runs += 1;
      else if (kind !== 'subscription' || beginsWithSnapshot(query, variables))
        running.set(key, { ...replays.begin(), runs: 1 });
    };
    const end = (key: number): OperationResult[] => {
      const current = running.get(key);
      if (!current) return [];
      current.runs -= 1;
      if (current.runs === 0) {
        current.end();
        running.delete(key);
      }
      return current.events.map(asOwnOperation);
    };
    /** Forgets the events that arrived before a mutation is sent, because its response is newer. */
    const beginAgain = (key: number): void => {
      const current = running.get(key);
      if (!current) return;
      current.end();
      running.set(key, { ...replays.begin(), runs: current.runs });
    };
    const inOrder = (result: OperationResult): OperationResult[] => {
      const { operation, error } = result;
      const data: unknown = result.data;
      const missed = end(operation.key);
      if (operation.kind === 'subscription') {
        const event = asOwnOperation(result);
        subscriptions.set(event.operation, operation);
        // Data that the hooks write again is no new event.
        if (!(WRITTEN in operation.context)) for (const each of [result, ...missed]) replays.add(each);
        return [event, ...missed];
      }
      const isDeferred = operation.kind === 'mutation' && operation.context['optimistic'] === true;
      if (!isDeferred || !data || error) return [result, ...missed];
      return [asOwnOperation(result), { ...result, data: keysOf(data) }, ...missed];
    };
    const separate: Exchange =
      ({ forward }) =>
      (operations) =>
        pipe(
          forward(pipe(operations, onPush(begin))),
          mergeMap((result) => fromArray(inOrder(result))),
        );
    const restore = mapExchange({
      onOperation(operation) {
        if (operation.kind !== 'mutation') return keepWatched(operation);
        const { key } = withOwnKey(operation);
        mutations.set(key, operation);
        const onSending = () => {
          beginAgain(key);
        };
        return makeOperation(operation.kind, { ...operation, key }, { ...operation.context, [SENDING]: onSending });
      },
      onResult({ operation, ...result }) {
        const original = subscriptions.get(operation) ?? mutations.get(operation.key) ?? operation;
        if (!result.hasNext) mutations.delete(operation.key);
        return { ...result, operation: original };
      },
    });
    return composeExchanges([restore, cacheExchange(options), separate, writeExchange])(input);
  };
}

/** Reduces data to entity keys: `__typename` and `id`. Graphcache reads the other fields from the cache. */
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
  memberId?: string;
  user?: object | null;
  chatroomId?: string;
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

/**
 * Adds a new message to its room. Links a snapshot to the query of its room. Removes a former member, and invalidates the
 * lists of members that lack a new one. If a member has deleted their account, invalidates the messages.
 */
function chatroomEvent(...[result, args, cache, info]: Parameters<UpdateResolver>): void {
  messageAdded(result, args, cache, info);
  const { __typename, memberId, user } = (result[info.fieldName] ?? {}) as Partial<Event>;
  const { chatroomId } = args as { chatroomId: string };
  const room = cache.keyOfEntity({ __typename: 'Chatroom', id: chatroomId });
  if (!room) return;
  // The query of the room then needs no request.
  if (__typename === 'RoomSnapshot') cache.link('Query', 'chatroom', { id: chatroomId }, room);
  if (__typename === 'MemberLeft' && memberId !== undefined)
    removeFromLists(cache, room, 'members', cache.keyOfEntity({ __typename: 'ChatroomMember', id: memberId }));
  // The messages and reactions of a deleted account lose their user without an event of their own.
  if (__typename === 'MemberLeft' && user === null) invalidateRoom(cache, room);
  if (__typename === 'MemberJoined') invalidateFields(cache, room, 'members');
}

/** Removes an item from all cached pages of a connection. */
function removeFromLists(cache: Cache, parent: string, field: string, item: string | null): void {
  for (const { fieldName, fieldKey } of cache.inspectFields(parent)) {
    const page = fieldName === field ? cache.resolve(parent, fieldKey) : null;
    if (typeof page !== 'string') continue;
    const edges = cache.resolve(page, 'edges') as string[] | undefined;
    const nodes = cache.resolve(page, 'nodes') as string[] | undefined;
    if (edges) {
      const others = edges.filter((edge) => cache.resolve(edge, 'node') !== item);
      cache.link(page, 'edges', others);
    }
    if (nodes) {
      const others = nodes.filter((node) => node !== item);
      cache.link(page, 'nodes', others);
    }
  }
}

function invalidateFields(cache: Cache, entity: string, ...names: string[]): void {
  for (const { fieldName, arguments: args } of cache.inspectFields(entity))
    if (names.length === 0 || names.includes(fieldName)) cache.invalidate(entity, fieldName, args);
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

/**
 * Writes the unread counts of an event to its room and to the viewer. A changed block invalidates all messages. A room that
 * appears or vanishes changes the fields that only members see, so these fields are invalidated.
 */
function viewerEvent(...[result, , cache, { fieldName }]: Parameters<UpdateResolver>): void {
  const { __typename, chatroom, chatroomId, unreadCount, totalUnreadCount } = (result[fieldName] ??
    {}) as Partial<Event>;
  if (__typename === 'BlockChanged') removeBlocked(cache);
  const id = chatroomId ?? chatroom?.id;
  const room = id === undefined ? null : cache.keyOfEntity({ __typename: 'Chatroom', id });
  if (room && __typename === 'ChatroomAppeared') invalidateRoom(cache, room);
  if (room && __typename === 'ChatroomVanished') {
    invalidateRoom(cache, room);
    invalidateFields(cache, room);
  }
  if (totalUnreadCount !== undefined)
    cache.writeFragment(TOTAL_UNREAD, { __typename: 'Viewer', unreadCount: totalUnreadCount });
  if (unreadCount !== undefined && chatroom?.id !== undefined)
    cache.writeFragment(UNREAD, { __typename: 'Chatroom', id: chatroom.id, unreadCount });
}
