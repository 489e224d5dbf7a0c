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
    /** A user received data of another user. */
    | 'mistaken'
    /** A reader has not received the last messages, long after all faults were repaired. */
    | 'stuck'
    /** Messages arrive as late as without notifications. */
    | 'late'
    /** A stream failed with a code that nothing explains. */
    | 'refused'
    /** A node holds resources for clients that have disconnected. */
    | 'leaked'
    | 'crashed'
    | 'undrained';
  detail: string;
}

export type Find = (kind: Finding['kind'], detail: string) => void;
export type Sent = ReadonlyMap<string, EntryOf<'sending'>>;
export type Stored = FinalState['messages'][number];

/** The events that one reader received. */
export interface Reading {
  name: string;
  user: string;
  ofOneRoom: boolean;
  /** Starts, resynchronisations and received messages, in the order of the history. */
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
