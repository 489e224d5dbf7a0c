import pg from 'pg';
import { waitFor } from '../waiting.ts';
import { parseDatabaseUrl } from '../../core/config/databaseUrl.ts';
import { connectClient } from './connections.ts';
import { explainConnectionFailure, isTransientDatabaseFailure } from './failures.ts';

/**
 * Connects to PostgreSQL. Retries while the server is not up yet, or is a standby that may be promoted.
 *
 * @throws Error with a sentence that says what is wrong and what to do
 */
export async function waitForDatabase(url: string, print: (line: string) => void, waitMs?: number): Promise<pg.Client> {
  const { host, port } = parseDatabaseUrl(url).options;
  const explain = (error: unknown) => explainConnectionFailure(error, url);
  try {
    return await waitFor(() => connectClient(url, { connectionTimeoutMillis: 5_000, query_timeout: 10_000 }), {
      name: `PostgreSQL at ${host ?? 'localhost'}:${port ?? pg.defaults.port ?? 5432}`,
      isTransient: isTransientDatabaseFailure,
      explain,
      print,
      ...(waitMs === undefined ? {} : { waitMs }),
    });
  } catch (error) {
    throw new Error(explain(error), { cause: error });
  }
}
