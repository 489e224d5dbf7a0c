import type { Place } from './place.ts';

/** Roles towards a GROUP room and its owner, in the order of the tables' columns. */
export const ROLES = ['signed out', 'stranger', 'removed', 'blocked', 'member', 'admin', 'owner', 'service'] as const;
export type Role = (typeof ROLES)[number];

/** Outcomes by their abbreviations in the tables. */
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

/** Returns the arguments of a field; for a mutation, its input. */
type Ask = (place: Place) => object | Promise<object>;

export interface Row {
  /** A root field, or a type of Node. */
  field: string;
  ask: Ask;
  /** Distinguishes several rows of one field. */
  which: string;
  /** Outcome for each role. */
  outcomes: Record<string, string>;
}

/** Creates a row of a table from eight outcomes, in the order of ROLES. */
export function row(outcomes: string, field: string, ask: Ask = () => ({}), which = ''): Row {
  return { field, ask, which, outcomes: parseOutcomes(outcomes, ROLES) };
}

/** Returns the outcomes of a line by column name. */
export function parseOutcomes(line: string, columns: readonly string[]): Record<string, string> {
  const told = line.trim().split(/\s+/);
  if (told.length !== columns.length) throw new Error(`"${line}" does not have ${columns.length} columns.`);
  const spelt = told.map((short) => {
    if (OUTCOMES[short] === undefined) throw new Error(`"${line}" has ${short}, which is no outcome.`);
    return OUTCOMES[short];
  });
  return Object.fromEntries(columns.map((column, i) => [column, spelt[i] ?? '']));
}
