import { type Database, sql } from '../platform/database/database.ts';

/**
 * How long a result is cached, in milliseconds. Cached because the endpoint is public, and many requests must not cause
 * many queries.
 */
const CACHE_TTL_MS = 1_000;

/**
 * Creates a function that checks whether the database accepts writes. The function resolves to null if writes are
 * accepted, and otherwise to the reason. The database is queried at most once a second.
 */
export function createReadiness(database: Database): () => Promise<string | null> {
  let latest: { startedAt: number; pending: boolean; reason: Promise<string | null> } | undefined;
  return () => {
    if (latest && (latest.pending || performance.now() - latest.startedAt < CACHE_TTL_MS)) return latest.reason;
    const current = { startedAt: performance.now(), pending: true, reason: findReason(database) };
    latest = current;
    void current.reason.then(() => (current.pending = false));
    return current.reason;
  };
}

async function findReason(database: Database): Promise<string | null> {
  try {
    const [found] = await database.query<{ readonly: boolean }>(
      sql`SELECT current_setting('transaction_read_only')::boolean AS readonly`,
    );
    return found?.readonly ? 'The database is read-only: nothing can be written.' : null;
  } catch (error) {
    return (error as Error).name === 'StandbyError' ? (error as Error).message : 'The database does not respond.';
  }
}
