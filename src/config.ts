import { z } from 'zod';
import { type ServiceAccount, serviceAccount } from './auth/serviceAccount.ts';

/**
 * Every setting, its default, and what it means. `.env.example` is written from this table, and a value
 * that does not fit is refused with the variable's name and what it may be.
 */
export const variables = {
  PORT: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(4000)
    .describe('The port to listen on, 0 to 65535; 0 takes a free one.'),
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
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .describe(
      'A PostgreSQL 14 or newer, such as postgresql://user:password@host:5432/parley; without it an embedded one is started.',
    ),
  DATABASE_POOL_SIZE: z.coerce
    .number()
    .int()
    .min(1)
    .max(200)
    .default(10)
    .describe('How many database connections this node may hold, 1 to 200.'),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/ })
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
  ALLOWED_ORIGINS: originList('').describe(
    'Origins of other sites that may call the API from a browser, divided by commas; pages of this server always may.',
  ),
  MAX_SOCKETS_PER_USER: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(10)
    .describe('How many WebSockets a user may have open, 1 to 1000; one more is closed with 4420.'),
  SHARED_EXECUTION: z
    .enum(['on', 'off'])
    .default('on')
    .describe('Whether an event is executed once for all subscribers who ask the same of it: on or off.'),
  LOG_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(3650)
    .default(30)
    .describe('How many days back clients can resume, 1 to 3650; older events are cleared away, messages are not.'),
  SMTP_URL: z
    .url({ protocol: /^smtps?$/ })
    .optional()
    .describe(
      'The mail server, such as smtp://user:password@mail.example.org:587; without it, mails are printed to the log.',
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
} satisfies Record<string, z.ZodType>;

/** Origins divided by commas. */
function originList(list: string) {
  return z
    .string()
    .default(list)
    .transform((text) =>
      text
        .split(',')
        .map((origin) => origin.trim())
        .filter(Boolean),
    );
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
  const problems = parsed.success
    ? [...missingInProduction(parsed.data), ...missingHalves(parsed.data)]
    : [...new Set(parsed.error.issues.map((issue) => String(issue.path[0])))].map(
        (name) => `${name} cannot be ${JSON.stringify(given[name])}. ${describe(name)}`,
      );
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return schema.parse(given);
}

function missingInProduction(config: Config): string[] {
  if (config.NODE_ENV !== 'production') return [];
  return (['DATABASE_URL', 'REDIS_URL', 'AUTH_SECRET'] as const)
    .filter((name) => config[name] === undefined)
    .map((name) => `${name} must be set where NODE_ENV=production. ${describe(name)}`);
}

/** Settings that mean nothing without one another. */
function missingHalves(config: Config): string[] {
  const pairs = [
    ['OIDC_ISSUER', 'OIDC_AUDIENCE'],
    ['VAPID_PUBLIC_KEY', 'VAPID_PRIVATE_KEY'],
  ] as const;
  return pairs.flatMap((pair) => {
    const [missing, ...more] = pair.filter((name) => config[name] === undefined);
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
