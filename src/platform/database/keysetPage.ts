import { empty, join, raw, type Sql, sql } from './database.ts';
import { badInput } from '../../core/errors.ts';
import { isStorable } from '../../core/text/text.ts';

/** Arguments of every list, as in the Relay cursor connections specification. */
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

/** Sort keys of a row, most significant first. */
type Position = readonly string[];

/** Range of rows to load. Starts after `after` and ends before `before`; null means no bound. */
export interface Page {
  after: Position | null;
  before: Position | null;
  /** Whether to load rows from the end of the range backwards. */
  reverse: boolean;
  /** Maximum number of rows to load. At least one more than the page size, to detect further rows. */
  limit: Sql;
  /** The value of `limit` as a number. */
  take: number;
}

/** Default and maximum number of items of a page. */
export const PAGE_SIZE = { default: 20, max: 100 };
/**
 * Values of LIMIT, besides `MAX_LIMIT`. A page uses the smallest value above its size. The value is a literal in the
 * statement. For a parameter, PostgreSQL would assume a tenth of the list, or plan each execution again. Four values
 * keep the number of cached plans small.
 */
const LIMITS = [11, 21, 51];
const MAX_LIMIT = PAGE_SIZE.max + 1;

/**
 * Types of sort keys. `isValid` checks a value from a cursor. `cast` is SQL that converts the value to the type of the
 * column.
 */
const kinds = {
  moment: { cast: raw('::timestamptz'), isValid: isMoment },
  uuid: {
    cast: raw('::uuid'),
    isValid: (text) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
  },
  number: { cast: raw('::int'), isValid: (text) => /^\d{1,9}$/.test(text) },
  // Names have at most 100 characters. Their sort keys may be longer, because NFKC and lower case can add characters.
  name: { cast: empty, isValid: (text) => text.length <= 1_000 && isStorable(text) },
} satisfies Record<string, { cast: Sql; isValid: (text: string) => boolean }>;

type Kind = keyof typeof kinds;

/** The sort order of a list, in SQL. */
export interface Keyset {
  kinds: readonly Kind[];
  /** Returns the condition that selects the rows of a page. Begins with AND, or is empty. */
  bounds(page: Page): Sql;
  /** Returns the sort columns of a page, for ORDER BY. */
  order(page: Page): Sql;
}

/**
 * Defines the sort order of a list.
 *
 * @param columns sort columns with the types of their values, most significant first. Together they identify a row.
 */
export function keyset(columns: Record<string, Kind>, direction: 'ASC' | 'DESC' = 'ASC'): Keyset {
  const names = Object.keys(columns);
  const shape = Object.values(columns);
  const row = raw(names.join(', '));
  const valuesOf = (position: Position) => join(shape.map((kind, i) => sql`${position[i]}${kinds[kind].cast}`));
  const [later, earlier] = direction === 'ASC' ? [raw('>'), raw('<')] : [raw('<'), raw('>')];
  return {
    kinds: shape,
    bounds: ({ after, before }) => sql`
      ${after === null ? empty : sql`AND (${row}) ${later} (${valuesOf(after)})`}
      ${before === null ? empty : sql`AND (${row}) ${earlier} (${valuesOf(before)})`}`,
    order({ reverse }) {
      const descends = reverse === (direction === 'ASC');
      return raw(names.map((name) => (descends ? `${name} DESC` : name)).join(', '));
    },
  };
}

/**
 * Returns one page of a list by keyset pagination. The cost depends on the size of the page, not on its position.
 *
 * @param decode returns the position of a cursor; throws `BAD_USER_INPUT` for a cursor of another list
 * @param load returns the first `page.limit` rows, in reverse order if `page.reverse` is set
 * @throws ChatError `BAD_USER_INPUT` for a size outside 1 to 100, or if both `first` and `last` are set
 */
export async function connect<Item>(
  args: ConnectionArgs,
  list: {
    decode: (cursor: string, path: 'after' | 'before') => Position;
    encode: (item: Item) => string;
    load: (page: Page) => Promise<Item[]>;
  },
): Promise<Connection<Item>> {
  if (args.first != null && args.last != null) throw badInput('last', 'Send first or last, not both.');
  const reverse = args.last != null;
  const size = checkSize(reverse ? 'last' : 'first', args.first ?? args.last ?? PAGE_SIZE.default);
  const after = args.after == null ? null : list.decode(args.after, 'after');
  const before = args.before == null ? null : list.decode(args.before, 'before');

  const take = LIMITS.find((rows) => rows > size) ?? MAX_LIMIT;
  const limit = raw(String(take));
  const rows = await list.load({ after, before, reverse, limit, take });
  const hasMore = rows.length > size;
  const items = rows.slice(0, size);
  if (reverse) items.reverse();
  const edges = items.map((node) => ({ cursor: list.encode(node), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: reverse ? before !== null : hasMore,
      hasPreviousPage: reverse ? hasMore : after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

/** Maximum length of a cursor that is decoded, in UTF-16 units. Valid cursors are shorter. */
const MAX_CURSOR_LENGTH = 10_000;

/**
 * Returns functions that encode and decode the cursors of a list. A cursor contains the name of the list and the sort
 * keys of one row. Cursors of another list are refused with `BAD_USER_INPUT`.
 *
 * @param keysOf returns the sort keys of an item
 */
export function cursors<Item>(
  list: string,
  { kinds: shape }: Pick<Keyset, 'kinds'>,
  keysOf: (item: Item) => readonly (string | number | Date)[],
) {
  return {
    encode: (item: Item) => Buffer.from(JSON.stringify([list, ...keysOf(item).map(toKey)])).toString('base64url'),
    decode: (cursor: string, path: string) => decode(list, shape, cursor, path),
  };
}

function toKey(value: string | number | Date): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

/**
 * Returns the sort keys in a cursor. Checks each key, because clients may send anything, and PostgreSQL fails on
 * malformed values.
 *
 * @throws ChatError `BAD_USER_INPUT` for an invalid cursor
 */
function decode(list: string, shape: readonly Kind[], cursor: string, path: string): Position {
  try {
    if (cursor.length > MAX_CURSOR_LENGTH) throw new RangeError('too long');
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Array.isArray(parts) && parts[0] === list && parts.length === shape.length + 1) {
      const found = parts.slice(1).map(String);
      if (shape.every((kind, i) => kinds[kind].isValid(found[i] ?? ''))) return found;
    }
  } catch {
    // A malformed cursor causes the error below.
  }
  throw badInput(path, 'This cursor does not belong to this list. Take it from pageInfo or an edge of the same list.');
}

/**
 * Returns true for a time that PostgreSQL accepts. PostgreSQL refuses 30 February, the year 0 and 24:00. Date.parse
 * changes 30 February to a day in March, so the parsed date is formatted and compared with the text.
 */
function isMoment(text: string): boolean {
  return (
    /^(?!0000)\d{4}-\d\d-\d\dT[\d:.]{12}Z$/.test(text) &&
    !Number.isNaN(Date.parse(text)) &&
    new Date(text).toISOString() === text
  );
}

function checkSize(path: 'first' | 'last', size: number): number {
  if (size < 1 || size > PAGE_SIZE.max) throw badInput(path, `A page has 1 to ${PAGE_SIZE.max} items.`);
  return size;
}
