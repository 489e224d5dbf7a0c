import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from '../../core/config/settings.ts';

/**
 * Maximum length of a text in a log entry, in characters. Clients choose some of these texts, such as the aliases in an
 * error's path.
 */
const MAX_TEXT = 1_000;
const MAX_STACK_FRAMES = 20;

/**
 * Patterns of secrets and addresses anywhere in a line. Values without a recognisable shape, such as passwords and
 * message bodies, must not be logged at all.
 *
 * Clients choose parts of a line, so no pattern may backtrack over long texts. Each pattern begins at the start of a
 * word or has bounded quantifiers.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  // Also matches a JWT that is cut off within its claims.
  [/(?<![\w-])eyJ[\w-]{1,2000}\.[\w-]{1,4000}(?:\.[\w-]{0,1000})?/g, '[token]'],
  [/(parley-service-)[\w-]+/g, '$1[token]'],
  // 256 bits in base64url or hexadecimal: refresh tokens, tokens in mails, keys. Excludes request ids, because a proxy
  // may choose ids of this shape.
  [/(?<![\w-]|"requestId":")(?:[\w-]{43}|[0-9a-f]{64})(?![\w-])/g, '[token]'],
  // A password that was not percent-encoded may contain an @.
  [/(\w:\/\/[^\s:/@"]{0,256}):[^\s/"]{1,256}@/g, '$1:[password]@'],
  [/[^\s@"'<>(),;:\\[\]]{1,64}@[^\s@"'<>(),;:\\[\]]{1,255}\.[^\s@"'<>(),;:\\[\]]+/g, '[address]'],
];

/**
 * Identifies a line that prints a mail, which happens only in development without a mail server. Such a line is not
 * redacted. Texts of clients cannot match, because quotation marks inside a text are escaped.
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
  // The number of entries needs no limit here. Arrays in the log are paths of errors, which the maximum query depth
  // limits.
  if (Array.isArray(value)) return value.map(shortenValue);
  return value;
}

/** Redacts before cutting, because the pattern of a token does not match a part of the token. */
function cutText(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  const beginning = withoutSecrets(text.slice(0, 2 * MAX_TEXT).toWellFormed());
  return `${beginning.slice(0, MAX_TEXT).toWellFormed()}…`;
}

/**
 * Returns the parts of an error that may be logged. Omits the `detail` of a database error, which contains rows. Omits
 * all but the last line of the message, because Prisma repeats arguments before it.
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
