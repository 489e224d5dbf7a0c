import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { connectClient } from './connections.ts';

/** Folder of the migrations. The relative path is the same from src/ and from dist/. */
const FOLDER = fileURLToPath(new URL('../../../prisma/migrations', import.meta.url));

/** Advisory lock that is held while migrations are applied. Nodes that start together wait for one another. */
const MIGRATION_LOCK = 72_707_369;
const LOCK_TIMEOUT = '60s';
/**
 * Time for which a migration waits for the lock of a table. Shorter than `deadlock_timeout` (1 s by default), after which
 * PostgreSQL cancels one side of a deadlock, possibly the statement of a running node. It also bounds the time for which
 * statements of running nodes queue behind the migration.
 */
const TABLE_LOCK_TIMEOUT = '500ms';
/** Maximum number of attempts per migration, each after a lock that was not available. About a minute. */
const MAX_ATTEMPTS = 100;
/** Time between two attempts in milliseconds. Statements that have queued behind the migration run meanwhile. */
const ATTEMPT_DELAY_MS = 100;
/** Codes of a deadlock, and of a lock that was not available in time. */
const LOCK_FAILURES = ['40P01', '55P03'];
const MIN_VERSION = 140_000;

/**
 * Applies the missing migrations, each in its own transaction, and returns their names.
 *
 * Records them in `_prisma_migrations`, like `prisma migrate deploy`. Either tool can therefore continue after the
 * other. Unlike Prisma, this function downloads no engine. Applied migrations that this version does not know are
 * ignored, because versions overlap during a rollout.
 *
 * @throws Error if a migration fails or has changed, if another node migrates for over 60 s, or if PostgreSQL is too
 *   old
 */
export async function applyMigrations(databaseUrl: string, folder = FOLDER): Promise<string[]> {
  const client = await connectClient(databaseUrl);
  try {
    await requireVersion(client);
    await client.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`);
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]).catch((error: unknown) => {
      throw new Error(
        `Another node has been migrating the database for over ${LOCK_TIMEOUT}. Try again when the node has finished.`,
        { cause: error },
      );
    });
    await client.query('RESET lock_timeout');
    return await applyMissing(client, folder);
  } finally {
    await client.end();
  }
}

async function applyMissing(client: pg.Client, folder: string): Promise<string[]> {
  await client.query(`
    CREATE TABLE IF NOT EXISTS _prisma_migrations (
      id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at timestamptz,
      migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,
      started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0
    )`);
  const { pending, changed } = await compare(client, folder);
  const [altered] = changed;
  if (altered !== undefined) {
    throw new Error(
      `The migration ${altered} has changed since it was applied. Restore its file, and put the change into a new migration.`,
    );
  }
  for (const { name, text, checksum } of pending) await applyOne(client, name, text, checksum, MAX_ATTEMPTS);
  return pending.map(({ name }) => name);
}

/** Names of the migrations in which a database and this version differ. */
export interface Difference {
  /** Migrations that the database lacks. */
  pending: string[];
  /** Migrations whose file has changed since they were applied. */
  changed: string[];
  /** Applied migrations that this version does not contain, because a newer version applied them. */
  unknown: string[];
}

/** Compares the database with the migrations of this version. Only reads. */
export async function compareMigrations(databaseUrl: string, folder = FOLDER): Promise<Difference> {
  const client = await connectClient(databaseUrl, { acceptStandby: true });
  try {
    const { pending, ...rest } = await compare(client, folder);
    return { ...rest, pending: pending.map(({ name }) => name) };
  } finally {
    await client.end();
  }
}

async function compare(client: pg.Client, folder: string) {
  const { rows: tables } = await client.query(
    // A table of this name in another schema of the search_path belongs to another program.
    `SELECT FROM pg_tables WHERE tablename = '_prisma_migrations' AND schemaname = current_schema()`,
  );
  const { rows } =
    tables.length === 0
      ? { rows: [] }
      : await client.query<{ migration_name: string; checksum: string }>(`
          SELECT migration_name, checksum FROM _prisma_migrations
            WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`);
  const applied = new Map(rows.map((row) => [row.migration_name, row.checksum]));
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const local = await Promise.all(
    names.sort().map(async (name) => {
      const text = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') };
    }),
  );
  return {
    pending: local.filter(({ name }) => !applied.has(name)),
    changed: local
      .filter(({ name, checksum }) => applied.has(name) && applied.get(name) !== checksum)
      .map(({ name }) => name),
    unknown: [...applied.keys()].filter((name) => !names.includes(name)),
  };
}

async function applyOne(
  client: pg.Client,
  name: string,
  text: string,
  checksum: string,
  attemptsLeft: number,
): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(`SET LOCAL lock_timeout = '${TABLE_LOCK_TIMEOUT}'`);
    await lockAlteredTables(client, text);
    await client.query(text);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
        VALUES ($1, $2, $3, clock_timestamp(), 1)`,
      [randomUUID(), checksum, name],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    if (LOCK_FAILURES.includes((error as { code?: string }).code ?? '') && attemptsLeft > 1) {
      await setTimeout(ATTEMPT_DELAY_MS);
      await applyOne(client, name, text, checksum, attemptsLeft - 1);
      return;
    }
    throw new Error(`The migration ${name} failed and was rolled back: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/**
 * Locks the tables that a migration alters before its first statement. Otherwise it could hold the lock of one table for
 * as long as it builds an index, and then deadlock with a statement that has locked another.
 */
async function lockAlteredTables(client: pg.Client, text: string): Promise<void> {
  const names = [...text.matchAll(/^ALTER TABLE (?:ONLY )?(\w+)/gm)].map(([, name]) => name);
  const { rows } = await client.query<{ name: string }>(
    `SELECT quote_ident(tablename) AS name FROM pg_tables
       WHERE schemaname = current_schema() AND tablename = ANY ($1) ORDER BY 1`,
    [names],
  );
  if (rows.length > 0)
    await client.query(`LOCK TABLE ${rows.map(({ name }) => name).join(', ')} IN ACCESS EXCLUSIVE MODE`);
}

async function requireVersion(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ server_version_num: string; server_version: string }>(
    `SELECT current_setting('server_version_num') AS server_version_num, current_setting('server_version') AS server_version`,
  );
  const [version] = rows;
  if (Number(version?.server_version_num) < MIN_VERSION) {
    throw new Error(`The server is PostgreSQL ${version?.server_version}. Upgrade it: Parley needs 14 or newer.`);
  }
}
