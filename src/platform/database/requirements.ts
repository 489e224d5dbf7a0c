import type pg from 'pg';
import { fault, type Finding, ok } from '../../core/findings.ts';
import { connectClient } from './connections.ts';

/**
 * Checks the encoding, schema, privileges and write access that a node needs. Also checks that a pooler, such as
 * PgBouncer, pools by session. Only reads.
 *
 * @param migrates whether the role must be able to apply migrations
 */
export async function examineRequirements(
  client: pg.Client,
  url: string,
  { migrates }: { migrates: boolean },
): Promise<Finding[]> {
  return [
    ...(await examineEncoding(client)),
    ...(await examineSchema(client, migrates)),
    ...(await examineWrites(client)),
    ...(await examinePooling(client, url)),
  ];
}

async function examineEncoding(client: pg.Client): Promise<Finding[]> {
  const { encoding, name } = await queryRow<{ encoding: string; name: string }>(
    client,
    `SELECT current_setting('server_encoding') AS encoding, current_database() AS name`,
  );
  return encoding === 'UTF8'
    ? [ok('The encoding is UTF8.')]
    : [
        fault(
          `The encoding of the database ${name} is ${encoding}, which cannot store every text. Create one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move the data with pg_dump.`,
        ),
      ];
}

interface SchemaState {
  schema: string | null;
  path: string;
  role: string;
  database: string;
  /** Whether the schema contains Parley's tables. */
  installed: boolean;
  owned: boolean;
  /** Another schema that contains Parley's tables, or null. */
  elsewhere: string | null;
  may_create: boolean;
  may_create_schema: boolean;
  queue: boolean;
  may_use_queue: boolean;
  closed: string[] | null;
}

/** Tables that nodes write to. */
const TABLES = [
  ...[
    'admins',
    'audit_entries',
    'blocks',
    'bot_runs',
    'bots',
    'chatrooms',
    'endings',
    'events',
    'external_token_cutoffs',
    'friend_requests',
    'friendships',
    'identities',
    'incoming_webhooks',
    'mail_tokens',
  ],
  ...['members', 'messages', 'push_devices', 'reactions', 'refresh_tokens', 'service_tokens', 'sessions', 'users'],
  ...['webhook_cursors', 'webhooks'],
];
/** Tables that nodes only read. */
const READ_TABLES = ['_prisma_migrations', 'restorations'];
/**
 * Number of tables that the first migration creates. A schema with fewer of Parley's tables belongs to another program.
 */
const FIRST_TABLES = 9;

const SCHEMA_STATE = `
  WITH tables AS (
      SELECT c.oid, c.relname, c.relowner, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p')
          AND (c.relname = ANY ($1) OR c.relname = ANY ($2) OR n.nspname = 'graphile_worker' AND c.relname LIKE '\\_private\\_%')),
    ours AS (
      SELECT nspname, bool_and(pg_has_role(relowner, 'USAGE')) AS owned FROM tables
        WHERE nspname <> 'graphile_worker' AND relname = ANY ($1) GROUP BY nspname HAVING count(*) >= $3)
  SELECT current_schema() AS schema, current_setting('search_path') AS path, current_user AS role,
    current_database() AS database,
    EXISTS (SELECT FROM ours WHERE nspname = current_schema()) AS installed,
    coalesce((SELECT owned FROM ours WHERE nspname = current_schema()), true) AS owned,
    (SELECT min(nspname) FROM ours WHERE nspname <> current_schema()) AS elsewhere,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
    to_regnamespace('graphile_worker') IS NOT NULL AS queue,
    coalesce(has_schema_privilege(to_regnamespace('graphile_worker'), 'USAGE'), false) AS may_use_queue,
    (SELECT array_agg(format('%I.%I', nspname, relname) ORDER BY nspname, relname) FROM tables
      WHERE nspname IN (current_schema(), 'graphile_worker') AND NOT (
        has_table_privilege(oid, 'SELECT') AND (relname = ANY ($2) OR has_table_privilege(oid, 'INSERT')
          AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')))) AS closed`;

async function examineSchema(client: pg.Client, migrates: boolean): Promise<Finding[]> {
  const state = await queryRow<SchemaState>(client, SCHEMA_STATE, [TABLES, READ_TABLES, FIRST_TABLES]);
  const { schema, path, role, database, elsewhere, closed } = state;
  if (schema === null)
    return [
      fault(
        `No schema of the search_path (${path}) exists for the role ${role}. Create it: CREATE SCHEMA name AUTHORIZATION ${role}`,
      ),
    ];
  const faults: string[] = [];
  if (!state.installed && elsewhere !== null)
    faults.push(
      `The tables of Parley are in the schema ${elsewhere}, but the connection uses ${schema}. Add ?schema=${elsewhere} to DATABASE_URL, or use another database: its job queue serves one Parley.`,
    );
  if (migrates && !state.may_create)
    faults.push(
      `The role ${role} may not create tables in the schema ${schema}. Run: GRANT CREATE, USAGE ON SCHEMA ${schema} TO ${role}`,
    );
  if (migrates && !state.queue && !state.may_create_schema)
    faults.push(
      `The role ${role} may not create the schema of the job queue. Run: GRANT CREATE ON DATABASE ${database} TO ${role}`,
    );
  if (migrates && !state.owned)
    faults.push(
      `The role ${role} does not own the tables in the schema ${schema}, so migrations would fail. Run npm run migrate as their owner and set MIGRATE_ON_START=off, or grant the owner's role to ${role}.`,
    );
  if (closed !== null && state.installed)
    faults.push(
      `The role ${role} may not read and write ${closed.join(', ')}. Run for the schemas ${schema} and graphile_worker: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO ${role}`,
    );
  if (state.queue && !state.may_use_queue)
    faults.push(
      `The role ${role} may not use the job queue. Run as its owner: GRANT USAGE ON SCHEMA graphile_worker TO ${role}`,
    );
  return faults.length > 0
    ? faults.map(fault)
    : [ok(`The role ${role} has the rights it needs in the schema ${schema}.`)];
}

async function examineWrites(client: pg.Client): Promise<Finding[]> {
  const { readonly } = await queryRow<{ readonly: boolean }>(
    client,
    `SELECT current_setting('transaction_read_only')::bool AND NOT pg_is_in_recovery() AS readonly`,
  );
  return readonly
    ? [
        fault(
          'The database is read-only: default_transaction_read_only is on. Turn it off for the server, the database and the role.',
        ),
      ]
    : [];
}

/**
 * Number of rounds of the pooler check. In a single round, other clients of the pooler may hide transaction pooling.
 */
const ROUNDS = 4;

/**
 * Checks that a pooler reserves a server process for each client. With transaction pooling, settings and session locks
 * are lost, and LISTEN receives nothing. The check asks two clients in turns for the id of their server process. With
 * session pooling, each client always gets the same id, and the two ids differ. Returns no finding if there is no
 * pooler.
 */
async function examinePooling(client: pg.Client, url: string): Promise<Finding[]> {
  const { pid } = await queryRow<{ pid: number }>(client, 'SELECT pg_backend_pid() AS pid');
  // A pooler invents the process id in the handshake. If this id equals that of the server process, there is no pooler.
  if (pid === (client as unknown as { processID: number }).processID) return [];
  const other = await connectClient(url, { acceptStandby: true });
  try {
    const pidsByClient = new Map<pg.Client, Set<number>>([client, other].map((each) => [each, new Set()]));
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [each, pids] of pidsByClient)
        pids.add((await queryRow<{ pid: number }>(each, 'SELECT pg_backend_pid() AS pid')).pid);
    const all = [...pidsByClient.values()].flatMap((pids) => [...pids]);
    return all.length === pidsByClient.size && new Set(all).size === all.length
      ? [ok('Connections pass through a pooler such as PgBouncer, which pools by session.')]
      : [
          fault(
            'Connections pass through a pooler such as PgBouncer, which pools by transaction or statement. This breaks session locks, settings and LISTEN. Set pool_mode = session there, or point DATABASE_URL at PostgreSQL itself.',
          ),
        ];
  } finally {
    await other.end();
  }
}

async function queryRow<Row extends object>(client: pg.Client, text: string, values: unknown[] = []): Promise<Row> {
  const { rows } = await client.query<Row>(text, values);
  const [row] = rows;
  if (!row) throw new Error('PostgreSQL returned no row.');
  return row;
}
