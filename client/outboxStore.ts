import type { OutboxEntry } from './outbox.ts';

/**
 * Stores the entries of an outbox, so that they survive a reload. Use a separate store for each user. Otherwise the
 * next user who signs in would send the messages of the previous user.
 *
 * An entry is identified by its `chatroomId` and `clientMessageId`. Methods may return promises.
 */
export interface OutboxStore {
  /**
   * Name of the store in this browser. Tabs whose stores have the same name share a lock, so that they do not send the
   * same messages at the same time.
   */
  readonly name: string;
  /** Returns all entries, in any order. The outbox ignores damaged entries, such as those without an id. */
  load(): OutboxEntry[] | Promise<OutboxEntry[]>;
  /** Returns whether the entry is still stored. */
  has(entry: OutboxEntry): boolean | Promise<boolean>;
  /** Adds or replaces an entry. */
  put(entry: OutboxEntry): void | Promise<void>;
  delete(entry: OutboxEntry): void | Promise<void>;
  /** Calls the listener after another tab has changed the store. Returns a function that removes the listener. */
  subscribe?(listener: () => void): () => void;
}

type Page = Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>>;

/**
 * Creates a store in `localStorage`. Each entry has its own key, so that two tabs never overwrite each other's entries.
 *
 * @param key name of the store, which must contain the user's id, such as `outbox ${userId}`
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
    subscribe(listener) {
      const onChange = (event: Event) => {
        const { key: changed, storageArea } = event as StorageEvent;
        // The key is null if the whole storage was cleared.
        if (storageArea === storage && (changed === null || changed.startsWith(`${key}/`))) listener();
      };
      const page = globalThis as Page;
      page.addEventListener?.('storage', onChange);
      return () => page.removeEventListener?.('storage', onChange);
    },
  };
}

/** Parses an entry. Returns null if the text is not JSON, so that the other entries can still be loaded. */
function parse(text: string | null): OutboxEntry | null {
  try {
    return JSON.parse(text ?? 'null') as OutboxEntry | null;
  } catch {
    return null;
  }
}

const ENTRIES = 'entries';

/**
 * Creates a store in an IndexedDB database.
 *
 * @param key name of the database, which must contain the user's id, such as `outbox ${userId}`
 */
export function indexedDbOutbox(key: string, factory: IDBFactory = indexedDB): OutboxStore {
  let opening: Promise<IDBDatabase> | undefined;
  /** Notifies other tabs of changes, because IndexedDB has no events. Open while there is a subscriber. */
  let channel: BroadcastChannel | undefined;
  function open(): Promise<IDBDatabase> {
    return (opening ??= openDatabase(factory, key, forget).catch((error: unknown) => {
      forget();
      throw error;
    }));
  }
  /** Makes the next access open the database again. */
  function forget(): void {
    opening = undefined;
  }
  async function run<Value>(
    mode: IDBTransactionMode,
    work: (entries: IDBObjectStore) => IDBRequest<Value>,
  ): Promise<Value> {
    let transaction: IDBTransaction;
    try {
      transaction = (await open()).transaction(ENTRIES, mode);
    } catch (error) {
      // Opens the database again if the browser is closing it. Transactions then fail before `onclose` fires.
      forget();
      if ((error as { name?: unknown } | null)?.name !== 'InvalidStateError') throw error;
      transaction = (await open()).transaction(ENTRIES, mode);
    }
    return resultOf(transaction, work(transaction.objectStore(ENTRIES)));
  }
  const idOf = ({ chatroomId, clientMessageId }: OutboxEntry) => [chatroomId, clientMessageId];
  return {
    name: key,
    load: () => run('readonly', (entries) => entries.getAll() as IDBRequest<OutboxEntry[]>),
    has: async (entry) => (await run('readonly', (entries) => entries.count(idOf(entry)))) > 0,
    async put(entry) {
      await run('readwrite', (entries) => entries.put(entry));
      channel?.postMessage(null);
    },
    async delete(entry) {
      await run('readwrite', (entries) => entries.delete(idOf(entry)));
      channel?.postMessage(null);
    },
    subscribe(listener) {
      if (typeof BroadcastChannel === 'undefined') return () => undefined;
      const opened = (channel = new BroadcastChannel(`parley outbox ${key}`));
      opened.addEventListener('message', listener);
      return () => {
        opened.close();
        if (channel === opened) channel = undefined;
      };
    },
  };
}

/**
 * Opens the database, and creates it if it does not exist. Calls `onClosed` when the connection is no longer usable.
 */
function openDatabase(factory: IDBFactory, name: string, onClosed: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = factory.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(ENTRIES, { keyPath: ['chatroomId', 'clientMessageId'] });
    };
    request.onsuccess = () => {
      const database = request.result;
      // Fires when the browser closes the database, because its storage has failed or was cleared.
      database.onclose = onClosed;
      // Fires when another tab deletes the database. The deletion waits until all connections are closed.
      database.onversionchange = () => {
        database.close();
        onClosed();
      };
      resolve(database);
    };
    request.onerror = () => {
      reject(request.error ?? new Error('The IndexedDB database cannot be opened.'));
    };
  });
}

/**
 * Returns the result after the commit. A transaction can still fail after its request has succeeded, for example if it
 * exceeds the quota.
 */
function resultOf<Value>(transaction: IDBTransaction, request: IDBRequest<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => {
      resolve(request.result);
    };
    transaction.onabort = () => {
      reject(transaction.error ?? request.error ?? new Error('The IndexedDB transaction was aborted.'));
    };
  });
}
