import { type Entry, type EntryOf, type FinalState, groupBy, only } from './history.ts';

export interface Finding {
  kind:
    | 'lost'
    | 'phantom'
    | 'repeated'
    | 'misordered'
    | 'diverging'
    | 'holed'
    | 'unauthorised'
    /** Somebody was told what is another's. */
    | 'mistaken'
    /** A reader has not received the last messages, long after all was well again. */
    | 'stuck'
    /** Messages come as late as if nobody had told of them. */
    | 'late'
    /** A stream failed with a code that it had no reason for. */
    | 'refused'
    /** A node holds something for clients who have gone. */
    | 'leaked'
    | 'crashed'
    | 'undrained';
  detail: string;
}

export type Find = (kind: Finding['kind'], detail: string) => void;
export type Sent = ReadonlyMap<string, EntryOf<'sending'>>;
export type Stored = FinalState['messages'][number];

/** What one reader was told. */
export interface Reading {
  name: string;
  user: string;
  ofOneRoom: boolean;
  /** Where it began, or began anew, and what it received, in the order of the history. */
  entries: (EntryOf<'began'> | EntryOf<'received'>)[];
  received: EntryOf<'received'>[];
}

export function findReadings(entries: readonly Entry[]): Reading[] {
  const own = groupBy(only(entries, 'began', 'received'), (entry) => entry.who);
  return [...own].map(([name, mine]) => {
    const [began] = only(mine, 'began');
    return {
      ...{ name, user: began?.user ?? '', ofOneRoom: began?.ofOneRoom ?? false, entries: mine },
      received: only(mine, 'received'),
    };
  });
}

export function keyOf({ room, number }: { room: string; number: number }): string {
  return `${room}/${number}`;
}
