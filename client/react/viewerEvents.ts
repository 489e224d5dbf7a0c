import type { ChatClient } from '../index.ts';
import type { ChatCache } from './cache.ts';
import type { Documents, ViewerEvent } from './documents.ts';

type Listener = (event: ViewerEvent) => void;
type AnyDocuments = Documents<any, any, any>;

/** Distributes the viewer's events to the hooks of a provider. All hooks share one stream. */
export interface ViewerEvents {
  /**
   * Registers the `viewerEvents` stream of a list of rooms as a source of events. Call this function when the stream
   * starts, with the cursor from which it starts. Pass each event of the stream to `emit`. `remove` ends the
   * registration.
   */
  addSource: (after: string) => { emit: Listener; remove: () => void };
  /**
   * Calls the listener for each event of the viewer, while there is a source or a follower. Returns a function that
   * removes the listener.
   */
  listen: (listener: Listener) => () => void;
  /**
   * Adds a follower. While there are followers but no source, a stream runs. The stream starts from the cursor, or from
   * now if there is none. Returns a function that removes the follower.
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

  /** Runs a stream for the followers while there is no source. Otherwise stops this stream. */
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
