import type { Config } from './config.ts';

/** What stands in examples, and is too long to stand by chance in a secret that was. */
const EXAMPLES = /secret|password|passphrase|change.?me|example|default|insecure|parley|12345678|abcdefgh|qwerty/i;
/** Of 32 characters by chance, even if only hexadecimal ones, fewer are never different. */
const LEAST_VARIETY = 8;
const MAKE_ONE = 'Make one with `openssl rand -base64 48`.';

/**
 * What keeps a server from running in production, a line each: parts that are there to begin with, secrets that can be
 * guessed, and ways in that are open to all or can be listened to.
 *
 * @param given whether a setting was given at all, if perhaps wrongly, which is said elsewhere
 */
export function refusedInProduction(config: Partial<Config>, given: (name: keyof Config) => boolean): string[] {
  if (config.NODE_ENV !== 'production') return [];
  return [
    ...missing(given),
    ...guessable('AUTH_SECRET', config.AUTH_SECRET),
    ...(config.AUTH_SECRETS_ACCEPTED ?? []).flatMap((secret) => guessable('AUTH_SECRETS_ACCEPTED', secret)),
    ...guessable('METRICS_TOKEN', config.METRICS_TOKEN),
    ...openOrigins(config),
    ...plainUrls(config),
  ];
}

function missing(given: (name: keyof Config) => boolean): string[] {
  const needed = {
    DATABASE_URL:
      'The embedded PostgreSQL is for development. Name your own, such as postgresql://user:password@host:5432/parley.',
    REDIS_URL: 'Without it a node knows of no other. Name a Redis 6.2 or newer, such as redis://host:6379.',
    AUTH_SECRET: `Access tokens are signed with it; it is the same on every node. ${MAKE_ONE}`,
    PUBLIC_URL: 'Say where people reach this server, such as https://chat.example.org.',
  };
  return (Object.keys(needed) as (keyof typeof needed)[])
    .filter((name) => !given(name))
    .map((name) => `${name} must be set where NODE_ENV=production. ${needed[name]}`);
}

/** The value itself is not repeated: what refuses to start is read by many. */
function guessable(name: string, secret: string | undefined): string[] {
  if (secret === undefined) return [];
  const [word] = EXAMPLES.exec(secret) ?? [];
  if (word !== undefined) return [`${name} can be guessed: it has "${word}" in it. ${MAKE_ONE}`];
  return new Set(secret).size < LEAST_VARIETY
    ? [`${name} can be guessed: it is made of fewer than ${LEAST_VARIETY} different characters. ${MAKE_ONE}`]
    : [];
}

function openOrigins({ ALLOWED_ORIGINS = [], WEB_PUSH_ORIGINS = [], PLAIN_HTTP }: Partial<Config>): string[] {
  const unfit = ALLOWED_ORIGINS.flatMap((origin) => {
    if (origin.includes('*'))
      return [`ALLOWED_ORIGINS cannot have "${origin}": any page could call the API. Name each.`];
    if (!isOrigin(origin))
      return [
        `ALLOWED_ORIGINS cannot have "${origin}": an origin is a scheme and a host, such as https://chat.example.org.`,
      ];
    return origin.startsWith('http:') && PLAIN_HTTP !== 'on'
      ? [`ALLOWED_ORIGINS cannot have "${origin}": on its way such a page can be changed. Serve it over https.`]
      : [];
  });
  const pushed = WEB_PUSH_ORIGINS.filter((origin) => !/^https:\/\/(\*\.)?[^*/]+\.[^*/]+$/.test(origin)).map(
    (origin) => `WEB_PUSH_ORIGINS cannot have "${origin}": name a host with https, or *. and its domain.`,
  );
  return [...unfit, ...pushed];
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}

/** What would be sent so that others can read or change it on its way. */
function plainUrls(config: Partial<Config>): string[] {
  const urls = { PUBLIC_URL: config.PUBLIC_URL, OIDC_ISSUER: config.OIDC_ISSUER, FCM_ENDPOINT: config.FCM_ENDPOINT };
  return Object.entries(urls)
    .filter(([name, url]) => url?.startsWith('http:') && !(name === 'PUBLIC_URL' && config.PLAIN_HTTP === 'on'))
    .map(([name, url]) =>
      name === 'PUBLIC_URL'
        ? `PUBLIC_URL cannot be "${url}": tokens would be sent in plain. Use https, or set PLAIN_HTTP=on in a network that only you can reach.`
        : `${name} cannot be "${url}": what it says is believed. Use https.`,
    );
}
