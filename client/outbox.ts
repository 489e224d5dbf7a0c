import { ChatError, errorOf, failed, type Failure, isChatError } from './errors.ts';
import type { Request, RequestOptions, Result } from './http.ts';
import type { OutboxStore } from './outboxStore.ts';
import { NEWEST_MESSAGES, SEND_MESSAGE, type SendInput, type SentMessage } from './send.ts';
import type { SendQueue } from './sendQueue.ts';
import { withTimeout } from './wait.ts';

/** A message that the server has not stored yet. */
export interface OutboxEntry {
  readonly clientMessageId: string;
  readonly chatroomId: string;
  readonly body: string;
  readonly replyToId?: string;
  /** Time at which the message was added to the outbox, in ISO 8601. Always later than the times of earlier entries. */
  readonly createdAt: string;
  /**
   * `waiting` until earlier messages are sent or the server can be reached; `sending`; `failed` if the server rejected
   * the message.
   */
  readonly state: 'waiting' | 'sending' | 'failed';
  /** The server's reason for rejecting the message; null unless the state is `failed`. */
  readonly error: Failure | null;
}

/**
 * Messages that the server has not stored yet. They are sent in order within each room. An entry stays until the server
 * has stored its message, or until it is discarded.
 */
export interface Outbox {
  /**
   * Returns the entries of a room, or of all rooms, in the order of sending. Returns the same array until an entry
   * changes.
   */
  entries(chatroomId?: string): readonly OutboxEntry[];
  /**
   * Calls the listener after each change. If the server has stored a message, passes its removed entry as `stored`.
   * Returns a function that removes the listener.
   */
  subscribe(listener: (stored?: OutboxEntry) => void): () => void;
  /**
   * Sends a message after the earlier messages of its room, and retries until there is a response. If the server
   * rejects the message, the entry stays until it is retried or discarded.
   *
   * @throws ChatError with the server's code if the server rejects the message, or `CONFLICT` if a different message
   *   with this `clientMessageId` is being sent
   * @throws DOMException `AbortError` if the message is discarded, here or in another tab
   */
  send(input: SendInput, options?: Pick<RequestOptions, 'signal'>): Promise<SentMessage>;
  /** Sends a failed message again, under the same `clientMessageId`, after the other messages of its room. */
  retry(clientMessageId: string): void;
  /** Removes an entry. The server may still store a message that is being sent. */
  discard(clientMessageId: string): void;
}

export interface OutboxOptions {
  queue: SendQueue;
  request: Request;
  store: OutboxStore | undefined;
  /** Called each time an access to the store fails. */
  onStoreError: ((error: unknown) => void) | undefined;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

interface Item {
  entry: OutboxEntry;
  /** Whether the entry was loaded from the store. */
  isLoaded: boolean;
  /**
   * Whether the store has contained the entry. If the entry is missing later, another tab has sent or discarded the
   * message.
   */
  isSaved: boolean;
  isQueued: boolean;
  /** Fires when the entry is discarded. */
  discarded: AbortController;
  sent: Promise<SentMessage>;
  resolve: (message: SentMessage) => void;
  reject: (error: unknown) => void;
}

interface Locks {
  request<Value>(name: string, options: { signal: AbortSignal }, work: () => Promise<Value>): Promise<Value>;
}

/**
 * Timeout of an access to the store. Messages wait for the store, and some browsers never open an IndexedDB database.
 */
const STORE_TIMEOUT_MS = 3_000;
/** Time without access to the store after a timeout. Otherwise each message would wait for the timeout again. */
const STORE_PAUSE_MS = 30_000;

/** An outbox in memory that also writes its entries to a store, if there is one. */
export class StoredOutbox implements Outbox {
  readonly #options: OutboxOptions;
  /**
   * The store is not accessed until this time, by `performance.now()`. Null if no access has timed out since the last
   * success.
   */
  #pausedUntil: number | null = null;
  /** Whether the store may lack messages, because it was paused. */
  #isBehind = false;
  /**
   * Entries whose deletion from the store is pending or has failed, by `idOf`. They must not be loaded again, because
   * the user may have discarded them.
   */
  readonly #undeleted = new Map<string, OutboxEntry>();
  readonly #listeners = new Set<(stored?: OutboxEntry) => void>();
  /** Cached results of `entries()`, by its argument. Cleared by each change. */
  readonly #lists = new Map<string | undefined, readonly OutboxEntry[]>();
  /** Entries by `idOf`, in the order of sending. */
  #items = new Map<string, Item>();
  /**
   * True while entries are being loaded from the store. Loaded entries are sent before messages that were added
   * meanwhile.
   */
  #isLoading = false;
  /** The latest pending access to the store for each entry, by `idOf`. */
  readonly #accesses = new Map<string, Promise<unknown>>();
  /** Creation time of the newest entry, in milliseconds. */
  #latest = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.adopt();
  }

  entries(chatroomId?: string): readonly OutboxEntry[] {
    const known = this.#lists.get(chatroomId);
    if (known) return known;
    const all = [...this.#items.values()].map(({ entry }) => entry);
    const found = chatroomId === undefined ? all : all.filter((entry) => entry.chatroomId === chatroomId);
    this.#lists.set(chatroomId, found);
    return found;
  }

  subscribe(listener: (stored?: OutboxEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async send(input: SendInput, { signal }: Pick<RequestOptions, 'signal'> = {}): Promise<SentMessage> {
    const { closed } = this.#options;
    closed.throwIfAborted();
    signal?.throwIfAborted();
    const item = this.#find(input) ?? this.#add(input);
    const abort = () => {
      this.#discard(item, signal?.reason);
    };
    signal?.addEventListener('abort', abort);
    try {
      return await item.sent;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  retry(clientMessageId: string): void {
    for (const [id, item] of [...this.#items]) {
      if (item.entry.clientMessageId !== clientMessageId || item.entry.state !== 'failed') continue;
      // Moves the message after all messages that are waiting.
      this.#items.delete(id);
      this.#insert(createItem({ ...item.entry, state: 'waiting', error: null }));
    }
  }

  discard(clientMessageId: string): void {
    for (const item of this.#items.values())
      if (item.entry.clientMessageId === clientMessageId)
        this.#discard(item, new DOMException('The message was discarded.', 'AbortError'));
  }

  /**
   * Loads entries that another client left in the store, such as the client of a closed tab. Removes failed entries
   * that another tab has removed from the store.
   */
  adopt(): void {
    const { store, closed } = this.#options;
    if (!store || this.#isLoading || closed.aborted || this.#isPaused()) return;
    this.#isLoading = true;
    const earlier = new Map(this.#items);
    const saved = [...earlier.values()].filter(({ entry, isSaved }) => isSaved && entry.state === 'failed');
    void this.#try(() => store.load()).then((loaded) => {
      const entries = (loaded ?? []).filter(isEntry);
      const isKnown = (id: string) => earlier.has(id) || this.#items.has(id) || this.#undeleted.has(id);
      const found = entries
        .filter((entry) => !isKnown(idOf(entry)))
        .toSorted((a, b) => timeOf(a) - timeOf(b))
        .map((entry) => createItem(entry.state === 'failed' ? entry : { ...entry, state: 'waiting' }, true));
      const stored = new Set(entries.map(idOf));
      // Another tab has discarded these failed messages, or has sent them again.
      const gone = loaded ? saved.filter((item) => this.#has(item) && !stored.has(idOf(item.entry))) : [];
      for (const { entry } of gone) this.#items.delete(idOf(entry));
      const [before, later] = [[] as Item[], [] as Item[]];
      for (const [id, item] of this.#items) (earlier.get(id) === item ? before : later).push(item);
      this.#items = new Map([...before, ...found, ...later].map((item) => [idOf(item.entry), item]));
      this.#isLoading = false;
      this.#moveAfter(found, later);
      if (found.length > 0 || gone.length > 0) this.#changed();
      for (const item of this.#items.values()) void this.#enqueue(item);
      // A closed client no longer writes to the store, because its user may have signed out and deleted the entries.
      if (loaded && !closed.aborted) this.#catchUp(store, stored);
    });
  }

  /**
   * Repeats deletions that failed, and stores entries that the store lacks because it was paused. `stored` contains the
   * ids of all entries in the store.
   */
  #catchUp(store: OutboxStore, stored: ReadonlySet<string>): void {
    for (const [id, entry] of this.#undeleted)
      if (stored.has(id)) void this.#delete(store, entry);
      else this.#undeleted.delete(id);
    if (this.#isBehind)
      for (const item of this.#items.values()) if (!item.isSaved && item.entry.state !== 'failed') this.#save(item);
    this.#isBehind = false;
  }

  /** Corrects creation times of `later` that are not after those of `earlier`, because the clock was set back. */
  #moveAfter(earlier: readonly Item[], later: readonly Item[]): void {
    let latest = Math.max(0, ...earlier.map(({ entry }) => timeOf(entry)));
    // A closed client no longer writes to the store, because its user may have signed out and deleted the entries.
    for (const item of this.#options.closed.aborted ? [] : later) {
      if (timeOf(item.entry) <= latest) {
        item.entry = { ...item.entry, createdAt: new Date(latest + 1).toISOString() };
        this.#save(item);
        this.#changed();
      }
      latest = timeOf(item.entry);
    }
    this.#latest = Math.max(this.#latest, latest);
  }

  /**
   * Returns the waiting or sending item with the same id and content, or undefined. A repeated `send` reuses this item.
   */
  #find({ clientMessageId, chatroomId, body, replyToId }: SendInput): Item | undefined {
    const item = clientMessageId === undefined ? undefined : this.#items.get(idOf({ chatroomId, clientMessageId }));
    const isSame = item?.entry.body === body && item.entry.replyToId === (replyToId ?? undefined);
    return isSame && item.entry.state !== 'failed' ? item : undefined;
  }

  #add({ clientMessageId = crypto.randomUUID(), chatroomId, body, replyToId }: SendInput): Item {
    const other = this.#items.get(idOf({ chatroomId, clientMessageId }));
    if (other && other.entry.state !== 'failed')
      throw new ChatError({
        code: 'CONFLICT',
        message: 'A message with this clientMessageId is being sent. Use a new one for each message.',
      });
    // Loads messages of other tabs, because they must be sent first. Creation times alone do not order the messages if
    // the clock was set back.
    this.adopt();
    this.#latest = Math.max(Date.now(), this.#latest + 1);
    const createdAt = new Date(this.#latest).toISOString();
    const item = createItem({
      ...{ clientMessageId, chatroomId, body, createdAt, state: 'waiting', error: null },
      ...(replyToId == null ? {} : { replyToId }),
    });
    this.#items.delete(idOf(item.entry));
    this.#insert(item);
    return item;
  }

  #insert(item: Item): void {
    this.#items.set(idOf(item.entry), item);
    this.#undeleted.delete(idOf(item.entry));
    this.#save(item);
    this.#changed();
    void this.#enqueue(item);
  }

  async #enqueue(item: Item): Promise<void> {
    if (this.#isLoading || item.isQueued || item.entry.state === 'failed') return;
    item.isQueued = true;
    const { queue, closed } = this.#options;
    try {
      const attempt = (signal: AbortSignal) => this.#attempt(item, signal);
      const options = { retry: true, signal: item.discarded.signal };
      const { data, errors } = await queue.add([item.entry.chatroomId], attempt, options);
      if (errors?.length || !data) throw failed(errors ?? []);
      item.resolve((data as { sendMessage: { message: SentMessage } }).sendMessage.message);
    } catch (error) {
      item.reject(error);
      // A closed client leaves its messages in the store. The next client loads and sends them.
      if (closed.aborted || !this.#has(item)) return;
      this.#set(item, 'failed', errorOf(error) ?? { code: 'INTERNAL_SERVER_ERROR', message: String(error) });
      // An authentication failure is not saved. The store keeps the message as waiting, so that it is sent after the
      // user has signed in again.
      if (!isChatError(error, 'UNAUTHENTICATED') && !isChatError(error, 'TOKEN_EXPIRED')) this.#save(item);
    }
  }

  async #attempt(item: Item, signal: AbortSignal): Promise<Result<unknown>> {
    const { request, store } = this.#options;
    return this.#alone(item, signal, async () => {
      if (item.isSaved && store && (await this.#access(item.entry, () => store.has(item.entry))) === false) {
        // Another tab has sent or discarded the message, and has removed the entry from the store.
        const message = item.isLoaded ? undefined : await this.#findSent(item, signal);
        if (message) {
          await this.#remove(item, item.entry);
          return { data: { sendMessage: { message } } };
        }
        this.#discard(item, new DOMException('The message was sent or discarded in another tab.', 'AbortError'));
        return {};
      }
      this.#set(item, 'sending');
      const { clientMessageId, chatroomId, body, replyToId } = item.entry;
      const input = { clientMessageId, chatroomId, body, replyToId };
      try {
        const result = await request(SEND_MESSAGE, { input }, { signal });
        if (!result.errors?.length) await this.#remove(item, item.entry);
        return result;
      } finally {
        if (this.#has(item)) this.#set(item, 'waiting');
      }
    });
  }

  /** Finds the stored message of an item among the newest messages of its room. Returns undefined if there is none. */
  async #findSent({ entry }: Item, signal: AbortSignal): Promise<SentMessage | undefined> {
    const result = await this.#options.request(NEWEST_MESSAGES, { id: entry.chatroomId }, { signal, retry: true });
    const { chatroom } = (result.data ?? {}) as { chatroom?: { messages: { nodes: SentMessage[] } | null } | null };
    // Another sender may use the same `clientMessageId`, so the bodies are compared, too.
    return chatroom?.messages?.nodes.find(
      ({ clientMessageId, body }) => clientMessageId === entry.clientMessageId && body === entry.body,
    );
  }

  /**
   * Runs `work` under a lock, so that no other tab sends stored messages to the same room at the same time. Without a
   * store or the Web Locks API, there is no lock.
   */
  async #alone<Value>({ entry }: Item, signal: AbortSignal, work: () => Promise<Value>): Promise<Value> {
    const { store } = this.#options;
    const { locks } = (globalThis as { navigator?: { locks?: Locks } }).navigator ?? {};
    if (!store || !locks) return work();
    return locks.request(`parley outbox ${store.name} ${entry.chatroomId}`, { signal }, work);
  }

  #discard(item: Item, reason: unknown): void {
    void this.#remove(item);
    item.discarded.abort(reason);
    item.reject(reason);
  }

  /** Removes an item and notifies the listeners. Pass the entry as `stored` if the server has stored the message. */
  async #remove(item: Item, stored?: OutboxEntry): Promise<void> {
    const { store } = this.#options;
    if (!this.#has(item)) return;
    this.#items.delete(idOf(item.entry));
    this.#changed(stored);
    if (store) await this.#delete(store, item.entry);
  }

  async #delete(store: OutboxStore, entry: OutboxEntry): Promise<void> {
    this.#undeleted.set(idOf(entry), entry);
    await this.#access(entry, async () => {
      await store.delete(entry);
      this.#undeleted.delete(idOf(entry));
    });
  }

  #save(item: Item): void {
    const { store } = this.#options;
    const { entry } = item;
    if (!store) return;
    void this.#access(entry, async () => {
      await store.put(entry);
      item.isSaved = true;
    });
  }

  /**
   * Accesses the store after earlier accesses for the same entry. Accesses for different entries run concurrently,
   * because a page that is being closed has no time to run them in sequence.
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

  /**
   * Accesses the store. Returns undefined if the store is paused or fails, because the message can be sent from memory.
   */
  async #try<Value>(work: () => Value | Promise<Value>): Promise<Value | undefined> {
    if (this.#isPaused()) return undefined;
    try {
      const value = await withTimeout(STORE_TIMEOUT_MS, work);
      this.#pausedUntil = null;
      return value;
    } catch (error) {
      if ((error as { name?: unknown } | null)?.name === 'TimeoutError') {
        this.#pausedUntil = performance.now() + STORE_PAUSE_MS;
        this.#isBehind = true;
      }
      this.#options.onStoreError?.(error);
      return undefined;
    }
  }

  #isPaused(): boolean {
    return this.#pausedUntil !== null && performance.now() < this.#pausedUntil;
  }

  #has(item: Item): boolean {
    return this.#items.get(idOf(item.entry)) === item;
  }

  #set(item: Item, state: OutboxEntry['state'], error: Failure | null = null): void {
    item.entry = { ...item.entry, state, error };
    this.#changed();
  }

  #changed(stored?: OutboxEntry): void {
    this.#lists.clear();
    for (const listener of this.#listeners) listener(stored);
  }
}

/** Returns an id that is unique among the messages of a user. */
const idOf = ({ chatroomId, clientMessageId }: Pick<OutboxEntry, 'chatroomId' | 'clientMessageId'>) =>
  `${chatroomId} ${clientMessageId}`;
const timeOf = ({ createdAt }: OutboxEntry) => Date.parse(createdAt);

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

function createItem(entry: OutboxEntry, isLoaded = false): Item {
  let resolve: Item['resolve'] = () => undefined;
  let reject: Item['reject'] = () => undefined;
  const sent = new Promise<SentMessage>((onSent, onFailed) => {
    resolve = onSent;
    reject = onFailed;
  });
  // No caller awaits the promise of a loaded or retried entry. Without this handler, its rejection would be unhandled.
  sent.catch(() => undefined);
  return {
    entry,
    isLoaded,
    isSaved: isLoaded,
    isQueued: false,
    discarded: new AbortController(),
    sent,
    resolve,
    reject,
  };
}
