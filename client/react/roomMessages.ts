import { createArrivals } from './arrivals.ts';
import type { Chat } from './chat.ts';
import type { MessageKey } from './documents.ts';
import { queryAround, queryPage, queryRoom, type RoomSnapshot, type RoomTarget } from './history.ts';
import { createMessageList, type MessageList, type MessagePage } from './messageList.ts';

/** The messages of an open room. */
export interface RoomMessages<Message, Room> {
  /** The newest messages. They stay up to date while older messages are shown. */
  readonly newest: MessageList<Message & MessageKey>;
  /** The messages that `useRoom` returns: the newest ones, or those around an old message after a jump. */
  readonly shown: MessageList<Message & MessageKey>;
  open: (page: MessagePage<Message & MessageKey>) => void;
  /**
   * Adds new messages to `newest`. Records changed messages, so that the response of a pending query does not overwrite
   * them in the cache.
   */
  onEvents: (changed: readonly (Message & MessageKey)[], added: readonly (Message & MessageKey)[]) => void;
  loadEarlier: () => Promise<void>;
  loadLater: () => Promise<void>;
  jumpTo: (number: number) => Promise<boolean>;
  showNewest: () => void;
  /** Loads the messages again. Returns the room, or null if `close` or another `reload` was called meanwhile. */
  reload: () => Promise<RoomSnapshot<Message, Room> | null>;
  close: () => void;
}

/** Creates the empty lists of a room. Calls `onChange` when the cache changes a message. */
export function createRoomMessages<Message, Room>(
  chat: Chat,
  target: RoomTarget<Message, Room, any>,
  onChange: () => void,
): RoomMessages<Message, Room> {
  type Node = Message & MessageKey;
  const { documents, pageSize } = target;
  const arrivals = createArrivals<Node>();
  const createList = () => createMessageList<Node>(chat, documents.messages, onChange);
  const newest = createList();
  let shown = newest;
  /** Number of the message around which `shown` was loaded. */
  let jumpedTo = 0;
  /**
   * Incremented by `open`, `jumpTo`, `showNewest` and `close`. A jump discards its response if a later call has
   * incremented the counter.
   */
  let jumps = 0;
  let reloads = 0;
  let loading: Promise<void> | null = null;

  /**
   * Writes a page to the cache. Messages of events that arrived during the query replace those of the page, because
   * they may be newer.
   */
  function write(page: MessagePage<Node>, arrived: ReadonlyMap<string, Node>): MessagePage<Node> {
    const nodes = page.nodes.map((node) => arrived.get(node.id) ?? node);
    chat.cache.write(documents.messages, { ids: nodes.map(({ id }) => id) }, { nodes });
    return { nodes, earlier: page.earlier, later: page.later };
  }

  function open(page: MessagePage<Node>, arrived: ReadonlyMap<string, Node> = new Map()): void {
    leave();
    newest.open(write(page, arrived));
    newest.push([...arrived.values()]);
  }

  /** Shows the newest messages instead of those around an old one. */
  function leave(): void {
    if (shown !== newest) shown.close();
    shown = newest;
  }

  /** Joins the shown messages and the newest ones, if the two lists overlap or adjoin. */
  function join(): void {
    const first = newest.nodes[0]?.number ?? Infinity;
    const last = shown.nodes.at(-1)?.number ?? 0;
    if (shown === newest || (shown.later !== null && last < first)) return;
    newest.join(shown);
    leave();
  }

  async function jumpTo(number: number): Promise<boolean> {
    const jump = (jumps += 1);
    if (shown === newest && newest.nodes.some((node) => node.number === number)) return true;
    const [page, arrived] = await arrivals.during(() => queryAround(chat, target, number));
    if (!page) return false;
    if (jump !== jumps) return true;
    leave();
    [shown, jumpedTo] = [createList(), number];
    shown.open(write(page, arrived));
    join();
    return true;
  }

  /** Queries the newest page, and earlier pages down to the message with this number. */
  async function queryDownTo(number: number): Promise<RoomSnapshot<Message, Room>> {
    let page = await queryRoom(chat, target);
    for (let [first] = page.nodes; page.earlier !== null && first && first.number > number; [first] = page.nodes) {
      const { nodes, earlier } = await queryPage(chat, target, { last: pageSize, before: page.earlier });
      page = { ...page, nodes: [...nodes, ...page.nodes], earlier };
    }
    return page;
  }

  /** Runs one load at a time. A call during a load returns the promise of that load. */
  function once(load: () => Promise<void>): Promise<void> {
    loading ??= load().finally(() => {
      loading = null;
    });
    return loading;
  }

  return {
    newest,
    get shown() {
      return shown;
    },
    open(page) {
      jumps += 1;
      open(page);
    },
    onEvents(changed, added) {
      for (const node of changed) arrivals.add(node);
      newest.push(added);
    },
    loadEarlier: () =>
      once(async () => {
        const [list, before] = [shown, shown.earlier];
        if (before === null) return;
        const [page, arrived] = await arrivals.during(() => queryPage(chat, target, { last: pageSize, before }));
        // The page no longer adjoins the list if the list was opened again or shortened meanwhile.
        if (list.earlier === before) list.prepend(write(page, arrived));
      }),
    loadLater: () =>
      once(async () => {
        const [list, after] = [shown, shown.later];
        if (after === null) return;
        const [page, arrived] = await arrivals.during(() => queryPage(chat, target, { first: pageSize, after }));
        if (list.later !== after) return;
        list.append(write(page, arrived));
        join();
      }),
    jumpTo,
    showNewest() {
      jumps += 1;
      leave();
      if (newest.nodes.length > 2 * pageSize) newest.keep(pageSize);
    },
    async reload() {
      const reload = (reloads += 1);
      const oldest = newest.nodes[0]?.number ?? Infinity;
      const [snapshot, arrived] = await arrivals.during(() => queryDownTo(oldest));
      if (reload !== reloads) return null;
      const wasJumped = shown !== newest;
      open(snapshot, arrived);
      if (wasJumped) await jumpTo(jumpedTo);
      return reload === reloads ? snapshot : null;
    },
    close() {
      jumps += 1;
      reloads += 1;
      leave();
      newest.close();
    },
  };
}
