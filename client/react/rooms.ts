import type { Failure } from '../errors.ts';
import { failureOf } from './failure.ts';
import { createBatch } from './batch.ts';
import type { Documents, RoomKey, RoomsData, ViewerEvent } from './documents.ts';
import type { Chat } from './room.ts';
import { createStore, type SetState, type Store } from './store.ts';

export interface RoomsState<Room> {
  /** Loaded rooms, the most recently active first. */
  rooms: readonly (Room & RoomKey)[];
  /** Number of unread messages in the loaded rooms. */
  unreadCount: number;
  loading: boolean;
  /** Error that prevents the list from being shown or updated. */
  error: Failure | null;
  hasMore: boolean;
}

export interface RoomsStore<Room> extends Store<RoomsState<Room>> {
  loadMore: () => Promise<void>;
  /** Calls the listener for each event of the viewer. Returns a function that removes the listener. */
  onEvent: (listener: (event: ViewerEvent) => void) => () => void;
}

const PAGE_SIZE = 50;

/** Creates the store of the viewer's rooms, which is live while it has subscribers. */
export function createRooms<Room>({ cache }: Chat, documents: Documents<any, Room, any>): RoomsStore<Room> {
  const initial: RoomsState<Room> = { rooms: [], unreadCount: 0, loading: true, error: null, hasMore: false };
  const listeners = new Set<(event: ViewerEvent) => void>();
  let set: SetState<RoomsState<Room>> = () => undefined;
  let cached: RoomsData<Room> | null = null;
  let shown: readonly (Room & RoomKey)[] = [];
  let hasMore = false;
  /** Ids of rooms that have vanished since the list was loaded. */
  const vanished = new Set<string>();
  let loaded = false;
  let pages = 1;
  let next: string | null = null;
  let loading: Promise<string> | null = null;
  let changes = 0;
  let running = false;

  const edges = () => cached?.viewer?.chatrooms.edges ?? [];

  function publish(): void {
    if (!cached?.viewer || !loaded) return;
    // During a reload the cache lacks the later pages. Their rooms stay as they are.
    if (!loading) [shown, hasMore] = [[], next !== null];
    const byId = new Map([...shown, ...edges().map(({ node }) => node)].map((room) => [room.id, room]));
    shown = [...byId.values()]
      .filter(({ id }) => !vanished.has(id))
      .sort((a, b) => lastActive(b).localeCompare(lastActive(a)));
    const unreadCount = shown.reduce((sum, room) => sum + room.unreadCount, 0);
    set({ rooms: shown, unreadCount, loading: false, hasMore });
  }
  const publishing = createBatch<unknown>(publish);

  async function fetchPage(after?: string): Promise<string> {
    const { viewer } = await cache.fetch(documents.rooms, {
      first: PAGE_SIZE,
      ...(after === undefined ? {} : { after }),
    });
    const info = viewer?.chatrooms.pageInfo;
    next = info?.hasNextPage ? info.endCursor : null;
    return viewer?.cursor ?? '';
  }

  /** Reloads all loaded pages, and again if `reload` is called during the load. Returns the all-rooms cursor. */
  function reload(): Promise<string> {
    changes += 1;
    loading ??= (async () => {
      let cursor: string;
      let change: number;
      do {
        change = changes;
        cursor = await fetchPage();
        for (let page = 1; page < pages && next !== null; page += 1) await fetchPage(next);
      } while (change !== changes && running);
      vanished.clear();
      loaded = running;
      return cursor;
    })().finally(() => {
      loading = null;
      publishing.add(null);
    });
    return loading;
  }

  function onViewerEvent(event: ViewerEvent): void {
    if (event.__typename === 'ChatroomVanished') vanished.add(event.chatroomId);
    if (event.__typename === 'ChatroomAppeared') vanished.delete(event.chatroom.id);
    if (event.__typename === 'ChatroomAppeared' || event.__typename === 'ChatroomVanished') {
      publishing.add(null);
      reload().catch(() => undefined);
    }
    for (const listener of listeners) listener(event);
  }

  function start(setState: typeof set): () => void {
    [set, running] = [setState, true];
    const stops: (() => void)[] = [];
    const fail = (error: unknown) => {
      set({ error: failureOf(error), loading: false });
    };
    const follow = (stop: () => void) => {
      if (running) stops.push(stop);
      else stop();
    };
    follow(
      cache.watch(documents.rooms, { first: PAGE_SIZE }, (data) => {
        if (data) cached = data;
        publishing.add(null);
      }),
    );
    async function live(): Promise<void> {
      const after = await reload();
      if (!running) return;
      follow(
        cache.subscribe(
          documents.anyMessage,
          { after },
          {
            onResync: reload,
            onEvents(events) {
              const known = new Set(edges().map(({ node }) => node.id));
              if (events.some(({ messageAdded }) => messageAdded && !known.has(messageAdded.chatroom.id)))
                reload().catch(() => undefined);
            },
            onError: fail,
          },
        ),
      );
      follow(
        cache.subscribe(
          documents.viewerEvents,
          { after },
          {
            onResync: reload,
            // Changes of unread counts are not replayed, so they are queried.
            onResumed: () => void reload().catch(() => undefined),
            onEvents(events) {
              for (const { viewerEvents } of events) if (viewerEvents) onViewerEvent(viewerEvents);
            },
            onError: fail,
          },
        ),
      );
    }
    live().catch(fail);
    return () => {
      running = false;
      for (const stop of stops) stop();
      publishing.cancel();
      vanished.clear();
      [cached, shown, loaded, pages, next] = [null, [], false, 1, null];
    };
  }

  return {
    ...createStore(initial, start),
    async loadMore() {
      await loading;
      if (next === null) return;
      await fetchPage(next);
      pages += 1;
      publishing.add(null);
    },
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const lastActive = ({ lastMessageAt, createdAt }: RoomKey) => lastMessageAt ?? createdAt;
