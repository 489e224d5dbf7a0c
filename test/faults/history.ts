/** Everything that was done and observed, in order, by the clock of this process. */
export type Entry = { at: number; who: string } & (
  | { what: 'sending'; room: string; clientMessageId: string; body: string }
  /** A retry with the same clientMessageId after a failure with unknown outcome. */
  | { what: 'retrying'; clientMessageId: string; code: string }
  | { what: 'acknowledged'; room: string; clientMessageId: string; number: number; id: string }
  | { what: 'refused'; clientMessageId: string; code: string }
  | { what: 'unknown'; clientMessageId: string; code: string }
  /** A reader starts, or resynchronises after RESYNC_REQUIRED. Its query has loaded its rooms up to these numbers. */
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
      /** Viewer of the reader, as named in the event. */
      viewer?: string | undefined;
    }
  /** An event whose execution failed. */
  | { what: 'failed'; stream: number; code: string }
  | { what: 'ended'; stream: number; code: string }
  | { what: 'removing' | 'removed' | 'adding' | 'added'; room: string; user: string; whom?: undefined }
  | { what: 'blocking' | 'blocked' | 'unblocking' | 'unblocked'; user: string; whom: string; room?: undefined }
  | { what: 'fault'; kind: string; until: number }
  | { what: 'crashed' | 'undrained' | 'leaked'; detail: string }
  /** Time for which this process was blocked. */
  | { what: 'late'; ms: number }
);

type Distributed<Item> = Item extends unknown ? Omit<Item, 'at'> & { at?: number } : never;

export type Kind = Entry['what'];
export type EntryOf<What extends Kind> = Extract<Entry, { what: What }>;

export interface History {
  entries: Entry[];
  /** Adds an entry, with the current time unless one is given. */
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

/** Works like Map.groupBy, which Node 20 lacks. */
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

/** Content of the database at the end. */
export interface FinalState {
  messages: {
    room: string;
    number: number;
    sender: string | null;
    clientMessageId: string | null;
    body: string | null;
  }[];
  /** Last number of each room. */
  lastNumbers: Record<string, number>;
}
