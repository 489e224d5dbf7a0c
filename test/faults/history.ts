/** What was done and seen, in the order and by the clock of this one process. */
export type Entry = { at: number; who: string } & (
  | { what: 'sending'; room: string; clientMessageId: string; body: string }
  /** The same clientMessageId once more, after a failure of which nobody knows how far it came. */
  | { what: 'retrying'; clientMessageId: string; code: string }
  | { what: 'acknowledged'; room: string; clientMessageId: string; number: number; id: string }
  | { what: 'refused'; clientMessageId: string; code: string }
  | { what: 'unknown'; clientMessageId: string; code: string }
  /** A reader begins, or begins anew after RESYNC_REQUIRED: up to these numbers it knows its rooms. */
  | { what: 'began'; user: string; ofOneRoom: boolean; known: Record<string, number> }
  | { what: 'subscribed'; stream: number; node: number; cursor: string }
  | {
      what: 'received';
      stream: number;
      room: string;
      number: number;
      id: string;
      body: string | null;
      cursor: string;
      /** Who the reader is, as the answer says. */
      viewer?: string | undefined;
    }
  /** An event that could not be executed. */
  | { what: 'failed'; stream: number; code: string }
  | { what: 'ended'; stream: number; code: string }
  | { what: 'removing' | 'removed' | 'adding' | 'added'; room: string; user: string; whom?: undefined }
  | { what: 'blocking' | 'blocked' | 'unblocking' | 'unblocked'; user: string; whom: string; room?: undefined }
  | { what: 'fault'; kind: string; until: number }
  | { what: 'crashed' | 'undrained' | 'leaked'; detail: string }
  /** This process itself was busy for so long. */
  | { what: 'late'; ms: number }
);

type Distributed<Item> = Item extends unknown ? Omit<Item, 'at'> & { at?: number } : never;

export type Kind = Entry['what'];
export type EntryOf<What extends Kind> = Extract<Entry, { what: What }>;

export interface History {
  entries: Entry[];
  /** Notes something that happens now, unless a time is given. */
  note(entry: Distributed<Entry>): void;
}

export function createHistory(): History {
  const entries: Entry[] = [];
  return {
    entries,
    note(entry) {
      entries.push({ at: performance.now(), ...entry });
    },
  };
}

export function only<What extends Kind>(entries: readonly Entry[], ...kinds: What[]): EntryOf<What>[] {
  return entries.filter((entry): entry is EntryOf<What> => (kinds as Kind[]).includes(entry.what));
}

/** As Map.groupBy, which Node 20 has not. */
export function groupBy<Key, Item>(items: Iterable<Item>, keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** What the database holds when all is over. */
export interface FinalState {
  messages: {
    room: string;
    number: number;
    sender: string | null;
    clientMessageId: string | null;
    body: string | null;
  }[];
  /** What each room says of itself. */
  lastNumbers: Record<string, number>;
}
