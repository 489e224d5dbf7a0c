import { ConfigError, type Config } from './config.ts';
import { startEmbeddedPostgres } from './database/embedded.ts';
import { openDatabase } from './database/database.ts';
import { applyMigrations, compareMigrations } from './database/migrations.ts';
import { examineRequirements } from './database/requirements.ts';
import { waitForDatabase } from './database/waiting.ts';
import { migrateJobs } from './jobs.ts';
import { fillSkeletons, renewEmailKeys } from './users/keys.ts';

/** The PostgreSQL that a command works on. */
export interface Postgres {
  url: string;
  /** What the embedded one is and where its data lives. */
  embedded?: string;
  stop(): Promise<void>;
}

/**
 * The configured PostgreSQL, or the embedded one.
 *
 * @param share whether to work beside a node that runs on the embedded one, as commands do
 */
export async function openPostgres(config: Config, say: (line: string) => void, share: boolean): Promise<Postgres> {
  if (config.DATABASE_URL !== undefined) return { url: config.DATABASE_URL, stop: () => Promise.resolve() };
  const postgres = await startEmbeddedPostgres({ dataDir: config.DATA_DIR, log: say, share });
  return {
    url: postgres.url,
    embedded: `${postgres.version}, embedded; data in ${postgres.folder}`,
    stop: () => postgres.stop(),
  };
}

/**
 * Waits for a database that is not up yet, and refuses one that no node can work on.
 *
 * @param migrates whether migrations will be applied, which takes more rights
 * @throws ConfigError a sentence for each fault: what is wrong and what to do
 */
export async function requireUsable(
  databaseUrl: string,
  { migrates, say }: { migrates: boolean; say: (line: string) => void },
): Promise<void> {
  const client = await waitForDatabase(databaseUrl, say);
  try {
    const findings = await examineRequirements(client, databaseUrl, { migrates });
    const faults = findings.filter(({ level }) => level === 'fault').map(({ text }) => text);
    if (faults.length > 0) throw new ConfigError(faults.join('\n'));
  } finally {
    await client.end();
  }
}

/** Brings a database up to this version, with the queue's own tables. Answers the migrations that it lacked. */
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

/** @throws ConfigError where the database lacks something that this version needs */
export async function requireMigrated(databaseUrl: string): Promise<void> {
  const { pending } = await compareMigrations(databaseUrl);
  if (pending.length === 0) return;
  throw new ConfigError(`The database lacks ${pending.join(', ')}. Run this first: npm run migrate`);
}
