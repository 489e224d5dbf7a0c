import DataLoader from 'dataloader';
import { createBatcher } from '../../core/batcher.ts';
import { type Context, requireViewer, type ServerNode } from '../../core/context.ts';
import type { Page } from './keysetPage.ts';

/** Returns the value of a key, or null if there is none. */
export type Loader<Value> = (context: Context, key: string) => Promise<Value | null>;

/** Loads the values of distinct keys. Returns only values that exist, in any order. */
type Load<Value> = (node: ServerNode, keys: readonly string[]) => Promise<Value[]>;

/**
 * Lookups that arrive while a statement is running share the next statement. The next statement starts when the running
 * one has ended, or after 5 ms.
 */
const BATCHES = { concurrency: 1, maxBatchSize: 500, patienceMs: 5 };
/**
 * For values that take milliseconds each, such as one that depends on all rooms of a user. A statement for 400 users with
 * 100 rooms each takes longer than the statement timeout, and would fail for all of them. Few statements run at a time,
 * because they would otherwise occupy all connections.
 */
export const SMALL_BATCHES = { concurrency: 2, maxBatchSize: 10, patienceMs: 500 };

/**
 * Creates a function that finds a value by its key. Lookups that arrive together share one statement, even across
 * operations. Otherwise an event would cause one statement per subscriber. Results are cached for one operation, until
 * the operation writes.
 *
 * @param load must not depend on the viewer; see {@link createViewerLoader}
 * @param keyOf returns the key of a loaded value
 * @param batches `SMALL_BATCHES` if values take milliseconds each
 */
export function createLoader<Value>(
  load: Load<Value>,
  keyOf: (value: Value) => string,
  batches = BATCHES,
): Loader<Value> {
  const batchers = new WeakMap<ServerNode, (key: string) => Promise<Value | null>>();
  const caches = new WeakMap<object, Map<string, Promise<Value | null>>>();

  function batchOf(node: ServerNode): (key: string) => Promise<Value | null> {
    let batch = batchers.get(node);
    if (!batch) {
      const loadAll = async (keys: readonly string[]) => {
        return inOrder(keys, await load(node, [...new Set(keys)]), keyOf);
      };
      batchers.set(node, (batch = createBatcher<string, Value | null>(loadAll, batches)));
    }
    return batch;
  }

  return ({ node, cache }, key) => {
    let cached = caches.get(cache);
    if (!cached) caches.set(cache, (cached = new Map<string, Promise<Value | null>>()));
    let value = cached.get(key);
    if (!value) cached.set(key, (value = batchOf(node)(key)));
    return value;
  };
}

/** Value that was loaded for one viewer. */
export interface OfViewer {
  viewerId: string;
}

/**
 * Creates a function that finds a value which depends on the viewer. Lookups that arrive together share one statement,
 * even for different viewers. The created function throws the errors of `requireViewer`.
 *
 * @param load receives keys of the form `viewerId:key`. Returns the values that exist and that the viewer may see.
 * @param keyOf returns the key of a loaded value, without the viewer
 */
export function createViewerLoader<Value extends OfViewer>(
  load: Load<Value>,
  keyOf: (value: Value) => string,
): Loader<Value> {
  const loadByViewer = createLoader(load, (value) => `${value.viewerId}:${keyOf(value)}`);
  // Reads the viewer even if the value is cached, because `trackViewer` must notice that the result depends on the
  // viewer.
  return (context, key) => loadByViewer(context, `${requireViewer(context).userId}:${key}`);
}

/**
 * Creates a function that loads one page of a parent's list, such as the readers of a message. Loads of one operation
 * share a statement if their page arguments are equal and they arrive in the same tick of the event loop.
 *
 * @param load returns the parents that exist, each with its page, in any order
 * @param keyOf returns the key of a loaded parent
 */
export function createPageLoader<Value>(
  load: (context: Context, keys: readonly string[], page: Page) => Promise<Value[]>,
  keyOf: (value: Value) => string,
): (context: Context, key: string, page: Page) => Promise<Value | null> {
  const caches = new WeakMap<object, Map<string, DataLoader<string, Value | null>>>();
  return (context, key, page) => {
    // Reads the viewer in each call, as in `createViewerLoader`.
    requireViewer(context);
    const loaders = caches.get(context.cache) ?? new Map<string, DataLoader<string, Value | null>>();
    caches.set(context.cache, loaders);
    const { after, before, reverse, limit } = page;
    const name = JSON.stringify([after, before, reverse, limit.text]);
    let loader = loaders.get(name);
    if (!loader) {
      loader = new DataLoader(async (keys: readonly string[]) => {
        return inOrder(keys, await load(context, keys, page), keyOf);
      });
      loaders.set(name, loader);
    }
    return loader.load(key);
  };
}

/** Returns the values in the order of their keys, with null for a key without a value. */
function inOrder<Value>(
  keys: readonly string[],
  values: readonly Value[],
  keyOf: (value: Value) => string,
): (Value | null)[] {
  const found = new Map(values.map((value) => [keyOf(value), value]));
  return keys.map((key) => found.get(key) ?? null);
}
