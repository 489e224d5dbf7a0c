import type { Cache, FieldArgs, Resolver, UpdateResolver } from '@urql/exchange-graphcache';
import { MAX_NUMBER } from './messageNumber.ts';

/**
 * A cached page of `Chatroom.messages`. This file merges all pages, and the messages of later events, into one list.
 *
 * Graphcache stores results in layers while operations are pending. A layer hides the same field in lower layers. If
 * events appended to a stored list, a layer could hide appended messages. Therefore each added message is a separate
 * link. The list is computed from pages and links when it is read.
 */
interface Page {
  fieldKey: string;
  rows: Row[];
  /**
   * The page contains all messages that the viewer may see with numbers from `low` to `high`. 0 is the beginning of the
   * room, Infinity is its end.
   */
  low: number;
  high: number;
  /** Order in which the pages of the room were written. A later page replaces the rows of earlier pages in its range. */
  written: number;
}

interface Row {
  node: string;
  number: number;
  cursor: unknown;
}

/** Client-side field of a chatroom: links to sent messages, and to messages of the stream of this room. */
const ADDED = 'addedMessages';
/**
 * Client-side field of a chatroom: links to messages of the stream over all rooms. These messages may lack fields that
 * queries of `Chatroom.messages` select.
 */
const PREVIEWED = 'previewedMessages';
/**
 * Client-side field of a chatroom: links from the `before` or `after` cursor of a page to the message at that cursor.
 */
const AT_CURSOR = 'messagesAtCursors';

/** The last write of a page: its place in the order of all writes, and the keys of its messages. */
interface Write {
  order: number;
  nodes: readonly string[];
}

/** Pages of the rooms in each cache, by their field keys. Rooms without a page of messages are listed for their members. */
const writes = new WeakMap<Cache, Map<string, Map<string, Write>>>();
let lastWrite = 0;

function writesOf(cache: Cache, chatroom: string): Map<string, Write> {
  const rooms = writes.get(cache) ?? new Map<string, Map<string, Write>>();
  const pages = rooms.get(chatroom) ?? new Map<string, Write>();
  writes.set(cache, rooms.set(chatroom, pages));
  return pages;
}

/** Adds a message to the list of its room. A preview may lack fields that queries of the list select. */
export function addMessage(cache: Cache, chatroom: string, message: string, isPreview: boolean): void {
  cache.link(chatroom, isPreview ? PREVIEWED : ADDED, { message }, message);
}

/**
 * Removes all pages of messages and members, and all added messages, because a block or its end hides or shows messages
 * and read marks in all of them. urql then sends the active queries of these lists again.
 */
export function removeBlocked(cache: Cache): void {
  for (const chatroom of writes.get(cache)?.keys() ?? []) invalidateLists(cache, chatroom, 'messages', 'members');
}

/** Removes the lists of a room that only members see. urql then sends the active queries of these lists again. */
export function invalidateRoom(cache: Cache, chatroom: string): void {
  invalidateLists(cache, chatroom, 'messages', 'members', 'searchMessages');
}

function invalidateLists(cache: Cache, chatroom: string, ...fields: string[]): void {
  writes.get(cache)?.get(chatroom)?.clear();
  for (const { fieldName, arguments: args } of cache.inspectFields(chatroom)) {
    if ([...fields, ADDED, PREVIEWED].includes(fieldName)) cache.invalidate(chatroom, fieldName, args);
  }
}

/**
 * Notes the order of a written page, and links its `before` or `after` cursor to the message at that cursor. Cursors
 * alone cannot be compared, because a message has different cursors in different queries.
 *
 * A reload of the newest page replaces its oldest messages if newer ones have arrived. These messages are added to the
 * list, because they connect the page with the earlier pages.
 */
export const pageWritten: UpdateResolver = (_result, args, cache, { parentKey, parentFieldKey }) => {
  const pages = writesOf(cache, parentKey);
  const rows = pageOf(cache, parentKey, parentFieldKey, args)?.rows ?? [];
  if (isEnd(args)) {
    const first = rows[0]?.number ?? 0;
    for (const node of pages.get(parentFieldKey)?.nodes ?? []) {
      const { number, cursor } = rowOf(cache, node);
      // A list whose first message has no cursor could not load earlier messages.
      if (number < first && cursor != null) addMessage(cache, parentKey, node, false);
    }
  }
  pages.set(parentFieldKey, { order: (lastWrite += 1), nodes: rows.map(({ node }) => node) });
  const cursor = args['before'] ?? args['after'];
  if (typeof cursor !== 'string') return;
  const known = [
    ...pagesOf(cache, parentKey).flatMap((page) => page.rows),
    ...addedTo(cache, parentKey, PREVIEWED, ADDED),
  ];
  const row = known.find((each) => each.cursor === cursor);
  if (row) cache.link(parentKey, AT_CURSOR, { cursor }, row.node);
};

/** Notes the room of a page of members, so that {@link removeBlocked} finds it. */
export const membersWritten: UpdateResolver = (_result, _args, cache, { parentKey }) => {
  writesOf(cache, parentKey);
};

/** Resolves the list to which a page belongs: adjoining pages, and the messages that were added to them. */
export const messages: Resolver = (_parent, args, cache, info) => {
  const { parentKey: chatroom, parentFieldKey } = info;
  const pages = pagesOf(cache, chatroom);
  const own = pages.find(({ fieldKey }) => fieldKey === parentFieldKey);
  const stored = cache.resolve(chatroom, parentFieldKey) as string | null | undefined;
  // Returns null for non-members, and a page without message numbers as it is.
  if (!own && stored !== undefined) return stored;
  // Whether a query with another page size has loaded newer messages. The list then starts from the newest message.
  const isOld = own !== undefined && isEnd(args) && own.high < Infinity;
  const start = isOld ? END : (own ?? placeOf(cache, chatroom, args));
  if (!start) return undefined;
  const complete = addedTo(cache, chatroom, ADDED).map(({ number }) => number);
  const { low, high } = grow(start, pages, new Set(complete));
  const parts = pages.filter((page) => page.low <= high && page.high >= low);
  if (parts.length === 0) return undefined;
  // While the page is loading, the cached messages are returned as a partial result.
  if (!own) info.partial = true;
  const added = addedTo(cache, chatroom, PREVIEWED, ADDED).filter(({ number }) => number >= low && number <= high);
  // Skips rows in the range of a page that was written later, because the viewer may no longer see them.
  const read = parts.flatMap((page) =>
    page.rows.filter((row) => !parts.some((other) => other.written > page.written && covers(other, row))),
  );
  // Skips added messages in the range of a page, because the page contains those that the viewer may see.
  const unread = added.filter((row) => !parts.some((page) => covers(page, row)) && !isHidden(cache, chatroom, row));
  const rows = inOrder(cache, [...read, ...unread]);
  const last = rows.findLast(({ number }) => number <= MAX_NUMBER);
  return {
    __typename: 'MessageConnection',
    edges: rows.map(({ node, cursor }) => ({ __typename: 'MessageEdge', cursor, node })),
    nodes: rows.map(({ node }) => node),
    pageInfo: {
      __typename: 'PageInfo',
      startCursor: rows[0]?.cursor ?? null,
      endCursor: last?.cursor ?? null,
      hasPreviousPage: low > 0,
      hasNextPage: high < Infinity,
    },
  };
};

/** Returns the cached pages of a room, except for pages that were queried without message numbers. */
function pagesOf(cache: Cache, chatroom: string): Page[] {
  const fields = cache.inspectFields(chatroom).filter(({ fieldName }) => fieldName === 'messages');
  const pages = fields.flatMap(({ fieldKey, arguments: args }) => pageOf(cache, chatroom, fieldKey, args ?? {}) ?? []);
  const lastOf = ({ rows }: Page) => rows.at(-1)?.number ?? 0;
  const newest = Math.max(...pages.filter(({ high }) => high === Infinity).map(lastOf));
  // A page that reached the newest message when it was loaded may lack newer messages by now. Its range then ends at
  // its last message.
  return pages.map((page) =>
    page.high === Infinity && lastOf(page) < newest ? { ...page, high: lastOf(page) } : page,
  );
}

/** Returns whether these arguments select the newest messages. */
const isEnd = (args: NonNullable<FieldArgs>) => args['last'] != null && args['before'] == null;
const END = { low: Infinity, high: Infinity };

function pageOf(cache: Cache, chatroom: string, fieldKey: string, args: NonNullable<FieldArgs>): Page | null {
  const key = cache.resolve(chatroom, fieldKey);
  if (typeof key !== 'string') return null;
  const edges = cache.resolve(key, 'edges') as string[] | undefined;
  const nodes = edges
    ? edges.map((edge) => cache.resolve(edge, 'node') as string)
    : (cache.resolve(key, 'nodes') as string[] | undefined);
  const info = cache.resolve(key, 'pageInfo') as string | undefined;
  const rows = nodes?.map((node, i) => rowOf(cache, node, edges && cache.resolve(edges[i], 'cursor')));
  if (!rows || rows.some(({ number }) => Number.isNaN(number))) return null;
  const [first, last] = [rows[0], rows.at(-1)];
  // The query may have selected cursors in `pageInfo` only.
  if (info && first) first.cursor ??= cache.resolve(info, 'startCursor');
  if (info && last) last.cursor ??= cache.resolve(info, 'endCursor');

  const { before, after } = args;
  const place = placeOf(cache, chatroom, args);
  const written = writesOf(cache, chatroom).get(fieldKey)?.order ?? 0;
  if (rows.length === 0 && before == null && after == null) return { fieldKey, rows, low: 0, high: Infinity, written };
  const hasPrevious = info && cache.resolve(info, 'hasPreviousPage');
  const hasNext = info && cache.resolve(info, 'hasNextPage');
  const low = after != null ? place?.low : hasPrevious === false || args['first'] != null ? 0 : first?.number;
  const high = before != null ? place?.high : hasNext === false || args['last'] != null ? Infinity : last?.number;
  if (low === undefined && high === undefined) return null;
  return {
    fieldKey,
    rows,
    low: low ?? first?.number ?? (high as number),
    high: high ?? last?.number ?? (low as number),
    written,
  };
}

function rowOf(cache: Cache, node: string, cursor?: unknown): Row {
  return { node, number: Number(cache.resolve(node, 'number')), cursor: cursor ?? cache.resolve(node, 'cursor') };
}

/**
 * Returns where the page is joined to others: the empty range before or after the message at its cursor, which the page
 * does not contain. Returns null if the number of this message is unknown. Without a cursor, returns the beginning or
 * the end of the room.
 */
function placeOf(cache: Cache, chatroom: string, args: NonNullable<FieldArgs>): Pick<Page, 'low' | 'high'> | null {
  const cursor = args['before'] ?? args['after'];
  if (cursor != null) {
    const message = cache.resolve(chatroom, AT_CURSOR, { cursor });
    const number = typeof message === 'string' ? Number(cache.resolve(message, 'number')) : NaN;
    if (Number.isNaN(number)) return null;
    return args['before'] != null ? { low: number, high: number - 1 } : { low: number + 1, high: number };
  }
  return args['last'] != null ? END : { low: 0, high: 0 };
}

/**
 * Extends a range of numbers by all adjoining pages and added messages. After a reload of the newest page, the messages
 * before it may be in the cache only as added messages.
 */
function grow(
  { low, high }: Pick<Page, 'low' | 'high'>,
  pages: readonly Page[],
  added: ReadonlySet<number>,
): Pick<Page, 'low' | 'high'> {
  for (;;) {
    const wider = pages.filter(
      (page) => page.low <= high + 1 && page.high >= low - 1 && (page.low < low || page.high > high),
    );
    if (wider.length > 0) {
      low = Math.min(low, ...wider.map((page) => page.low));
      high = Math.max(high, ...wider.map((page) => page.high));
    } else if (added.has(low - 1)) low -= 1;
    else if (added.has(high + 1)) high += 1;
    // The first message of a room has the number 1. A range that includes it starts at 0, the beginning of the room.
    else return { low: low === 1 ? 0 : low, high };
  }
}

/**
 * Returns the messages that were added to a room. Reverses the links, because graphcache lists the links of the latest
 * pending operations first.
 */
function addedTo(cache: Cache, chatroom: string, ...fields: string[]): Row[] {
  const links = cache.inspectFields(chatroom).filter(({ fieldName }) => fields.includes(fieldName));
  return links.toReversed().flatMap(({ fieldKey }) => {
    const node = cache.resolve(chatroom, fieldKey);
    const row = typeof node === 'string' ? rowOf(cache, node) : null;
    return row && !Number.isNaN(row.number) ? [row] : [];
  });
}

/**
 * Returns whether a message would be in the rows of this page if the viewer could see the message. A message after the
 * last row of a newest page may have arrived after the page.
 */
function covers({ low, high, rows }: Page, { number }: Row): boolean {
  return number >= low && number <= (high === Infinity ? (rows.at(-1)?.number ?? 0) : high);
}

/** Returns whether a block hides the message. Only direct rooms show messages of blocked users. */
function isHidden(cache: Cache, chatroom: string, { node }: Row): boolean {
  const sender = cache.resolve(node, 'sender');
  const isBlocked = typeof sender === 'string' && cache.resolve(sender, 'viewerHasBlocked') === true;
  return isBlocked && cache.resolve(chatroom, 'kind') !== 'DIRECT';
}

/**
 * Returns the rows sorted by number, without duplicates. Leaves out an optimistic message if the rows contain its
 * stored message.
 */
function inOrder(cache: Cache, rows: readonly Row[]): Row[] {
  const unique = [...new Map(rows.map((row) => [row.node, row])).values()];
  const nameOf = ({ node }: Row) => cache.resolve(node, 'clientMessageId') as string | null | undefined;
  const isOptimistic = (row: Row) => row.number > MAX_NUMBER || row.node === `Message:${nameOf(row) ?? ''}`;
  const optimistic = unique.filter(isOptimistic);
  const names = new Set(optimistic.length > 0 ? unique.filter((row) => !optimistic.includes(row)).map(nameOf) : []);
  const shown = unique.filter((row) => !optimistic.includes(row) || !names.has(nameOf(row)));
  return shown.toSorted((a, b) => a.number - b.number);
}
