/** Nodes of events that arrive while a query runs. They may be newer than the answer. */
export interface Arrivals<Node> {
  add: (node: Node) => void;
  /** Returns the answer of a query, and the nodes that have arrived meanwhile, by their ids. */
  during: <Answer>(query: () => Promise<Answer>) => Promise<[Answer, ReadonlyMap<string, Node>]>;
}

export function createArrivals<Node extends { id: string }>(): Arrivals<Node> {
  const open = new Set<Map<string, Node>>();
  return {
    add(node) {
      for (const arrived of open) arrived.set(node.id, node);
    },
    async during(query) {
      const arrived = new Map<string, Node>();
      open.add(arrived);
      try {
        const answer = await query();
        // The cache adapter passes events on in batches, after a timeout.
        await new Promise((resolve) => setTimeout(resolve));
        return [answer, arrived];
      } finally {
        open.delete(arrived);
      }
    },
  };
}
