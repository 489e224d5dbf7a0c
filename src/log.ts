import { type DestinationStream, type Logger, pino } from 'pino';
import type { Config } from './config.ts';

/**
 * What must not stand in a log, whoever wrote the line and wherever in it: what opens something, and how people are reached.
 * What has no shape of its own, such as a password or the text of a message, is kept out by not being logged.
 */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]+\.[\w-]+\.[\w-]*/g, '[token]'],
  [/(parley-service-)[\w-]+/g, '$1[token]'],
  // 256 bits in base64url or hexadecimal: tokens of sessions and of mails, keys.
  [/(?<![\w-])(?:[\w-]{43}|[0-9a-f]{64})(?![\w-])/g, '[token]'],
  [/(\w:\/\/[^\s:/@"]*):[^\s/@"]+@/g, '$1:[password]@'],
  [/[^\s@"'<>(),;:\\[\]]+@[^\s@"'<>(),;:\\[\]]+\.[^\s@"'<>(),;:\\[\]]+/g, '[address]'],
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
      hooks: { streamWrite: (line) => (line.includes(PRINTED_MAIL) ? line : withoutSecrets(line)) },
    },
    destination ?? pino.destination({ sync: false }),
  );
}

/** A line of the log, or whatever else is printed, without what must not stand there. */
export function withoutSecrets(line: string): string {
  return SECRETS.reduce((text, [pattern, word]) => text.replace(pattern, word), line);
}

/**
 * What an error says of itself. Of the database's, not the rows that it names in `detail`, nor the arguments that Prisma
 * repeats before its last line.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : typeof error;
  const { code, constraint, table, routine, cause } = error as Error & Record<string, unknown>;
  const message = error.message.trim().split('\n').at(-1) ?? '';
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line));
  return {
    ...{ type: error.constructor.name, message, code, constraint, table, routine },
    stack: frames.join('\n'),
    ...(cause === undefined ? {} : { cause: describeError(cause) }),
  };
}
