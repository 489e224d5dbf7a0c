import type { ChatClient } from '../index.ts';
import { type Arrivals, createArrivals } from './arrivals.ts';
import type { ChatCache, TypedDocument } from './cache.ts';
import { createReadMarkers, type ReadMarkers } from './readMarker.ts';
import { createViewerEvents, type ViewerEvents } from './viewerEvents.ts';

/** Values that a `ChatProvider` shares with all hooks below it. */
export interface Chat {
  client: ChatClient;
  /**
   * The cache of the application. Its `subscribe` and `write` also add all events and responses to `arrivals`. Its `mutate`
   * writes the events that arrived during the mutation again, because they may be newer than the response.
   */
  cache: ChatCache;
  arrivals: Arrivals;
  viewerEvents: ViewerEvents;
  readMarkers: ReadMarkers;
  /** Cancels the queries of a store. */
  readonly signal?: AbortSignal;
}

/**
 * Returns a chat for one store, and a function that cancels its running queries. Call the function when the store stops,
 * because the queries are otherwise retried until the server can be reached.
 */
export function abortable(chat: Chat): { chat: Chat; abort: () => void } {
  let controller = new AbortController();
  const own: Chat = {
    ...chat,
    get signal() {
      return controller.signal;
    },
  };
  return {
    chat: own,
    abort() {
      controller.abort();
      // The store may start again.
      controller = new AbortController();
    },
  };
}

/** Waits for a load. Resolves to undefined if the store stops meanwhile. */
export async function unlessAborted<Value>(load: Promise<Value>): Promise<Value | undefined> {
  try {
    return await load;
  } catch (error) {
    if ((error as { name?: unknown } | null)?.name === 'AbortError') return undefined;
    throw error;
  }
}

export function createChat(client: ChatClient, cache: ChatCache): Chat {
  const arrivals = createArrivals();
  const recording: ChatCache = {
    ...cache,
    write(document, variables, data) {
      const write = () => {
        cache.write(document, variables, data);
      };
      write();
      arrivals.addResponse(write);
    },
    async mutate(mutation, variables) {
      const [data, replay] = await arrivals.during(() => cache.mutate(mutation, variables));
      replay();
      return data;
    },
    subscribe: (subscription, variables, { onEvents, ...handlers }) =>
      cache.subscribe(subscription, variables, {
        ...handlers,
        onEvents(events, write) {
          arrivals.add(write);
          onEvents(events, write);
        },
      }),
  };
  return {
    ...{ client, cache: recording, arrivals },
    viewerEvents: createViewerEvents(client, recording),
    readMarkers: createReadMarkers(),
  };
}

/**
 * Sends a query to the server, and retries until there is a response. Bypasses the cache, because the cache merges all
 * pages of a list.
 */
export function query<Data, Variables extends object>(
  { client, signal }: Pick<Chat, 'client' | 'signal'>,
  document: TypedDocument<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  return client.execute(document, variables, { retry: true, ...(signal ? { signal } : {}) });
}

/** Queries the server and writes the response to the cache. */
export async function load<Data, Variables extends object>(
  chat: Pick<Chat, 'client' | 'cache' | 'arrivals' | 'signal'>,
  document: TypedDocument<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const [data, replay] = await chat.arrivals.during(() => query(chat, document, variables));
  chat.cache.write(document, variables, data);
  replay();
  return data;
}
