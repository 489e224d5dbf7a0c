import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { createPool } from './connections.ts';
import { explainConnectionFailure, isTransientDatabaseFailure } from './failures.ts';
import { batchFindUnique } from './findUniqueBatch.ts';
import { BEGIN_IN_ONE_STATE, snapshotIn, StateReader } from './stateReader.ts';
import { Prisma, PrismaClient } from './generated/client.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    database: Database;
  }
}

/** Tagged template for SQL with parameters: `` sql`SELECT … ${value}` ``. Fragments can be nested. */
export const sql = Prisma.sql;
export const join = Prisma.join;
export const empty = Prisma.empty;
/** Inserts text into a statement unescaped. Never pass input from outside. */
export const raw = Prisma.raw;
export type Sql = Prisma.Sql;

/**
 * Returns a SELECT list that renames each column to its model field: `m.chatroom_id AS "chatroomId", …`.
 *
 * @param table alias of the table in the statement
 * @param prefix prefix of the field names, for a statement that selects from several tables; see `createRowReader`
 */
export function columnsOf(table: string, fields: readonly string[], prefix = ''): Sql {
  const columns = fields.map((field) => `${table}.${snakeCase(field)} AS "${prefix}${field}"`);
  return raw(columns.join(', '));
}

function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Returns SQL for a table of composite keys, such as `chatroomId:number`. Each part of a key has its own column. The
 * SQL text is the same for any number of keys, so PostgreSQL can reuse the plan.
 *
 * @param types PostgreSQL type of each part of a key
 */
export function keyTable(keys: readonly string[], ...types: string[]): Sql {
  const rows = keys.map((key) => key.split(':'));
  const columns = types.map((type, i) => sql`${rows.map((parts) => parts[i])}${raw(`::${type}[]`)}`);
  return sql`unnest(${join(columns)})`;
}

/**
 * Returns a function that extracts the fields of one table from a row of several tables. Pass the prefix that was passed
 * to `columnsOf`.
 */
export function createRowReader<Row>(fields: readonly (keyof Row & string)[], prefix: string): (row: object) => Row {
  const columns = fields.map((field) => [field, prefix + field] as const);
  return (row) => {
    const found: Record<string, unknown> = {};
    for (const [field, column] of columns) found[field] = (row as Record<string, unknown>)[column];
    return found as Row;
  };
}

/**
 * One connection pool with two interfaces. Use Prisma Client to write rows or to find them by key. Use SQL for rules,
 * locks and speed.
 */
export interface Database {
  prisma: PrismaClient;
  /** Prisma Client that batches `findUnique` calls. The Prisma plugin of Pothos loads nodes with this client. */
  nodes: PrismaClient;
  /** Runs one statement and returns its rows. */
  query: <Row extends object>(statement: Sql) => Promise<Row[]>;
  /**
   * Runs a frequent statement as a prepared statement, which PostgreSQL parses and plans once per connection. Use it
   * for a fixed set of texts only, because every distinct text stays in memory. The planner cannot see values with a
   * cast, such as `${id}::uuid`. One plan must therefore suit all values.
   */
  prepared: <Row extends object>(statement: Sql) => Promise<Row[]>;
  /**
   * Runs `work` in one READ COMMITTED transaction on one connection. Each statement sees everything that was committed
   * before the statement.
   */
  transaction<Result>(work: (query: Database['query']) => Promise<Result>): Promise<Result>;
  /**
   * Runs `work` in one read-only REPEATABLE READ transaction on one connection. All statements of `work` see the same
   * state of the database.
   */
  readInOneState<Result>(work: (state: DatabaseState) => Promise<Result>): Promise<Result>;
  /**
   * Identity of the database. Room cursors of a database with another identity are invalid. A restored backup, another
   * server and a promoted replica have different identities.
   */
  identity: string;
  /**
   * Returns the number of connections in the pool, how many of them are idle, and how many statements and transactions
   * wait for a connection.
   */
  connections(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
}

/** One state of the database, in which the statements of a transaction read. */
export interface DatabaseState {
  /** Reads in this state. Has no Prisma Client, which uses other connections. */
  database: Database;
  /** The state as a `pg_snapshot`. */
  snapshot: string;
  /** Returns whether a statement has failed. Every later statement of the transaction then fails, too. */
  hasFailed: () => boolean;
}

/** Timeout of a statement in PostgreSQL, in milliseconds. Shorter than the 10 s within which every request must end. */
const STATEMENT_TIMEOUT_MS = 8_000;

/** Called with the text of each statement, e.g. to count statements. */
export type StatementListener = (text: string) => void;

export type StatementTracer = <Result>(text: string, run: () => Promise<Result>) => Promise<Result>;

/**
 * Connects to PostgreSQL. Does not apply migrations.
 *
 * @throws Error if the connection fails; the message says what to do
 */
export async function openDatabase(
  url: string,
  options: {
    poolSize?: number;
    onStatement?: StatementListener;
    /** Wraps the execution of each statement. Not called for statements in Prisma's own transactions. */
    trace?: StatementTracer | undefined;
    onError?: (error: Error) => void;
  } = {},
): Promise<Database> {
  const pool = createPool(url, {
    max: options.poolSize ?? 10,
    connectionTimeoutMillis: 5_000,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    // Timeout in the client, because a server that hangs cannot enforce its own timeout.
    query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
    application_name: 'parley',
    ...(options.onError ? { onError: options.onError } : {}),
  });
  if (options.onStatement) listen(pool, options.onStatement);
  const trace: StatementTracer = options.trace ?? ((_text, run) => run());
  if (options.trace) tracePool(pool, trace);

  const query: Database['query'] = async <Row extends object>(statement: Sql) =>
    (await pool.query<Row>(toPg(statement))).rows;
  const preparations = new Map<string, { name: string; text: string }>();
  function prepare(text: string): { name: string; text: string } {
    let preparation = preparations.get(text);
    if (!preparation)
      preparations.set(text, (preparation = { name: `parley${preparations.size}`, text: hideValues(text) }));
    return preparation;
  }

  const [found] = await query<{ identity: string; schema: string | null }>(sql`
    SELECT current_schema() AS schema, concat_ws('-', s.system_identifier, c.timeline_id, d.oid,
        (SELECT id FROM restorations ORDER BY restored_at DESC, id LIMIT 1)) AS identity
      FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
      WHERE d.datname = current_database()`).catch((error: unknown) => {
    throw isTransientDatabaseFailure(error) ? new Error(explainConnectionFailure(error, url), { cause: error }) : error;
  });
  if (!found) throw new Error('PostgreSQL did not return the identity of the database.');
  // Prisma Client qualifies tables with a schema, by default `public`. All other SQL uses the search_path. Makes Prisma
  // Client use the same schema.
  const adapter = new PrismaPg(pool, {
    disposeExternalPool: false,
    ...(found.schema === null ? {} : { schema: found.schema }),
  });
  const prisma = new PrismaClient({ adapter });

  function queryOf(client: pg.PoolClient): Database['query'] {
    return async <Row extends object>(statement: Sql) =>
      (await trace(statement.text, () => client.query<Row>(toPg(statement)))).rows;
  }

  async function runTransaction<Result>(
    begin: string,
    work: (client: pg.PoolClient, began: unknown) => Promise<Result>,
  ): Promise<Result> {
    const client = await pool.connect();
    // True if the connection was lost or a ROLLBACK failed. The pool then closes the connection, because its state is
    // unknown.
    let broken = false;
    const onLost = () => (broken = true);
    client.on('error', onLost);
    try {
      const result = await work(client, await client.query(begin));
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch(onLost);
      throw error;
    } finally {
      client.off('error', onLost);
      client.release(broken);
    }
  }

  const database: Database = {
    prisma,
    nodes: batchFindUnique(prisma),
    query,
    prepared: async <Row extends object>(statement: Sql) =>
      (await pool.query<Row>({ ...prepare(statement.text), values: statement.values })).rows,
    identity: found.identity,
    connections: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    transaction: (work) => runTransaction('BEGIN', (client) => work(queryOf(client))),
    readInOneState: (work) =>
      runTransaction(BEGIN_IN_ONE_STATE, async (client, began) => {
        const reader = new StateReader((statement) => trace(statement.text, () => client.query(statement)), prepare);
        try {
          return await work(stateOf(database, reader, snapshotIn(began)));
        } finally {
          await reader.end();
        }
      }),
    async close() {
      await prisma.$disconnect();
      await pool.end();
    },
  };
  return database;
}

function stateOf(database: Database, reader: StateReader, snapshot: string): DatabaseState {
  const refusePrisma = () => {
    throw new Error('Prisma Client would read another state of the database. Use `query` or `prepared`.');
  };
  return {
    database: {
      ...database,
      ...{ query: reader.query, prepared: reader.prepared, transaction: (work) => reader.transaction(work) },
      get prisma(): never {
        return refusePrisma();
      },
      get nodes(): never {
        return refusePrisma();
      },
    },
    snapshot,
    hasFailed: () => reader.hasFailed(),
  };
}

/**
 * Hides each value with a cast from the planner by wrapping the value in a subquery.
 *
 * For a prepared statement, PostgreSQL compares the estimated costs of one plan for all values and of a plan for the
 * actual values. With visible values, a plan for the actual values usually looks cheaper. PostgreSQL then plans every
 * execution again, which takes longer than the execution itself. See the documentation of PREPARE.
 */
function hideValues(text: string): string {
  return text.replace(/\$\d+::(\w+)(\[\])?/g, (value, type: string, array?: string) =>
    // `= ANY (SELECT …)` would compare with rows. The outer cast turns the subquery into an array.
    array ? `(SELECT ${value})::${type}[]` : `(SELECT ${value})`,
  );
}

function toPg(statement: Sql): pg.QueryConfig {
  return { text: statement.text, values: statement.values };
}

/**
 * Traces statements outside transactions. `query`, `prepared` and Prisma Client all call the pool's `query` and await
 * its promise.
 */
function tracePool(pool: pg.Pool, trace: StatementTracer): void {
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>;
  pool.query = ((...args: unknown[]) => {
    const [first] = args;
    return trace(typeof first === 'string' ? first : (first as { text: string }).text, () => query(...args));
  }) as typeof pool.query;
}

function listen(pool: pg.Pool, onStatement: StatementListener): void {
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    client.query = ((...args: unknown[]) => {
      const [first] = args;
      onStatement(typeof first === 'string' ? first : (first as { text: string }).text);
      return query(...args);
    }) as typeof client.query;
  });
}
