import { raw, type Sql } from './database.ts';
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

/** Rows to load: those after `after` and before `before`, in the list's order or reversed. */
export interface Page<Position> {
  after: Position | null;
  before: Position | null;
  /** Whether to load rows from the end backwards. */
  reverse: boolean;
  /** Maximum number of rows to load. At least one more than the page size, to detect further rows. */
  limit: Sql;
  /** The value of `limit` as a number. */
  take: number;
}

/** Default and maximum number of items of a page. */
export const PAGE_SIZE = { default: 20, max: 100 };
/**
 * Possible values of LIMIT. A page uses the smallest value above its size. The value is a literal in the statement.
 * With a parameter, PostgreSQL would plan for a tenth of the list, or plan again for each page. There are only four
 * values, so that the plans of all texts stay cached.
 */
const LIMITS = [11, 21, 51, 101];

/**
 * Returns one page of a list by keyset pagination. The cost depends on the size of the page, not on its position.
 *
 * @param decode returns the position of a cursor; throws `BAD_USER_INPUT` for a cursor of another list
 * @param load returns the first `page.limit` rows, in reverse order if `page.reverse` is set
 * @throws ChatError `BAD_USER_INPUT` for a size outside 1 to 100, and for both `first` and `last`
 */
export async function connect<Item, Position>(
  args: ConnectionArgs,
  list: {
    decode: (cursor: string, path: 'after' | 'before') => Position;
    encode: (item: Item) => string;
    load: (page: Page<Position>) => Promise<Item[]>;
  },
): Promise<Connection<Item>> {
  if (args.first != null && args.last != null) throw badInput('last', 'Send first or last, not both.');
  const reverse = args.last != null;
  const size = checkSize(reverse ? 'last' : 'first', args.first ?? args.last ?? PAGE_SIZE.default);
  const after = args.after == null ? null : list.decode(args.after, 'after');
  const before = args.before == null ? null : list.decode(args.before, 'before');

  const take = LIMITS.find((rows) => rows > size) ?? 101;
  const limit = raw(String(take));
  const rows = await list.load({ after, before, reverse, limit, take });
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

/** Encodes a cursor for paging: the name of the list and the sort keys of one row. */
export function encodeKeyset(list: string, sortKeys: readonly string[]): string {
  return Buffer.from(JSON.stringify([list, ...sortKeys])).toString('base64url');
}

/** Validators of the sort keys in a cursor. A client may send any cursor, and PostgreSQL fails on malformed values. */
export const keys = {
  // PostgreSQL refuses 30 February, the year 0 and 24:00. Date.parse reads 30 February as 1 or 2 March, so the date is
  // formatted again and compared.
  moment: (text: string) =>
    /^(?!0000)\d{4}-\d\d-\d\dT[\d:.]{12}Z$/.test(text) &&
    !Number.isNaN(Date.parse(text)) &&
    new Date(text).toISOString() === text,
  uuid: (text: string) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
  number: (text: string) => /^\d{1,9}$/.test(text),
  // Names have at most 100 characters. A key may be longer than its name, because NFKC and lower case can add
  // characters.
  name: (text: string) => text.length <= 1_000 && isStorable(text),
} satisfies Record<string, (text: string) => boolean>;

/** Maximum length of a cursor that is decoded, in UTF-16 units. Valid cursors are shorter. */
const MAX_CURSOR_LENGTH = 10_000;

/**
 * Decodes a cursor and returns its sort keys.
 *
 * @throws ChatError `BAD_USER_INPUT` if the cursor does not belong to this list
 */
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
    // The cursor is malformed, which the error below reports.
  }
  throw badInput(path, 'This cursor does not belong to this list. Take it from pageInfo or an edge of the same list.');
}

function checkSize(path: 'first' | 'last', size: number): number {
  if (size < 1 || size > PAGE_SIZE.max) throw badInput(path, `A page has 1 to ${PAGE_SIZE.max} items.`);
  return size;
}
