import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from './config.ts';

/** Longest text of a log line, in characters. Clients choose some of them, such as the aliases in an error's path. */
const MAX_TEXT = 1_000;
const MAX_STACK_FRAMES = 20;

/**
 * Patterns of secrets and addresses, wherever they stand in a line. A value without a shape of its own, such as a password or
 * the text of a message, is kept out by not being logged.
 *
 * Clients choose parts of a line, so no pattern may backtrack over long texts: each begins at the start of a word or has
 * bounded quantifiers.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  // Also one that is cut off within its claims.
  [/(?<![\w-])eyJ[\w-]{1,2000}\.[\w-]{1,4000}(?:\.[\w-]{0,1000})?/g, '[token]'],
  [/(parley-service-)[\w-]+/g, '$1[token]'],
  // 256 bits in base64url or hexadecimal: refresh tokens, tokens in mails, keys. A proxy may name requests in this shape.
  [/(?<![\w-]|"requestId":")(?:[\w-]{43}|[0-9a-f]{64})(?![\w-])/g, '[token]'],
  // A password that was not percent-encoded may contain an @.
  [/(\w:\/\/[^\s:/@"]{0,256}):[^\s/"]{1,256}@/g, '$1:[password]@'],
  [/[^\s@"'<>(),;:\\[\]]{1,64}@[^\s@"'<>(),;:\\[\]]{1,255}\.[^\s@"'<>(),;:\\[\]]+/g, '[address]'],
];

/** A mail that is printed because there is no mail server to send it; in development alone. A text in a line cannot look so. */
const PRINTED_MAIL = '"mail":{';

/** The log of a process: JSON, a line each, without secrets. */
export function createLog({ LOG_LEVEL }: Pick<Config, 'LOG_LEVEL'>, destination?: DestinationStream): Logger {
  return pino(
    {
      level: LOG_LEVEL,
      base: null,
      serializers: { err: describeError, error: describeError },
      formatters: { log: shorten },
      hooks: { streamWrite: (line) => (line.includes(PRINTED_MAIL) ? line : withoutSecrets(line)) },
    },
    destination ?? pino.destination({ sync: false }),
  );
}

/** A line of the log, or whatever else is printed, without what must not stand there. */
export function withoutSecrets(line: string): string {
  return SECRETS.reduce((text, [pattern, word]) => text.replace(pattern, word), line);
}

/** Cuts every text of a log entry to `MAX_TEXT`. Errors are cut by their serializer. */
function shorten(entry: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, shortenValue(value)]));
}

function shortenValue(value: unknown): unknown {
  if (typeof value === 'string') return cutText(value);
  // A path has at most as many entries as a query may be deep.
  if (Array.isArray(value)) return value.map(shortenValue);
  return value;
}

/** Redacts before it cuts: what is left of a cut token has no shape by which it would be recognised. */
function cutText(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  const beginning = withoutSecrets(text.slice(0, 2 * MAX_TEXT).toWellFormed());
  return `${beginning.slice(0, MAX_TEXT).toWellFormed()}…`;
}

/**
 * Returns what may be logged of an error. Leaves out the rows that a database error names in `detail`, and the arguments that
 * Prisma repeats before the last line of its message.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? cutText(error) : typeof error;
  const { code, constraint, table, routine, cause } = error as Error & Record<string, unknown>;
  const message = cutText(error.message.trim().split('\n').at(-1) ?? '');
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line));
  return {
    ...{ type: error.constructor.name, message, code, constraint, table, routine },
    stack: frames.slice(0, MAX_STACK_FRAMES).map(cutText).join('\n'),
    ...(cause === undefined ? {} : { cause: describeError(cause) }),
  };
}
