import type { DocumentNode } from 'graphql';
import type { StreamOptions } from '../index.ts';

/** A parsed document with the types of its data and variables, as codegen writes them. */
export interface TypedDocument<Data, Variables = object> extends DocumentNode {
  __apiType?: (variables: Variables) => Data;
}

/** Callbacks of a subscription. */
export interface SubscriptionHandlers<Data> extends StreamOptions {
  /**
   * Called with the events that arrived together, after all of them are in the cache. `write` writes them again, after
   * an older response has overwritten them.
   */
  onEvents: (events: Data[], write: () => void) => void;
  /**
   * Called once if the stream has ended and will not reconnect, for example because the viewer lost access to the room.
   */
  onError: (error: unknown) => void;
}

/**
 * Adapter through which the hooks use the normalized cache of a GraphQL client. Implemented for Apollo Client in
 * `react/apollo` and for urql's graphcache in `react/urql`.
 */
export interface ChatCache {
  /**
   * Calls the listener with the cached result of a query, and again after each change. The result is null while the
   * cache lacks a field. Sends nothing to the server. Returns a function that stops watching.
   */
  watch<Data, Variables extends object>(
    query: TypedDocument<Data, Variables>,
    variables: Variables,
    listener: (data: Data | null) => void,
  ): () => void;
  /**
   * Writes data of the server to the cache, as if it were the result of the query. Sends nothing to the server. The
   * objects of the data can then be watched by their ids, with `nodes(ids:)`.
   */
  write<Data, Variables extends object>(query: TypedDocument<Data, Variables>, variables: Variables, data: Data): void;
  /** Sends a mutation and writes its result to the cache. */
  mutate<Data, Variables extends object>(mutation: TypedDocument<Data, Variables>, variables: Variables): Promise<Data>;
  /**
   * Starts a subscription, writes its events to the cache, and adds new messages to `Chatroom.messages`. Returns a
   * function that unsubscribes.
   */
  subscribe<Data, Variables extends object>(
    subscription: TypedDocument<Data, Variables>,
    variables: Variables,
    handlers: SubscriptionHandlers<Data>,
  ): () => void;
}
