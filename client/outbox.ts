import { openChannel } from './channel.ts';
import { ChatError, errorOf, failed, type Failure, isChatError } from './errors.ts';
import type { Request, RequestOptions, Result } from './http.ts';
import type { OutboxStore } from './outboxStore.ts';
import { idOf, StoreAccess, timeOf } from './storeAccess.ts';
import { NEWEST_MESSAGES, SEND_MESSAGE, type SendInput, type SentMessage } from './send.ts';
import type { SendQueue } from './sendQueue.ts';
import type { SendRequest } from './sendRequest.ts';

/** A message that the server has not stored yet. */
export interface OutboxEntry {
  readonly clientMessageId: string;
  readonly chatroomId: string;
  readonly body: string;
  readonly replyToId?: string;
  readonly attachmentIds?: readonly string[];
  readonly linkPreviewIds?: readonly string[];
  readonly linkPreviews?: 'AUTO';
  /** Time at which the message was added to the outbox, in ISO 8601. Always later than the times of earlier entries. */
  readonly createdAt: string;
  /**
   * `waiting` until earlier messages are sent or the server can be reached; `sending`; `failed` if the server rejected
   * the message.
   */
  readonly state: 'waiting' | 'sending' | 'failed';
  /** The server's reason for rejecting the message; null unless the state is `failed`. */
  readonly error: Failure | null;
  /** The stored message. Only listeners of `subscribe`, and `createPending`, receive entries with a stored message. */
  readonly message?: SentMessage;
}

/**
 * Messages that the server has not stored yet. They are sent in order within each room. An entry stays until the server
 * has stored its message, or until it is discarded. To show messages until their events arrive, use `createPending`.
 *
 * All functions can be passed on without the object, for example to `useSyncExternalStore`.
 */
export interface Outbox {
  /**
   * Returns the entries of a room, or of all rooms, in the order of sending. Returns the same array until an entry
   * changes.
   */
  readonly entries: (chatroomId?: string) => readonly OutboxEntry[];
  /**
   * Calls the listener after each change. If the server has stored a message, passes its removed entry as `stored`,
   * with the stored `message`. Returns a function that removes the listener.
   */
  readonly subscribe: (listener: (stored?: OutboxEntry) => void) => () => void;
  /**
   * Sends a message after the earlier messages of its room, and retries until there is a response. If the server
   * rejects the message, the entry stays until it is retried or discarded.
   *
   * @throws ChatError with the server's code if the server rejects the message, or `CONFLICT` if a different message
   *   with this `clientMessageId` is being sent
   * @throws DOMException `AbortError` if the message is discarded, here or in another tab
   */
  readonly send: (input: SendInput, options?: Pick<RequestOptions, 'signal'>) => Promise<SentMessage>;
  /** Sends a failed message again, under the same `clientMessageId`, after the other messages of its room. */
  readonly retry: (clientMessageId: string) => void;
  /** Removes an entry. The server may still store a message that is being sent. */
  readonly discard: (clientMessageId: string) => void;
}

export interface OutboxOptions {
  queue: SendQueue;
  request: Request;
  sendRequest: SendRequest;
  store: OutboxStore | undefined;
  /** Called each time an access to the store fails. */
  onStoreError: ((error: unknown) => void) | undefined;
  /** Fires when the client is closed. */
  closed: AbortSignal;
}

interface Item {
  entry: OutboxEntry;
  /**
   * The entry as it was last written to the store or loaded from it; null if the store never contained the entry. If the
   * entry is missing later, another tab has sent or discarded the message.
   */
  saved: OutboxEntry | null;
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

/** An outbox in memory that also writes its entries to a store, if there is one. */
export class StoredOutbox implements Outbox {
  readonly #options: OutboxOptions;
  readonly #store: StoreAccess | null;
  /** Notifies the other tabs of the store of the messages that this tab has sent. */
  readonly #sent: BroadcastChannel | null;
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
  /** Whether another tab has changed the store since the entries were loaded. */
  #isOutdated = false;
  /** Creation time of the newest entry, in milliseconds. */
  #latest = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    const { store, closed, onStoreError } = options;
    this.#store = store ? new StoreAccess(store, onStoreError) : null;
    this.#sent = store ? openChannel(`parley sent ${store.name}`, closed, this.#onSentElsewhere) : null;
    const unsubscribe = store?.subscribe?.(() => {
      this.#isOutdated = true;
      this.adopt();
    });
    closed.addEventListener('abort', () => unsubscribe?.());
    this.adopt();
  }

  readonly entries = (chatroomId?: string): readonly OutboxEntry[] => {
    const known = this.#lists.get(chatroomId);
    if (known) return known;
    const all = [...this.#items.values()].map(({ entry }) => entry);
    const found = chatroomId === undefined ? all : all.filter((entry) => entry.chatroomId === chatroomId);
    this.#lists.set(chatroomId, found);
    return found;
  };

  readonly subscribe = (listener: (stored?: OutboxEntry) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly send = async (input: SendInput, { signal }: Pick<RequestOptions, 'signal'> = {}): Promise<SentMessage> => {
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
  };

  readonly retry = (clientMessageId: string): void => {
    for (const [id, item] of [...this.#items]) {
      if (item.entry.clientMessageId !== clientMessageId || item.entry.state !== 'failed') continue;
      // Moves the message after all messages that are waiting.
      this.#items.delete(id);
      this.#insert(createItem({ ...item.entry, state: 'waiting', error: null }));
    }
  };

  readonly discard = (clientMessageId: string): void => {
    for (const item of this.#items.values())
      if (item.entry.clientMessageId === clientMessageId)
        this.#discard(item, new DOMException('The message was discarded.', 'AbortError'));
  };

  /**
   * Loads entries that another client left in the store, such as the client of a closed tab. Removes failed entries
   * that another tab has removed from the store, and sends those again that another tab is sending again.
   */
  adopt(): void {
    const { closed } = this.#options;
    const store = this.#store;
    if (!store || this.#isLoading || closed.aborted || store.isPaused) return;
    this.#isLoading = true;
    this.#isOutdated = false;
    const earlier = new Map(this.#items);
    // An entry with a pending write may differ from the store for a moment.
    const failures = [...earlier].filter(([id, { saved }]) => saved?.state === 'failed' && !store.isBusy(id));
    void store.load().then((loaded) => {
      const entries = loaded ?? [];
      const states = new Map(entries.map((entry) => [idOf(entry), entry.state]));
      // Another tab has discarded these failed messages, or sends them again.
      const outdated = loaded
        ? failures.filter(([id, item]) => this.#items.get(id) === item && states.get(id) !== 'failed')
        : [];
      for (const [id] of outdated) {
        this.#items.delete(id);
        earlier.delete(id);
      }
      const isKnown = (id: string) => earlier.has(id) || this.#items.has(id) || store.undeleted.has(id);
      const found = entries
        .filter((entry) => !isKnown(idOf(entry)))
        .toSorted((a, b) => timeOf(a) - timeOf(b))
        .map((entry) => createItem(entry.state === 'failed' ? entry : { ...entry, state: 'waiting' }, true));
      const [before, later] = [[] as Item[], [] as Item[]];
      for (const [id, item] of this.#items) (earlier.get(id) === item ? before : later).push(item);
      this.#items = new Map([...before, ...found, ...later].map((item) => [idOf(item.entry), item]));
      this.#isLoading = false;
      this.#moveAfter(found, later);
      if (found.length > 0 || outdated.length > 0) this.#changed();
      for (const item of this.#items.values()) void this.#enqueue(item);
      // A closed client no longer writes to the store, because its user may have signed out and deleted the entries.
      if (loaded && !closed.aborted) this.#catchUp(store, states);
      if (this.#isOutdated) this.adopt();
    });
  }

  /**
   * Repeats deletions that failed, and stores entries that the store lacks because it was paused. `stored` contains the
   * ids of all entries in the store.
   */
  #catchUp(store: StoreAccess, stored: Pick<ReadonlyMap<string, unknown>, 'has'>): void {
    store.deleteAgain(stored);
    if (store.isBehind)
      for (const item of this.#items.values()) if (!item.saved && item.entry.state !== 'failed') this.#save(item);
    store.isBehind = false;
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
  #find(input: SendInput): Item | undefined {
    const { chatroomId, clientMessageId } = input;
    const item = clientMessageId === undefined ? undefined : this.#items.get(idOf({ chatroomId, clientMessageId }));
    const isSame = item && JSON.stringify(contentOf(item.entry)) === JSON.stringify(contentOf(input));
    return isSame && item.entry.state !== 'failed' ? item : undefined;
  }

  #add(input: SendInput): Item {
    const { clientMessageId = crypto.randomUUID(), chatroomId } = input;
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
      ...contentOf(input),
      ...{ clientMessageId, chatroomId, createdAt, state: 'waiting', error: null },
    });
    this.#items.delete(idOf(item.entry));
    this.#insert(item);
    return item;
  }

  #insert(item: Item): void {
    this.#items.set(idOf(item.entry), item);
    this.#store?.undeleted.delete(idOf(item.entry));
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
    const { sendRequest } = this.#options;
    const store = this.#store;
    return this.#alone(item, signal, async () => {
      if (item.saved && store && (await store.has(item.entry)) === false) {
        // Another tab has sent or discarded the message, and has removed the entry from the store. Usually that tab has
        // already told this one.
        const message = await this.#findSent(item, signal);
        if (message) {
          await this.#remove(item, { ...item.entry, message });
          return { data: { sendMessage: { message } } };
        }
        this.#discard(item, new DOMException('The message was sent or discarded in another tab.', 'AbortError'));
        return {};
      }
      this.#set(item, 'sending');
      const { clientMessageId, chatroomId } = item.entry;
      const input = { clientMessageId, chatroomId, ...contentOf(item.entry) };
      try {
        const result = await sendRequest(SEND_MESSAGE, { input }, signal);
        const { sendMessage } = (result.data ?? {}) as { sendMessage?: { message: SentMessage } };
        if (sendMessage && !result.errors?.length) {
          const stored = { ...item.entry, message: sendMessage.message };
          this.#sent?.postMessage(stored);
          await this.#remove(item, stored);
        }
        return result;
      } finally {
        if (this.#has(item)) this.#set(item, 'waiting');
      }
    });
  }

  /**
   * Called when another tab has sent a message. Removes its entry, and passes it to the listeners, so that the message stays
   * visible until its event arrives.
   */
  readonly #onSentElsewhere = (data: unknown): void => {
    const stored = data as OutboxEntry & { message: SentMessage };
    const id = idOf(stored);
    const item = this.#items.get(id);
    this.#items.delete(id);
    // The other tab is about to remove the entry from the store.
    this.#store?.undeleted.set(id, stored);
    item?.resolve(stored.message);
    item?.discarded.abort();
    this.#changed(stored);
  };

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

  /** Removes an item and notifies the listeners. If the server has stored the message, pass the entry with it as `stored`. */
  async #remove(item: Item, stored?: OutboxEntry): Promise<void> {
    if (!this.#has(item)) return;
    this.#items.delete(idOf(item.entry));
    this.#changed(stored);
    await this.#store?.delete(item.entry);
  }

  #save(item: Item): void {
    const { entry } = item;
    void this.#store?.put(entry, () => {
      item.saved = entry;
    });
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

type Content = Pick<OutboxEntry, 'body' | 'replyToId' | 'attachmentIds' | 'linkPreviewIds' | 'linkPreviews'>;

/** Returns the content of a message, without the fields that its sender left out. A repeated send has the same content. */
function contentOf({ body, replyToId, attachmentIds, linkPreviewIds, linkPreviews }: Content): Content {
  const optional = Object.entries({ replyToId, attachmentIds, linkPreviewIds, linkPreviews });
  return { body, ...Object.fromEntries(optional.filter(([, value]) => value != null)) };
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
    saved: isLoaded ? entry : null,
    isQueued: false,
    discarded: new AbortController(),
    sent,
    resolve,
    reject,
  };
}
