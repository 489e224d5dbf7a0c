import { parseDatabaseUrl } from '../../core/config/databaseUrl.ts';

/** SQLSTATEs of a server that is starting, stopping or out of connections. */
const TRANSIENT_STATES = new Set(['57P01', '57P02', '57P03', '53300', '08006', '08001', '08004']);
const TRANSIENT_CODES = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN'],
  // In Compose and Kubernetes, a host name resolves only while its container runs. ENOENT means a missing Unix socket.
  ...['ENOTFOUND', 'EAI_AGAIN', 'ENOENT'],
  // Prisma Client: the server cannot be reached, does not respond in time, or has closed the connection.
  ...['P1001', 'P1002', 'P1008', 'P1017'],
]);
const TRANSIENT_TEXTS =
  /timeout|Connection terminated|not queryable|cannot connect to server|server login|server_login_retry/i;

/**
 * Returns the code and text of an error. A host with several addresses may fail with one error per address. The first
 * of these errors is used.
 */
function detailsOf(error: unknown): { code: string; message: string } {
  const [first = error] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  const { code = '', message = String(first), meta } = (first ?? {}) as Failure;
  // Prisma Client replaces the SQLSTATE by a code of its own.
  return { code: meta?.driverAdapterError?.cause?.originalCode ?? code, message };
}

interface Failure {
  code?: string;
  message?: string;
  meta?: { driverAdapterError?: { cause?: { originalCode?: string } } };
}

/** Returns true if a later attempt to connect may succeed without a change of the settings. */
export function isTransientDatabaseFailure(error: unknown): boolean {
  const { code, message } = detailsOf(error);
  return (
    (error as Error | undefined)?.name === 'StandbyError' ||
    TRANSIENT_CODES.has(code) ||
    TRANSIENT_STATES.has(code) ||
    TRANSIENT_TEXTS.test(message)
  );
}

/** Returns sentences that name a database failure of a running node and its consequences. */
export function explainDatabaseFailure(error: unknown): string {
  return `${detailsOf(error).message.replace(/\.$/, '')}. The pool reconnects. Until then, requests fail and /health/ready returns 503.`;
}

/** Returns sentences that say why a connection failed and what to do. */
export function explainConnectionFailure(error: unknown, url: string): string {
  const { code, message } = detailsOf(error);
  const { host, database } = parseDatabaseUrl(url).options;
  const sentence = `${message.replace(/\.$/, '')}.`;
  const encode = 'Percent-encode special characters in its user and password, such as %40 for @.';
  if ((error as Error).name === 'StandbyError') return message;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `The host ${JSON.stringify(host)} of DATABASE_URL is not found (${code}). Correct DATABASE_URL. ${encode}`;
  if (code === '28P01' || code === '28000')
    return `PostgreSQL refuses the sign-in: ${sentence} Correct DATABASE_URL. ${encode}`;
  if (code === '3D000')
    return `${upperFirst(sentence)} Correct DATABASE_URL, or create it: CREATE DATABASE "${database}" ENCODING 'UTF8' TEMPLATE template0`;
  if (code === '42501')
    return `PostgreSQL refuses: ${sentence} Grant CONNECT on the database to the role of DATABASE_URL.`;
  if (/unsupported startup parameter: options/.test(message))
    return 'PgBouncer refuses the parameter `options` of DATABASE_URL. Use ?schema=NAME or ALTER ROLE … SET search_path instead.';
  if (/does not support SSL/.test(message))
    return `${sentence} Remove sslmode from DATABASE_URL, or enable ssl in PostgreSQL.`;
  if (/certificate|altnames|self.signed/i.test(message))
    return `The certificate of PostgreSQL is not trusted: ${sentence} Specify its CA with ?sslmode=verify-full&sslrootcert=FILE.`;
  return `The database does not respond: ${sentence} Check DATABASE_URL and the log of PostgreSQL.`;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
