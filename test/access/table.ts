import type { Place } from './place.ts';

/** Who asks, towards a GROUP room and its owner, as the columns of the tables stand. */
export const ROLES = ['signed out', 'stranger', 'removed', 'blocked', 'member', 'admin', 'owner', 'service'] as const;
export type Role = (typeof ROLES)[number];

/** What comes of it, as the tables write it. */
const OUTCOMES: Record<string, string> = {
  ok: 'done',
  nil: 'null',
  '400': 'BAD_USER_INPUT',
  '401': 'UNAUTHENTICATED',
  '403': 'FORBIDDEN',
  '404': 'NOT_FOUND',
  blk: 'BLOCKED',
  off: 'RECIPIENT_OFFLINE',
  '-': 'not asked',
};

/** What a field is asked for with; for a mutation its input. */
type Ask = (place: Place) => object | Promise<object>;

export interface Row {
  /** A root field, or a type of Node. */
  field: string;
  ask: Ask;
  /** What is special about this way of asking, where there are several. */
  which: string;
  /** What it comes to for each role. */
  outcomes: Record<string, string>;
}

/** A line of a table: eight outcomes in the order of ROLES, and what they are the outcomes of. */
export function row(outcomes: string, field: string, ask: Ask = () => ({}), which = ''): Row {
  return { field, ask, which, outcomes: spellOut(outcomes, ROLES) };
}

/** The outcomes of a line by the names of its columns. */
export function spellOut(line: string, columns: readonly string[]): Record<string, string> {
  const told = line.trim().split(/\s+/);
  if (told.length !== columns.length) throw new Error(`"${line}" does not have ${columns.length} columns.`);
  const spelt = told.map((short) => {
    if (OUTCOMES[short] === undefined) throw new Error(`"${line}" has ${short}, which is no outcome.`);
    return OUTCOMES[short];
  });
  return Object.fromEntries(columns.map((column, i) => [column, spelt[i] ?? '']));
}
