import { type Database, sql } from '../database/database.ts';
import type { MaybePromise } from '../realtime/pull.ts';
import type { Sweep } from '../realtime/sweep.ts';

/** Who has blocked whom, kept in memory for streams, which ask for each event and each subscriber. */
export interface Blockers {
  /** Those who have blocked a user; as it is, or was a second ago. */
  of(userId: string): MaybePromise<ReadonlySet<string>>;
  close(): void;
}

/** How many users' blockers are kept. */
const MOST_KEPT = 10_000;

/** The blockers of one node. It hears of changes from the sweep. */
export function createBlockers({ database, sweep }: { database: Database; sweep: Sweep }): Blockers {
  const kept = new Map<string, MaybePromise<ReadonlySet<string>>>();
  const close = sweep.listen(({ ended }) => {
    for (const id of ended) kept.delete(id);
  });

  async function load(userId: string): Promise<ReadonlySet<string>> {
    const rows = await database.query<{ id: string }>(sql`
      SELECT blocker_id AS id FROM blocks WHERE blocked_id = ${userId}::uuid`);
    return new Set(rows.map(({ id }) => id));
  }

  return {
    of(userId) {
      const known = kept.get(userId);
      if (known) return known;
      // A change while it loads takes the promise out of what is kept, and the next one asks anew.
      const loading = load(userId);
      kept.set(userId, loading);
      loading.then(
        (blockers) => kept.get(userId) === loading && kept.set(userId, blockers),
        () => kept.delete(userId),
      );
      const [oldest] = kept.keys();
      if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
      return loading;
    },
    close,
  };
}
