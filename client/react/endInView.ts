import type { Store } from './store.ts';

/** Whether the newest message of a room is in view, according to the components that show the room. */
export interface EndInView extends Store<boolean> {
  /** Adds the `atEnd` of a component. Returns a function that removes it. */
  declare: (atEnd: boolean) => () => void;
}

/**
 * Creates the state for a room. The state is true if a component declares true, or if none declares anything. A
 * component that only sends messages, such as a composer, declares nothing.
 */
export function createEndInView(): EndInView {
  const declared = new Set<{ atEnd: boolean }>();
  const listeners = new Set<() => void>();
  const notify = () => {
    for (const listener of listeners) listener();
  };
  return {
    getSnapshot: () => declared.size === 0 || [...declared].some(({ atEnd }) => atEnd),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    declare(atEnd) {
      const declaration = { atEnd };
      declared.add(declaration);
      notify();
      return () => {
        declared.delete(declaration);
        notify();
      };
    },
  };
}
