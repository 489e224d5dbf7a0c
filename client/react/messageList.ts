import type { Chat } from './chat.ts';
import type { MessageKey, NodesDocument } from './documents.ts';
import { createNodeList } from './nodeList.ts';

/** Consecutive messages of a room, oldest first. */
export interface MessagePage<Node> {
  nodes: readonly Node[];
  /** Value of `before` for a query of the previous page; null at the beginning of the room. */
  earlier: string | null;
  /** Value of `after` for a query of the next page; null if the page reaches the newest message. */
  later: string | null;
}

/** Messages of a room without a gap: the newest ones, or those around an old message to which the user has jumped. */
export interface MessageList<Node> extends Readonly<MessagePage<Node>> {
  open: (page: MessagePage<Node>) => void;
  /** Adds the previous page, which was queried with `earlier`. */
  prepend: (page: MessagePage<Node>) => void;
  /** Adds the next page, which was queried with `later`. */
  append: (page: MessagePage<Node>) => void;
  /** Adds messages after the newest one of the list. Ignores messages that are not newer. */
  push: (nodes: readonly Node[]) => void;
  /**
   * Adds the older messages of another list. The lists must overlap or adjoin, so that no message is missing between
   * them.
   */
  join: (before: MessageList<Node>) => void;
  /** Drops all but the newest `count` messages. */
  keep: (count: number) => void;
  close: () => void;
}

export function createMessageList<Node extends MessageKey>(
  chat: Pick<Chat, 'client' | 'cache' | 'arrivals' | 'signal'>,
  document: NodesDocument<Node>,
  onChange: () => void,
): MessageList<Node> {
  const list = createNodeList(chat, document, onChange);
  let earlier: string | null = null;
  let later: string | null = null;
  return {
    get nodes() {
      return list.nodes;
    },
    get earlier() {
      return earlier;
    },
    get later() {
      return later;
    },
    open(page) {
      list.replace(page.nodes);
      ({ earlier, later } = page);
    },
    prepend(page) {
      list.prepend(page.nodes);
      ({ earlier } = page);
    },
    append(page) {
      list.append(page.nodes);
      ({ later } = page);
    },
    push(nodes) {
      let last = list.nodes.at(-1)?.number ?? 0;
      const added = nodes.filter(({ number }) => {
        const isNew = number > last;
        last = Math.max(last, number);
        return isNew;
      });
      if (added.length > 0) list.append(added);
    },
    join(before) {
      const first = list.nodes[0]?.number ?? Infinity;
      const nodes = before.nodes.filter(({ number }) => number < first);
      if (nodes.length === 0) return;
      list.prepend(nodes);
      ({ earlier } = before);
    },
    keep(count) {
      const kept = list.nodes.slice(-count);
      if (kept.length === list.nodes.length) return;
      earlier = kept[0]?.cursor ?? null;
      list.replace(kept);
    },
    close() {
      list.clear();
      [earlier, later] = [null, null];
    },
  };
}
