import { andThen, done, type MaybePromise, type Next, pullPast, type Stream, toAsyncIterator } from './source.ts';

/**
 * A stream to one subscriber that buffers only the latest item of each key. While the subscriber does not read, the
 * buffer contains at most one item per key.
 */
export interface ConflatedStream<Item, Event> extends Stream<Event> {
  /** Adds an item, which replaces a buffered item with the same key. */
  set(key: string, item: Item): void;
  /** Sends an event before all items. Call it before the stream is read. */
  startWith(event: Event): void;
  /** Ends the stream with an error after the buffered items have been read. */
  error: (error: unknown) => void;
  /**
   * Calls a function once, when the stream has ended or failed. Calls the function immediately if the stream has
   * already ended.
   */
  onClose(release: () => void): void;
  /**
   * Calls `sources`, which connects the stream to its sources, and returns the stream. If `sources` fails, ends the
   * stream, releases the sources connected so far, and throws the error.
   */
  connect(sources: () => Promise<void>): Promise<ConflatedStream<Item, Event>>;
}

/**
 * Creates the conflated stream of one subscriber.
 *
 * @param gauges counts the streams that have not ended
 * @param read creates the event of an item, or returns null to skip the item. Called only when the subscriber reads the
 *   item, so that the event contains current data.
 */
export function createConflatedStream<Item, Event>(
  gauges: { conflatedStreams: number },
  read: (item: Item) => MaybePromise<Event | null>,
): ConflatedStream<Item, Event> {
  const items = new Map<string, Item>();
  const releases: (() => void)[] = [];
  let first: Event | null = null;
  let failure: { error: unknown } | null = null;
  let ended = false;
  let listener = () => {};
  gauges.conflatedStreams += 1;

  function end(): void {
    if (ended) return;
    ended = true;
    gauges.conflatedStreams -= 1;
    for (const release of releases) release();
    listener();
  }

  function pull(): MaybePromise<Next<Event> | undefined> {
    if (ended) return done;
    if (first) {
      const value = first;
      first = null;
      return { value, done: false };
    }
    const [oldest] = items;
    if (!oldest) return endIfFailed();
    items.delete(oldest[0]);
    return andThen(read(oldest[1]), (value) => (value === null ? undefined : { value, done: false }));
  }

  function endIfFailed(): null {
    if (!failure) return null;
    end();
    throw failure.error;
  }

  const source = {
    pull: () => pullPast(pull),
    onReady(ready: () => void) {
      listener = ready;
    },
    hasMore: () => ended || first !== null || items.size > 0 || failure !== null,
    get startsAtOnce() {
      return first !== null;
    },
    end,
  };
  const stream: ConflatedStream<Item, Event> = Object.assign(toAsyncIterator<Event>(source), {
    set(key: string, item: Item) {
      if (ended) return;
      // Deletes the key first, so that the new item moves to the end and is read last.
      items.delete(key);
      items.set(key, item);
      listener();
    },
    startWith(event: Event) {
      first = event;
    },
    error(error: unknown) {
      failure = { error };
      listener();
    },
    onClose(release: () => void) {
      if (ended) release();
      else releases.push(release);
    },
    async connect(sources: () => Promise<void>) {
      try {
        await sources();
      } catch (error) {
        end();
        throw error;
      }
      return stream;
    },
  });
  return stream;
}
