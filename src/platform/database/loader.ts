import DataLoader from 'dataloader';
import type { Page } from './keysetPage.ts';
import type { Context } from '../../core/context.ts';

/**
 * Creates a function that finds a value by its key. Lookups of the same tick share one statement. Results are cached
 * for one operation, until the operation writes.
 *
 * Each context has its own loader, even if two contexts share a cache. A context that tracks reads of its viewer must
 * not receive values that were loaded through the untracked context; see `trackViewer`.
 *
 * @param load returns the values that exist and that the viewer may see, in any order
 * @param keyOf returns the key of a loaded value
 */
export function createLoader<Value>(
  load: (context: Context, keys: readonly string[]) => Promise<Value[]>,
  keyOf: (value: Value) => string,
): (context: Context, key: string) => Promise<Value | null> {
  const caches = new WeakMap<object, WeakMap<Context, DataLoader<string, Value | null>>>();
  return (context, key) => {
    let loaders = caches.get(context.cache);
    if (!loaders) caches.set(context.cache, (loaders = new WeakMap()));
    let loader = loaders.get(context);
    if (!loader) {
      loader = new DataLoader(async (keys: readonly string[]) => {
        const found = new Map((await load(context, keys)).map((value) => [keyOf(value), value]));
        return keys.map((wanted) => found.get(wanted) ?? null);
      });
      loaders.set(context, loader);
    }
    return loader.load(key);
  };
}

/**
 * Creates a function that loads a page of a list which belongs to a parent, such as the readers of a message. Loads of
 * equal pages in the same tick share one statement for all parents.
 *
 * @param load returns the parents that exist, each with its page, in any order
 * @param keyOf returns the key of a loaded value
 */
export function createPageLoader<Value>(
  load: (context: Context, keys: readonly string[], page: Page) => Promise<Value[]>,
  keyOf: (value: Value) => string,
): (context: Context, key: string, page: Page) => Promise<Value | null> {
  const pages = new WeakMap<object, Map<string, (context: Context, key: string) => Promise<Value | null>>>();
  return (context, key, page) => {
    const ofContext =
      pages.get(context.cache) ?? new Map<string, (context: Context, key: string) => Promise<Value | null>>();
    pages.set(context.cache, ofContext);
    const { after, before, reverse, limit } = page;
    const name = JSON.stringify([after, before, reverse, limit.text]);
    const loader = ofContext.get(name) ?? createLoader<Value>((asker, keys) => load(asker, keys, page), keyOf);
    ofContext.set(name, loader);
    return loader(context, key);
  };
}
