import type pg from 'pg';
import type { Config } from '../config.ts';
import { compareMigrations } from '../database/migrations.ts';
import { connectClient } from '../database/connections.ts';
import { explainConnectionFailure } from '../database/failures.ts';
import { examineRequirements } from '../database/requirements.ts';
import { fault, type Finding, ok, warning } from '../findings.ts';
import { examineClock, measure } from './doctor.ts';

const SLOW_MS = 10;
/** Beside its pool, a node has at most five connections for jobs. */
const OTHER_CONNECTIONS = 5;

/** Looks at a database without changing it, and without taking for granted that anything in it is as it should be. */
export async function examineDatabase(databaseUrl: string, config: Config): Promise<Finding[]> {
  let client: pg.Client;
  try {
    client = await connectClient(databaseUrl, {
      ...{ connectionTimeoutMillis: 5_000, query_timeout: 10_000, acceptStandby: true },
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
  const names = ['server_version_num', 'server_version', 'fsync', 'full_page_writes', 'synchronous_commit'];
  const more = ['max_connections', 'superuser_reserved_connections', 'autovacuum'];
  const { rows } = await client.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY($1)',
    [[...names, ...more]],
  );
  const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
  const { fsync, full_page_writes: wholePages, synchronous_commit: commit = '' } = settings;
  const connections = Number(settings['max_connections']) - Number(settings['superuser_reserved_connections']);
  const perNode = config.DATABASE_POOL_SIZE + OTHER_CONNECTIONS;
  const nodes = Math.floor(connections / perNode);
  const { rows: replicas } = await client.query<{ replica: boolean }>('SELECT pg_is_in_recovery() AS replica');
  return [
    Number(settings['server_version_num']) < 140_000
      ? fault(`PostgreSQL is ${settings['server_version']}. Parley needs 14 or newer.`)
      : ok(`PostgreSQL is ${settings['server_version']}.`),
    ...(replicas[0]?.replica
      ? [fault('This is a replica: nothing can be written. Point DATABASE_URL at the primary.')]
      : []),
    fsync === 'on' && wholePages === 'on'
      ? ok('What is committed is flushed to disk.')
      : fault('fsync or full_page_writes is off: a crash may ruin the whole database. Turn both on.'),
    commit === 'off'
      ? fault('synchronous_commit is off: a message that was acknowledged may be lost in a crash. Turn it on.')
      : ok(`synchronous_commit is ${commit}: what is acknowledged has been committed.`),
    nodes < 2
      ? warning(
          `It takes ${connections} connections, and a node ${perNode}. Raise max_connections, or lower DATABASE_POOL_SIZE.`,
        )
      : ok(`It takes ${connections} connections, enough for ${nodes} nodes of ${perNode}.`),
    ...(settings['autovacuum'] === 'off' ? [warning('autovacuum is off: tables grow and slow down. Turn it on.')] : []),
  ];
}

async function examineConnection(client: pg.Client): Promise<Finding[]> {
  const { ms, answer, at } = await measure(async () => {
    const { rows } = await client.query<{ now: string }>('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now');
    return rows[0];
  });
  return [
    ms > SLOW_MS
      ? warning(
          `A statement takes ${ms.toFixed(1)} ms there and back, and each message some. Bring the nodes nearer to it.`,
        )
      : ok(`A statement takes ${ms.toFixed(1)} ms there and back.`),
    examineClock('the database', Number(answer?.now), at, ms / 2),
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
      ? [
          fault(
            `The database has another ${changed.join(', ')} than this version. Restore the files of those migrations.`,
          ),
        ]
      : []),
    ...(unknown.length > 0
      ? [warning(`The database has ${unknown.join(', ')} of a newer version. Upgrade this node.`)]
      : []),
    ...(pending.length + changed.length + unknown.length === 0 ? [ok('All migrations are applied.')] : []),
  ];
}

/** What says that nodes have trouble, as far as the tables are there. */
async function examineContents(client: pg.Client): Promise<Finding[]> {
  const foreign = await one<{ found: boolean }>(
    client,
    `SELECT EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())) AS found`,
  );
  const oldest = await one<{ minutes: number; pid: number }>(
    client,
    `SELECT extract(epoch FROM now() - xact_start)::int / 60 AS minutes, pid FROM pg_stat_activity
      WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '5 minutes' ORDER BY xact_start LIMIT 1`,
  );
  const stuck = await one<{ count: number; error: string }>(
    client,
    `SELECT count(*)::int AS count, max(last_error) AS error FROM graphile_worker.jobs WHERE attempts >= max_attempts`,
  );
  return [
    ...(foreign?.found
      ? [
          fault(
            'The log has transactions that this server has yet to see: a backup was loaded. Stop the nodes and run: npm run admin -- restored',
          ),
        ]
      : []),
    ...(oldest
      ? [
          warning(
            `A transaction (pid ${oldest.pid}) has been writing for ${oldest.minutes} minutes: each second, nodes look at all that happened since. End it.`,
          ),
        ]
      : []),
    ...(stuck && stuck.count > 0
      ? [
          warning(
            `${stuck.count} jobs have failed for the last time, such as with: ${stuck.error.split('\n')[0]}. See graphile_worker.jobs.`,
          ),
        ]
      : []),
  ];
}

/** Undefined also where the table is not there yet. */
async function one<Row extends object>(client: pg.Client, text: string): Promise<Row | undefined> {
  const { rows } = await client.query<Row>(text).catch(() => ({ rows: [] }));
  return rows[0];
}
