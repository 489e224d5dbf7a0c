import type { Cache, FieldArgs, Resolver } from '@urql/exchange-graphcache';
import { possibleTypes } from './generated/schema.ts';

/** A page of a connection in the cache. */
interface Page {
  fieldKey: string;
  args: NonNullable<FieldArgs>;
  typename: unknown;
  edges: string[];
  nodes: string[];
  start: unknown;
  end: unknown;
  hasPrevious: unknown;
  hasNext: unknown;
}

/** Arguments that select a page. Fields that differ in any other argument are different lists. */
const PAGING = ['first', 'last', 'after', 'before'];

/**
 * Resolves a connection in graphcache as one list: the queried page, and the pages that adjoin it by their cursors.
 * Leaves out a page that no longer adjoins, because the list has changed since. Graphcache's `relayPagination` would
 * show this page after a gap.
 */
export const resolveConnection: Resolver = (_parent, args, cache, info) => {
  const { parentKey, parentFieldKey, fieldName } = info;
  const pages = cache
    .inspectFields(parentKey)
    .filter((field) => field.fieldName === fieldName && listOf(field.arguments) === listOf(args))
    .flatMap(({ fieldKey, arguments: own }) => pageOf(cache, parentKey, fieldKey, own ?? {}) ?? []);
  const own = pages.find(({ fieldKey }) => fieldKey === parentFieldKey);
  const stored = cache.resolve(parentKey, parentFieldKey) as string | null | undefined;
  // Returns null, because the viewer may not see the list.
  if (!own && stored !== undefined) return stored;
  const start = own ?? pages.find((page) => adjoins(page, { args }) || adjoins({ args }, page));
  if (!start) return undefined;
  // While the page is loading, the cached items are returned as a partial result.
  if (!own) info.partial = true;
  const parts = adjoining(start, pages);
  const [first, last] = [parts[0] ?? start, parts.at(-1) ?? start];
  return {
    __typename: start.typename,
    edges: unique(parts, 'edges', (edge) => cache.resolve(edge, 'node')),
    nodes: unique(parts, 'nodes', (node) => node),
    pageInfo: {
      __typename: 'PageInfo',
      startCursor: first.start,
      endCursor: last.end,
      hasPreviousPage: first.hasPrevious,
      hasNextPage: last.hasNext,
    },
  };
};

function listOf(args: FieldArgs): string {
  const own = Object.entries(args ?? {}).filter(([name, value]) => !PAGING.includes(name) && value != null);
  return JSON.stringify(own.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function pageOf(cache: Cache, parent: string, fieldKey: string, args: Page['args']): Page | null {
  const key = cache.resolve(parent, fieldKey);
  if (typeof key !== 'string') return null;
  const edges = (cache.resolve(key, 'edges') ?? []) as string[];
  const info = cache.resolve(key, 'pageInfo') as string | undefined;
  const infoOf = (field: string) => info && cache.resolve(info, field);
  // Uses the cursors of the edges if the query has not selected those of `pageInfo`.
  const cursorOf = (edge: string | undefined) => edge && cache.resolve(edge, 'cursor');
  return {
    ...{ fieldKey, args, edges },
    typename: cache.resolve(key, '__typename'),
    nodes: (cache.resolve(key, 'nodes') ?? []) as string[],
    start: infoOf('startCursor') ?? cursorOf(edges[0]) ?? null,
    end: infoOf('endCursor') ?? cursorOf(edges.at(-1)) ?? null,
    hasPrevious: infoOf('hasPreviousPage') ?? args['after'] != null,
    hasNext: infoOf('hasNextPage') ?? args['before'] != null,
  };
}

/** Returns whether the second page begins where the first one ends. */
function adjoins(page: Pick<Page, 'args'> & Partial<Page>, next: Pick<Page, 'args'> & Partial<Page>): boolean {
  const { after } = next.args;
  const { before } = page.args;
  return (after != null && after === page.end) || (before != null && before === next.start);
}

/** Returns the page and all pages that adjoin it directly or indirectly, in order. */
function adjoining(page: Page, pages: readonly Page[]): Page[] {
  const parts = [page];
  const others = new Set(pages.filter((each) => each !== page));
  for (;;) {
    const [first, last] = [parts[0] as Page, parts.at(-1) as Page];
    const previous = [...others].find((each) => adjoins(each, first));
    const next = [...others].find((each) => adjoins(last, each));
    if (previous) parts.unshift(previous);
    if (next && next !== previous) parts.push(next);
    if (!previous && !next) return parts;
    for (const each of [previous, next]) if (each) others.delete(each);
  }
}

/** Returns the items of all parts without duplicates, because an item may have moved between two queries. */
function unique(parts: readonly Page[], field: 'edges' | 'nodes', idOf: (item: string) => unknown): string[] {
  return [...new Map(parts.flatMap((part) => part[field]).map((item) => [idOf(item), item])).values()];
}

/**
 * Resolves `nodes(ids:)` to objects that other queries or events have loaded. Returns undefined if the cache lacks any
 * object. urql then sends the query.
 */
export const resolveNodes: Resolver = (_parent, { ids }, cache, { parentKey, parentFieldKey }) => {
  const known = cache.resolve(parentKey, parentFieldKey) as string[] | undefined;
  if (known) return known;
  const keys = (ids as string[]).map((id) =>
    possibleTypes.Node.map((__typename) => cache.keyOfEntity({ __typename, id })).find(
      (key) => key !== null && cache.resolve(key, 'id') === id,
    ),
  );
  return keys.every((key) => key != null) ? keys : undefined;
};
