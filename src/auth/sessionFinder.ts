import { LRUCache } from 'lru-cache';
import type { AccessClaims, ServerNode } from '../core/context.ts';
import { createBatcher } from '../core/batcher.ts';
import { sql } from '../platform/database/database.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    findSession: SessionFinder;
  }
}

/** An active session. */
interface FoundSession {
  /** Database snapshot of the check; see `RoomCursor.asOf`. Null unless the caller needs one. */
  asOf: string | null;
}

/**
 * Checks the session of an access token. Returns null if the session has ended.
 *
 * @param needsSnapshot whether to return a database snapshot, which is taken by the statement that checks the session.
 *   The caller must not read anything else before this snapshot.
 */
export type SessionFinder = (claims: AccessClaims, needsSnapshot: boolean) => Promise<FoundSession | null>;

/**
 * Maximum lag of the change poller at which the cache is used, in milliseconds. An ended session is refused everywhere
 * after this time, even if no notification arrives.
 */
const MAX_LAG_MS = 1_000;
/**
 * Maximum time between the check of a session and the use of its cache entry, in milliseconds. Bounds the effect of an
 * end that the change poller does not report, such as a row that was changed with triggers off.
 */
const MAX_AGE_MS = 10_000;
/** Maximum number of cached sessions. A node serves about 2,000 operations a second, so at most this many in 10 s. */
const MAX_ENTRIES = 20_000;

interface Check {
  claims: AccessClaims;
  needsSnapshot: boolean;
}

/**
 * Creates the session finder of a node. It caches active sessions until the change poller reports their end.
 *
 * While the poller lags by a second or more, each session is checked in the database. The lag is infinite from a request
 * to poll until that poll has succeeded, so a session that ends on this node is refused at once (decision 18).
 *
 * Checks that arrive together share one statement.
 */
export function createSessionFinder({
  database,
  changePoller,
}: Pick<ServerNode, 'database' | 'changePoller'>): SessionFinder {
  /** User ids by session id. */
  const active = new LRUCache<string, string>({ max: MAX_ENTRIES, ttl: MAX_AGE_MS });
  /** Session ids of each running statement. */
  const running = new Set<Set<string>>();

  changePoller.listen(({ ended }) => {
    for (const id of ended) {
      active.delete(id);
      // The statement may have read the session before its end. No later poll reports the end again.
      for (const ids of running) ids.delete(id);
    }
  });

  const check = createBatcher<Check, FoundSession | null>(
    async (checks) => {
      const ids = new Set(checks.map(({ claims }) => claims.sessionId));
      const start = performance.now();
      running.add(ids);
      try {
        const rows = await database.prepared<{ id: string; userId: string; asOf: string | null }>(sql`
          SELECT id, user_id AS "userId",
                 (SELECT CASE WHEN ${checks.some(({ needsSnapshot }) => needsSnapshot)}::boolean
                    THEN flushed_snapshot()::text END) AS "asOf"
            FROM sessions WHERE id = ANY (${[...ids]}::uuid[]) AND ended_at IS NULL`);
        const found = new Map(rows.map((row) => [row.id, row]));
        for (const id of ids) {
          const session = found.get(id);
          if (session) active.set(id, session.userId, { start });
          else active.delete(id);
        }
        return checks.map(({ claims, needsSnapshot }) => {
          const session = found.get(claims.sessionId);
          if (session?.userId !== claims.userId) return null;
          return { asOf: needsSnapshot ? session.asOf : null };
        });
      } finally {
        running.delete(ids);
      }
    },
    { concurrency: 2, maxBatchSize: 100 },
  );

  return async (claims, needsSnapshot) => {
    const isCached =
      !needsSnapshot && changePoller.lag() < MAX_LAG_MS && active.get(claims.sessionId) === claims.userId;
    return isCached ? { asOf: null } : check({ claims, needsSnapshot });
  };
}
