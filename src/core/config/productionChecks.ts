import type { Config } from './settings.ts';

/** Words that appear in example secrets and are too long to appear in a random secret by chance. */
const EXAMPLES = /secret|password|passphrase|change.?me|example|default|insecure|parley|12345678|abcdefgh|qwerty/i;
/**
 * Minimum number of distinct characters of a secret. A random secret of 32 characters, even in hexadecimal, practically
 * always has more.
 */
const MIN_DISTINCT_CHARACTERS = 8;
const GENERATE = 'Generate one with `openssl rand -base64 48`.';

/**
 * Returns an error line for each setting that production refuses: missing services and secrets, guessable secrets,
 * unsafe origins and unencrypted URLs. Returns none outside production.
 *
 * @param isSet returns true for a setting that has a value, valid or not
 */
export function refusedInProduction(config: Partial<Config>, isSet: (name: keyof Config) => boolean): string[] {
  if (config.NODE_ENV !== 'production') return [];
  return [
    ...missingSettings(isSet),
    ...guessableSecret('AUTH_SECRET', config.AUTH_SECRET),
    ...(config.AUTH_SECRETS_ACCEPTED ?? []).flatMap((secret) => guessableSecret('AUTH_SECRETS_ACCEPTED', secret)),
    ...guessableSecret('JWT_SECRET', config.JWT_SECRET),
    ...guessableSecret('METRICS_TOKEN', config.METRICS_TOKEN),
    ...unsafeOrigins(config),
    ...unencryptedUrls(config),
  ];
}

function missingSettings(isSet: (name: keyof Config) => boolean): string[] {
  const needed = {
    DATABASE_URL:
      'The embedded PostgreSQL is for development. Set the URL of your own, such as postgresql://user:password@host:5432/parley.',
    REDIS_URL:
      'Without it, nodes cannot notify each other. Set the URL of a Redis 6.2 or newer, such as redis://host:6379.',
    AUTH_SECRET: `It signs access tokens and must be the same on every node. ${GENERATE}`,
    PUBLIC_URL: 'Set the URL at which people reach this server, such as https://chat.example.org.',
  };
  return (Object.keys(needed) as (keyof typeof needed)[])
    .filter((name) => !isSet(name))
    .map((name) => `${name} must be set if NODE_ENV=production. ${needed[name]}`);
}

/** Returns an error if a secret can be guessed. Does not quote the secret, because many people read startup logs. */
function guessableSecret(name: string, secret: string | undefined): string[] {
  if (secret === undefined) return [];
  const [word] = EXAMPLES.exec(secret) ?? [];
  if (word !== undefined) return [`${name} can be guessed: it contains "${word}". ${GENERATE}`];
  return new Set(secret).size < MIN_DISTINCT_CHARACTERS
    ? [`${name} can be guessed: it has fewer than ${MIN_DISTINCT_CHARACTERS} different characters. ${GENERATE}`]
    : [];
}

function unsafeOrigins({ ALLOWED_ORIGINS = [], WEB_PUSH_ORIGINS = [], PLAIN_HTTP }: Partial<Config>): string[] {
  const invalid = ALLOWED_ORIGINS.flatMap((origin) => {
    if (origin.includes('*'))
      return [`ALLOWED_ORIGINS cannot contain "${origin}": any page could call the API. List each origin.`];
    if (!isOrigin(origin))
      return [
        `ALLOWED_ORIGINS cannot contain "${origin}": an origin is a scheme and a host, such as https://chat.example.org.`,
      ];
    return origin.startsWith('http:') && PLAIN_HTTP !== 'on'
      ? [`ALLOWED_ORIGINS cannot contain "${origin}": such a page can be changed in transit. Serve it over https.`]
      : [];
  });
  const pushed = WEB_PUSH_ORIGINS.filter((origin) => !/^https:\/\/(\*\.)?[^*/]+\.[^*/]+$/.test(origin)).map(
    (origin) => `WEB_PUSH_ORIGINS cannot contain "${origin}": use https and a host, or *. and a domain.`,
  );
  return [...invalid, ...pushed];
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

/** Returns an error for each unencrypted URL, over which others could read or change the traffic. */
function unencryptedUrls(config: Partial<Config>): string[] {
  const { PUBLIC_URL, OIDC_ISSUER, JWT_JWKS_URL, FCM_ENDPOINT } = config;
  const urls = { PUBLIC_URL, OIDC_ISSUER, JWT_JWKS_URL, FCM_ENDPOINT };
  return Object.entries(urls)
    .filter(([name, url]) => url?.startsWith('http:') && !(name === 'PUBLIC_URL' && config.PLAIN_HTTP === 'on'))
    .map(([name, url]) =>
      name === 'PUBLIC_URL'
        ? `PUBLIC_URL cannot be "${url}": tokens would be sent unencrypted. Use https, or set PLAIN_HTTP=on in a network that only you can reach.`
        : `${name} cannot be "${url}": its responses are trusted and could be changed in transit. Use https.`,
    );
}
