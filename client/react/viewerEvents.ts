import type { ChatClient } from '../index.ts';
import type { ChatCache } from './cache.ts';
import type { Documents, ViewerEvent } from './documents.ts';

type Listener = (event: ViewerEvent) => void;
type AnyDocuments = Documents<any, any, any>;

/** The viewer's events. All hooks of a provider that listen receive them from the same stream. */
export interface ViewerEvents {
  /**
   * Registers a list of rooms, which has its own stream of `viewerEvents` with the fields of the list. Returns
   * functions to pass on its events, and to remove the list.
   */
  addSource: () => { emit: Listener; remove: () => void };
  /**
   * Calls the listener for each event. Starts a stream only while there is no source. Returns a function that removes
   * the listener.
   */
  listen: (documents: AnyDocuments, listener: Listener) => () => void;
}

export function createViewerEvents(client: ChatClient, cache: ChatCache): ViewerEvents {
  const sources = new Set<object>();
  const listeners = new Map<Listener, AnyDocuments>();
  let stopOwn: (() => void) | null = null;

  const emit: Listener = (event) => {
    for (const listener of [...listeners.keys()]) listener(event);
  };

  function start({ viewerEvents, viewerCursor }: AnyDocuments): () => void {
    return cache.subscribe(
      viewerEvents,
      {},
      {
        async onResync() {
          const { viewer } = await client.execute(viewerCursor, {}, { retry: true });
          return viewer?.cursor ?? '';
        },
        onEvents(events) {
          for (const { viewerEvents: event } of events) if (event) emit(event);
        },
        // Errors are ignored, because the hooks that listen have other streams, which report the same errors.
        onError: () => undefined,
      },
    );
  }

  /** Starts or stops the stream that serves the listeners while there is no source. */
  function update(): void {
    const [documents] = listeners.values();
    if (documents && sources.size === 0) stopOwn ??= start(documents);
    else {
      stopOwn?.();
      stopOwn = null;
    }
  }

  return {
    addSource() {
      const source = {};
      sources.add(source);
      update();
      return {
        emit(event) {
          // All sources deliver the same events. Only the first one passes them on, so that listeners get each event
          // once.
          const [first] = sources;
          if (first === source) emit(event);
        },
        remove() {
          sources.delete(source);
          update();
        },
      };
    },
    listen(documents, listener) {
      listeners.set(listener, documents);
      update();
      return () => {
        listeners.delete(listener);
        update();
      };
    },
  };
}
