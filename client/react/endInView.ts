import type { Store } from './store.ts';

/** Whether the newest message of a room is in view, according to the components that show the room. */
export interface EndInView extends Store<boolean> {
  /** Adds the `atEnd` value of a component. Returns a function that removes the value. */
  declare: (atEnd: boolean) => () => void;
}

/**
 * Creates the state of a room: true if any component declares true, or if no component declares a value. A component
 * that only sends messages, such as a composer, declares no value.
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
