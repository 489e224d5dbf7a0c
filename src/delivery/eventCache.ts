import type { MaybePromise } from './source.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    eventCache: EventCache;
  }
}

/**
 * Short-lived cache of values that belong to an event. Without it, each of many subscribers would load or execute the
 * same value.
 */
export interface EventCache {
  /** If false, `load` caches nothing. */
  isEnabled: boolean;
  /**
   * Returns the cached value of an event and key, or loads it. A cached value is returned without a promise.
   *
   * @param key distinguishes the values that are loaded for one event
   */
  load<Value>(event: object, key: unknown, load: () => Promise<Value>): MaybePromise<Value>;
  /** Returns the cached value. Undefined if there is none. */
  peek(event: object, key: unknown): unknown;
  /**
   * Returns the cached value, or starts loading it and returns null.
   *
   * Creates no promise per caller. Otherwise a thousand subscribers would create a promise each, in every function
   * between them and the cache. That would cost more than loading the value.
   *
   * @param load must not fail
   * @param onLoaded called when the value is cached, if null was returned
   */
  getOrLoad<Value extends object>(
    event: object,
    key: unknown,
    load: () => Promise<Value>,
    onLoaded?: () => void,
  ): Value | null;
  /**
   * Returns a promise that resolves when all running loads of these events have ended. Returns null if no load of the
   * first event is running.
   */
  pending(events: readonly object[]): Promise<unknown> | null;
}

interface Entry {
  value: unknown;
  /** The running load. Null once the value is available. */
  loading: Promise<unknown> | null;
  /** Functions to call when the value is available. */
  waiting: (() => void)[];
}

/**
 * How long a value is reused, in milliseconds. Reuse is safe, because a later change of the data produces another
 * event. A value that took longer to load is reused for as long as its load took.
 */
const MAX_AGE_MS = 500;

/** Creates the cache of one node. If disabled, streams deliver the same events at a higher cost. */
export function createEventCache({ isEnabled }: { isEnabled: boolean }): EventCache {
  const entries = new WeakMap<object, Map<unknown, Entry>>();

  function find(event: object, key: unknown, load: () => Promise<unknown>): Entry {
    let all = entries.get(event);
    if (!all) entries.set(event, (all = new Map<unknown, Entry>()));
    let entry = all.get(key);
    if (!entry) all.set(key, (entry = begin(load, () => entries.get(event)?.delete(key))));
    return entry;
  }

  /** Returns the running loads of an event, and recursively those of the values loaded for it. */
  function loadsOf(event: object): Promise<unknown>[] {
    return [...(entries.get(event)?.values() ?? [])].flatMap(
      ({ loading, value }) => loading ?? (value instanceof Object ? loadsOf(value) : []),
    );
  }

  return {
    isEnabled,
    load<Value>(event: object, key: unknown, load: () => Promise<Value>): MaybePromise<Value> {
      if (!isEnabled) return load();
      const { loading, value } = find(event, key, load);
      return (loading ?? value) as MaybePromise<Value>;
    },
    peek: (event, key) => entries.get(event)?.get(key)?.value,
    getOrLoad<Value extends object>(event: object, key: unknown, load: () => Promise<Value>, onLoaded?: () => void) {
      const entry = find(event, key, load);
      if (!entry.loading) return entry.value as Value;
      if (onLoaded) entry.waiting.push(onLoaded);
      return null;
    },
    pending([first, ...others]) {
      const loading = first ? loadsOf(first) : [];
      return loading.length > 0 ? Promise.allSettled([...loading, ...others.flatMap(loadsOf)]) : null;
    },
  };
}

/** Starts loading a value. A failure is not cached: only the callers that were waiting receive it. */
function begin(load: () => Promise<unknown>, forget: () => void): Entry {
  const began = performance.now();
  const loading = load();
  const entry: Entry = { value: undefined, loading, waiting: [] };
  loading.then((value) => {
    entry.value = value;
    entry.loading = null;
    // Reuses the value for at least the duration of its load. On a slow database, subscribers may ask for the value as
    // far apart as one load takes. With a shorter time, each of them would load the value again.
    setTimeout(forget, Math.max(MAX_AGE_MS, performance.now() - began)).unref();
    for (const onLoaded of entry.waiting.splice(0)) onLoaded();
  }, forget);
  return entry;
}
