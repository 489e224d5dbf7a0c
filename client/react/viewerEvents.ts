import type { ChatClient } from '../index.ts';
import type { ChatCache } from './cache.ts';
import type { Documents, ViewerEvent } from './documents.ts';

type Listener = (event: ViewerEvent) => void;
type AnyDocuments = Documents<any, any, any>;

/** The viewer's events. All hooks of a provider that listen receive them from the same stream. */
export interface ViewerEvents {
  /**
   * Registers a list of rooms, which has its own stream of `viewerEvents` with the fields of the list. Call it when
   * this stream has been started, with the cursor from which it starts. Returns functions to pass on its events, and to
   * remove the list.
   */
  addSource: (after: string) => { emit: Listener; remove: () => void };
  /** Calls the listener for each event of a stream that runs. Returns a function that removes the listener. */
  listen: (listener: Listener) => () => void;
  /**
   * Starts a stream while there is no source. It starts from the cursor, or from now. Returns a function that no longer
   * requires the stream.
   */
  follow: (documents: AnyDocuments, after?: string) => () => void;
}

export function createViewerEvents(client: ChatClient, cache: ChatCache): ViewerEvents {
  const sources = new Set<object>();
  const listeners = new Set<Listener>();
  const followers = new Map<object, AnyDocuments>();
  /** Cursor from which the next stream continues. Undefined while no stream runs. */
  let position: string | undefined;
  let stopOwn: (() => void) | null = null;

  const emit: Listener = (event) => {
    position = event.cursor ?? position;
    for (const listener of [...listeners]) listener(event);
  };

  function start({ viewerEvents, viewerCursor }: AnyDocuments): () => void {
    return cache.subscribe(viewerEvents, position === undefined ? {} : { after: position }, {
      async onResync() {
        const { viewer } = await client.execute(viewerCursor, {}, { retry: true });
        return viewer?.cursor ?? '';
      },
      onEvents(events) {
        for (const { viewerEvents: event } of events) if (event) emit(event);
      },
      // Errors are ignored, because the hooks that listen have other streams, which report the same errors.
      onError: () => undefined,
    });
  }

  /** Starts or stops the stream that serves the followers while there is no source. */
  function update(): void {
    const [documents] = followers.values();
    if (documents && sources.size === 0) stopOwn ??= start(documents);
    else {
      stopOwn?.();
      stopOwn = null;
      if (sources.size === 0) position = undefined;
    }
  }

  return {
    addSource(after) {
      const source = {};
      sources.add(source);
      position ??= after;
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
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    follow(documents, after) {
      const follower = {};
      followers.set(follower, documents);
      position ??= after;
      update();
      return () => {
        followers.delete(follower);
        update();
      };
    },
  };
}
