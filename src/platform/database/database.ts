import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { createPool } from './connections.ts';
import { explainConnectionFailure, mayPass } from './failures.ts';
import { batchFindUnique } from './findUniqueBatch.ts';
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
 * Returns a column list with the columns of a table as fields of its model: `m.chatroom_id AS "chatroomId", …`.
 *
 * @param table alias of the table in the statement
 * @param prefix prefix of each field, for a statement that returns rows of several tables; see `rowOf`
 */
export function columnsOf(table: string, fields: readonly string[], prefix = ''): Sql {
  const columns = fields.map((field) => `${table}.${snakeCase(field)} AS "${prefix}${field}"`);
  return raw(columns.join(', '));
}

function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Returns composite keys, such as `chatroomId:number`, as a SQL table with a column for each part of a key. The text of
 * the statement does not depend on the number of keys, so that PostgreSQL can cache its plan.
 *
 * @param types PostgreSQL type of each part of a key
 */
export function keyTable(keys: readonly string[], ...types: string[]): Sql {
  const rows = keys.map((key) => key.split(':'));
  const columns = types.map((type, i) => sql`${rows.map((parts) => parts[i])}${raw(`::${type}[]`)}`);
  return sql`unnest(${join(columns)})`;
}

/** Extracts the fields of one table from a row that contains several tables. */
export function rowOf<Row>(row: object, fields: readonly (keyof Row & string)[], prefix: string): Row {
  const all = row as Record<string, unknown>;
  return Object.fromEntries(fields.map((field) => [field, all[prefix + field]])) as Row;
}

/**
 * One connection pool with two interfaces. Use Prisma Client to write rows or to find them by key. Use SQL for rules,
 * locks and speed.
 */
export interface Database {
  prisma: PrismaClient;
  /** Client with which the Prisma plugin of Pothos finds nodes, many with one statement. */
  nodes: PrismaClient;
  /** Runs one statement and returns its rows. */
  query: <Row extends object>(statement: Sql) => Promise<Row[]>;
  /**
   * Runs a frequent statement as a prepared statement, which PostgreSQL parses and plans once per connection. Use it
   * for a fixed set of texts only, because every distinct text stays in memory. Values that are cast, as in
   * `${id}::uuid`, are hidden from the planner, so one plan must suit all of these values.
   */
  prepared: <Row extends object>(statement: Sql) => Promise<Row[]>;
  /**
   * Runs `work` in one READ COMMITTED transaction on one connection. Each statement sees everything that was committed
   * before the statement.
   */
  transaction<Result>(work: (query: Database['query']) => Promise<Result>): Promise<Result>;
  /**
   * Identity of the database that positions and cursors belong to. A restored backup, another server and a promoted
   * replica have different identities.
   */
  identity: string;
  /**
   * Numbers of all connections in the pool, of idle ones, and of statements and transactions that wait for a
   * connection.
   */
  connections(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
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
    throw mayPass(error) ? new Error(explainConnectionFailure(error, url), { cause: error }) : error;
  });
  if (!found) throw new Error('PostgreSQL did not return the identity of the database.');
  // Prisma Client names a schema in each query, `public` by default. All other SQL follows the search_path.
  const adapter = new PrismaPg(pool, {
    disposeExternalPool: false,
    ...(found.schema === null ? {} : { schema: found.schema }),
  });
  const prisma = new PrismaClient({ adapter });

  return {
    prisma,
    nodes: batchFindUnique(prisma),
    query,
    prepared: async <Row extends object>(statement: Sql) =>
      (await pool.query<Row>({ ...prepare(statement.text), values: statement.values })).rows,
    identity: found.identity,
    connections: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    async transaction(work) {
      const client = await pool.connect();
      // A connection that is lost or whose ROLLBACK fails is in an unknown state and must not be used again.
      let broken = false;
      const onLost = () => (broken = true);
      client.on('error', onLost);
      try {
        await client.query('BEGIN');
        const result = await work(
          async <Row extends object>(statement: Sql) =>
            (await trace(statement.text, () => client.query<Row>(toPg(statement)))).rows,
        );
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK').catch(onLost);
        throw error;
      } finally {
        client.off('error', onLost);
        client.release(broken);
      }
    },
    async close() {
      await prisma.$disconnect();
      await pool.end();
    },
  };
}

/**
 * Wraps each value that is cast in a subquery, which hides the value from the planner. PostgreSQL reuses the plan of a
 * prepared statement only if a plan for the actual values is not estimated to be cheaper. With visible values, the
 * estimate usually is cheaper, because it contains a guess at the number of rows. PostgreSQL then plans each execution
 * again, which takes longer than the execution itself ("Plan caching" in the documentation of PREPARE).
 */
function hideValues(text: string): string {
  return text.replace(/\$\d+::(\w+)(\[\])?/g, (value, type: string, array?: string) =>
    // Without the second cast, ANY would compare with the rows of the subquery.
    array ? `(SELECT ${value})::${type}[]` : `(SELECT ${value})`,
  );
}

function toPg(statement: Sql): pg.QueryConfig {
  return { text: statement.text, values: statement.values };
}

/** Traces the statements of `query` and of Prisma. Both call the pool's `query` and await its promise. */
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
