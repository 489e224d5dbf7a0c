import {
  type ApolloCache,
  ApolloLink,
  type FieldFunctionOptions,
  type InMemoryCacheConfig,
  Observable,
  type Reference,
  type StoreObject,
} from '@apollo/client';
import { OperationTypeNode } from 'graphql';
import { relayStylePagination } from '@apollo/client/utilities';
import { deletedFields } from './apolloDeleted.ts';
import { connections, possibleTypes } from './generated/schema.ts';
import { beginsWithSnapshot } from './document.ts';
import type { ChatClient, RequestOptions, StreamOptions } from './index.ts';
import { MAX_NUMBER } from './messageNumber.ts';
import { observe } from './observe.ts';
import { createReplays, type Replays } from './replays.ts';

/** Options of an operation, passed as its `context`. */
export type ChatContext = Pick<RequestOptions, 'retry'> & StreamOptions;

/** Events and added messages that are written again after a response, by cache. */
const allReplays = new WeakMap<ApolloCache, Replays<() => void>>();

function replaysOf(cache: ApolloCache): Replays<() => void> {
  const replays = allReplays.get(cache) ?? createReplays();
  allReplays.set(cache, replays);
  return replays;
}

/**
 * Creates the terminating link of an Apollo Client. The chat client sends all operations and reconnects subscriptions.
 *
 * The response to a query or mutation, and the snapshot at the beginning of a stream, may be older than events that arrived
 * since the operation was sent. The link then writes these events to the cache again.
 */
export function createChatLink(client: ChatClient): ApolloLink {
  return new ApolloLink(({ operationType, query, variables, getContext, client: { cache } }) => {
    const replays = replaysOf(cache);
    const repeat = (writes: readonly (() => void)[]) => {
      if (writes.length === 0) return;
      cache.batch({
        update() {
          for (const write of writes) write();
        },
      });
    };
    const { retry, onResync, onStarted, onResumed } = getContext() as ChatContext;
    return new Observable((observer) => {
      if (operationType === OperationTypeNode.SUBSCRIPTION) {
        const start = () =>
          client.subscribe<Record<string, unknown>>(query, variables, { onResync, onStarted, onResumed });
        let opening = beginsWithSnapshot(query, variables) ? replays.begin() : null;
        const open = () => {
          opening?.end();
          const missed = opening?.events ?? [];
          opening = null;
          return missed;
        };
        const unsubscribe = observe(start, {
          next(data) {
            const missed = open();
            replays.add(() => void cache.writeQuery({ id: 'ROOT_SUBSCRIPTION', query, variables, data }));
            observer.next({ data });
            for (const write of missed) replays.add(write);
            repeat(missed);
          },
          error(error) {
            observer.error(error);
          },
          complete() {
            observer.complete();
          },
        });
        return () => {
          open();
          unsubscribe();
        };
      }
      const unsubscribed = new AbortController();
      let missed = replays.begin();
      // A message may wait for minutes while the server is away. Its response is newer than the events until then.
      const onSend = () => {
        missed.end();
        if (!unsubscribed.signal.aborted) missed = replays.begin();
      };
      client.request<Record<string, unknown>>(query, variables, { retry, onSend, signal: unsubscribed.signal }).then(
        (result) => {
          // Apollo Client writes the response to the cache before this call returns.
          observer.next(result as ApolloLink.Result);
          missed.end();
          // Not in one batch with the response. Apollo Client sends a query again only if it has seen its result complete.
          repeat(missed.events);
          observer.complete();
        },
        (error: unknown) => {
          missed.end();
          observer.error(error);
        },
      );
      return () => {
        missed.end();
        unsubscribed.abort();
      };
    });
  });
}

/**
 * Options of an `InMemoryCache` for Parley's schema: `new InMemoryCache(cachePolicies)`.
 *
 * Merges the pages of a connection into one list. Queries must select `pageInfo`, and either `edges { cursor node }` or
 * `nodes`.
 */
export const cachePolicies: Pick<InMemoryCacheConfig, 'possibleTypes' | 'typePolicies'> = {
  possibleTypes,
  typePolicies: {
    ...Object.fromEntries(
      Object.entries(connections).map(([type, lists]) => [type, { fields: fieldPolicies(lists) }] as const),
    ),
    Chatroom: { fields: { ...fieldPolicies(connections.Chatroom), messages: messagesPolicy() } },
    Query: {
      fields: {
        ...fieldPolicies(connections.Query),
        // Resolves `chatroom(id:)` from the cache if another query, such as a list, has loaded the room.
        chatroom(known: Reference | null | undefined, { args, toReference, canRead }) {
          const room = toReference({ __typename: 'Chatroom', id: String(args?.['id']) });
          return canRead(room) ? room : known;
        },
        nodes: nodesPolicy,
      },
    },
    Message: {
      fields: {
        ...fieldPolicies(connections.Message),
        ...deletedFields,
        reactions: { ...deletedFields.reactions, merge: mergeReactions },
        // A deletion empties these lists, of which Apollo Client otherwise warns.
        attachments: { ...deletedFields.attachments, merge: false },
        linkPreviews: { ...deletedFields.linkPreviews, merge: false },
      },
    },
    Presence: { merge: true },
    // `Server` and `Viewer` are singletons. A query need not select their ids.
    Server: { keyFields: [] },
    Viewer: { keyFields: [], fields: fieldPolicies(connections.Viewer) },
    Subscription: {
      fields: { chatroomEvents: { merge: mergeChatroomEvent }, viewerEvents: { merge: mergeViewerEvent } },
    },
    BlockChanged: { fields: { blocked: { merge: removeBlocked } } },
    UnreadChanged: { fields: { totalUnreadCount: { merge: setTotalUnread } } },
  },
};

/**
 * Resolves `nodes(ids:)` to objects that other queries or events have loaded. Returns undefined if the cache lacks any
 * object. Apollo Client then sends the query.
 */
function nodesPolicy(known: Reference[] | undefined, { args, toReference, readField }: FieldFunctionOptions) {
  if (known) return known;
  const references = (args?.['ids'] as string[]).map((id) =>
    possibleTypes.Node.map((__typename) => toReference({ __typename, id })).find(
      (reference) => readField('id', reference) === id,
    ),
  );
  return references.every((reference) => reference !== undefined) ? references : undefined;
}

/**
 * Replaces the reactions of a message. A reaction keeps fields that the new list does not select, so that components
 * with different selections do not make the reactions of each other incomplete.
 */
function mergeReactions(
  known: readonly StoreObject[] = [],
  reactions: readonly StoreObject[],
  { readField, mergeObjects }: FieldFunctionOptions,
) {
  const byEmoji = new Map(known.map((each) => [readField('emoji', each), each]));
  return reactions.map((each) => {
    const emoji = readField('emoji', each);
    const before = emoji === undefined ? undefined : byEmoji.get(emoji);
    return before ? mergeObjects(before, each) : each;
  });
}

function fieldPolicies(lists: Record<string, readonly string[]>) {
  return Object.fromEntries(
    Object.entries(lists).map(([field, args]) => [field, listPolicy(args.length > 0 ? [...args] : false)]),
  );
}

interface CachedEdge {
  __typename?: string;
  cursor?: string;
  node: Reference;
  /** True if a reload of the newest page did not return this message, but the list kept it. */
  isKept?: boolean;
}

interface CachedList {
  __typename?: string;
  edges: CachedEdge[];
  /** True until the newest page is loaded again after a block. `edges` has the messages that arrived meanwhile. */
  isOutdated?: boolean;
  pageInfo?: {
    hasPreviousPage?: boolean;
    hasNextPage?: boolean;
    startCursor?: string | null;
    endCursor?: string | null;
  };
}

type IncomingList = Omit<CachedList, 'edges'> & { edges?: CachedEdge[]; nodes?: Reference[] };

interface ListPolicy {
  keyArgs: string[] | false;
  read: (
    list: CachedList | undefined,
    options: FieldFunctionOptions,
  ) => (CachedList & { nodes: Reference[] }) | undefined;
  merge: (list: CachedList | undefined, page: IncomingList | null, options: FieldFunctionOptions) => CachedList | null;
}

/** Merges all pages of a connection into one list. The cache stores edges; `nodes` are derived from them. */
function listPolicy(keyArgs: string[] | false): ListPolicy {
  const policy = relayStylePagination(keyArgs);
  const { read, merge } = policy as unknown as Pick<ListPolicy, 'read' | 'merge'>;
  return {
    keyArgs,
    read(known, options) {
      const list = read(known, options);
      return list && { ...list, nodes: list.edges.map(({ node }) => node) };
    },
    merge: (known, page, options) => merge(known, page && withEdges(page, options), options),
  };
}

function withEdges({ nodes, ...page }: IncomingList, { readField }: FieldFunctionOptions): IncomingList {
  if (page.edges || !nodes) return page;
  const type = page.__typename?.replace(/Connection$/, 'Edge');
  const edges = nodes.map((node): CachedEdge => {
    const cursor = readField<string>('cursor', node);
    return { ...(type ? { __typename: type } : {}), ...(cursor === undefined ? {} : { cursor }), node };
  });
  return { ...page, edges };
}

/**
 * Policy of `Chatroom.messages`. A reload of the newest page replaces the messages in its range. Newer messages stay,
 * because they arrived during the request. Older messages stay only if the list contains the first message of the page.
 * Otherwise there could be a gap before that message.
 */
function messagesPolicy(): ListPolicy {
  const base = listPolicy(false);
  return {
    ...base,
    read(known, options) {
      // Apollo Client then sends the query again.
      if (known?.isOutdated) return undefined;
      const isShown = (edge: CachedEdge) => !edge.isKept || !isHidden(edge.node, options.readField);
      return base.read(known && { ...known, edges: known.edges.filter(isShown) }, options);
    },
    merge(list, page, options) {
      const { args, readField } = options;
      const isEnd = args?.['last'] != null && args['before'] == null;
      const known = list?.isOutdated ? (isEnd ? { ...list, isOutdated: false } : undefined) : list;
      const complete = isEnd && page ? { ...page, pageInfo: { hasNextPage: false, ...page.pageInfo } } : page;
      const merged = base.merge(known, complete, options);
      if (!list || !known || !merged || !isEnd) return merged;
      const isSame = (edge: CachedEdge | undefined) => (other: CachedEdge) => other.node.__ref === edge?.node.__ref;
      const older = known.edges.slice(0, Math.max(0, known.edges.findIndex(isSame(merged.edges[0]))));
      const newer = newerThan(merged.edges, list, readField);
      const edges = [...older.map(keep), ...merged.edges, ...newer.map(keep)];
      if (older.length === 0) return { ...merged, edges };
      const { hasPreviousPage = true, startCursor } = known.pageInfo ?? {};
      return { ...merged, edges, pageInfo: { ...merged.pageInfo, hasPreviousPage, startCursor } };
    },
  };
}

/** Returns the known edges that are newer than a newest page. */
function newerThan(
  page: readonly CachedEdge[],
  { edges, isOutdated }: CachedList,
  readField: FieldFunctionOptions['readField'],
): readonly CachedEdge[] {
  const numberOf = (edge: CachedEdge | undefined) => edge && readField<number>('number', edge.node);
  const last = page.length > 0 ? numberOf(page.at(-1)) : 0;
  if (last !== undefined) return edges.filter((edge) => (numberOf(edge) ?? 0) > last);
  // The last message of the page has not been written to the cache yet, so its number is unknown.
  const shared = edges.findLastIndex(({ node }) => page.some((other) => other.node.__ref === node.__ref));
  return shared >= 0 || isOutdated ? edges.slice(shared + 1) : [];
}

/** Marks a message that a reload did not return. `read` hides the message if its sender has been blocked. */
const keep = (edge: CachedEdge): CachedEdge => ({ ...edge, isKept: true });

/** Returns whether a block hides the message. Only direct rooms show messages of blocked users. */
function isHidden(message: Reference, readField: FieldFunctionOptions['readField']): boolean {
  const isBlocked = readField('viewerHasBlocked', readField<Reference>('sender', message)) === true;
  return isBlocked && readField('kind') !== 'DIRECT';
}

/**
 * Removes the messages and members of all rooms, because a block or its end hides or shows messages and read marks in all
 * of them. Apollo Client then sends the active queries of these lists again. Messages that arrive before the response are
 * added to the empty list.
 */
function removeBlocked(_known: unknown, blocked: boolean, { cache }: FieldFunctionOptions): boolean {
  for (const id of Object.keys(cache.extract())) {
    if (!id.startsWith('Chatroom:')) continue;
    cache.modify({ id, fields: { messages: outdated as never } });
    cache.evict({ id, fieldName: 'members' });
  }
  return blocked;
}

function outdated(list: CachedList | null): CachedList | null {
  const { hasNextPage = false } = list?.pageInfo ?? {};
  return list && { ...list, edges: [], pageInfo: { hasNextPage }, isOutdated: true };
}

/** Lists of a room that only members see. */
const LISTS = ['members', 'messages', 'searchMessages'];

/**
 * Replaces the previous event, so that fields of different events are not mixed. Adds a new member to
 * `Chatroom.members`, or removes a former one. If a member has deleted their account, the messages are loaded again.
 */
function mergeChatroomEvent(_known: unknown, event: StoreObject | null, options: FieldFunctionOptions) {
  const { args, cache, readField, toReference } = options;
  const id = cache.identify({ __typename: 'Chatroom', id: String(args?.['chatroomId']) });
  const member = event && readField<Reference>('member', event);
  const memberId = event && readField<string>('memberId', event);
  const former = memberId == null ? undefined : toReference({ __typename: 'ChatroomMember', id: memberId });
  const changed = event?.__typename === 'MemberJoined' ? member : former;
  // The messages and reactions of a deleted account lose their user without an event of their own.
  if (id && event?.__typename === 'MemberLeft' && readField('user', event) === null)
    cache.modify({ id, fields: { messages: outdated as never } });
  if (!id || !changed) return event;
  const change = (list: CachedList | null): CachedList | null => {
    const others = list?.edges.filter(({ node }) => node.__ref !== changed.__ref) ?? [];
    if (!list || former) return list && { ...list, edges: others };
    // The newest member comes last. If the list ends before the last member, a later page contains the new one.
    if (list.pageInfo?.hasNextPage || others.length < list.edges.length) return list;
    return { ...list, edges: [...others, { __typename: 'ChatroomMemberEdge', cursor: '', node: changed }] };
  };
  cache.modify({ id, fields: { members: change as never } });
  return event;
}

/**
 * Replaces the previous event. Removes a room that vanishes, and the lists of a room that appears, because only members see
 * them. Apollo Client then sends the active queries of the room again.
 */
function mergeViewerEvent(_known: unknown, event: StoreObject | null, { cache, readField }: FieldFunctionOptions) {
  const type = event?.__typename;
  if (type === 'ChatroomVanished' || type === 'ChatroomAppeared') {
    const room = event && readField<Reference>('chatroom', event);
    const roomId = event && readField<string>('chatroomId', event);
    const id = room?.__ref ?? cache.identify({ __typename: 'Chatroom', id: roomId ?? '' });
    if (id && type === 'ChatroomVanished') cache.evict({ id });
    else if (id) for (const fieldName of LISTS) cache.evict({ id, fieldName });
  }
  return event;
}

/** Copies `totalUnreadCount` of an event to `Viewer.unreadCount`. */
function setTotalUnread(_known: unknown, total: number, { cache }: FieldFunctionOptions): number {
  const id = cache.identify({ __typename: 'Viewer' });
  if (id) cache.modify({ id, fields: { unreadCount: () => total } });
  return total;
}

/** Fields of a message that `addMessage` needs. */
export interface CachedMessage {
  __typename?: 'Message';
  id: string;
  number: number;
  cursor: string;
  clientMessageId?: string | null;
}

/**
 * Inserts a message into `Chatroom.messages` by its number. Does nothing if the list contains the message, or if the
 * newest page of the list is not loaded. Call this function for each message of a subscription, and for optimistic and
 * final results of `sendMessage`.
 *
 * @throws TypeError if the message lacks `id`, `number` or `cursor`, because the cached list would then be incomplete
 */
export function addMessage(cache: ApolloCache, chatroomId: string, message: CachedMessage): void {
  const missing = (['id', 'number', 'cursor'] as const).filter(
    (field) => (message as Partial<CachedMessage>)[field] == null,
  );
  if (missing.length > 0)
    throw new TypeError(
      `addMessage needs ${missing.join(', ')} of the message. Select it where the message comes from.`,
    );
  insert(cache, chatroomId, message);
  // A response may replace the list. An optimistic message is removed with its layer.
  if (message.number <= MAX_NUMBER && message.id !== message.clientMessageId)
    replaysOf(cache).add(() => {
      insert(cache, chatroomId, message);
    });
}

function insert(cache: ApolloCache, chatroomId: string, message: CachedMessage): void {
  const id = cache.identify({ __typename: 'Chatroom', id: chatroomId });
  const node: Reference = { __ref: cache.identify({ __typename: 'Message', id: message.id }) ?? '' };
  if (!id) return;
  const add = (list: CachedList, { readField }: Pick<FieldFunctionOptions, 'readField'>): CachedList => {
    const { edges, pageInfo } = list;
    const { clientMessageId, number, cursor } = message;
    const numberOf = (edge: CachedEdge) => readField<number>('number', edge.node) ?? 0;
    // If the list ends before the newest message, inserting would leave a gap. A later page will contain the message.
    if (pageInfo?.hasNextPage || edges.some((edge) => edge.node.__ref === node.__ref)) return list;
    const isSame = (edge: CachedEdge) =>
      clientMessageId != null && readField('clientMessageId', edge.node) === clientMessageId;
    const isOptimistic = (place: number, name: unknown) => place > MAX_NUMBER || name === clientMessageId;
    if (isOptimistic(number, message.id) && edges.some(isSame)) return list;
    const others = edges.filter((edge) => !isSame(edge) || !isOptimistic(numberOf(edge), readField('id', edge.node)));
    const before = others.findLastIndex((edge) => numberOf(edge) <= number);
    return { ...list, edges: others.toSpliced(before + 1, 0, { __typename: 'MessageEdge', cursor, node }) };
  };
  const fields = { messages: add as never };
  cache.batch({
    update() {
      cache.modify({ id, fields });
      // Also updates lists in the optimistic layers of other sends. Otherwise these lists would hide the message.
      cache.modify({ id, fields, optimistic: true });
    },
  });
}
