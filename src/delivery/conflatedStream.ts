/**
 * A stream to one subscriber that buffers only the latest item of each key. While the subscriber does not read, the
 * buffer contains at most one item per key.
 */
export interface ConflatedStream<Item, Event> extends AsyncIterableIterator<Event, undefined> {
  /** Adds an item, which replaces a buffered item with the same key. */
  set(key: string, item: Item): void;
  /** Sends an event before all items. Call it before the stream is read. */
  startWith(event: Event): void;
  /** Whether the stream starts with an event; see `Source`. */
  startsAtOnce: boolean;
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
  read: (item: Item) => Promise<Event | null>,
): ConflatedStream<Item, Event> {
  const items = new Map<string, Item>();
  const releases: (() => void)[] = [];
  let first: Event | null = null;
  let failure: { error: unknown } | null = null;
  let ended = false;
  let wake = () => {};
  gauges.conflatedStreams += 1;

  function end(): void {
    if (ended) return;
    ended = true;
    gauges.conflatedStreams -= 1;
    for (const release of releases) release();
    wake();
  }

  const stream: ConflatedStream<Item, Event> = {
    [Symbol.asyncIterator]: () => stream,
    set(key, item) {
      if (ended) return;
      // Deletes the key first, so that the new item moves to the end and is read last.
      items.delete(key);
      items.set(key, item);
      wake();
    },
    startsAtOnce: false,
    startWith(event) {
      first = event;
      stream.startsAtOnce = true;
    },
    error(error) {
      failure = { error };
      wake();
    },
    onClose(release) {
      if (ended) release();
      else releases.push(release);
    },
    async connect(sources) {
      try {
        await sources();
      } catch (error) {
        end();
        throw error;
      }
      return stream;
    },
    async next() {
      while (!ended) {
        if (first) {
          const value = first;
          first = null;
          return { value, done: false };
        }
        const [oldest] = items;
        if (oldest) {
          items.delete(oldest[0]);
          const value = await read(oldest[1]).catch((error: unknown) => {
            end();
            throw error;
          });
          if (value === null) continue;
          return { value, done: false };
        }
        if (failure) {
          end();
          throw failure.error;
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
      return { value: undefined, done: true };
    },
    return() {
      end();
      return Promise.resolve({ value: undefined, done: true });
    },
  };
  return stream;
}
