import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from '../../core/config/settings.ts';

/**
 * Maximum length of a text in a log entry, in characters. Clients choose some of these texts, such as the aliases in an
 * error's path.
 */
const MAX_TEXT = 1_000;
const MAX_STACK_FRAMES = 20;

/**
 * Patterns of secrets and e-mail addresses, each with its replacement. Passwords and message bodies have no
 * recognisable shape, so they must not be logged at all.
 *
 * Clients choose parts of a line. Quantifiers that could backtrack are therefore bounded.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  // JWT. The end may be missing, because long texts are cut.
  [/(?<![\w-])eyJ[\w-]{1,2000}\.[\w-]{1,4000}(?:\.[\w-]{0,1000})?/g, '[token]'],
  [/(parley-(?:service|bot|hook)-)[\w-]+/g, '$1[token]'],
  // 256 bits in base64url or hexadecimal: refresh tokens, tokens in mails, keys. Excludes request ids, because a proxy
  // may choose ids of this shape.
  [/(?<![\w-]|"requestId":")(?:[\w-]{43}|[0-9a-f]{64})(?![\w-])/g, '[token]'],
  // Password in a URL. Matches up to the last @, because a password that was not percent-encoded may contain an @.
  [/(\w:\/\/[^\s:/@"]{0,256}):[^\s/"]{1,256}@/g, '$1:[password]@'],
  [/[^\s@"'<>(),;:\\[\]]{1,64}@[^\s@"'<>(),;:\\[\]]{1,255}\.[^\s@"'<>(),;:\\[\]]+/g, '[address]'],
];

/**
 * Marks a line that prints a mail. Such a line is not redacted. It occurs only in development without a mail server.
 * Texts of clients cannot contain the mark, because quotation marks inside a text are escaped.
 */
const PRINTED_MAIL = '"mail":{';

/** Creates the log of a process: one line of JSON per entry, without secrets. */
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

/** Returns a line with secrets and addresses replaced. Use it for everything that is printed. */
export function withoutSecrets(line: string): string {
  return SECRETS.reduce((text, [pattern, word]) => text.replace(pattern, word), line);
}

/** Cuts every text of a log entry to `MAX_TEXT`. The error serializer cuts errors. */
function shorten(entry: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, shortenValue(value)]));
}

function shortenValue(value: unknown): unknown {
  if (typeof value === 'string') return cutText(value);
  // Only paths of errors are logged as arrays. The maximum query depth limits their length.
  if (Array.isArray(value)) return value.map(shortenValue);
  return value;
}

/**
 * Cuts a text to `MAX_TEXT` and appends an ellipsis. Redacts first, because a pattern does not match a token that is
 * cut.
 */
function cutText(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  const beginning = withoutSecrets(text.slice(0, 2 * MAX_TEXT).toWellFormed());
  return `${beginning.slice(0, MAX_TEXT).toWellFormed()}…`;
}

/**
 * Returns the parts of an error that may be logged. Omits the `detail` of a database error, because it contains rows.
 * Keeps only the last line of the message, because Prisma prints arguments in the lines before.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? cutText(error) : typeof error;
  const { code, constraint, table, routine, cause } = error as Error & Record<string, unknown>;
  const message = cutText(error.message.trim().split('\n').at(-1) ?? '');
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line));
  return {
    type: error.constructor.name,
    message,
    code,
    constraint,
    table,
    routine,
    stack: frames.slice(0, MAX_STACK_FRAMES).map(cutText).join('\n'),
    ...(cause === undefined ? {} : { cause: describeError(cause) }),
  };
}
