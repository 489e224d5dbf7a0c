import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { createPool } from './connections.ts';
import { explainConnectionFailure, mayPass } from './failures.ts';
import { Prisma, PrismaClient } from './generated/client.ts';

/** SQL with its parameters: `` sql`SELECT … ${value}` ``; fragments may stand inside one another. */
export const sql = Prisma.sql;
export const join = Prisma.join;
export const empty = Prisma.empty;
/** Text that stands in a statement as it is: nothing that came from outside. */
export const raw = Prisma.raw;
export type Sql = Prisma.Sql;

/**
 * The columns of a table as fields of its model: `m.chatroom_id AS "chatroomId", …`.
 *
 * @param table what the statement calls the table
 * @param prefix what to put before each field, where a statement answers rows of several tables; see `rowOf`
 */
export function columnsOf(table: string, fields: readonly string[], prefix = ''): Sql {
  const columns = fields.map((field) => `${table}.${snakeCase(field)} AS "${prefix}${field}"`);
  return raw(columns.join(', '));
}

function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The row of one table out of a row with those of several. */
export function rowOf<Row>(row: object, fields: readonly (keyof Row & string)[], prefix: string): Row {
  const all = row as Record<string, unknown>;
  return Object.fromEntries(fields.map((field) => [field, all[prefix + field]])) as Row;
}

/**
 * One pool of connections and the two ways to use it: Prisma Client where a row is written or found by
 * its key, and SQL where a rule, a lock or speed is the point.
 */
export interface Database {
  prisma: PrismaClient;
  /** Runs one statement and answers its rows. */
  query: <Row extends object>(statement: Sql) => Promise<Row[]>;
  /**
   * The same for a statement that is run often: PostgreSQL parses and plans it once for each connection. Its text must be one
   * of a few, whatever its values, since all of them are kept; and the plan must be good for all values that are cast, as in
   * `${id}::uuid`: they are hidden from the planner.
   */
  prepared: <Row extends object>(statement: Sql) => Promise<Row[]>;
  /** Runs `work` in one transaction on one connection; its statements see what committed before each. */
  transaction<Result>(work: (query: Database['query']) => Promise<Result>): Promise<Result>;
  /**
   * Names the database that positions and cursors belong to. A restored backup, another server or a
   * replica that was promoted has another name.
   */
  identity: string;
  /** The connections of the pool, and how many wait for one. */
  connections(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
}

/** Every statement ends within this time, whatever fails, so that every request ends within 10 s. */
const STATEMENT_TIMEOUT_MS = 8_000;

/** Told of the text of each statement, e.g. to count them. */
export type StatementListener = (text: string) => void;

export type StatementTracer = <Result>(text: string, run: () => Promise<Result>) => Promise<Result>;

/** Connects to PostgreSQL; migrations are applied elsewhere. */
export async function openDatabase(
  url: string,
  options: {
    poolSize?: number;
    onStatement?: StatementListener;
    /** Runs each statement, and is told its text; not of those of Prisma's own transactions. */
    trace?: StatementTracer | undefined;
    onError?: (error: Error) => void;
  } = {},
): Promise<Database> {
  const pool = createPool(url, {
    max: options.poolSize ?? 10,
    connectionTimeoutMillis: 5_000,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    // The client's own timeout, because a server that hangs cannot enforce its timeout.
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
  // Prisma Client names a schema in each query, `public` by default, whereas all other SQL follows the search_path.
  const adapter = new PrismaPg(pool, {
    disposeExternalPool: false,
    ...(found.schema === null ? {} : { schema: found.schema }),
  });
  const prisma = new PrismaClient({ adapter });

  return {
    prisma,
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
 * Puts each value that is cast into a subquery, of which the planner does not know what it answers. PostgreSQL keeps a plan
 * only where planning for the values themselves has not looked cheaper; it mostly has, by a guess at how many rows they find,
 * and planning then takes longer than running ("Plan caching" in the documentation of PREPARE).
 */
function hideValues(text: string): string {
  return text.replace(/\$\d+::(\w+)(\[\])?/g, (value, type: string, array?: string) =>
    // Without the second cast, ANY would take the subquery for its rows.
    array ? `(SELECT ${value})::${type}[]` : `(SELECT ${value})`,
  );
}

function toPg(statement: Sql): pg.QueryConfig {
  return { text: statement.text, values: statement.values };
}

/** What goes through the pool: our statements and those of Prisma, which both wait for a promise. */
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
