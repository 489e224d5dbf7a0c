/**
 * Collects the events that arrive while a query runs. They may be newer than the response of the query, in any object
 * that both contain.
 */
export interface Arrivals {
  /** Adds events. `write` writes them to the cache. */
  add: (write: () => void) => void;
  /**
   * Runs a query. Returns its response, and a function that writes the events that have arrived meanwhile to the cache
   * again. Call this function after the response has been written.
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
      open.add(arrived);
      try {
        const answer = await query();
        // Waits for events that came before the response. The cache adapter passes events on in batches, after a
        // timeout.
        await new Promise((resolve) => setTimeout(resolve));
        const replay = () => {
          for (const write of arrived) write();
        };
        return [answer, replay];
      } finally {
        open.delete(arrived);
      }
    },
  };
}
