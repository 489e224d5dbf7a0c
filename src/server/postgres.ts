import { ConfigError } from '../core/config/config.ts';
import type { Config } from '../core/config/settings.ts';
import { startEmbeddedPostgres } from '../platform/database/embedded.ts';
import { openDatabase } from '../platform/database/database.ts';
import { applyMigrations, compareMigrations } from '../platform/database/migrations.ts';
import { examineRequirements } from '../platform/database/requirements.ts';
import { waitForDatabase } from '../platform/database/waiting.ts';
import { migrateJobs } from '../platform/jobQueue.ts';
import { fillSkeletons, renewEmailKeys } from '../features/users/keys.ts';

/** The PostgreSQL server that a node or a command uses. */
export interface Postgres {
  url: string;
  /** Version and data folder of the embedded PostgreSQL. Absent for a configured PostgreSQL. */
  embedded?: string;
  stop(): Promise<void>;
}

/**
 * Returns the configured PostgreSQL, or starts the embedded PostgreSQL if none is configured.
 *
 * @param share whether to use an embedded PostgreSQL that another Parley process owns; set by commands, but not by
 *   nodes
 */
export async function openPostgres(config: Config, print: (line: string) => void, share: boolean): Promise<Postgres> {
  if (config.DATABASE_URL !== undefined) return { url: config.DATABASE_URL, stop: () => Promise.resolve() };
  const postgres = await startEmbeddedPostgres({ dataDir: config.DATA_DIR, log: print, share });
  return {
    url: postgres.url,
    embedded: `${postgres.version}, embedded; data in ${postgres.folder}`,
    stop: () => postgres.stop(),
  };
}

/**
 * Waits until the database is up, and checks that a node can run on it.
 *
 * @param migrates whether migrations will be applied, which requires more privileges
 * @throws ConfigError one line per fault: what is wrong and what to do
 */
export async function requireUsable(
  databaseUrl: string,
  { migrates, print }: { migrates: boolean; print: (line: string) => void },
): Promise<void> {
  const client = await waitForDatabase(databaseUrl, print);
  try {
    const findings = await examineRequirements(client, databaseUrl, { migrates });
    const faults = findings.filter(({ level }) => level === 'fault').map(({ text }) => text);
    if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  } finally {
    await client.end();
  }
}

/**
 * Applies all pending migrations, including those of the job queue, and computes name skeletons and e-mail keys that
 * are missing or outdated. Returns the names of Parley's applied migrations.
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  const applied = await applyMigrations(databaseUrl);
  await migrateJobs(databaseUrl);
  const database = await openDatabase(databaseUrl, { poolSize: 1 });
  try {
    await fillSkeletons(database);
    await renewEmailKeys(database);
  } finally {
    await database.close();
  }
  return applied;
}

/**
 * Checks that all migrations are applied.
 *
 * @throws ConfigError if a migration is missing
 */
export async function requireMigrated(databaseUrl: string): Promise<void> {
  const { pending } = await compareMigrations(databaseUrl);
  if (pending.length === 0) return;
  throw new ConfigError(`The database lacks these migrations: ${pending.join(', ')}. Run: npm run migrate`);
}
