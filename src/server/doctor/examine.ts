import { readFile } from 'node:fs/promises';
import type { Config } from '../../core/config/settings.ts';
import { parseDatabaseUrl } from '../../core/config/databaseUrl.ts';
import { fault, type Finding, ok, warning } from '../../core/findings.ts';
import { examineJwks } from '../../auth/jwksCheck.ts';
import { examineDatabase } from './database.ts';
import { examineFileStore } from './files.ts';
import { examineRedis } from './redis.ts';

/** Minimum version of Node.js. An older version is a fault. */
const MIN_NODE = [20, 19] as const;
/** Minimum limit of open files per process. A lower limit is a warning, because each socket is an open file. */
const MIN_OPEN_FILES = 4_096;

/**
 * Checks the settings, the database, Redis and the file store from this machine. Changes nothing, except that it writes
 * and deletes an object of the file store.
 *
 * @param nodeVersion version of Node.js to check; null to leave that check out
 */
export async function examine(config: Config, databaseUrl: string, nodeVersion: string | null): Promise<Finding[]> {
  return [
    ...(nodeVersion === null ? [] : [examineNodeVersion(nodeVersion)]),
    ...(await examineSettings(config)),
    ...(await examineDatabase(databaseUrl, config)),
    ...(await examineRedis(config.REDIS_URL)),
    ...(await examineFileStore(config)),
    ...(await examineJwks(config.JWT_JWKS_URL)),
  ];
}

function examineNodeVersion(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < MIN_NODE[0] || (major === MIN_NODE[0] && minor < MIN_NODE[1]);
  return isOld ? fault(`Node is ${version}. Install ${MIN_NODE.join('.')} or newer.`) : ok(`Node is ${version}.`);
}

async function examineSettings(config: Config): Promise<Finding[]> {
  const warnings: [boolean, string][] = [
    [
      config.NODE_ENV !== 'production',
      `NODE_ENV is ${config.NODE_ENV}. Set it to production on a server with real users.`,
    ],
    [config.PLAIN_HTTP === 'on', 'PLAIN_HTTP is on: passwords and tokens can be read in transit. Serve https.'],
    [
      config.AUTH_SECRETS_ACCEPTED.length > 0,
      'AUTH_SECRETS_ACCEPTED is set. Remove it 15 minutes after all nodes have the new AUTH_SECRET.',
    ],
    [
      config.SMTP_URL === undefined,
      'SMTP_URL is not set: nobody can reset a forgotten password. Set it to the URL of a mail server.',
    ],
    [
      config.TRUSTED_PROXIES === 0 && isBehindProxy(config),
      'TRUSTED_PROXIES is 0, but this node seems to be behind a proxy. All clients then share its address and its rate limits. Set TRUSTED_PROXIES to the number of your proxies.',
    ],
    [
      config.METRICS_TOKEN === undefined,
      'METRICS_TOKEN is not set: /metrics is off in production. Set it to serve metrics.',
    ],
    [
      config.JWT_JWKS_URL !== undefined && config.JWT_AUDIENCE === undefined,
      'JWT_AUDIENCE is not set: tokens that JWT_ISSUER makes for other programs are accepted, too. Set it to the audience of your tokens.',
    ],
    [
      isPlainRedis(config.REDIS_URL),
      'REDIS_URL connects to another machine without TLS. Use rediss://, unless the network in between is private.',
    ],
  ];
  const maxFiles = await openFileLimit();
  return [
    ...warnings.flatMap(([applies, text]) => (applies ? [warning(text)] : [])),
    ...examineDatabaseTls(config.DATABASE_URL),
    ...(maxFiles === null
      ? []
      : maxFiles < MIN_OPEN_FILES
        ? [warning(`A process may open ${maxFiles} files, and each socket uses one. Raise LimitNOFILE or ulimit -n.`)]
        : [ok(`A process may open ${maxFiles} files, and each socket uses one.`)]),
  ];
}

/**
 * Returns true if this node is likely behind a proxy. A node serves only plain HTTP, so an https PUBLIC_URL needs a
 * proxy. In production, a node that listens on loopback only needs a proxy too.
 */
function isBehindProxy({ NODE_ENV, PUBLIC_URL, HOST }: Config): boolean {
  return PUBLIC_URL?.startsWith('https:') === true || (NODE_ENV === 'production' && isThisMachine(HOST));
}

/**
 * Checks whether the database URL uses TLS and verifies the server. Parses the URL as the driver does, because the
 * driver interprets `sslmode` differently from libpq.
 */
function examineDatabaseTls(url: string | undefined): Finding[] {
  if (url === undefined) return [];
  const { host, ssl } = parseDatabaseUrl(url).options;
  if (isThisMachine(host ?? '')) return [];
  const [, mode] = /[?&]sslmode=([\w-]+)/.exec(url) ?? [];
  if (!ssl)
    return [
      warning(
        'DATABASE_URL connects to another machine without TLS. Add ?sslmode=verify-full, unless the network in between is private.',
      ),
    ];
  if (typeof ssl === 'object' && (ssl.rejectUnauthorized === false || ssl.checkServerIdentity !== undefined))
    return [
      warning(
        `DATABASE_URL uses TLS without verifying the server (${mode ?? 'ssl'}): an attacker in between could impersonate it. Use sslmode=verify-full, with sslrootcert=FILE for a private CA.`,
      ),
    ];
  return [
    ok(
      mode === undefined || mode === 'verify-full'
        ? 'DATABASE_URL uses TLS and verifies the server.'
        : `DATABASE_URL uses TLS and verifies the server: Parley treats sslmode=${mode} as verify-full, unlike libpq. Write verify-full.`,
    ),
  ];
}

function isPlainRedis(url: string | undefined): boolean {
  return url !== undefined && !url.startsWith('rediss:') && !isThisMachine(new URL(url).hostname);
}

/** Returns true for a host on this machine: a loopback name or address, the path of a Unix socket, or an empty text. */
function isThisMachine(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?|\/.*|)$/.test(host);
}

/** Returns the limit of open files per process. Null if the system has no /proc/self/limits. */
async function openFileLimit(): Promise<number | null> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const [, soft] = /^Max open files +(\d+)/m.exec(limits) ?? [];
  return soft === undefined ? null : Number(soft);
}
