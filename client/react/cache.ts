import type { DocumentNode } from 'graphql';
import type { StreamOptions } from '../index.ts';

/** A parsed document with the types of its data and variables, as codegen writes them. */
export interface TypedDocument<Data, Variables = object> extends DocumentNode {
  __apiType?: (variables: Variables) => Data;
}

/** A type for what a document returns; `Variables` are checked where the document has types. */
export interface SubscriptionHandlers<Data> extends StreamOptions {
  /** Called with the events that arrived together, after all of them are in the cache. */
  onEvents: (events: Data[]) => void;
  /** Called once if the stream has ended for good, such as after the loss of its room. */
  onError: (error: unknown) => void;
}

/**
 * The normalized cache of a GraphQL client, as the hooks use it. Implemented for Apollo Client in `react/apollo` and for
 * urql's graphcache in `react/urql`.
 */
export interface ChatCache {
  /**
   * Calls the listener with the result that the cache has for a query, and again after each change. The result is null
   * while a field is missing. Sends nothing to the server. Returns a function that ends it.
   */
  watch<Data, Variables extends object>(
    query: TypedDocument<Data, Variables>,
    variables: Variables,
    listener: (data: Data | null) => void,
  ): () => void;
  /** Fetches a query from the server into the cache, and retries until there is an answer. */
  fetch<Data, Variables extends object>(query: TypedDocument<Data, Variables>, variables: Variables): Promise<Data>;
  /** Sends a mutation and writes its result to the cache. */
  mutate<Data, Variables extends object>(mutation: TypedDocument<Data, Variables>, variables: Variables): Promise<Data>;
  /**
   * Follows a subscription: writes its events to the cache, and adds new messages to `Chatroom.messages`. Returns a function
   * that ends it.
   */
  subscribe<Data, Variables extends object>(
    subscription: TypedDocument<Data, Variables>,
    variables: Variables,
    handlers: SubscriptionHandlers<Data>,
  ): () => void;
}
