import { type Database, sql } from '../../platform/database/database.ts';
import type { MaybePromise } from '../../delivery/source.ts';
import type { ChangePoller } from '../../delivery/changePoller.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    /** Cache of blocks, for subscriptions. */
    blockCache: BlockCache;
  }
}

/** In-memory cache of blocks. Without the cache, subscriptions would query the blocks for each event and subscriber. */
export interface BlockCache {
  /** Returns the ids of users who have blocked a user. The result may be one second old. */
  of(userId: string): MaybePromise<ReadonlySet<string>>;
  close(): void;
}

/** Maximum number of users whose blockers are cached. Beyond this number, the oldest entry is evicted. */
const MAX_ENTRIES = 10_000;

/**
 * Creates the block cache of one node. The change poller invalidates the entries of users whose blocks have changed.
 */
export function createBlockCache({
  database,
  changePoller,
}: {
  database: Database;
  changePoller: ChangePoller;
}): BlockCache {
  const entries = new Map<string, MaybePromise<ReadonlySet<string>>>();
  const close = changePoller.listen(({ ended }) => {
    for (const id of ended) entries.delete(id);
  });

  async function load(userId: string): Promise<ReadonlySet<string>> {
    const rows = await database.query<{ id: string }>(sql`
      SELECT blocker_id AS id FROM blocks WHERE blocked_id = ${userId}::uuid`);
    return new Set(rows.map(({ id }) => id));
  }

  return {
    of(userId) {
      const cached = entries.get(userId);
      if (cached) return cached;
      // If somebody blocks or unblocks the user during the query, the listener above evicts this promise. The outdated
      // result is then not cached, and the next call queries the database again.
      const loading = load(userId);
      entries.set(userId, loading);
      loading.then(
        (blockers) => entries.get(userId) === loading && entries.set(userId, blockers),
        () => entries.delete(userId),
      );
      const [oldest] = entries.keys();
      if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest);
      return loading;
    },
    close,
  };
}
