import { type Chat, load } from './chat.ts';
import type { NodesDocument } from './documents.ts';

/**
 * Maximum number of objects per watched query. In a large query, a change of one object makes the cache read many
 * objects. Many small queries are slow, too, because each change of the cache costs time for every query. The server
 * returns at most 100 objects by their ids.
 */
const MAX_PART = 50;
/**
 * Maximum number of times that an object of a list is loaded because the cache lacks one of its fields. Two lists that
 * make an object incomplete for each other would otherwise load it forever. After these loads the list keeps the last
 * complete object until an event completes it.
 */
const MAX_LOADS = 3;

/**
 * A list of objects that a hook returns. Watches the objects in the cache by their ids. A list field of the cache is
 * not used, because the application may load other pages into it.
 */
export interface NodeList<Node> {
  readonly nodes: readonly Node[];
  replace: (nodes: readonly Node[]) => void;
  prepend: (nodes: readonly Node[]) => void;
  append: (nodes: readonly Node[]) => void;
  /** Stops watching and empties the list. */
  clear: () => void;
}

interface Part<Node> {
  readonly nodes: readonly Node[];
  stop: () => void;
}

/**
 * Creates an empty list. Write objects to the cache before you add them to the list. Calls `onChange` when an object
 * changes in the cache.
 */
export function createNodeList<Node extends { id: string }>(
  chat: Pick<Chat, 'client' | 'cache' | 'arrivals' | 'signal'>,
  document: NodesDocument<Node>,
  onChange: () => void,
): NodeList<Node> {
  let parts: Part<Node>[] = [];
  /** Number of times that an incomplete object was loaded, by its id. */
  const loads = new Map<string, number>();

  /**
   * Watches some objects. If the cache lacks a field of one of them, watches both halves of the objects instead until it
   * is loaded, so that changes of the other objects are seen meanwhile.
   */
  function watch(nodes: readonly Node[]): Part<Node> {
    const ids = nodes.map(({ id }) => id);
    let current = nodes;
    let isComplete = false;
    let isLoading = false;
    let halves: Part<Node>[] = [];
    const nodesNow = () => (halves.length > 0 ? halves.flatMap((half) => half.nodes) : current);
    const stopHalves = () => {
      for (const half of halves) half.stop();
      halves = [];
    };
    const stop = chat.cache.watch(document, { ids }, (data) => {
      // urql replaces an object that lacks a required field by null.
      isComplete = data?.nodes.every((node) => node !== null) ?? false;
      if (data && isComplete) {
        current = reuse(nodesNow(), data.nodes);
        stopHalves();
        onChange();
      } else if (ids.length === 1) loadAgain();
      else if (halves.length === 0) {
        const middle = current.length >> 1;
        halves = [current.slice(0, middle), current.slice(middle)].filter((half) => half.length > 0).map(watch);
      }
    });
    /** Loads the only object. The application may have evicted it, or have written a part of it. */
    function loadAgain(): void {
      const [id = ''] = ids;
      const count = loads.get(id) ?? 0;
      if (isLoading || count >= MAX_LOADS) return;
      loads.set(id, count + 1);
      isLoading = true;
      load(chat, document, { ids })
        .then((loaded) => {
          // Another list may have made the object incomplete again. The object is null if it no longer exists, or if the
          // viewer may no longer see it.
          if (!isComplete) current = reuse(current, loaded.nodes);
          onChange();
        })
        .catch(() => undefined)
        .finally(() => {
          isLoading = false;
        });
    }
    return {
      get nodes() {
        return nodesNow();
      },
      stop() {
        stop();
        stopHalves();
      },
    };
  }

  const watchAll = (nodes: readonly Node[]) => chunks(nodes).map(watch);
  const clear = () => {
    for (const { stop } of parts) stop();
    parts = [];
    loads.clear();
  };

  return {
    get nodes() {
      return parts.flatMap((part) => part.nodes);
    },
    replace(nodes) {
      clear();
      parts = watchAll(nodes);
    },
    prepend(nodes) {
      parts = [...watchAll(nodes), ...parts];
    },
    append(nodes) {
      let added = nodes;
      // Merges the last part into the new part, unless the last part is larger. This limits the number of parts, and
      // each object is watched again only a few times.
      for (let last = parts.at(-1); last && last.nodes.length <= added.length; last = parts.at(-1)) {
        if (last.nodes.length + added.length > MAX_PART) break;
        last.stop();
        parts.pop();
        added = [...last.nodes, ...added];
      }
      parts.push(...watchAll(added));
    },
    clear,
  };
}

function chunks<Item>(items: readonly Item[]): Item[][] {
  const count = Math.ceil(items.length / MAX_PART);
  return Array.from({ length: count }, (_, i) => items.slice(i * MAX_PART, (i + 1) * MAX_PART));
}

/**
 * Returns the current objects without nulls. An unchanged object keeps its identity, so that React does not render its
 * row again.
 */
function reuse<Node extends { id: string }>(before: readonly Node[], now: readonly (Node | null)[]): Node[] {
  const known = new Map(before.map((node) => [node.id, node]));
  return now.flatMap((node) => {
    if (!node) return [];
    const old = known.get(node.id);
    return old && (old === node || JSON.stringify(old) === JSON.stringify(node)) ? old : node;
  });
}
