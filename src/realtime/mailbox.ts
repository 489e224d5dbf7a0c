/**
 * What waits for one subscriber: the latest of each key. However much happens while it does not read, a mailbox holds no
 * more than there are keys.
 */
export interface Mailbox<Item, Event> extends AsyncIterableIterator<Event, undefined> {
  /** Puts an item in the place of what waits under the same key. */
  put(key: string, item: Item): void;
  /** Ends the stream with an error, once what waits has been read. */
  fail: (error: unknown) => void;
  /** Calls a function once, when the subscriber has gone or the stream has failed; at once if that has happened. */
  onReturn(release: () => void): void;
  /**
   * Runs what connects the mailbox to its sources, and returns the mailbox. If that fails, the mailbox ends and releases
   * the sources connected so far, because no subscriber will ever end it.
   */
  connect(sources: () => Promise<void>): Promise<Mailbox<Item, Event>>;
}

/**
 * @param open counts those that have not ended
 * @param read makes the event of an item, at the moment at which the subscriber takes it; null where it is not for them
 */
export function createMailbox<Item, Event>(
  open: { mailboxes: number },
  read: (item: Item) => Promise<Event | null>,
): Mailbox<Item, Event> {
  const items = new Map<string, Item>();
  const releases: (() => void)[] = [];
  let failure: { error: unknown } | null = null;
  let ended = false;
  let wake = () => {};
  open.mailboxes += 1;

  function end(): void {
    if (ended) return;
    ended = true;
    open.mailboxes -= 1;
    for (const release of releases) release();
    wake();
  }

  const mailbox: Mailbox<Item, Event> = {
    [Symbol.asyncIterator]: () => mailbox,
    put(key, item) {
      if (ended) return;
      // Deleted first, so that the newest is the last to be read.
      items.delete(key);
      items.set(key, item);
      wake();
    },
    fail(error) {
      failure = { error };
      wake();
    },
    onReturn(release) {
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
      return mailbox;
    },
    async next() {
      while (!ended) {
        const [first] = items;
        if (first) {
          items.delete(first[0]);
          const value = await read(first[1]).catch((error: unknown) => {
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
  return mailbox;
}
