type Write = () => void;

/**
 * Collects what is written to the cache while a query runs: events, and responses to other queries. The response to the
 * query may be older. Therefore it is followed by the same writes again.
 */
export interface Arrivals {
  /** Adds events. `write` is the function that writes these events to the cache. */
  add: (write: Write) => void;
  /** Adds a response to a query. `write` is the function that writes this response to the cache. */
  addResponse: (write: Write) => void;
  /**
   * Runs a query. Returns the response and a function that repeats the collected writes. Write the response to the cache
   * before you call this function, without awaiting anything.
   */
  during: <Answer>(query: () => Promise<Answer>) => Promise<[Answer, () => void]>;
}

/** Writes during one query, in the order in which they must be repeated. */
interface Recording {
  writes: Set<Write>;
  /** Events that arrived after the response. Null until there is a response. */
  late: Set<Write> | null;
}

export function createArrivals(): Arrivals {
  const open = new Set<Recording>();

  /** Adds a response, or a repeated write, to the recordings of queries that have no response yet. */
  function record(write: Write): void {
    for (const { writes, late } of open) {
      if (late) continue;
      // Only the last of several repetitions matters.
      writes.delete(write);
      writes.add(write);
    }
  }

  function repeat(writes: Iterable<Write>): void {
    for (const write of writes) {
      write();
      record(write);
    }
  }

  return {
    add(write) {
      for (const { writes, late } of open) (late ?? writes).add(write);
    },
    addResponse: record,
    async during(query) {
      const recording: Recording = { writes: new Set(), late: null };
      open.add(recording);
      try {
        const answer = await query();
        // Waits for events that arrived just before the response, because the cache adapter collects events in batches.
        await new Promise((resolve) => setTimeout(resolve));
        const late = (recording.late = new Set());
        return [
          answer,
          () => {
            repeat(recording.writes);
            // Events that arrived during the wait are added after this call.
            setTimeout(() => {
              repeat(late);
            });
          },
        ];
      } finally {
        // Runs after the batches of all events that have arrived until now.
        setTimeout(() => open.delete(recording));
      }
    },
  };
}
