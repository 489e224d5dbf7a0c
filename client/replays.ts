/** Events that arrive while operations run. */
export interface Replays<Event> {
  /** Adds an event, after it has been written to the cache. */
  add: (event: Event) => void;
  /** Begins to collect the events that arrive while an operation runs. */
  begin: () => Collection<Event>;
}

/** Events that have arrived since an operation began, in order. */
export interface Collection<Event> {
  readonly events: readonly Event[];
  /** Ends the collection. `events` stays as it is. */
  end: () => void;
}

/**
 * Collects the events that arrive while a query or mutation runs. The response may be older than these events, so a cache
 * applies them again after the response.
 *
 * A change that no collected event shows is either in the response, because it was committed before the operation began,
 * or its event still follows. The cache therefore reaches the current state.
 */
export function createReplays<Event>(): Replays<Event> {
  const running = new Set<Event[]>();
  return {
    add(event) {
      for (const events of running) events.push(event);
    },
    begin() {
      const events: Event[] = [];
      running.add(events);
      return {
        events,
        end() {
          running.delete(events);
        },
      };
    },
  };
}
