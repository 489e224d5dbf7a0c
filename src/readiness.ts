import { type Database, sql } from './database/database.ts';

/** How long an answer is shared by all who ask. Anybody may ask for it, so the number of callers must cost nothing. */
const SHARED_MS = 1_000;

/**
 * Creates a function that returns why nothing can be written to the database, or null if it can. Asks the database at most
 * once a second.
 */
export function createReadiness(database: Database): () => Promise<string | null> {
  let latest: { askedAt: number; pending: boolean; answer: Promise<string | null> } | undefined;
  return () => {
    if (latest && (latest.pending || performance.now() - latest.askedAt < SHARED_MS)) return latest.answer;
    const current = { askedAt: performance.now(), pending: true, answer: findReason(database) };
    latest = current;
    void current.answer.then(() => (current.pending = false));
    return current.answer;
  };
}

async function findReason(database: Database): Promise<string | null> {
  try {
    const [found] = await database.query<{ readonly: boolean }>(
      sql`SELECT current_setting('transaction_read_only')::boolean AS readonly`,
    );
    return found?.readonly ? 'The database is read-only: nothing can be written.' : null;
  } catch (error) {
    return (error as Error).name === 'StandbyError' ? (error as Error).message : 'The database does not answer.';
  }
}
