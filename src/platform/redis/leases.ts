/**
 * Tracks which users have a connection to any node. Each connection has a lease, which the node of the connection
 * renews. If a node is killed, its leases expire. A user who reconnects within the grace period is not reported as
 * gone.
 */
export interface Leases {
  /** Acquires a lease for a connection. Resolves to false if the user already has `max` leases. */
  acquire(userId: string, connectionId: string, max: number): Promise<boolean>;
  /** Releases the lease of a closed connection. */
  release(userId: string, connectionId: string): void;
  /** Returns those of the given users who have a lease. While Redis is unavailable, returns their last known state. */
  holders(userIds: readonly string[]): Promise<Set<string>>;
  /** Returns the number of leases of this node. */
  size(): number;
  /** Releases all leases of this node. */
  close(): Promise<void>;
}

/** Receives presence changes. Each change is reported to exactly one node. */
export interface LeaseListener {
  /** Called when a user opens a first connection. Not called if the user reconnects within the grace period. */
  onArrived(userId: string): void;
  /**
   * Called when the last connection of a user has closed, at the time `at`. If the node of the connection was killed,
   * `at` is the time of the last renewal.
   */
  onLeft(userId: string, at: Date): void;
  /** Called when the grace period of a user has passed without a new connection. */
  onGone(userId: string): void;
}

/** Duration of a lease, and of the grace period after a user's last connection, in milliseconds. */
export interface LeaseTimes {
  leaseMs: number;
  graceMs: number;
}

/** Creates the leases of a single node without Redis. */
export function createMemoryLeases(listener: LeaseListener, { graceMs }: LeaseTimes): Leases {
  const held = new Map<string, Set<string>>();
  const leaving = new Map<string, NodeJS.Timeout>();

  return {
    acquire(userId, connectionId, max) {
      const connections = held.get(userId) ?? new Set();
      if (connections.size >= max) return Promise.resolve(false);
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
      const grace = setTimeout(() => {
        leaving.delete(userId);
        listener.onGone(userId);
      }, graceMs);
      leaving.set(userId, grace.unref());
    },
    holders: (userIds) => Promise.resolve(new Set(userIds.filter((userId) => held.has(userId)))),
    size: () => [...held.values()].reduce((sum, connections) => sum + connections.size, 0),
    close() {
      for (const grace of leaving.values()) clearTimeout(grace);
      leaving.clear();
      const userIds = [...held.keys()];
      held.clear();
      for (const userId of userIds) listener.onLeft(userId, new Date());
      return Promise.resolve();
    },
  };
}
