import type { RoomRowFragment, RoomsQuery, RoomsQueryVariables } from './generated/graphql.ts';

/** Number of rooms per page, as in the query. */
const PAGE_SIZE = 30;
/** Events after which the list of rooms is loaded again. */
const CHANGES_OF_LIST = new Set(['ChatroomAppeared', 'ChatroomVanished', 'BlockChanged']);

/**
 * Creates the list of the viewer's rooms. Calls the listener with the rooms and the number of unread messages.
 *
 * @param query loads a page into the cache. Its result contains the pages before it, too
 */
export function createRoomList(
  query: (variables: RoomsQueryVariables) => Promise<RoomsQuery | undefined>,
  listener: (rooms: RoomRowFragment[], unreadCount: number) => void,
) {
  let viewer: RoomsQuery['viewer'];
  let pages = 1;
  let isLoading = false;
  /** Rooms with a message since the list began to load. Such a room moves to the first page. */
  const moved = new Set<string>();
  function publish(): void {
    // While the pages are loading, the list lacks some of them.
    if (!viewer || isLoading) return;
    const rooms = viewer.chatrooms.edges.map(({ node }) => node);
    listener(rooms.sort(byActivity), viewer.unreadCount);
  }
  // Loads as many pages as before, because a new order of the rooms changes the cursors of all pages.
  const load = createSerial(async () => {
    isLoading = true;
    moved.clear();
    try {
      let cursor: string | undefined;
      let after: string | undefined;
      let edges: readonly { node: { id: string } }[] = [];
      for (let page = 1; page <= pages; page += 1) {
        const data = await query({ after });
        cursor ??= data?.viewer?.cursor;
        edges = data?.viewer?.chatrooms.edges ?? [];
        after = data?.viewer?.chatrooms.edges[page * PAGE_SIZE - 1]?.cursor;
        if (!after) break;
      }
      // A room that has moved between two queries is in neither page.
      for (const { node } of edges) moved.delete(node.id);
      if (moved.size > 0) reload();
      return cursor ?? '';
    } finally {
      isLoading = false;
      publish();
    }
  });
  const reload = () => void load().catch(console.error);
  return {
    /** Loads the list, and returns the cursor from which to subscribe. */
    load,
    reload,
    /** Loads the next page. */
    loadMore: () => {
      if (viewer?.chatrooms.pageInfo.hasNextPage) pages = Math.floor(viewer.chatrooms.edges.length / PAGE_SIZE) + 1;
      return load();
    },
    /** Shows what the cache contains. */
    show(data: RoomsQuery | undefined) {
      viewer = data?.viewer ?? viewer;
      publish();
    },
    /** Call this for each new message. A room that is not loaded moves to the first page. */
    onMessage(room: string) {
      moved.add(room);
      if (!viewer?.chatrooms.edges.some(({ node }) => node.id === room)) reload();
    },
    /** Call this for each event of the viewer. After `BlockChanged`, the cache loads the messages of the open room again. */
    onViewerEvent(type: string | undefined) {
      if (type && CHANGES_OF_LIST.has(type)) reload();
    },
  };
}

const lastActive = ({ lastMessageAt, createdAt }: RoomRowFragment) => lastMessageAt ?? createdAt;
const byActivity = (a: RoomRowFragment, b: RoomRowFragment) => (lastActive(a) < lastActive(b) ? 1 : -1);

/** Returns a function that runs `load`, one call at a time. Calls that wait for the same run share its result. */
function createSerial<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<Value> | null = null;
  return () => {
    waiting ??= running.then(() => {
      waiting = null;
      return load();
    });
    running = waiting.catch(() => undefined);
    return waiting;
  };
}
