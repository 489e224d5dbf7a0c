/** Collects the nodes of events that arrive while a query runs. They may be newer than the response of the query. */
export interface Arrivals<Node> {
  add: (node: Node) => void;
  /** Runs a query. Returns its response, and the nodes that have arrived meanwhile, by their ids. */
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
        // Waits for events that came before the response. The cache adapter passes events on in batches, after a
        // timeout.
        await new Promise((resolve) => setTimeout(resolve));
        return [answer, arrived];
      } finally {
        open.delete(arrived);
      }
    },
  };
}
