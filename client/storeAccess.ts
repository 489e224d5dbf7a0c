import type { OutboxEntry } from './outbox.ts';
import type { OutboxStore } from './outboxStore.ts';
import { withTimeout } from './wait.ts';

/**
 * Timeout of an access to the store. Messages wait for the store, and some browsers never open an IndexedDB database.
 */
const STORE_TIMEOUT_MS = 3_000;
/** Time without access to the store after a timeout. Otherwise each message would wait for the timeout again. */
const STORE_PAUSE_MS = 30_000;

/**
 * Accesses to an outbox store, which may fail or hang. Each method returns undefined if the store is paused or the
 * access fails, because messages can be sent from memory.
 */
export class StoreAccess {
  /**
   * Entries whose deletion from the store is pending or has failed, by `idOf`. They must not be loaded again, because
   * the user may have discarded them.
   */
  readonly undeleted = new Map<string, OutboxEntry>();
  /** Whether the store may lack messages, because it was paused. */
  isBehind = false;
  readonly #store: OutboxStore;
  readonly #onError: ((error: unknown) => void) | undefined;
  /** The latest pending access for each entry, by `idOf`. */
  readonly #accesses = new Map<string, Promise<unknown>>();
  /**
   * The store is not accessed until this time, by `performance.now()`. Null if no access has timed out since the last
   * success.
   */
  #pausedUntil: number | null = null;

  constructor(store: OutboxStore, onError: ((error: unknown) => void) | undefined) {
    this.#store = store;
    this.#onError = onError;
  }

  get isPaused(): boolean {
    return this.#pausedUntil !== null && performance.now() < this.#pausedUntil;
  }

  /** Returns whether an access for the entry with this id is pending. */
  isBusy(id: string): boolean {
    return this.#accesses.has(id);
  }

  /** Returns all entries that are not damaged. */
  async load(): Promise<OutboxEntry[] | undefined> {
    return (await this.#try(() => this.#store.load()))?.filter(isEntry);
  }

  has(entry: OutboxEntry): Promise<boolean | undefined> {
    return this.#access(entry, () => this.#store.has(entry));
  }

  /** Calls `onStored` after the entry has been stored. */
  put(entry: OutboxEntry, onStored: () => void): Promise<void> {
    return this.#access(entry, async () => {
      await this.#store.put(entry);
      onStored();
    });
  }

  async delete(entry: OutboxEntry): Promise<void> {
    this.undeleted.set(idOf(entry), entry);
    await this.#access(entry, async () => {
      await this.#store.delete(entry);
      this.undeleted.delete(idOf(entry));
    });
  }

  /** Repeats deletions that failed. `stored` contains the ids of all entries in the store. */
  deleteAgain(stored: Pick<ReadonlyMap<string, unknown>, 'has'>): void {
    for (const [id, entry] of this.undeleted)
      if (stored.has(id)) void this.delete(entry);
      else this.undeleted.delete(id);
  }

  /**
   * Runs an access after earlier accesses for the same entry. Accesses for different entries run concurrently, because a
   * page that is being closed has no time to run them in sequence.
   */
  async #access<Value>(entry: OutboxEntry, work: () => Value | Promise<Value>): Promise<Value | undefined> {
    const id = idOf(entry);
    const earlier = this.#accesses.get(id);
    const access = earlier ? earlier.then(() => this.#try(work)) : this.#try(work);
    this.#accesses.set(id, access);
    const result = await access;
    if (this.#accesses.get(id) === access) this.#accesses.delete(id);
    return result;
  }

  async #try<Value>(work: () => Value | Promise<Value>): Promise<Value | undefined> {
    if (this.isPaused) return undefined;
    try {
      const value = await withTimeout(STORE_TIMEOUT_MS, work);
      this.#pausedUntil = null;
      return value;
    } catch (error) {
      if ((error as { name?: unknown } | null)?.name === 'TimeoutError') {
        this.#pausedUntil = performance.now() + STORE_PAUSE_MS;
        this.isBehind = true;
      }
      this.#onError?.(error);
      return undefined;
    }
  }
}

/** Returns an id that is unique among the messages of a user. */
export const idOf = ({ chatroomId, clientMessageId }: Pick<OutboxEntry, 'chatroomId' | 'clientMessageId'>) =>
  `${chatroomId} ${clientMessageId}`;
/** Creation time in milliseconds. NaN if it is damaged. */
export const timeOf = ({ createdAt }: OutboxEntry) => Date.parse(createdAt);

/**
 * Upper limit of creation times, in milliseconds. A damaged entry near the maximum of `Date` would leave no valid times
 * for later messages.
 */
const MAX_TIME = Date.parse('9999-01-01');

/** Returns whether a stored value is an entry. Damaged values are ignored, so that they do not block other entries. */
function isEntry(value: OutboxEntry | null): value is OutboxEntry {
  const texts = [value?.chatroomId, value?.clientMessageId, value?.body];
  // The comparison is false for an invalid time, which is NaN.
  return value !== null && texts.every((text) => typeof text === 'string') && timeOf(value) < MAX_TIME;
}
