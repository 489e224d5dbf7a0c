import { z } from 'zod';
import { type ServiceAccount, serviceAccount } from './auth/serviceAccount.ts';
import { parseDatabaseUrl, UrlFileError } from './database/connections.ts';
import { refusedInProduction } from './production.ts';
import { adviseOnUrl, findUrlFault } from './urls.ts';

const onOff = z.enum(['on', 'off']);

/**
 * Every setting, its default, and what it means. `.env.example` is written from this table, and a value
 * that does not fit is refused with the variable's name and what it may be.
 */
export const variables = {
  PORT: count(4000, 0, 65535).describe('The port to listen on, 0 to 65535; 0 takes a free one.'),
  HOST: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('The address to listen on, such as 127.0.0.1 for this machine alone, 0.0.0.0 or :: for all.'),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Where people reach this server, such as https://chat.example.org; used in links and mails.'),
  NODE_ENV: z
    .enum(['development', 'production', 'test'])
    .default('development')
    .describe('development, production or test; production refuses embedded parts and missing secrets.'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('How much is logged: fatal, error, warn, info, debug, trace or silent.'),
  DATABASE_URL: z
    .string()
    .refine(isDatabaseUrl)
    .optional()
    .describe(
      'A PostgreSQL 14 or newer, such as postgresql://user:password@host:5432/parley; ?schema=NAME uses another schema than the search_path. Without it an embedded one is started.',
    ),
  DATABASE_POOL_SIZE: count(10, 1, 200).describe('How many database connections this node may hold, 1 to 200.'),
  MIGRATE_ON_START: onOff
    .default('on')
    .describe(
      'Whether a node brings the database up to its version when it starts: on or off; then run `npm run migrate`.',
    ),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
    .refine((url) => findUrlFault(url) === null)
    .optional()
    .describe('A Redis 6.2 or newer, such as redis://host:6379; without it this node is the only one.'),
  DATA_DIR: z
    .string()
    .min(1)
    .default('.data')
    .describe('The folder of the embedded database and of generated secrets.'),
  AUTH_SECRET: z
    .string()
    .min(32)
    .optional()
    .describe(
      'At least 32 characters from which access tokens are signed, the same on every node; in development one is generated in DATA_DIR.',
    ),
  AUTH_SECRETS_ACCEPTED: z
    .string()
    .default('')
    .transform(divide)
    .refine((secrets) => secrets.every((secret) => secret.length >= 32))
    .describe(
      'Other secrets, divided by commas, whose access tokens count too: the next and the former one while AUTH_SECRET is replaced. At least 32 characters each.',
    ),
  ALLOWED_ORIGINS: originList('').describe(
    'Origins of other sites that may call the API from a browser, divided by commas; pages of this server always may, and in development pages of localhost, 127.0.0.1 and [::1] on any port.',
  ),
  SIGN_UP: z
    .enum(['open', 'off'])
    .default('open')
    .describe(
      'Who may create an account: open for everyone; off for nobody, neither by signUp nor by a first OpenID sign-in. Then `npm run admin -- create-user` creates accounts.',
    ),
  PLAIN_HTTP: onOff
    .default('off')
    .describe(
      'Whether people may reach a server in production over plain http, in a network that only you can reach: on or off.',
    ),
  MAX_SOCKETS_PER_USER: count(10, 1, 1_000).describe(
    'How many WebSockets a user may have open, 1 to 1000; one more is closed with 4420.',
  ),
  MAX_SUBSCRIPTIONS_PER_SOCKET: count(128, 1, 10_000).describe(
    'Subscriptions that a WebSocket may have open, 1 to 10000; one more fails with RATE_LIMITED.',
  ),
  MAX_STREAMS_PER_USER: count(200, 1, 100_000).describe(
    'Subscriptions that a user may have open on a node, over WebSocket and SSE together, 1 to 100000; one more fails with RATE_LIMITED.',
  ),
  MAX_SIGNED_OUT_SOCKETS: count(20, 1, 10_000).describe(
    'WebSockets that one network may have open on a node without signing in, 1 to 10000; one more is closed with 1013.',
  ),
  SIGNED_OUT_SECONDS: count(60, 1, 3_600).describe(
    'How long a WebSocket may stay open without a token, in seconds, 1 to 3600; then it is closed with 4401.',
  ),
  SHARED_EXECUTION: onOff
    .default('on')
    .describe('Whether an event is executed once for all subscribers who ask the same of it: on or off.'),
  INTROSPECTION: onOff
    .optional()
    .describe(
      'Whether clients may read the schema and are told what they may have meant: on or off; off in production.',
    ),
  GRAPHIQL: onOff.optional().describe('Whether /graphql shows GraphiQL: on or off; off in production.'),
  PERSISTED_ONLY: z
    .string()
    .min(1)
    .optional()
    .describe('A JSON file of documents by their ids, such as persisted-documents.json; then no others are executed.'),
  MAX_DEPTH: count(12, 1, 100).describe('How many levels deep an operation may go, 1 to 100.'),
  MAX_TOKENS: count(2_000, 10, 100_000).describe('How many words and signs a document may have, 10 to 100000.'),
  MAX_ALIASES: count(15, 0, 10_000).describe('How many aliases an operation may have, 0 to 10000.'),
  MAX_DIRECTIVES: count(5, 0, 1_000).describe('How many directives an operation may have, 0 to 1000.'),
  MAX_COMPLEXITY: count(7_500, 1, 1_000_000).describe(
    'How many fields an operation may ask for, with all items of its lists, 1 to 1000000.',
  ),
  MAX_BODY_KB: count(256, 1, 10_000).describe('How large a request may be, in KB, 1 to 10000; a larger one gets 413.'),
  MAX_MESSAGE_KB: count(256, 1, 10_000).describe(
    'How large a message over a WebSocket may be, in KB, 1 to 10000; a larger one closes the socket with 1009.',
  ),
  MAX_OPERATIONS_PER_USER: count(8, 1, 1_000).describe(
    'Maximum operations of a user that a node executes at once, 1 to 1000; further ones wait, at most 50 of them.',
  ),
  MAX_OPERATIONS_PER_ADDRESS: count(32, 1, 10_000).describe(
    'The same for all signed-out clients of one IPv4 address or IPv6 /64, and for a service, 1 to 10000.',
  ),
  EXECUTION_SECONDS: count(10, 1, 60).describe('How long one execution may take, in seconds, 1 to 60.'),
  RATE_LIMITS: onOff
    .default('on')
    .describe('Whether it is limited how much anybody does, and how fast passwords are tried: on or off.'),
  RATE_PER_USER: count(1_200, 1, 1_000_000).describe(
    'Maximum points of a signed-in user per minute, 1 to 1000000: a query costs 1 and 1 per 500 of its complexity, a message 5, a search 20.',
  ),
  RATE_PER_ADDRESS: count(6_000, 1, 10_000_000).describe(
    'Maximum points of all signed-out clients of one IPv4 address or IPv6 /64 per minute, 1 to 10000000; signing up is 300. Handshakes, sign-ins and refreshes have counters of their own, ten times as large.',
  ),
  TRUSTED_PROXIES: count(0, 0, 10).describe(
    'Number of your proxies that each request has passed, 0 to 10. With 0 behind a proxy, all clients share its address and its limits; with more than there are, clients choose their address.',
  ),
  LOG_DAYS: count(30, 1, 3650).describe(
    'How many days back clients can resume, 1 to 3650; older events are cleared away, messages are not.',
  ),
  SMTP_URL: z
    .url({ protocol: /^smtps?$/ })
    .refine((url) => findUrlFault(url) === null)
    .optional()
    .describe(
      'The mail server, such as smtp://user:password@mail.example.org:587; without it, development prints mails to the log, and production leaves them to other nodes.',
    ),
  MAIL_FROM: z
    .email()
    .default('parley@localhost.localdomain')
    .describe('The address that mails come from, and that push services may turn to.'),
  OIDC_ISSUER: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('An OpenID provider whose ID tokens sign in, such as https://accounts.example.org; needs OIDC_AUDIENCE.'),
  OIDC_AUDIENCE: z.string().min(1).optional().describe('The client id for which the provider makes its tokens.'),
  FCM_SERVICE_ACCOUNT: z
    .string()
    .transform((text, context): ServiceAccount => {
      const parsed = serviceAccount.safeParse(parseJson(text));
      if (parsed.success) return parsed.data;
      context.addIssue('It is no service account.');
      return z.NEVER;
    })
    .optional()
    .describe('The JSON of a Google service account that may send with Firebase Cloud Messaging, on one line.'),
  FCM_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .default('https://fcm.googleapis.com')
    .describe('Where Firebase Cloud Messaging is.'),
  VAPID_PUBLIC_KEY: z
    .string()
    .regex(/^[\w-]{87}$/)
    .optional()
    .describe('The public key for Web Push, of the pair that `npx web-push generate-vapid-keys` makes.'),
  VAPID_PRIVATE_KEY: z
    .string()
    .regex(/^[\w-]{43}$/)
    .optional()
    .describe('The private key for Web Push.'),
  WEB_PUSH_ORIGINS: originList(
    'https://fcm.googleapis.com,https://updates.push.services.mozilla.com,https://web.push.apple.com,https://*.notify.windows.com',
  ).describe('The origins of browsers’ push services, divided by commas; nothing is pushed to others.'),
  METRICS_TOKEN: z
    .string()
    .min(16)
    .optional()
    .describe(
      'At least 16 characters that /metrics wants as "Authorization: Bearer TOKEN"; without it, production serves no metrics.',
    ),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'An OpenTelemetry collector that takes traces over HTTP, such as http://localhost:4318; without it none are made.',
    ),
  OTEL_TRACES_SAMPLER_ARG: decimal(/^\d*\.?\d+$/)
    .pipe(z.number().min(0).max(1))
    .default(1)
    .describe('How many of the traces that begin here are made, 0 to 1, such as 0.01 for one in a hundred.'),
} satisfies Record<string, z.ZodType>;

function count(usual: number, least: number, most: number) {
  return decimal(/^\d+$/).pipe(z.number().int().min(least).max(most)).default(usual);
}

/** A number in decimal digits. `Number` alone also takes 0x10, 1e3 and spaces. */
function decimal(form: RegExp) {
  return z.string().regex(form).transform(Number);
}

/** Whether the driver can read the URL, which takes more than `new URL`: `postgresql://user@/db?host=/folder/of/the/socket`. */
function isDatabaseUrl(url: string): boolean {
  try {
    if (!/^postgres(ql)?:\/\//.test(url) || findUrlFault(url) !== null) return false;
    return (parseDatabaseUrl(url).options.port ?? 5432) > 0;
  } catch (error) {
    if (error instanceof UrlFileError) throw error;
    return false;
  }
}

/** Origins divided by commas. */
function originList(list: string) {
  return z.string().default(list).transform(divide);
}

function divide(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const schema = z.object(variables);

export type Config = z.infer<typeof schema>;

/** A setting that cannot be used; its message has one line for each, to be shown as it is. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads the settings out of an environment. An empty value counts as absent.
 *
 * @throws ConfigError naming each variable that does not fit, and what it may be.
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.keys(variables).flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const parsed = schema.safeParse(given);
  const unfit = new Set(parsed.error?.issues.map((issue) => String(issue.path[0])));
  // All that is wrong is said at once: what does fit is looked at, whatever else does not.
  const config = schema.partial().parse(Object.fromEntries(Object.entries(given).filter(([name]) => !unfit.has(name))));
  const problems = [
    ...[...unfit].map(
      (name) => `${name} cannot be ${shown(name, given[name])}. ${describe(name)}${adviceOn(name, given[name] ?? '')}`,
    ),
    ...refusedInProduction(config, (name) => name in given),
    ...missingHalves((name) => name in given),
  ];
  if (problems.length > 0) throw new ConfigError([...new Set(problems)].join('\n'));
  return schema.parse(given);
}

/** What refuses to start is read by many: secrets are not repeated. */
function shown(name: string, value: string | undefined): string {
  return /SECRET|TOKEN|PRIVATE|ACCOUNT|_URL$/.test(name) && name !== 'PUBLIC_URL'
    ? 'what it is'
    : JSON.stringify(value);
}

/** A raw `@` or `/` in a password is the usual fault of these three. */
function adviceOn(name: string, value: string): string {
  return ['DATABASE_URL', 'REDIS_URL', 'SMTP_URL'].includes(name) ? adviseOnUrl(value) : '';
}

/** Settings that mean nothing without one another. */
function missingHalves(given: (name: keyof Config) => boolean): string[] {
  const pairs = [
    ['OIDC_ISSUER', 'OIDC_AUDIENCE'],
    ['VAPID_PUBLIC_KEY', 'VAPID_PRIVATE_KEY'],
  ] as const;
  return pairs.flatMap((pair) => {
    const [missing, ...more] = pair.filter((name) => !given(name));
    return missing === undefined || more.length > 0
      ? []
      : [`${missing} must be set beside ${pair.find((name) => name !== missing) ?? ''}. ${describe(missing)}`];
  });
}

function describe(name: string): string {
  return variables[name as keyof typeof variables].description ?? '';
}

/** The text of `.env.example`. */
export function envExample(): string {
  const defaults = schema.parse({});
  const lines = Object.keys(variables).map((name) => {
    const value = defaults[name as keyof Config];
    return `# ${describe(name)}\n# ${name}=${Array.isArray(value) ? value.join(',') : typeof value === 'object' ? '' : (value ?? '')}\n`;
  });
  return `# Parley's settings. Each line shows its default; none is needed to start.\n\n${lines.join('\n')}`;
}
