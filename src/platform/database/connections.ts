import pg from 'pg';
import { parseDatabaseUrl } from '../../core/config/databaseUrl.ts';

/** Thrown for a connection to a standby, a read-only server that replicates the primary. */
export class StandbyError extends Error {
  override readonly name = 'StandbyError';
  constructor() {
    super('The database is a read-only standby. Point DATABASE_URL at the primary, or promote the standby.');
  }
}

interface SessionOptions {
  statementTimeoutMs?: number | undefined;
  /** Whether a connection to a standby is accepted. Only for checks that do not write. */
  acceptStandby?: boolean | undefined;
}

/** Timeout of the statement that applies the session settings, in milliseconds. */
const PREPARE_TIMEOUT_MS = 4_000;

/**
 * Applies the settings of a new session, and checks that the server is not a standby. Uses SQL, because PgBouncer
 * refuses most startup parameters.
 *
 * @throws StandbyError for a standby, unless `acceptStandby` is set. A standby may lag behind the cursors of clients.
 */
async function prepareSession(
  client: pg.ClientBase,
  schema: string | undefined,
  { statementTimeoutMs, acceptStandby = false }: SessionOptions,
): Promise<void> {
  const settings = [
    ...(schema === undefined ? [] : [['search_path', pg.escapeIdentifier(schema)]]),
    ...(statementTimeoutMs === undefined ? [] : [['statement_timeout', String(statementTimeoutMs)]]),
  ];
  const columns = settings.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, false)`);
  // The types of pg lack `query_timeout`.
  const statement: pg.QueryConfig & { query_timeout: number } = {
    text: `SELECT ${['pg_is_in_recovery() AS standby', ...columns].join(', ')}`,
    values: settings.flat(),
    query_timeout: PREPARE_TIMEOUT_MS,
  };
  const { rows } = await client.query<{ standby: boolean }>(statement);
  if (rows[0]?.standby && !acceptStandby) throw new StandbyError();
}

/**
 * Creates a connection pool. The connections use the schema of the URL. A connection to a standby fails, unless
 * `acceptStandby` is set.
 *
 * @param options.onError called when a connection breaks; the pool replaces it
 */
export function createPool(
  url: string,
  options: pg.PoolConfig & SessionOptions & { onError?: (error: Error) => void },
): pg.Pool {
  const { statementTimeoutMs, acceptStandby, onError = () => undefined, ...poolOptions } = options;
  const { options: fromUrl, schema } = parseDatabaseUrl(url);
  const pool = new pg.Pool({
    ...fromUrl,
    ...poolOptions,
    // The pool awaits `onConnect`, although its types say void.
    // eslint-disable-next-line @typescript-eslint/no-misused-promises
    onConnect: (client) => prepareSession(client, schema, { statementTimeoutMs, acceptStandby }),
  });
  // An error event without a listener would end the process, whether the connection is idle or in use.
  pool.on('error', onError);
  pool.on('connect', (client) => client.on('error', onError));
  return pool;
}

/**
 * Opens one connection outside a pool, for migrations and checks. If the connection breaks, its statements fail, but
 * the process does not end.
 */
export async function connectClient(url: string, options: pg.ClientConfig & SessionOptions = {}): Promise<pg.Client> {
  const { statementTimeoutMs, acceptStandby, ...clientOptions } = options;
  const { options: fromUrl, schema } = parseDatabaseUrl(url);
  const client = new pg.Client({ connectionTimeoutMillis: 10_000, ...fromUrl, ...clientOptions });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await prepareSession(client, schema, { statementTimeoutMs, acceptStandby });
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
}
