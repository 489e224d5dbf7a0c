import type { Failure } from '../errors.ts';
import { onVisible } from '../wait.ts';
import { createBatch } from './batch.ts';
import { abortable, type Chat, query, unlessAborted } from './chat.ts';
import type { Documents, RoomKey, ViewerEvent } from './documents.ts';
import { keepOpen, type Progress } from './keepOpen.ts';
import { createNodeList } from './nodeList.ts';
import { createOverdue } from './overdue.ts';
import { createStore, type SetState, type Store } from './store.ts';
import type { ViewerEventSource } from './viewerEvents.ts';

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
  /** Calls the listener for each event of `viewerEvents`. Returns a function that removes the listener. */
  onEvent: (listener: (event: ViewerEvent) => void) => () => void;
}

const PAGE_SIZE = 50;

/** Types of events after which the list is loaded again. A block changes the last messages and the unread counts. */
const CHANGES_OF_LIST = new Set(['ViewerSnapshot', 'ChatroomAppeared', 'ChatroomVanished', 'BlockChanged']);

/** Creates the store of the viewer's rooms. The store stays up to date while it has subscribers. */
export function createRooms<Room>(shared: Chat, documents: Documents<any, Room, any>): RoomsStore<Room> {
  type Node = Room & RoomKey;
  const { chat, abort } = abortable(shared);
  const { cache } = chat;
  const initial: RoomsState<Room> = { rooms: [], unreadCount: 0, loading: true, error: null, hasMore: false };
  const listeners = new Set<(event: ViewerEvent) => void>();
  const list = createNodeList<Node>(chat, documents.roomNodes, () => {
    publishing.add(null);
  });
  let set: SetState<RoomsState<Room>> = () => undefined;
  /** Ids of rooms that have vanished since the list was loaded. */
  const vanished = new Set<string>();
  /** Ids of rooms with a message since the list began to load. Such a room moves to the first page. */
  const moved = new Set<string>();
  let loaded = false;
  let pages = 1;
  let next: string | null = null;
  let hasMore = false;
  let loading: Promise<string> | null = null;
  let loadingMore: Promise<void> | null = null;
  let changes = 0;
  let running = false;

  function publish(): void {
    if (!loaded) return;
    if (!loading) hasMore = next !== null;
    const rooms = list.nodes
      .filter(({ id }) => !vanished.has(id))
      .sort((a, b) => lastActive(b).localeCompare(lastActive(a)));
    const unreadCount = rooms.reduce((sum, room) => sum + room.unreadCount, 0);
    set({ rooms, unreadCount, loading: false, hasMore });
  }
  const publishing = createBatch<unknown>(publish);

  interface Page {
    nodes: Node[];
    cursor: string;
    next: string | null;
    replay: () => void;
  }

  async function queryRooms(after?: string): Promise<Page> {
    const [{ viewer }, replay] = await chat.arrivals.during(() =>
      query(chat, documents.rooms, { first: PAGE_SIZE, ...(after === undefined ? {} : { after }) }),
    );
    const info = viewer?.chatrooms.pageInfo;
    return {
      nodes: [...(viewer?.chatrooms.nodes ?? [])],
      cursor: viewer?.cursor ?? '',
      next: info?.hasNextPage ? info.endCursor : null,
      replay,
    };
  }

  /** Writes a page to the cache and adds its rooms to the list. */
  function addPage(page: Page): Page {
    const { nodes, replay } = page;
    if (!running) return page;
    ({ next } = page);
    // Sorts the ids, because the cache stores a separate list for each order of the same ids.
    cache.write(documents.roomNodes, { ids: nodes.map(({ id }) => id).sort() }, { nodes });
    replay();
    show([...list.nodes, ...nodes]);
    return page;
  }

  function show(nodes: readonly Node[]): void {
    list.replace([...new Map(nodes.map((node) => [node.id, node])).values()]);
    publishing.add(null);
  }

  /**
   * Loads all pages of the list again. Loads them once more if `reload` is called meanwhile, or if a room has moved from a
   * later page to the first one and is therefore in none of them. Returns the all-rooms cursor.
   */
  function reload(): Promise<string> {
    changes += 1;
    const current = (loading ??= (async () => {
      let cursor: string;
      let nodes: Node[];
      let change: number;
      do {
        change = changes;
        moved.clear();
        ({ cursor, nodes } = addPage(await queryRooms()));
        for (let page = 1; page < pages && next !== null; page += 1)
          nodes.push(...addPage(await queryRooms(next)).nodes);
      } while ((change !== changes || lacksMoved(nodes)) && running);
      vanished.clear();
      loaded = running;
      // Removes rooms that were not loaded again, because `addPage` only adds rooms.
      if (running) show(nodes);
      return cursor;
    })().finally(() => {
      if (loading !== current) return;
      loading = null;
      publishing.add(null);
    }));
    return current;
  }

  /** Adds a room before the list is loaded again, which may take long. */
  function addAppeared(room: Node): void {
    vanished.delete(room.id);
    if (loaded && !list.nodes.some(({ id }) => id === room.id)) list.prepend([room]);
  }

  function lacksMoved(nodes: readonly Node[]): boolean {
    const found = new Set(nodes.map(({ id }) => id));
    return [...moved].some((id) => !found.has(id));
  }

  function onViewerEvent(event: ViewerEvent): void {
    if (event.__typename === 'ChatroomVanished') vanished.add(event.chatroomId);
    if (event.__typename === 'ChatroomAppeared') addAppeared(event.chatroom as Node);
    if (CHANGES_OF_LIST.has(event.__typename)) publishing.add(null);
    for (const listener of listeners) listener(event);
  }

  function start(setState: typeof set): () => void {
    [set, running] = [setState, true];
    const kept = keepOpen(chat.client, set, open);
    return () => {
      kept.close();
      abort();
      running = false;
      changes += 1;
      publishing.cancel();
      vanished.clear();
      list.clear();
      [loaded, pages, next, loading, loadingMore] = [false, 1, null, null, null];
    };
  }

  /** Loads the list, then subscribes to new messages and to the viewer's events. */
  function open({ onLoaded, onError }: Progress): () => void {
    const reloadLater = () => void reload().catch(onError);
    // No event reports an edit of a last message.
    const overdue = createOverdue(reloadLater);
    const stops = [onVisible(reloadLater), overdue.clear];
    let stopped = false;
    async function run(): Promise<void> {
      const after = await reload();
      if (stopped) return;
      const source = chat.viewerEvents.addSource(after);
      stops.push(source.remove, followMessages(after), followViewer(source));
      onLoaded();
    }
    const followMessages = (after: string) =>
      cache.subscribe(
        documents.anyMessage,
        { after },
        {
          onResync: reload,
          onEvents(events) {
            const known = new Set(list.nodes.map(({ id }) => id));
            const ids = events.flatMap(({ messageAdded }) => messageAdded?.chatroom.id ?? []);
            for (const id of ids) {
              moved.add(id);
              overdue.expect(id);
            }
            if (ids.some((id) => !known.has(id))) reloadLater();
          },
          onError,
        },
      );
    const followViewer = (source: ViewerEventSource) =>
      cache.subscribe(
        documents.viewerEvents,
        { after: source.after },
        {
          // The stream does not replay changes of unread counts, so the list is loaded again after each start.
          onStarted() {
            overdue.started();
            reloadLater();
          },
          onEvents(events) {
            for (const { viewerEvents: event } of events) {
              if (!event) continue;
              if (event.__typename === 'UnreadChanged') overdue.arrived(event.chatroom.id);
              // A snapshot is sent in place of events that the stream cannot replay.
              if (event.__typename !== 'ViewerSnapshot') onViewerEvent(event);
              if (CHANGES_OF_LIST.has(event.__typename)) reloadLater();
              source.emit(event);
            }
          },
          onError(error) {
            source.remove();
            onError(error);
          },
        },
      );
    run().catch(onError);
    return () => {
      stopped = true;
      for (const stop of stops) stop();
    };
  }

  async function loadPage(): Promise<void> {
    let page: Page;
    let change: number;
    // Repeats the query after a change of the list, because the page may contain a room that has vanished since.
    do {
      await loading;
      if (next === null) return;
      change = changes;
      page = await queryRooms(next);
    } while (change !== changes);
    addPage(page);
    pages += 1;
    publishing.add(null);
  }

  return {
    ...createStore(initial, start),
    loadMore() {
      const current = (loadingMore ??= unlessAborted(loadPage()).finally(() => {
        if (loadingMore === current) loadingMore = null;
      }));
      return current;
    },
    onEvent(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const lastActive = ({ lastMessageAt, createdAt }: RoomKey) => lastMessageAt ?? createdAt;
