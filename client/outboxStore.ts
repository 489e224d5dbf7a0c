import type { OutboxEntry } from './outbox.ts';

/**
 * Stores the entries of an outbox, so that they survive a reload. A store belongs to one user. Otherwise the next user who signs
 * in would send the messages of the previous one.
 *
 * An entry is identified by its `chatroomId` and `clientMessageId`. Methods may return promises.
 */
export interface OutboxStore {
  /** Name of the store in this browser. A lock serializes the tabs whose stores have the same name. */
  readonly name: string;
  /** Returns all entries, in any order. Entries without a valid `createdAt` or an id are ignored. */
  load(): OutboxEntry[] | Promise<OutboxEntry[]>;
  /** Returns whether the entry is still stored. */
  has(entry: OutboxEntry): boolean | Promise<boolean>;
  /** Adds or replaces an entry. */
  put(entry: OutboxEntry): void | Promise<void>;
  delete(entry: OutboxEntry): void | Promise<void>;
}

/**
 * Stores entries in `localStorage`, each under its own key, so that two tabs never overwrite each other's entries.
 *
 * @param key names the store and its user: include the user's id, such as `outbox ${userId}`
 */
export function localStorageOutbox(key: string, storage: Storage = localStorage): OutboxStore {
  const keyOf = ({ chatroomId, clientMessageId }: OutboxEntry) => `${key}/${chatroomId}/${clientMessageId}`;
  return {
    name: key,
    load() {
      const keys = Array.from({ length: storage.length }, (_, i) => storage.key(i));
      return keys
        .filter((each) => each?.startsWith(`${key}/`))
        .map((each) => storage.getItem(each as string))
        .flatMap((text) => parse(text) ?? []);
    },
    has: (entry) => storage.getItem(keyOf(entry)) !== null,
    put(entry) {
      storage.setItem(keyOf(entry), JSON.stringify(entry));
    },
    delete(entry) {
      storage.removeItem(keyOf(entry));
    },
  };
}

/** Returns null if the text is not JSON, so that one damaged entry does not prevent the others from being loaded. */
function parse(text: string | null): OutboxEntry | null {
  try {
    return JSON.parse(text ?? 'null') as OutboxEntry | null;
  } catch {
    return null;
  }
}

const ENTRIES = 'entries';

/**
 * Stores entries in an IndexedDB database.
 *
 * @param key names the database and its user: include the user's id, such as `outbox ${userId}`
 */
export function indexedDbOutbox(key: string, factory: IDBFactory = indexedDB): OutboxStore {
  let opening: Promise<IDBDatabase> | undefined;
  function open(): Promise<IDBDatabase> {
    const request = factory.open(key, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(ENTRIES, { keyPath: ['chatroomId', 'clientMessageId'] });
    };
    return resultOf(request);
  }
  async function run<Value>(
    mode: IDBTransactionMode,
    work: (entries: IDBObjectStore) => IDBRequest<Value>,
  ): Promise<Value> {
    const database = await (opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    }));
    return resultOf(work(database.transaction(ENTRIES, mode).objectStore(ENTRIES)));
  }
  const idOf = ({ chatroomId, clientMessageId }: OutboxEntry) => [chatroomId, clientMessageId];
  return {
    name: key,
    load: () => run('readonly', (entries) => entries.getAll() as IDBRequest<OutboxEntry[]>),
    has: async (entry) => (await run('readonly', (entries) => entries.count(idOf(entry)))) > 0,
    async put(entry) {
      await run('readwrite', (entries) => entries.put(entry));
    },
    async delete(entry) {
      await run('readwrite', (entries) => entries.delete(idOf(entry)));
    },
  };
}

function resultOf<Value>(request: IDBRequest<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(request.error ?? new Error('The IndexedDB request failed.'));
    };
  });
}
