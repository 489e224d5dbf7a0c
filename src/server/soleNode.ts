import { setTimeout as wait } from 'node:timers/promises';
import { ConfigError } from '../core/config/config.ts';
import type { Config } from '../core/config/settings.ts';
import { connectClient } from '../platform/database/connections.ts';

/** Time that a starting node waits for another node to end, in milliseconds. A restart can overlap with its predecessor. */
const TIMEOUT_MS = 10_000;
const INTERVAL_MS = 500;

/**
 * Checks that no other node runs on the database, if files are stored on the disk of this node in production. Another
 * node could not read them.
 *
 * @throws ConfigError if another node is running
 */
export async function requireSoleNode(
  { NODE_ENV, FILES }: Pick<Config, 'NODE_ENV' | 'FILES'>,
  databaseUrl: string,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  if (NODE_ENV !== 'production' || FILES !== 'disk') return;
  const client = await connectClient(databaseUrl);
  const deadline = Date.now() + timeoutMs;
  try {
    while (await isNodeRunning(client)) {
      if (Date.now() > deadline)
        throw new ConfigError(
          'FILES=disk works with one node only, and another node runs on this database. Set FILES=s3 with the S3 settings on all nodes, or FILES=off.',
        );
      await wait(INTERVAL_MS);
    }
  } finally {
    await client.end();
  }
}

async function isNodeRunning(client: Awaited<ReturnType<typeof connectClient>>): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parley jobs' LIMIT 1`,
  );
  return rows.length > 0;
}
