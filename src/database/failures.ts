import { parseDatabaseUrl } from './connections.ts';

/** SQLSTATEs of a server that starts, stops or has no connection left. */
const PASSING_STATES = new Set(['57P01', '57P02', '57P03', '53300', '08006', '08001', '08004']);
const PASSING_CODES = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN'],
  // In compose and Kubernetes the name comes with the container. The file is that of a Unix socket.
  ...['ENOTFOUND', 'EAI_AGAIN', 'ENOENT'],
]);
const PASSING_TEXTS = /timeout|Connection terminated|cannot connect to server|server login|server_login_retry/i;

/** An error's code and text. A host with several addresses fails with an error for each. */
function read(error: unknown): { code: string; message: string } {
  const [first = error] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  const { code = '', message = String(first) } = first as { code?: string; message?: string };
  return { code, message };
}

/** Whether a later attempt to connect may succeed without a change of the settings. */
export function mayPass(error: unknown): boolean {
  const { code, message } = read(error);
  return (
    (error as Error).name === 'StandbyError' ||
    PASSING_CODES.has(code) ||
    PASSING_STATES.has(code) ||
    PASSING_TEXTS.test(message)
  );
}

/** Returns a sentence about a failure of a running node, whose connections come back by themselves. */
export function explainDatabaseFailure(error: unknown): string {
  return `${read(error).message.replace(/\.$/, '')}. The pool reconnects. Until then requests fail and /health/ready is 503.`;
}

/** Returns sentences that say why no connection came about, and what to do. */
export function explainConnectionFailure(error: unknown, url: string): string {
  const { code, message } = read(error);
  const { host, database } = parseDatabaseUrl(url).options;
  const said = `${message.replace(/\.$/, '')}.`;
  const encode = 'Percent-encode special characters in its user and password, such as %40 for @.';
  if ((error as Error).name === 'StandbyError') return message;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `The host ${JSON.stringify(host)} of DATABASE_URL is not found (${code}). Correct DATABASE_URL. ${encode}`;
  if (code === '28P01' || code === '28000')
    return `PostgreSQL refuses the sign-in: ${said} Correct DATABASE_URL. ${encode}`;
  if (code === '3D000')
    return `${upperFirst(said)} Correct DATABASE_URL, or create it: CREATE DATABASE "${database}" ENCODING 'UTF8' TEMPLATE template0`;
  if (code === '42501') return `PostgreSQL refuses: ${said} Grant CONNECT on the database to the role of DATABASE_URL.`;
  if (/unsupported startup parameter: options/.test(message))
    return 'PgBouncer refuses the parameter `options` of DATABASE_URL. Use ?schema=NAME or ALTER ROLE … SET search_path instead.';
  if (/does not support SSL/.test(message)) return `${said} Remove sslmode from DATABASE_URL, or turn on ssl there.`;
  if (/certificate|altnames|self.signed/i.test(message))
    return `The certificate of PostgreSQL is not trusted: ${said} Name its CA with ?sslmode=verify-full&sslrootcert=FILE.`;
  return `The database does not answer: ${said} Check DATABASE_URL and the log of PostgreSQL.`;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
