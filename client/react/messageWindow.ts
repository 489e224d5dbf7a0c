import type { ChatClient } from '../index.ts';
import type { ChatCache } from './cache.ts';
import type { Documents, MessageKey } from './documents.ts';

/** `nodes` takes at most 100 ids: the message to which the user jumps, and those on both sides. */
const MAX_HALF = 49;

interface Options {
  client: ChatClient;
  cache: ChatCache;
  documents: Documents<any, any, any>;
  chatroomId: string;
  pageSize: number;
  onChange: () => void;
}

/** Messages around an old message, to which the user has jumped. */
export interface MessageWindow<Node> {
  /** Whether such messages are shown. */
  readonly active: boolean;
  /** Whether they reach the newest messages. */
  readonly joined: boolean;
  readonly hasEarlier: boolean;
  /** Returns the messages to show: the ones around the old message, followed by the newest ones once the two lists meet. */
  join: (newest: readonly Node[]) => readonly Node[];
  jumpTo: (number: number) => Promise<boolean>;
  loadEarlier: () => Promise<void>;
  loadLater: () => Promise<void>;
  leave: () => void;
}

interface Part<Node> {
  nodes: readonly Node[];
  stop: () => void;
}

/**
 * Creates the list of messages around a position in the history. `Chatroom.messages` is one list in the cache, in which a distant
 * page would leave a gap. Therefore the ids of such a page are stored here, and the cache watches the messages by their ids.
 */
export function createMessageWindow<Node extends MessageKey>(options: Options): MessageWindow<Node> {
  const { client, cache, documents, chatroomId, pageSize, onChange } = options;
  let parts: Part<Node>[] = [];
  let joined = false;
  /** Cursors of the pages before and after; null at an end of the history. */
  let earlier: string | null = null;
  let later: string | null = null;
  /** Incremented by `leave` and `jumpTo`, so that a late answer is recognised. */
  let visit = 0;

  async function idsOf(page: { first: number; after: string } | { last: number; before: string }) {
    const { chatroom } = await client.execute(documents.ids, { chatroomId, ...page }, { retry: true });
    const { nodes = [], pageInfo } = chatroom?.messages ?? {};
    return {
      ids: nodes.map(({ id }) => id),
      earlier: pageInfo?.hasPreviousPage ? pageInfo.startCursor : null,
      later: pageInfo?.hasNextPage ? pageInfo.endCursor : null,
    };
  }

  /** Loads messages by their ids into the cache and watches them. */
  async function watchMessages(ids: string[]): Promise<Part<Node>> {
    const nodesOf = (data: { nodes: (object | null)[] }) => data.nodes.filter((node) => node !== null) as Node[];
    const part: Part<Node> = { nodes: nodesOf(await cache.fetch(documents.messages, { ids })), stop: () => undefined };
    part.stop = cache.watch(documents.messages, { ids }, (data) => {
      if (data) part.nodes = nodesOf(data);
      onChange();
    });
    return part;
  }

  /** Adds a page. Returns false if `leave` or `jumpTo` was called while the page was loading. */
  async function extend({ ids }: { ids: string[] }, now: number): Promise<boolean> {
    const part = ids.length > 0 ? await watchMessages(ids) : null;
    if (now !== visit) part?.stop();
    else if (part) parts.push(part);
    return now === visit;
  }

  function leave(): void {
    visit += 1;
    for (const { stop } of parts) stop();
    [parts, joined, earlier, later] = [[], false, null, null];
  }

  return {
    get active() {
      return parts.length > 0;
    },
    get joined() {
      return joined;
    },
    get hasEarlier() {
      return earlier !== null;
    },
    join(newest) {
      if (parts.length === 0) return newest;
      const nodes = parts.flatMap((part) => part.nodes).sort((a, b) => a.number - b.number);
      const limit = newest[0]?.number ?? Infinity;
      joined ||= later === null || (nodes.at(-1)?.number ?? 0) >= limit;
      return joined ? [...nodes.filter(({ number }) => number < limit), ...newest] : nodes;
    },
    async jumpTo(number) {
      const now = (visit += 1);
      const { chatroom } = await client.execute(documents.place, { chatroomId, number }, { retry: true });
      if (!chatroom?.message) return false;
      const { id, cursor } = chatroom.message;
      const half = Math.min(Math.ceil(pageSize / 2), MAX_HALF);
      const [before, after] = await Promise.all([
        idsOf({ last: half, before: cursor }),
        idsOf({ first: half, after: cursor }),
      ]);
      const part = await watchMessages([...before.ids, id, ...after.ids]);
      if (now !== visit) {
        part.stop();
        return true;
      }
      leave();
      [parts, earlier, later] = [[part], before.earlier, after.later];
      onChange();
      return true;
    },
    async loadEarlier() {
      if (earlier === null) return;
      const now = visit;
      const page = await idsOf({ last: pageSize, before: earlier });
      if (await extend(page, now)) earlier = page.earlier;
      onChange();
    },
    async loadLater() {
      if (later === null || joined) return;
      const now = visit;
      const page = await idsOf({ first: pageSize, after: later });
      if (await extend(page, now)) later = page.later;
      onChange();
    },
    leave,
  };
}
