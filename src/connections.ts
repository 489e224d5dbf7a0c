import { raw, type Sql } from './database/database.ts';
import { badInput } from './errors.ts';
import { isStorable } from './text/text.ts';

/** The arguments of every list, after the Relay cursor connections specification. */
export interface ConnectionArgs {
  first?: number | null | undefined;
  after?: string | null | undefined;
  last?: number | null | undefined;
  before?: string | null | undefined;
}

export interface Connection<Item> {
  edges: { cursor: string; node: Item }[];
  pageInfo: {
    hasNextPage: boolean;
    hasPreviousPage: boolean;
    startCursor: string | null;
    endCursor: string | null;
  };
}

/** What a list asks of the database: rows beyond `after` and before `before`, in the list's order or reversed. */
export interface Page<Position> {
  after: Position | null;
  before: Position | null;
  /** From the end backwards. */
  reverse: boolean;
  /** At least one more than a page, to see whether there are more. */
  limit: Sql;
}

/** How many items a page has by default, and at most. */
export const PAGE_SIZE = { default: 20, most: 100 };
/**
 * So many rows are asked for, the next of these above the size of a page. They stand in the text of a statement: for a
 * parameter PostgreSQL would plan as if it were a tenth of the list, or plan anew each time. Of few texts it keeps the plans.
 */
const LIMITS = [11, 21, 51, 101];

/**
 * One page of a list by keyset: the cost is that of the page, wherever in the list it lies.
 *
 * @param decode what a cursor stands for; throws `BAD_USER_INPUT` for one that is not of this list
 * @param load answers the first `page.limit` rows; in reverse order if `page.reverse`
 * @throws ChatError `BAD_USER_INPUT` for sizes out of 1 to 100, or both `first` and `last`
 */
export async function connect<Item, Position>(
  args: ConnectionArgs,
  list: {
    decode: (cursor: string, path: 'after' | 'before') => Position;
    encode: (item: Item) => string;
    load: (page: Page<Position>) => Promise<Item[]>;
  },
): Promise<Connection<Item>> {
  if (args.first != null && args.last != null) throw badInput('last', 'Ask for first or for last, not for both.');
  const reverse = args.last != null;
  const size = checkSize(reverse ? 'last' : 'first', args.first ?? args.last ?? PAGE_SIZE.default);
  const after = args.after == null ? null : list.decode(args.after, 'after');
  const before = args.before == null ? null : list.decode(args.before, 'before');

  const limit = raw(String(LIMITS.find((rows) => rows > size)));
  const rows = await list.load({ after, before, reverse, limit });
  const more = rows.length > size;
  const items = rows.slice(0, size);
  if (reverse) items.reverse();
  const edges = items.map((node) => ({ cursor: list.encode(node), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: reverse ? before !== null : more,
      hasPreviousPage: reverse ? more : after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

/** A cursor that only pages: a list's name and the sort keys of one of its rows. */
export function encodeKeyset(list: string, sortKeys: readonly string[]): string {
  return Buffer.from(JSON.stringify([list, ...sortKeys])).toString('base64url');
}

/** What a sort key in a cursor may be: a cursor comes from a client, and PostgreSQL fails at what does not fit. */
export const keys = {
  // Date.parse reads 30 February as 1 or 2 March. PostgreSQL refuses such dates, the year 0 and 24:00.
  moment: (text: string) =>
    /^(?!0000)\d{4}-\d\d-\d\dT[\d:.]{12}Z$/.test(text) &&
    !Number.isNaN(Date.parse(text)) &&
    new Date(text).toISOString() === text,
  uuid: (text: string) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
  number: (text: string) => /^\d{1,9}$/.test(text),
  // A name of 100 characters, in lower case and composed.
  name: (text: string) => text.length <= 1_000 && isStorable(text),
} satisfies Record<string, (text: string) => boolean>;

/** Longest cursor that is decoded, in UTF-16 units. Those of the lists are shorter. */
const MAX_CURSOR_LENGTH = 10_000;

/** @throws ChatError `BAD_USER_INPUT` for what is no cursor of this list */
export function decodeKeyset(
  list: string,
  shape: readonly (keyof typeof keys)[],
  cursor: string,
  path: string,
): string[] {
  try {
    if (cursor.length > MAX_CURSOR_LENGTH) throw new RangeError('too long');
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(parts) && parts[0] === list && parts.length === shape.length + 1) {
      const found = parts.slice(1).map(String);
      if (shape.every((kind, i) => keys[kind](found[i] ?? ''))) return found;
    }
  } catch {
    // Not ours: said below.
  }
  throw badInput(path, 'This cursor does not belong to this list. Take it from pageInfo or an edge of the same list.');
}

function checkSize(path: 'first' | 'last', size: number): number {
  if (size < 1 || size > PAGE_SIZE.most) throw badInput(path, `A page has 1 to ${PAGE_SIZE.most} items.`);
  return size;
}
