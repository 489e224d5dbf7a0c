import { setTimeout as wait } from 'node:timers/promises';
import { ConfigError } from '../core/config/config.ts';
import type { Config } from '../core/config/settings.ts';
import { connectClient } from '../platform/database/connections.ts';

/** Time that a starting node waits for another node to end, in milliseconds. A restart can overlap with its predecessor. */
const TIMEOUT_MS = 10_000;
const INTERVAL_MS = 500;
/** Advisory lock of the node with FILES=disk. Nodes that start at the same time do not see each other yet. */
const SOLE_NODE_LOCK = 5_170_422_903;

/**
 * Checks that no other node runs on the database, if files are stored on the disk of this node in production. Another
 * node could not read them.
 *
 * @returns a function that lets another node start
 * @throws ConfigError if another node is running
 */
export async function requireSoleNode(
  { NODE_ENV, FILES }: Pick<Config, 'NODE_ENV' | 'FILES'>,
  databaseUrl: string,
  timeoutMs = TIMEOUT_MS,
): Promise<() => Promise<void>> {
  if (NODE_ENV !== 'production' || FILES !== 'disk') return () => Promise.resolve();
  const client = await connectClient(databaseUrl, { keepAlive: true });
  const deadline = Date.now() + timeoutMs;
  try {
    while (!(await isSoleNode(client))) {
      if (Date.now() > deadline)
        throw new ConfigError(
          'FILES=disk works with one node only, and another node runs on this database. Set FILES=s3 with the S3 settings on all nodes, or FILES=off.',
        );
      await wait(INTERVAL_MS);
    }
    // The lock ends with the connection.
    return () => client.end();
  } catch (error) {
    await client.end();
    throw error;
  }
}

/** Takes the lock, and returns whether this node has the lock and no other node runs jobs. */
async function isSoleNode(client: Awaited<ReturnType<typeof connectClient>>): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean; others: boolean }>(
    // Nodes of the previous release, and those whose connection with the lock broke, have no lock.
    `SELECT pg_try_advisory_lock($1) AS locked, EXISTS (SELECT FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'parley jobs') AS others`,
    [SOLE_NODE_LOCK],
  );
  return rows[0]?.locked === true && !rows[0].others;
}
