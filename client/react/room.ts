import { ChatError, type Failure } from '../errors.ts';
import { failureOf } from './failure.ts';
import type { ChatClient, OutboxEntry } from '../index.ts';
import { createBatch } from './batch.ts';
import type { ChatCache } from './cache.ts';
import type { Documents, HistoryData, MessageKey, RoomKey } from './documents.ts';
import { createMessageWindow } from './messageWindow.ts';
import { createPending } from './pending.ts';
import { createReadMarker } from './readMarker.ts';
import { createStore, type SetState, type Store } from './store.ts';

/** The chat client and the cache of a `ChatProvider`. */
export interface Chat {
  client: ChatClient;
  cache: ChatCache;
}

export interface RoomState<Message, Room, User> {
  room: (Room & RoomKey) | null;
  /** Loaded messages without a gap, oldest first. */
  messages: readonly (Message & MessageKey)[];
  /** The viewer's messages that are being sent or were rejected: outbox entries that `messages` does not contain yet. */
  pending: readonly OutboxEntry[];
  /** Users who are typing, without the viewer. */
  typing: readonly (User & { id: string })[];
  /** True until the newest messages are loaded, or loading has failed. */
  loading: boolean;
  /** Error that prevents the room from being shown or updated. `NOT_FOUND` if the viewer is not a member. */
  error: Failure | null;
  /** Number of the last message that the viewer had read when the room was opened, or when `markUnread` was called. */
  readUpTo: number;
  hasEarlier: boolean;
  /** True after `jumpTo`, until the messages reach the newest ones. */
  hasLater: boolean;
}

export interface RoomStore<Message, Room, User> extends Store<RoomState<Message, Room, User>> {
  loadEarlier: () => Promise<void>;
  loadLater: () => Promise<void>;
  /** Shows the message with this number and the messages around it. Returns false if the viewer may not see it. */
  jumpTo: (number: number) => Promise<boolean>;
  /** Shows the newest messages. Drops older ones if more than two pages are loaded. */
  showNewest: () => void;
  markRead: (message: MessageKey) => void;
  /**
   * Marks a message and all later ones as unread. They stay unread until the room is opened again or the viewer sends a message
   * to it.
   */
  markUnread: (message: MessageKey) => Promise<void>;
  /** Sends a message through the outbox and shows it in `pending` at once. Also ends `setTyping`. */
  send: (body: string, options?: { replyToId?: string }) => void;
  setTyping: (typing: boolean) => void;
  /** Calls the listener for each new message, in order. Returns a function that removes the listener. */
  onMessage: (listener: (message: Message & MessageKey) => void) => () => void;
}

/** Interval of `setTyping` while the user keeps typing. On the server it expires after 10 s. */
const TYPING_INTERVAL_MS = 5_000;

/** Creates the store of a room, which is live while it has subscribers. */
export function createRoom<Message, Room, User>(
  { client, cache }: Chat,
  documents: Documents<Message, Room, User>,
  chatroomId: string,
  pageSize: number,
): RoomStore<Message, Room, User> {
  type Node = Message & MessageKey;
  const initial: RoomState<Message, Room, User> = {
    ...{ room: null, messages: [], pending: [], typing: [], loading: true, error: null },
    ...{ readUpTo: 0, hasEarlier: false, hasLater: false },
  };
  const listeners = new Set<(message: Node) => void>();
  const around = createMessageWindow<Node>({
    client,
    cache,
    documents,
    chatroomId,
    pageSize,
    onChange: () => {
      publish();
    },
  });
  const pending = createPending(client.outbox, chatroomId, () => {
    publish();
  });
  let set: SetState<RoomState<Message, Room, User>> = () => undefined;
  let cached: HistoryData<Message, Room> | null = null;
  let loading: Promise<void> | null = null;
  let loaded = false;
  /** Number from which on all messages are loaded. The cache may contain older ones from an earlier visit, after a gap. */
  let oldest = Infinity;
  /** Cursor before which the previous page ends; null at the beginning of the room. */
  let before: string | null = null;
  /** Number of times that old messages were dropped, so that a late page is recognised. */
  let trims = 0;
  /** Number of times that the store was stopped, so that a late page is recognised. */
  let visits = 0;
  let typingSince = 0;
  const startMarker = () => createReadMarker((messageId) => cache.mutate(documents.markRead, { messageId }));
  let marker = startMarker();

  function publish(): void {
    const room = cached?.chatroom ?? null;
    if (!loaded || !room) return;
    const newest = sorted(room.messages?.edges).filter(({ number }) => number >= oldest);
    const messages = around.join(newest);
    const hasEarlier = around.active ? around.hasEarlier : before !== null;
    set({
      room,
      messages,
      pending: pending.without(newest),
      hasEarlier,
      hasLater: around.active && !around.joined,
      loading: false,
    });
  }
  const publishing = createBatch<unknown>(publish);

  /** Fetches the newest page, or the one before `before`. Returns the room's cursor. */
  async function fetchPage(page: { before?: string } = {}): Promise<string> {
    const [visit, trim] = [visits, trims];
    const { chatroom } = await cache.fetch(documents.history, { chatroomId, last: pageSize, ...page });
    if (!chatroom?.messages)
      throw new ChatError({ code: 'NOT_FOUND', message: 'This room does not exist, or you are not a member of it.' });
    if (visit !== visits || (page.before !== undefined && trim !== trims)) return chatroom.cursor;
    const { edges, pageInfo } = chatroom.messages;
    // A cache may return its whole list, which includes pages of an earlier visit before this page.
    const limit = page.before === undefined ? Infinity : oldest;
    const older = sorted(edges).filter(({ number }) => number < limit);
    const first = older.at(-pageSize) ?? older[0];
    oldest = first?.number ?? Math.min(oldest, 1);
    before = first && (older.length > pageSize || pageInfo.hasPreviousPage) ? first.cursor : null;
    if (!loaded) set({ readUpTo: chatroom.viewerMembership?.lastReadNumber ?? 0 });
    loaded = true;
    publishing.add(null);
    return chatroom.cursor;
  }

  function start(setState: typeof set): () => void {
    set = setState;
    let stopped = false;
    const stops: (() => void)[] = [];
    const fail = (error: unknown) => {
      if (stopped) return;
      set({ error: failureOf(error), loading: false });
    };
    const follow = (stop: () => void) => {
      if (stopped) stop();
      else stops.push(stop);
    };
    stops.push(
      pending.start(),
      cache.watch(documents.history, { chatroomId, last: pageSize }, (data) => {
        if (data) cached = data;
        publishing.add(null);
      }),
      client.onState((state) => {
        // Users who were typing when the connection was lost may have stopped since.
        if (state === 'offline') set({ typing: [] });
      }),
    );
    async function live(): Promise<void> {
      const after = await fetchPage();
      if (stopped) return;
      follow(
        cache.subscribe(
          documents.roomEvents,
          { chatroomId, after },
          {
            onResync: () => {
              around.leave();
              return fetchPage();
            },
            onEvents(events) {
              for (const { chatroomEvents: event } of events)
                if (event?.__typename === 'MessageAdded') for (const listener of listeners) listener(event.message);
            },
            onError: fail,
          },
        ),
      );
      follow(
        cache.subscribe(
          documents.typing,
          { chatroomId },
          {
            onResumed: () => {
              set({ typing: [] });
            },
            onEvents(events) {
              for (const { typingChanged: event } of events)
                if (event) set(({ typing }) => ({ typing: changeTyping(typing, event) }));
            },
            onError: fail,
          },
        ),
      );
      follow(
        cache.subscribe(
          documents.seen,
          { chatroomId },
          {
            // Hints that were sent while the client was offline are lost, so their data is queried.
            onResumed: () => void cache.fetch(documents.lastSeen, { chatroomId }).catch(() => undefined),
            onEvents: () => undefined,
            onError: fail,
          },
        ),
      );
    }
    live().catch(fail);
    return () => {
      stopped = true;
      visits += 1;
      for (const stop of stops) stop();
      publishing.cancel();
      around.leave();
      stopTyping();
      marker.stop();
      marker = startMarker();
      [cached, loaded, oldest, before] = [null, false, Infinity, null];
    };
  }

  function sendTyping(typing: boolean): void {
    typingSince = typing ? Date.now() : 0;
    // Errors are ignored, because typing is only a hint.
    cache.mutate(documents.setTyping, { chatroomId, typing }).catch(() => undefined);
  }
  function stopTyping(): void {
    if (typingSince > 0) sendTyping(false);
  }

  /** Runs one load at a time: a second call waits for the first. */
  function once(load: () => Promise<unknown>): Promise<void> {
    loading ??= load()
      .then(() => undefined)
      .finally(() => {
        loading = null;
      });
    return loading;
  }

  return {
    ...createStore(initial, start),
    loadEarlier: () =>
      once(async () => {
        if (around.active) await around.loadEarlier();
        else if (before !== null) await fetchPage({ before });
      }),
    loadLater: () => once(() => around.loadLater()),
    async jumpTo(number) {
      const isLoaded = () => cached?.chatroom?.messages?.edges.some(({ node }) => node.number === number);
      if (!around.active && number >= oldest && isLoaded()) return true;
      return around.jumpTo(number);
    },
    showNewest() {
      around.leave();
      const nodes = sorted(cached?.chatroom?.messages?.edges).filter(({ number }) => number >= oldest);
      const first = nodes.at(-pageSize);
      if (first && nodes.length > 2 * pageSize) [oldest, before, trims] = [first.number, first.cursor, trims + 1];
      publish();
    },
    markRead(message) {
      if (message.number > (cached?.chatroom?.viewerMembership?.lastReadNumber ?? 0)) marker.mark(message);
    },
    async markUnread({ id }) {
      const { markUnread } = await marker.markUnread(() => cache.mutate(documents.markUnread, { messageId: id }));
      // The server keeps an earlier mark, so this number may be smaller than the message's.
      set({ readUpTo: markUnread.chatroom.viewerMembership?.lastReadNumber ?? 0 });
    },
    send(body, { replyToId } = {}) {
      stopTyping();
      marker.resume();
      // A rejection is shown by the state of the outbox entry.
      client.send({ chatroomId, body, ...(replyToId === undefined ? {} : { replyToId }) }).catch(() => undefined);
    },
    setTyping(typing) {
      if (!typing) stopTyping();
      // Sent only while live: a hint that is delayed until the connection is restored would be outdated.
      else if (client.state === 'live' && Date.now() - typingSince > TYPING_INTERVAL_MS) sendTyping(true);
    },
    onMessage(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function sorted<Node extends MessageKey>(edges: readonly { node: Node }[] = []): Node[] {
  return edges.map(({ node }) => node).sort((a, b) => a.number - b.number);
}

function changeTyping<User extends { id: string }>(
  typing: readonly User[],
  { user, typing: types }: { user: User; typing: boolean },
): User[] {
  const others = typing.filter(({ id }) => id !== user.id);
  return types ? [...others, user] : others;
}
