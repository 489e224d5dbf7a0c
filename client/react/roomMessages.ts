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
  /**
   * Shows the newest messages of a room. Then calls `replay` to write the events that arrived while the room was
   * loaded.
   */
  open: (snapshot: RoomSnapshot<Message, Room>, replay: () => void) => void;
  loadEarlier: () => Promise<void>;
  loadLater: () => Promise<void>;
  jumpTo: (number: number) => Promise<boolean>;
  showNewest: () => void;
  /** Loads the messages again. Discards the response if `close` or another `reload` is called meanwhile. */
  reload: () => Promise<void>;
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
  const createList = () => createMessageList<Node>(chat, documents.messages, onChange);
  const newest = createList();
  let shown = newest;
  /** Number of the message around which `shown` was loaded. */
  let jumpedTo = 0;
  /**
   * Incremented by `jumpTo`, `showNewest` and `close`. A jump discards its response if a later call has
   * incremented the counter.
   */
  let jumps = 0;
  /** Incremented by `open`, `reload` and `close`. Queries that began before are outdated. */
  let reloads = 0;
  let loading: Promise<void> | null = null;

  /** Writes a page to the cache, then the events that arrived during the query, because they may be newer. */
  function write({ nodes, earlier, later }: MessagePage<Node>, replay: () => void): MessagePage<Node> {
    chat.cache.write(documents.messages, { ids: nodes.map(({ id }) => id) }, { nodes });
    replay();
    return { nodes, earlier, later };
  }

  function openNewest(snapshot: RoomSnapshot<Message, Room>, replay: () => void): void {
    chat.cache.write(documents.room, { chatroomId: target.chatroomId }, { chatroom: snapshot.room });
    newest.open(write(snapshot, replay));
  }

  /**
   * Runs a query. Repeats it if the messages are loaded again meanwhile, because the response may contain messages of a user who
   * has just been blocked. Does not repeat a query whose response is no longer wanted.
   */
  async function queryCurrent<Answer>(
    ask: () => Promise<Answer>,
    isWanted: () => boolean,
  ): Promise<[Answer, () => void]> {
    for (;;) {
      const reload = reloads;
      const result = await chat.arrivals.during(ask);
      if (reload === reloads || !isWanted()) return result;
    }
  }

  /** Ends a jump by showing the newest messages again. */
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
    const [page, replay] = await queryCurrent(
      () => queryAround(chat, target, number),
      () => jump === jumps,
    );
    if (!page) return false;
    if (jump === jumps) showAround(number, page, replay);
    return true;
  }

  function showAround(number: number, page: MessagePage<Node>, replay: () => void): void {
    leave();
    [shown, jumpedTo] = [createList(), number];
    shown.open(write(page, replay));
    join();
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
    const current = (loading ??= load().finally(() => {
      if (loading === current) loading = null;
    }));
    return current;
  }

  return {
    newest,
    get shown() {
      return shown;
    },
    open(snapshot, replay) {
      reloads += 1;
      leave();
      openNewest(snapshot, replay);
    },
    loadEarlier: () =>
      once(async () => {
        const [list, before] = [shown, shown.earlier];
        if (before === null) return;
        // The page no longer adjoins the list if the list was opened again or shortened meanwhile.
        const adjoins = () => list.earlier === before;
        const [page, replay] = await queryCurrent(() => queryPage(chat, target, { last: pageSize, before }), adjoins);
        if (adjoins()) list.prepend(write(page, replay));
      }),
    loadLater: () =>
      once(async () => {
        const [list, after] = [shown, shown.later];
        if (after === null) return;
        const adjoins = () => list.later === after;
        const [page, replay] = await queryCurrent(() => queryPage(chat, target, { first: pageSize, after }), adjoins);
        if (!adjoins()) return;
        list.append(write(page, replay));
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
      const [oldest, last] = [newest.nodes[0]?.number ?? Infinity, newest.nodes.at(-1)?.number ?? 0];
      const [before, number] = [shown, jumpedTo];
      const [[snapshot, around], replay] = await chat.arrivals.during(async () => [
        await queryDownTo(oldest),
        before === newest ? null : await queryAround(chat, target, number),
      ]);
      if (reload !== reloads) return;
      const added = newest.nodes.filter((node) => node.number > last);
      openNewest(snapshot, replay);
      newest.push(added);
      // If the user has jumped meanwhile, the messages shown have been queried after the reload began.
      if (shown !== before) join();
      else if (around) showAround(number, around, replay);
      else leave();
    },
    close() {
      jumps += 1;
      reloads += 1;
      loading = null;
      leave();
      newest.close();
    },
  };
}
