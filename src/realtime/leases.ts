/**
 * Who holds a connection, to any node. Each live connection has a lease, which its node renews: what is not renewed,
 * because the node was killed, runs out. Somebody who comes back within the grace never left.
 */
export interface Leases {
  /** Holds a lease for a connection; false where the user holds `most` already. */
  take(userId: string, connectionId: string, most: number): Promise<boolean>;
  /** Gives a lease back, when its connection has closed. */
  release(userId: string, connectionId: string): void;
  /** Which of these users hold a lease now; while Redis is away, as it was when last known. */
  holders(userIds: readonly string[]): Promise<Set<string>>;
  /** How many leases this node holds. */
  size(): number;
  /** Gives all leases of this node back. */
  close(): Promise<void>;
}

/** What leases tell; of all nodes exactly one is told of each. */
export interface LeaseListener {
  /** The first connection of a user who was away. */
  onArrived(userId: string): void;
  /** The last connection has closed, or was last heard of, at that moment. */
  onLeft(userId: string, at: Date): void;
  /** The grace has passed, and the user has not come back. */
  onGone(userId: string): void;
}

/** How long leases last, and how long somebody who has left may take to come back unnoticed. */
export interface LeaseTimes {
  leaseMs: number;
  graceMs: number;
}

/** The leases of a node that is alone. */
export function createMemoryLeases(listener: LeaseListener, { graceMs }: LeaseTimes): Leases {
  const held = new Map<string, Set<string>>();
  const leaving = new Map<string, NodeJS.Timeout>();
  let closed = false;

  return {
    take(userId, connectionId, most) {
      const connections = held.get(userId) ?? new Set();
      if (connections.size >= most) return Promise.resolve(false);
      held.set(userId, connections.add(connectionId));
      const grace = leaving.get(userId);
      leaving.delete(userId);
      if (grace) clearTimeout(grace);
      else if (connections.size === 1) listener.onArrived(userId);
      return Promise.resolve(true);
    },
    release(userId, connectionId) {
      const connections = held.get(userId);
      if (!connections?.delete(connectionId) || connections.size > 0) return;
      held.delete(userId);
      listener.onLeft(userId, new Date());
      if (closed) return;
      const grace = setTimeout(() => {
        leaving.delete(userId);
        listener.onGone(userId);
      }, graceMs);
      leaving.set(userId, grace.unref());
    },
    holders: (userIds) => Promise.resolve(new Set(userIds.filter((userId) => held.has(userId)))),
    size: () => [...held.values()].reduce((sum, connections) => sum + connections.size, 0),
    close() {
      closed = true;
      for (const grace of leaving.values()) clearTimeout(grace);
      return Promise.resolve();
    },
  };
}
