import { z } from 'zod';
import { type ServiceAccount, serviceAccount } from './googleServiceAccount.ts';
import { parseDatabaseUrl, UrlFileError } from './databaseUrl.ts';
import { findUrlFault, parseHostPort } from './urls.ts';

const onOff = z.enum(['on', 'off']);
/** A host name, an IP address, or a network such as 10.0.0.0/8. */
const hostOrNetwork = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6(), z.hostname()]);

/**
 * All settings with their defaults and descriptions. `.env.example` is generated from this table. An error about an
 * invalid value contains the variable's name and description.
 */
export const variables = {
  PORT: count(4000, 0, 65535).describe('Port to listen on, 0 to 65535. 0 selects a free port.'),
  HOST: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on, such as 127.0.0.1 for this machine only, or 0.0.0.0 or :: for all addresses.'),
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('URL at which people reach this server, such as https://chat.example.org. Used in links and mails.'),
  NODE_ENV: z
    .enum(['development', 'production', 'test'])
    .default('development')
    .describe('Mode: development, production or test. Production refuses embedded parts and missing secrets.'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Minimum level of log entries: fatal, error, warn, info, debug, trace or silent.'),
  DATABASE_URL: z
    .string()
    .refine(isDatabaseUrl)
    .optional()
    .describe(
      'URL of a PostgreSQL 14 or newer, such as postgresql://user:password@host:5432/parley. ?schema=NAME selects another schema than the search_path. Without this URL, an embedded PostgreSQL is started.',
    ),
  DATABASE_POOL_SIZE: count(10, 1, 200).describe('Maximum number of database connections of this node, 1 to 200.'),
  MIGRATE_ON_START: onOff
    .default('on')
    .describe(
      'Whether a node applies migrations when it starts: on or off. If off, run `npm run migrate` before a new version.',
    ),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
    .refine((url) => findUrlFault(url) === null)
    .optional()
    .describe('URL of a Redis 6.2 or newer, such as redis://host:6379. Without Redis, run a single node only.'),
  DATA_DIR: z.string().min(1).default('.data').describe('Folder of the embedded database and of generated secrets.'),
  AUTH_SECRET: z
    .string()
    .min(32)
    .optional()
    .describe(
      'Secret that signs access tokens, at least 32 characters, equal on every node. In development, one is generated in DATA_DIR.',
    ),
  AUTH_SECRETS_ACCEPTED: z
    .string()
    .default('')
    .transform(split)
    .refine((secrets) => secrets.every((secret) => secret.length >= 32))
    .describe(
      'Other secrets whose access tokens are accepted, separated by commas, at least 32 characters each. List the next and the former secret while you replace AUTH_SECRET.',
    ),
  ALLOWED_ORIGINS: originList('').describe(
    'Origins of other sites that may call the API from a browser, separated by commas. Pages of this server are always allowed. In development, so are pages of localhost, 127.0.0.1 and [::1] on any port.',
  ),
  SIGN_UP: z
    .enum(['open', 'off'])
    .default('open')
    .describe(
      'Creation of accounts: open for everyone, or off. If off, signUp and a first OpenID sign-in are refused. `npm run admin -- create-user`, services and tokens of JWT_ISSUER still create accounts. If off, `npm start` adds no demo users.',
    ),
  PLAIN_HTTP: onOff
    .default('off')
    .describe(
      'Whether production accepts plain http: on or off. Turn it on only in a network that nobody else can reach.',
    ),
  MAX_SOCKETS_PER_USER: count(10, 1, 1_000).describe(
    'Maximum number of open WebSockets of a user, 1 to 1000. Further ones are closed with 4420.',
  ),
  MAX_SUBSCRIPTIONS_PER_SOCKET: count(128, 1, 10_000).describe(
    'Maximum number of open subscriptions of a WebSocket, 1 to 10000. Further ones fail with RATE_LIMITED.',
  ),
  MAX_STREAMS_PER_USER: count(200, 1, 100_000).describe(
    'Maximum number of open subscriptions of a user on a node, over WebSocket and SSE together, 1 to 100000. Further ones fail with RATE_LIMITED.',
  ),
  MAX_SIGNED_OUT_SOCKETS: count(20, 1, 10_000).describe(
    'Maximum number of signed-out WebSockets of one network on a node, 1 to 10000. Further ones are closed with 1013.',
  ),
  SIGNED_OUT_SECONDS: count(60, 1, 3_600).describe(
    'Time after which a WebSocket without a token is closed with 4401, in seconds, 1 to 3600.',
  ),
  SHARED_EXECUTION: onOff
    .default('on')
    .describe('Whether an event is executed once for all subscribers with an equal operation: on or off.'),
  INTROSPECTION: onOff
    .optional()
    .describe('Whether introspection and field suggestions are enabled: on or off. Off by default in production.'),
  GRAPHIQL: onOff.optional().describe('Whether /graphql serves GraphiQL: on or off. Off by default in production.'),
  PERSISTED_ONLY: z
    .string()
    .min(1)
    .optional()
    .describe(
      'JSON file that maps ids to documents, such as persisted-documents.json. If set, other documents are refused.',
    ),
  MAX_DEPTH: count(12, 1, 100).describe('Maximum depth of an operation, 1 to 100.'),
  MAX_TOKENS: count(2_000, 10, 100_000).describe('Maximum number of tokens in a document, 10 to 100000.'),
  MAX_ALIASES: count(15, 0, 10_000).describe('Maximum number of aliases in an operation, 0 to 10000.'),
  MAX_DIRECTIVES: count(5, 0, 1_000).describe('Maximum number of directives in an operation, 0 to 1000.'),
  MAX_COMPLEXITY: count(13_000, 1, 1_000_000).describe(
    'Maximum complexity of an operation, 1 to 1000000: the number of fields it may return, including all items of its lists.',
  ),
  MAX_BODY_KB: count(256, 1, 10_000).describe(
    'Maximum size of a request body in KB, 1 to 10000. Larger requests receive 413.',
  ),
  MAX_MESSAGE_KB: count(256, 1, 10_000).describe(
    'Maximum size of a WebSocket message in KB, 1 to 10000. A larger message closes the socket with 1009.',
  ),
  MAX_OPERATIONS_PER_USER: count(8, 1, 1_000).describe(
    'Maximum number of concurrent operations of a user on a node, 1 to 1000. At most 50 further ones wait.',
  ),
  MAX_OPERATIONS_PER_ADDRESS: count(32, 1, 10_000).describe(
    'Maximum number of concurrent operations of all signed-out clients of one IPv4 address or IPv6 /64, and of a service, 1 to 10000.',
  ),
  EXECUTION_SECONDS: count(10, 1, 60).describe('Maximum duration of one execution in seconds, 1 to 60.'),
  RATE_LIMITS: onOff
    .default('on')
    .describe('Whether rate limits and the throttling of sign-ins are active: on or off.'),
  RATE_PER_USER: count(1_200, 1, 1_000_000).describe(
    'Maximum points of a signed-in user per minute, 1 to 1000000. A query costs 1 and 1 per 500 of its complexity, a message 5, a search or a link preview 20.',
  ),
  RATE_PER_ADDRESS: count(6_000, 1, 10_000_000).describe(
    'Maximum points of all signed-out clients of one IPv4 address or IPv6 /64 per minute, 1 to 10000000. Signing up costs 300. Handshakes, sign-ins and refreshes each have a separate counter, ten times as large.',
  ),
  TRUSTED_PROXIES: count(0, 0, 10).describe(
    'Number of your proxies that each request has passed, 0 to 10. If it is 0 behind a proxy, all clients share its address and its limits. If it is too high, clients can forge their address.',
  ),
  LOG_DAYS: count(30, 1, 3650).describe(
    'Number of days for which clients can resume, 1 to 3650. Older events are deleted; messages are not.',
  ),
  SMTP_URL: z
    .url({ protocol: /^smtps?$/ })
    .refine((url) => findUrlFault(url) === null)
    .optional()
    .describe(
      'URL of the mail server, such as smtp://user:password@mail.example.org:587. Without it, development prints mails to the log, and production leaves them to other nodes.',
    ),
  MAIL_FROM: z
    .email()
    .default('parley@localhost.localdomain')
    .describe('Sender address of mails, and the contact address for push services.'),
  OIDC_ISSUER: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'Issuer URL of an OpenID provider whose ID tokens sign in, such as https://accounts.example.org. Requires OIDC_AUDIENCE.',
    ),
  OIDC_AUDIENCE: z
    .string()
    .min(1)
    .optional()
    .describe('Client id for which the OpenID provider issues its tokens. Requires OIDC_ISSUER.'),
  JWT_ISSUER: z
    .string()
    .min(1)
    .refine((issuer) => issuer !== 'parley')
    .optional()
    .describe(
      'Claim `iss` of access tokens of your own application, which clients may send in place of tokens of this server. Requires JWT_JWKS_URL or JWT_SECRET. Not "parley".',
    ),
  JWT_JWKS_URL: z
    .url({ protocol: /^https?$/ })
    .refine((url) => findUrlFault(url) === null)
    .optional()
    .describe(
      'URL of the public keys (JWKS) that verify these tokens, such as https://accounts.example.org/jwks.json. Requires JWT_ISSUER. Symmetric algorithms are refused.',
    ),
  JWT_SECRET: z
    .string()
    .refine((secret) => Buffer.byteLength(secret) >= 32)
    .optional()
    .describe(
      'Secret that verifies these tokens with HS256, at least 32 bytes, in place of JWT_JWKS_URL. Everyone who knows it can act as every user. Not AUTH_SECRET.',
    ),
  JWT_AUDIENCE: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Claim `aud` that these tokens must have. Without it, tokens that the issuer made for other programs are accepted, too.',
    ),
  FCM_SERVICE_ACCOUNT: z
    .string()
    .transform((text, context): ServiceAccount => {
      const parsed = serviceAccount.safeParse(parseJson(text));
      if (parsed.success) return parsed.data;
      context.addIssue('This is not the JSON of a service account.');
      return z.NEVER;
    })
    .optional()
    .describe('JSON of a Google service account that may send with Firebase Cloud Messaging, on one line.'),
  FCM_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .default('https://fcm.googleapis.com')
    .describe('URL of Firebase Cloud Messaging.'),
  VAPID_PUBLIC_KEY: z
    .string()
    .regex(/^[\w-]{87}$/)
    .optional()
    .describe('Public key for Web Push, from the pair that `npx web-push generate-vapid-keys` creates.'),
  VAPID_PRIVATE_KEY: z
    .string()
    .regex(/^[\w-]{43}$/)
    .optional()
    .describe('Private key for Web Push, from the same pair as VAPID_PUBLIC_KEY.'),
  WEB_PUSH_ORIGINS: originList(
    'https://fcm.googleapis.com,https://updates.push.services.mozilla.com,https://web.push.apple.com,https://*.notify.windows.com',
  ).describe('Origins of browsers’ push services, separated by commas. Other origins receive no push notifications.'),
  LINK_PREVIEWS: onOff
    .default('on')
    .describe(
      'Whether this server requests the pages of links to show previews: on or off. It requests public addresses only, and ignores proxies of the environment.',
    ),
  WEBHOOK_ALLOW: z
    .string()
    .default('')
    .transform(split)
    .refine((entries) => entries.every((entry) => hostOrNetwork.safeParse(entry).success))
    .describe(
      'Hosts of your own that webhooks may reach although their addresses are not public, separated by commas: host names, IP addresses and networks, such as shop.internal,10.1.0.0/16. For these, webhooks may use plain http.',
    ),
  FILES: z
    .enum(['disk', 's3', 'off'])
    .default('disk')
    .describe(
      'Store of uploaded files: disk for the folder DATA_DIR/files, s3 for an object store, or off for no uploads. In production, disk works with one node only.',
    ),
  S3_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('URL of the object store, such as https://s3.eu-central-1.amazonaws.com. Required if FILES=s3.'),
  S3_PUBLIC_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'URL at which clients reach the object store, such as https://files.example.org. They upload and download there. Default: S3_ENDPOINT.',
    ),
  S3_BUCKET: z
    .string()
    .regex(/^[a-z\d][a-z\d.-]{1,61}[a-z\d]$/)
    .optional()
    .describe('Bucket of the object store, for Parley only. Required if FILES=s3.'),
  S3_REGION: z.string().min(1).default('us-east-1').describe('Region of the object store, such as eu-central-1.'),
  S3_ACCESS_KEY_ID: z
    .string()
    .min(1)
    .optional()
    .describe('Id of the access key of the object store. Required if FILES=s3.'),
  S3_SECRET_ACCESS_KEY: z
    .string()
    .min(1)
    .optional()
    .describe('Secret of the access key of the object store. Required if FILES=s3.'),
  S3_PATH_STYLE: onOff
    .default('off')
    .describe(
      'Whether the bucket is named in the path of the URL instead of the host: on or off. MinIO and others need on.',
    ),
  MAX_FILE_MB: count(25, 1, 2_000).describe('Maximum size of an uploaded file in MB, 1 to 2000.'),
  MAX_USER_STORAGE_MB: count(1_024, 1, 1_000_000).describe(
    'Maximum size of all files of a user together in MB, 1 to 1000000.',
  ),
  IMAGE_METADATA: z
    .enum(['strip', 'keep'])
    .default('strip')
    .describe(
      'Whether images keep their metadata, such as the place where a photo was taken: strip or keep. Colour profiles are always kept.',
    ),
  CLAMAV: z
    .string()
    .refine((address) => parseHostPort(address) !== null)
    .optional()
    .describe(
      'Host and port of a clamd that scans uploaded files, such as 127.0.0.1:3310 or [::1]:3310. Without it, files are not scanned.',
    ),
  METRICS_TOKEN: z
    .string()
    .min(16)
    .optional()
    .describe(
      'Token that /metrics requires as "Authorization: Bearer TOKEN", at least 16 characters. Without it, production serves no metrics.',
    ),
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'URL of an OpenTelemetry collector for traces over HTTP, such as http://localhost:4318. Without it, tracing is off.',
    ),
  OTEL_TRACES_SAMPLER_ARG: decimal(/^\d*\.?\d+$/)
    .pipe(z.number().min(0).max(1))
    .default(1)
    .describe('Fraction of locally started traces that are recorded, 0 to 1, such as 0.01 for one in a hundred.'),
} satisfies Record<string, z.ZodType>;

function count(defaultValue: number, min: number, max: number) {
  return decimal(/^\d+$/).pipe(z.number().int().min(min).max(max)).default(defaultValue);
}

/** Parses a number in decimal digits. `Number` alone would also accept 0x10, 1e3 and spaces. */
function decimal(form: RegExp) {
  return z.string().regex(form).transform(Number);
}

/**
 * Returns true if the driver can parse the URL. The driver accepts URLs that `new URL` does not, such as
 * `postgresql://user@/db?host=/folder/of/the/socket`.
 */
function isDatabaseUrl(url: string): boolean {
  try {
    if (!/^postgres(ql)?:\/\//.test(url) || findUrlFault(url) !== null) return false;
    return (parseDatabaseUrl(url).options.port ?? 5432) > 0;
  } catch (error) {
    if (error instanceof UrlFileError) throw error;
    return false;
  }
}

/**
 * Returns a schema for a comma-separated list of origins.
 *
 * @param list default value
 */
function originList(list: string) {
  return z.string().default(list).transform(split);
}

function split(text: string): string[] {
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

export const schema = z.object(variables);

export type Config = z.infer<typeof schema>;
