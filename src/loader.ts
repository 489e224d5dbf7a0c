import DataLoader from 'dataloader';
import type { Page } from './connections.ts';
import type { Context } from './context.ts';

/**
 * Makes a function that finds one thing by its key, and asks for all that are wanted at the same moment in
 * one statement. What was found is remembered for one operation, until it writes.
 *
 * Each context has its own loader, also where two share a cache: a context that notes reads of its viewer must not be
 * given what `load` read through the one that does not note them, see `observeViewer`.
 *
 * @param load answers what exists of the keys and the viewer may see, in any order
 * @param keyOf the key of what was loaded
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
 * Makes a function that loads one page of a list that each of many things has, such as the readers of each message. All
 * things whose same page is asked for at the same moment share one statement.
 *
 * @param load returns what exists of the keys, each with its page, in any order
 * @param keyOf the key of what was loaded
 */
export function createPageLoader<Value, Position>(
  load: (context: Context, keys: readonly string[], page: Page<Position>) => Promise<Value[]>,
  keyOf: (value: Value) => string,
): (context: Context, key: string, page: Page<Position>) => Promise<Value | null> {
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
