import type pg from 'pg';
import type { Config } from '../../core/config/settings.ts';
import { compareMigrations } from '../../platform/database/migrations.ts';
import { connectClient } from '../../platform/database/connections.ts';
import { explainConnectionFailure } from '../../platform/database/failures.ts';
import { examineRequirements } from '../../platform/database/requirements.ts';
import { fault, type Finding, ok, warning } from '../../core/findings.ts';
import { MAX_JOB_CONNECTIONS } from '../../platform/jobQueue.ts';
import { examineClock, measure } from './measure.ts';

/** Round trip to the database, in milliseconds, above which `doctor` warns. A message needs several round trips. */
const SLOW_MS = 10;

/**
 * Maximum number of connections of a node in addition to its pool: those of its jobs, and the one of `requireSoleNode`.
 */
const OTHER_CONNECTIONS = MAX_JOB_CONNECTIONS + 1;

/** Checks a database without changing it. Works on any database, even without Parley's tables. */
export async function examineDatabase(databaseUrl: string, config: Config): Promise<Finding[]> {
  let client: pg.Client;
  try {
    client = await connectClient(databaseUrl, {
      connectionTimeoutMillis: 5_000,
      query_timeout: 10_000,
      acceptStandby: true,
    });
  } catch (error) {
    return [fault(explainConnectionFailure(error, databaseUrl))];
  }
  try {
    return [
      ...(await examineServer(client, config)),
      ...(await examineRequirements(client, databaseUrl, { migrates: config.MIGRATE_ON_START === 'on' })),
      ...(await examineConnection(client)),
      ...(await examineMigrations(databaseUrl)),
      ...(await examineContents(client)),
    ];
  } finally {
    await client.end();
  }
}

async function examineServer(client: pg.Client, config: Config): Promise<Finding[]> {
  const names = [
    ...['server_version_num', 'server_version', 'fsync', 'full_page_writes', 'synchronous_commit'],
    ...['max_connections', 'superuser_reserved_connections', 'autovacuum'],
  ];
  const { rows } = await client.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY($1)',
    [names],
  );
  const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
  const { fsync, full_page_writes: wholePages, synchronous_commit: commit = '' } = settings;
  const connections = Number(settings['max_connections']) - Number(settings['superuser_reserved_connections']);
  const perNode = config.DATABASE_POOL_SIZE + OTHER_CONNECTIONS;
  const nodes = Math.floor(connections / perNode);
  const { rows: replicas } = await client.query<{ replica: boolean }>('SELECT pg_is_in_recovery() AS replica');
  return [
    Number(settings['server_version_num']) < 140_000
      ? fault(`PostgreSQL is ${settings['server_version']}. Install 14 or newer.`)
      : ok(`PostgreSQL is ${settings['server_version']}.`),
    ...(replicas[0]?.replica
      ? [fault('This is a replica: nothing can be written. Point DATABASE_URL at the primary.')]
      : []),
    fsync === 'on' && wholePages === 'on'
      ? ok('Commits are flushed to disk.')
      : fault('fsync or full_page_writes is off: a crash may ruin the whole database. Turn both on.'),
    commit === 'off'
      ? fault('synchronous_commit is off: a message that was acknowledged may be lost in a crash. Turn it on.')
      : ok(`synchronous_commit is ${commit}: acknowledged messages have been committed.`),
    nodes < 2
      ? warning(
          `The database allows ${connections} connections, and a node uses ${perNode}. Raise max_connections, or lower DATABASE_POOL_SIZE.`,
        )
      : ok(`The database allows ${connections} connections, enough for ${nodes} nodes with ${perNode} each.`),
    ...(settings['autovacuum'] === 'off' ? [warning('autovacuum is off: tables grow and slow down. Turn it on.')] : []),
  ];
}

async function examineConnection(client: pg.Client): Promise<Finding[]> {
  const { ms, result, at } = await measure(async () => {
    const { rows } = await client.query<{ now: string }>('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now');
    return rows[0];
  });
  return [
    ms > SLOW_MS
      ? warning(
          `A round trip to the database takes ${ms.toFixed(1)} ms, and each message needs several. Move the nodes closer to it.`,
        )
      : ok(`A round trip to the database takes ${ms.toFixed(1)} ms.`),
    examineClock('the database', Number(result?.now), at, ms / 2),
  ];
}

async function examineMigrations(databaseUrl: string): Promise<Finding[]> {
  const difference = await compareMigrations(databaseUrl).catch((error: unknown) => error as Error);
  if (difference instanceof Error)
    return [fault(`The applied migrations cannot be read: ${difference.message}. Grant SELECT on _prisma_migrations.`)];
  const { pending, changed, unknown } = difference;
  return [
    ...(pending.length > 0 ? [fault(`The database lacks ${pending.join(', ')}. Run: npm run migrate`)] : []),
    ...(changed.length > 0
      ? [fault(`The database has a different version of ${changed.join(', ')}. Restore the files of those migrations.`)]
      : []),
    ...(unknown.length > 0
      ? [warning(`The database has migrations of a newer version: ${unknown.join(', ')}. Upgrade this node.`)]
      : []),
    ...(pending.length + changed.length + unknown.length === 0 ? [ok('All migrations are applied.')] : []),
  ];
}

/** SQLSTATE of a query on a table that does not exist. */
const UNDEFINED_TABLE = '42P01';

/** Checks for a restored backup, a long write transaction and failed jobs. */
async function examineContents(client: pg.Client): Promise<Finding[]> {
  return [
    ...(await runCheck<{ found: boolean }>(client, {
      subject: 'The log of the rooms',
      query: `SELECT EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())) AS found`,
      examine: ({ found }) =>
        found
          ? fault(
              'The log has transaction ids that this database server has not reached yet: a backup was loaded. Stop the nodes and run: npm run admin -- restored',
            )
          : null,
    })),
    ...(await runCheck<{ minutes: number; pid: number }>(client, {
      subject: 'The list of open transactions',
      query: `SELECT extract(epoch FROM now() - xact_start)::int / 60 AS minutes, pid FROM pg_stat_activity
        WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '5 minutes' ORDER BY xact_start LIMIT 1`,
      examine: ({ minutes, pid }) =>
        warning(
          `A write transaction (pid ${pid}) has been open for ${minutes} minutes. Each poll of the nodes reads all changes since then. End it.`,
        ),
    })),
    ...(await runCheck<{ count: number; ids: string; error: string }>(client, {
      subject: 'The list of deleted files',
      query: `SELECT count(*)::int AS count, array_to_string((array_agg(id ORDER BY created_at))[1:10], ', ') AS ids,
          max(last_error) AS error FROM (
        SELECT j.payload->>'attachmentId' AS id, j.created_at, j.last_error
          FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id
          WHERE t.identifier = 'delete_file' AND j.attempts >= j.max_attempts) failed`,
      examine: ({ count, ids, error }) =>
        count === 0
          ? null
          : fault(
              `The bytes of ${count} deleted attachments or link previews could not be deleted for three days (${error}): ${ids}${count > 10 ? ', …' : ''}. Correct the file store, and run: npm run admin -- files --clean`,
            ),
    })),
    ...(await runCheck<{ count: number; example: string; error: string }>(client, {
      subject: 'The list of webhooks',
      query: `SELECT count(*)::int AS count, min(name) AS example, min(error) AS error FROM (
        SELECT concat(w.service, '/', w.name) AS name, coalesce(w.error, min(k.last_error)) AS error
          FROM webhooks w LEFT JOIN webhook_cursors k ON k.webhook_id = w.id AND k.failed
          WHERE w.state = 'FAILED' OR k.failed GROUP BY w.id) failed`,
      examine: ({ count, example, error }) =>
        count > 0
          ? warning(
              `${count} webhooks have failed, for example ${example}: ${error} Their services continue them with resumeWebhook. See: npm run admin -- list-webhooks`,
            )
          : null,
    })),
    ...(await runCheck<{ count: number; error: string | null }>(client, {
      subject: 'The job queue',
      query: `SELECT count(*)::int AS count, max(last_error) AS error FROM graphile_worker.jobs WHERE attempts >= max_attempts`,
      examine: ({ count, error }) =>
        count > 0
          ? warning(
              `${count} jobs have failed and will not be retried, for example with: ${error?.split('\n')[0] ?? 'no error'}. See graphile_worker.jobs.`,
            )
          : null,
    })),
  ];
}

/** Check of the data that Parley has stored. */
interface DataCheck<Row> {
  /** Name of the data that the query reads, for the message if the query fails. */
  subject: string;
  query: string;
  /** Returns the finding about the first row; null if there is nothing to report. Not called without a row. */
  examine: (row: Row) => Finding | null;
}

/**
 * Runs a check. Skips it if the table does not exist. Any other failure of the query is a fault, because the check has
 * not been made.
 */
async function runCheck<Row extends object>(
  client: pg.Client,
  { subject, query, examine }: DataCheck<Row>,
): Promise<Finding[]> {
  try {
    const { rows } = await client.query<Row>(query);
    const finding = rows[0] ? examine(rows[0]) : null;
    return finding ? [finding] : [];
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === UNDEFINED_TABLE) return [];
    return [fault(`${subject} cannot be read: ${message}. Fix the cause, then run doctor again.`)];
  }
}
