import { refusedInProduction } from './productionChecks.ts';
import { type Config, schema, variables } from './settings.ts';
import { encodingAdvice } from './urls.ts';

/** Thrown for invalid settings. The message has one line for each problem and can be printed unchanged. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads the settings from an environment. An empty value counts as absent.
 *
 * @throws ConfigError that names each invalid variable and its allowed values
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const values = Object.fromEntries(Object.keys(variables).flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const parsed = schema.safeParse(values);
  const invalid = new Set(parsed.error?.issues.map((issue) => String(issue.path[0])));
  // Checks the valid settings even if others are invalid, so that all problems are reported at once.
  const config = schema
    .partial()
    .parse(Object.fromEntries(Object.entries(values).filter(([name]) => !invalid.has(name))));
  const problems = [
    ...[...invalid].map(
      (name) =>
        `${name} ${describeProblem(name, values[name])}. ${describe(name)}${urlAdvice(name, values[name] ?? '')}`,
    ),
    ...refusedInProduction(config, (name) => name in values),
    ...incompletePairs((name) => name in values),
    ...missingS3Settings(config),
    ...contradictoryTokens(config),
  ];
  if (problems.length > 0) throw new ConfigError([...new Set(problems)].join('\n'));
  return schema.parse(values);
}

/** Describes an invalid value for an error message. Does not quote secrets, because many people read startup logs. */
function describeProblem(name: string, value: string | undefined): string {
  return /SECRET|TOKEN|PRIVATE|ACCOUNT|_URL$/.test(name) && name !== 'PUBLIC_URL'
    ? 'is invalid (its value is not shown)'
    : `cannot be ${JSON.stringify(value)}`;
}

/**
 * Returns advice for an invalid URL that contains an `@`, otherwise an empty text. The usual mistake is a raw `@` or
 * `/` in the password.
 */
function urlAdvice(name: string, value: string): string {
  return ['DATABASE_URL', 'REDIS_URL', 'SMTP_URL'].includes(name) ? encodingAdvice(value) : '';
}

/**
 * Returns an error for each pair of settings with one value missing. The two settings of a pair must be set together.
 */
function incompletePairs(isSet: (name: keyof Config) => boolean): string[] {
  const pairs = [
    ['OIDC_ISSUER', 'OIDC_AUDIENCE'],
    ['VAPID_PUBLIC_KEY', 'VAPID_PRIVATE_KEY'],
  ] as const;
  return pairs.flatMap((pair) => {
    const [missing, ...more] = pair.filter((name) => !isSet(name));
    return missing === undefined || more.length > 0
      ? []
      : [`${missing} must be set together with ${pair.find((name) => name !== missing) ?? ''}. ${describe(missing)}`];
  });
}

/** Returns an error for each setting that FILES=s3 needs and that is missing. */
function missingS3Settings(config: Partial<Config>): string[] {
  const needed = ['S3_ENDPOINT', 'S3_BUCKET', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] as const;
  if (config.FILES !== 's3') return [];
  return needed
    .filter((name) => config[name] === undefined)
    .map((name) => `${name} must be set if FILES=s3. ${describe(name)}`);
}

/** Returns an error for each contradiction among the settings of the application's own access tokens. */
function contradictoryTokens(config: Partial<Config>): string[] {
  const { JWT_ISSUER, JWT_AUDIENCE, JWT_JWKS_URL, JWT_SECRET, AUTH_SECRET, AUTH_SECRETS_ACCEPTED = [] } = config;
  const hasKeys = JWT_JWKS_URL !== undefined || JWT_SECRET !== undefined;
  return [
    ...(JWT_JWKS_URL !== undefined && JWT_SECRET !== undefined
      ? [
          'JWT_JWKS_URL and JWT_SECRET cannot be set together, because a public key must not pass for a secret. Choose one.',
        ]
      : []),
    ...(JWT_JWKS_URL !== undefined && JWT_ISSUER === undefined
      ? [`JWT_ISSUER must be set together with JWT_JWKS_URL. ${describe('JWT_ISSUER')}`]
      : []),
    ...(!hasKeys && (JWT_ISSUER ?? JWT_AUDIENCE) !== undefined
      ? [`JWT_JWKS_URL or JWT_SECRET must be set if JWT_ISSUER or JWT_AUDIENCE is set. ${describe('JWT_JWKS_URL')}`]
      : []),
    ...(JWT_SECRET !== undefined && [AUTH_SECRET, ...AUTH_SECRETS_ACCEPTED].includes(JWT_SECRET)
      ? [
          'JWT_SECRET cannot be a secret of this server, because your application could then make every token. Use another.',
        ]
      : []),
  ];
}

function describe(name: string): string {
  return variables[name as keyof typeof variables].description ?? '';
}

/** Returns the text of `.env.example`. */
export function envExample(): string {
  const defaults = schema.parse({});
  const lines = Object.keys(variables).map((name) => {
    const value = defaults[name as keyof Config];
    return `# ${describe(name)}\n# ${name}=${Array.isArray(value) ? value.join(',') : typeof value === 'object' ? '' : (value ?? '')}\n`;
  });
  return `# Parley's settings. Each line shows its default. None is needed to start.\n\n${lines.join('\n')}`;
}
