import type { ChatClient } from '../index.ts';
import type { ChatCache } from './cache.ts';
import type { Documents, ViewerEvent } from './documents.ts';
import { keepOpen, type Progress } from './keepOpen.ts';

/** An event of the viewer, or `EventsMissed` in place of events that a stream could not deliver. */
export type FollowedEvent = ViewerEvent | { __typename: 'EventsMissed'; cursor?: string };

/** Returns whether the viewer may have blocked or unblocked a user. Events before a snapshot may have been missed. */
export const mayChangeBlocks = ({ __typename }: FollowedEvent): boolean =>
  ['BlockChanged', 'EventsMissed', 'ViewerSnapshot'].includes(__typename);

type Listener = (event: FollowedEvent) => void;
type AnyDocuments = Documents<any, any, any>;

/** The `viewerEvents` stream of a list of rooms. */
export interface ViewerEventSource {
  /** Cursor from which the stream must start: not newer than the last event that was passed to the listeners. */
  after: string;
  /** Passes on an event of the stream. */
  emit: Listener;
  /**
   * Called when the stream has failed, or the list is no longer used. Another source, or the stream for the followers,
   * replaces it.
   */
  remove: () => void;
}

/** Distributes the viewer's events to the hooks of a provider. All hooks share one stream. */
export interface ViewerEvents {
  /**
   * Registers the `viewerEvents` stream of a list of rooms as a source of events. Call this function before the stream
   * starts, with the cursor of the list. Start the stream from `after` of the source, which may be older.
   */
  addSource: (after: string) => ViewerEventSource;
  /**
   * Calls the listener for each event of the viewer, while there is a source or a follower. Returns a function that
   * removes the listener.
   */
  listen: (listener: Listener) => () => void;
  /**
   * Adds a follower, with the cursor of its data. While there are followers but no source, a stream runs. Returns a
   * function that removes the follower. A follower must listen from before it queries its data, because a stream that
   * is already running may be ahead of the cursor. Without a cursor, listeners receive `ViewerSnapshot` when the stream
   * has started.
   */
  follow: (documents: AnyDocuments, after?: string) => () => void;
}

export function createViewerEvents(client: ChatClient, cache: ChatCache): ViewerEvents {
  const sources = new Set<object>();
  const listeners = new Set<Listener>();
  const followers = new Map<object, AnyDocuments>();
  /**
   * Cursor from which the next stream continues. Undefined while there are no sources or followers. Cursors cannot be
   * compared, so a new source continues from here, and not from its own cursor.
   */
  let position: string | undefined;
  let stopOwn: (() => void) | null = null;

  const emit: Listener = (received) => {
    // A snapshot that is not the beginning of the stream replaces events that it cannot replay.
    const isResync = received.__typename === 'ViewerSnapshot' && position !== undefined;
    const event: FollowedEvent = isResync ? { ...received, __typename: 'EventsMissed' } : received;
    position = event.cursor ?? position;
    for (const listener of [...listeners]) listener(event);
  };

  function start({ viewerEvents }: AnyDocuments): () => void {
    const open = ({ onLoaded, onError }: Progress) =>
      cache.subscribe(viewerEvents, position === undefined ? {} : { after: position }, {
        onEvents(events) {
          onLoaded();
          for (const { viewerEvents: event } of events) if (event) emit(event);
        },
        onError,
      });
    // Errors are not shown, because the hooks that listen have other streams, which report the same errors.
    return keepOpen(client, () => undefined, open).close;
  }

  /**
   * Starts the stream of this object if there are followers but no source. Stops that stream if there is a source, whose
   * events the followers then receive, or if nobody follows.
   */
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
        after: position,
        emit(event) {
          // All sources deliver the same events. Only the first one passes them on, so that listeners get each event
          // once.
          const [first] = sources;
          if (first === source) emit(event);
        },
        remove() {
          const [first] = sources;
          sources.delete(source);
          update();
          // The next source has not passed on its events. Some of them may be missing from this source.
          if (first === source && sources.size > 0) emit({ __typename: 'EventsMissed' });
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
