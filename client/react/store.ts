/** A store for React's `useSyncExternalStore`. Its state is kept up to date while the store has subscribers. */
export interface Store<State> {
  getSnapshot: () => State;
  subscribe: (listener: () => void) => () => void;
}

/** Changes some properties of a store's state. */
export type SetState<State> = (change: Partial<State> | ((before: State) => Partial<State>)) => void;

/**
 * Creates a store that calls `start` for its first subscriber. After the last subscriber has left, the store calls the
 * function that `start` returned. Components share one store, and therefore one set of streams.
 */
export function createStore<State extends object>(
  initial: State,
  start: (set: SetState<State>) => () => void,
): Store<State> {
  const listeners = new Set<() => void>();
  let state = initial;
  let stop: (() => void) | undefined;

  return {
    getSnapshot: () => state,
    subscribe(listener) {
      listeners.add(listener);
      if (!stop) {
        let running = true;
        const end = start((change) => {
          if (!running) return;
          state = { ...state, ...(typeof change === 'function' ? change(state) : change) };
          for (const each of listeners) each();
        });
        stop = () => {
          running = false;
          end();
        };
      }
      return () => {
        listeners.delete(listener);
        // Stops after a delay, because React's strict mode and a change of the route unsubscribe and subscribe again at
        // once.
        setTimeout(() => {
          if (listeners.size > 0) return;
          stop?.();
          stop = undefined;
          state = initial;
        });
      };
    },
  };
}
