import type { Cache, FieldArgs, Resolver, UpdateResolver } from '@urql/exchange-graphcache';

/**
 * `Chatroom.messages` in graphcache: one list of all pages and of the messages that were added since.
 *
 * Graphcache keeps results in layers while operations are pending, and a layer hides the same field of the layers below it.
 * A list to which every event adds an item would lose the items of hidden layers. So each added message is a link of its own,
 * and the list is made of pages and links when it is read.
 */
interface Page {
  fieldKey: string;
  rows: Row[];
  /** The page has all messages from the number `low` to the number `high`. */
  low: number;
  high: number;
}

interface Row {
  node: string;
  number: number;
  cursor: unknown;
}

/** Links from a chatroom to messages that were sent or came by a subscription, with all fields of the list. */
const ADDED = 'addedMessages';
/** The same for messages of a stream over all rooms, which selects a preview of each message. */
const PREVIEWED = 'previewedMessages';
/** Links from a chatroom to the messages at the cursors where pages begin. */
const AT_CURSOR = 'messagesAtCursors';
/** Numbers of stored messages are of the type Int. */
const MAX_NUMBER = 2_147_483_647;

/** Adds a message to the lists of its room. A preview lacks fields of the list. */
export function addMessage(cache: Cache, chatroom: string, message: string, isPreview: boolean): void {
  cache.link(chatroom, isPreview ? PREVIEWED : ADDED, { message }, message);
}

/** Remembers the message at the cursor where a page begins, because cursors of a message differ between queries. */
export const pageWritten: UpdateResolver = (_result, args, cache, { parentKey }) => {
  const cursor = args['before'] ?? args['after'];
  if (typeof cursor !== 'string') return;
  const pages = pagesOf(cache, parentKey);
  const row = [...pages.flatMap(({ rows }) => rows), ...addedTo(cache, parentKey, PREVIEWED, ADDED)].find(
    (each) => each.cursor === cursor,
  );
  if (row) cache.link(parentKey, AT_CURSOR, { cursor }, row.node);
};

/** Makes the list that a page belongs to: all pages that adjoin each other, and what was added to them. */
export const messages: Resolver = (_parent, args, cache, info) => {
  const { parentKey: chatroom, parentFieldKey } = info;
  const pages = pagesOf(cache, chatroom);
  const own = pages.find(({ fieldKey }) => fieldKey === parentFieldKey);
  const stored = cache.resolve(chatroom, parentFieldKey) as string | null | undefined;
  // Null for those who are no members, or a page without what is needed to join it to others.
  if (!own && stored !== undefined) return stored;
  // A query of another page size may have read newer messages since.
  const isOld = own !== undefined && isEnd(args) && own.high < Infinity;
  const start = isOld ? END : (own ?? placeOf(cache, chatroom, args));
  if (!start) return undefined;
  const complete = addedTo(cache, chatroom, ADDED).map(({ number }) => number);
  const { low, high } = grow(start, pages, new Set(complete));
  const parts = pages.filter((page) => page.low <= high && page.high >= low);
  if (parts.length === 0) return undefined;
  // Shows what is there while the page is loaded.
  if (!own) info.partial = true;
  const added = addedTo(cache, chatroom, PREVIEWED, ADDED).filter(({ number }) => number >= low && number <= high);
  const read = parts.flatMap((page) => page.rows);
  // A page says of all numbers up to its last one what the viewer may see.
  const unread = added.filter(
    (row) => !parts.some(({ rows }) => isWithin(row, rows)) && !isHidden(cache, chatroom, row),
  );
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

/** Pages of a room whose messages have numbers. */
function pagesOf(cache: Cache, chatroom: string): Page[] {
  const fields = cache.inspectFields(chatroom).filter(({ fieldName }) => fieldName === 'messages');
  const pages = fields.flatMap(({ fieldKey, arguments: args }) => pageOf(cache, chatroom, fieldKey, args ?? {}) ?? []);
  const lastOf = ({ rows }: Page) => rows.at(-1)?.number ?? 0;
  const newest = Math.max(...pages.filter(({ high }) => high === Infinity).map(lastOf));
  // A page that reached the end when it was read says nothing of what has come since.
  return pages.map((page) =>
    page.high === Infinity && lastOf(page) < newest ? { ...page, high: lastOf(page) } : page,
  );
}

/** Whether these arguments select the newest messages. */
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
  // Where cursors are selected in `pageInfo` only.
  if (info && first) first.cursor ??= cache.resolve(info, 'startCursor');
  if (info && last) last.cursor ??= cache.resolve(info, 'endCursor');

  const { before, after } = args;
  const place = placeOf(cache, chatroom, args);
  if (rows.length === 0 && before == null && after == null) return { fieldKey, rows, low: 0, high: Infinity };
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
  };
}

function rowOf(cache: Cache, node: string, cursor?: unknown): Row {
  return { node, number: Number(cache.resolve(node, 'number')), cursor: cursor ?? cache.resolve(node, 'cursor') };
}

/** Where the page with these arguments begins, as numbers. */
function placeOf(cache: Cache, chatroom: string, args: NonNullable<FieldArgs>): Pick<Page, 'low' | 'high'> | null {
  const cursor = args['before'] ?? args['after'];
  if (cursor != null) {
    const message = cache.resolve(chatroom, AT_CURSOR, { cursor });
    const number = typeof message === 'string' ? Number(cache.resolve(message, 'number')) : NaN;
    return Number.isNaN(number) ? null : { low: number, high: number };
  }
  return args['last'] != null ? END : { low: 0, high: 0 };
}

/**
 * What all pages and added messages cover together that adjoin a place. Graphcache may query a page again, such as the newest one
 * after it found an incomplete message in it: what came before is then covered by the added messages only.
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
    // The first message of a room has the number 1.
    else return { low: low === 1 ? 0 : low, high };
  }
}

/** Messages that were added to a room. Graphcache lists the latest pending ones first. */
function addedTo(cache: Cache, chatroom: string, ...fields: string[]): Row[] {
  const links = cache.inspectFields(chatroom).filter(({ fieldName }) => fields.includes(fieldName));
  return links.toReversed().flatMap(({ fieldKey }) => {
    const node = cache.resolve(chatroom, fieldKey);
    const row = typeof node === 'string' ? rowOf(cache, node) : null;
    return row && !Number.isNaN(row.number) ? [row] : [];
  });
}

function isWithin({ number }: Row, rows: readonly Row[]): boolean {
  const [first, last] = [rows[0], rows.at(-1)];
  return first !== undefined && last !== undefined && number >= first.number && number <= last.number;
}

/** Whether the viewer has blocked the sender, whose messages then vanish from rooms. */
function isHidden(cache: Cache, chatroom: string, { node }: Row): boolean {
  const sender = cache.resolve(node, 'sender');
  const isBlocked = typeof sender === 'string' && cache.resolve(sender, 'viewerHasBlocked') === true;
  return isBlocked && cache.resolve(chatroom, 'kind') !== 'DIRECT';
}

/** Rows by number, each once, without optimistic messages that are stored by now. */
function inOrder(cache: Cache, rows: readonly Row[]): Row[] {
  const unique = [...new Map(rows.map((row) => [row.node, row])).values()];
  const nameOf = ({ node }: Row) => cache.resolve(node, 'clientMessageId') as string | null | undefined;
  const isOptimistic = (row: Row) => row.number > MAX_NUMBER || row.node === `Message:${nameOf(row) ?? ''}`;
  const optimistic = unique.filter(isOptimistic);
  const names = new Set(optimistic.length > 0 ? unique.filter((row) => !optimistic.includes(row)).map(nameOf) : []);
  const shown = unique.filter((row) => !optimistic.includes(row) || !names.has(nameOf(row)));
  return shown.toSorted((a, b) => a.number - b.number);
}
