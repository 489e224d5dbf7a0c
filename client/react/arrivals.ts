/**
 * Collects the events that arrive while a query runs. The response may be older than these events. Therefore the events
 * are written to the cache again after the response.
 */
export interface Arrivals {
  /** Adds events. `write` is the function that writes these events to the cache. */
  add: (write: () => void) => void;
  /**
   * Runs a query. Returns the response and a function that writes the collected events to the cache again. Write the
   * response to the cache before you call this function, without awaiting anything.
   */
  during: <Answer>(query: () => Promise<Answer>) => Promise<[Answer, () => void]>;
}

export function createArrivals(): Arrivals {
  const open = new Set<(() => void)[]>();
  return {
    add(write) {
      for (const arrived of open) arrived.push(write);
    },
    async during(query) {
      const arrived: (() => void)[] = [];
      const replay = () => {
        for (const write of arrived.splice(0)) write();
      };
      open.add(arrived);
      try {
        const answer = await query();
        // Waits for events that arrived just before the response, because the cache adapter collects events in batches.
        await new Promise((resolve) => setTimeout(resolve));
        return [
          answer,
          () => {
            replay();
            // Writes events again that arrived during the wait. They are added after this call.
            setTimeout(replay);
          },
        ];
      } finally {
        // Runs after the batches of all events that have arrived until now.
        setTimeout(() => open.delete(arrived));
      }
    },
  };
}
