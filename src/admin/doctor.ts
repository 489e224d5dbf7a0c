import { readFile } from 'node:fs/promises';
import type { Command, Tools } from './admin.ts';
import type { Config } from '../config.ts';
import { examineDatabase } from './doctorDatabase.ts';
import { examineRedis } from './doctorRedis.ts';
import { fault, type Finding, ok, warning } from '../findings.ts';
import { parseDatabaseUrl } from '../database/connections.ts';

const LEAST_NODE = [20, 19] as const;
const LEAST_FILES = 4_096;

export const doctorCommands: Record<string, Command> = {
  doctor: {
    words: [],
    help: 'Looks at the settings, the database and Redis, as this machine sees them, and says what to do about what is not well. Changes nothing. Fails where messages, sessions or delivery are in danger.',
    async run(tools) {
      const findings = [
        ...(await examineSettings(tools)),
        ...(await examineDatabase(tools.databaseUrl, tools.config)),
        ...(await examineRedis(tools.config.REDIS_URL)),
      ];
      const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length;
      const lines = findings.map(({ level, text }) => `${level.padEnd(8)}${text}`);
      const summary = `${count('fault')} faults, ${count('warning')} warnings.`;
      return { text: [...lines, '', summary].join('\n'), failed: count('fault') > 0 };
    },
  },
};

async function examineSettings({ config, nodeVersion }: Tools): Promise<Finding[]> {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number);
  const isOld = major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1]);
  const doubts: [boolean, string][] = [
    [config.NODE_ENV !== 'production', `NODE_ENV is ${config.NODE_ENV}. Set it to production where people are served.`],
    [config.PLAIN_HTTP === 'on', 'PLAIN_HTTP is on: passwords and tokens can be read on their way. Serve https.'],
    [
      config.AUTH_SECRETS_ACCEPTED.length > 0,
      'AUTH_SECRETS_ACCEPTED is set. Take it out 15 minutes after all nodes have the new AUTH_SECRET.',
    ],
    [config.SMTP_URL === undefined, 'SMTP_URL is not set: nobody can reset a forgotten password.'],
    [
      config.TRUSTED_PROXIES === 0 && isBehindProxy(config),
      'TRUSTED_PROXIES is 0, but this node seems to be behind a proxy. All clients then share its address and its rate limits. Set TRUSTED_PROXIES to the number of your proxies.',
    ],
    [config.METRICS_TOKEN === undefined, 'METRICS_TOKEN is not set: production serves no metrics.'],
    [
      isPlainRedis(config.REDIS_URL),
      'REDIS_URL goes to another machine without TLS. Use rediss://, unless the network between is yours alone.',
    ],
  ];
  const files = await openFiles();
  return [
    isOld ? fault(`Node is ${nodeVersion}. Install ${LEAST_NODE.join('.')} or newer.`) : ok(`Node is ${nodeVersion}.`),
    ...doubts.flatMap(([isSo, text]) => (isSo ? [warning(text)] : [])),
    ...examineDatabaseTls(config.DATABASE_URL),
    ...(files === null
      ? []
      : files < LEAST_FILES
        ? [warning(`A process may open ${files} files, and each socket is one. Raise LimitNOFILE or ulimit -n.`)]
        : [ok(`A process may open ${files} files, and each socket is one.`)]),
  ];
}

/** A node serves plain HTTP itself, so something else serves https, or reaches a node that listens on loopback only. */
function isBehindProxy({ NODE_ENV, PUBLIC_URL, HOST }: Config): boolean {
  return PUBLIC_URL?.startsWith('https:') === true || (NODE_ENV === 'production' && isNear(HOST));
}

/** Judges TLS by what the driver does with the URL: the meaning of `sslmode` differs from libpq's. */
function examineDatabaseTls(url: string | undefined): Finding[] {
  if (url === undefined) return [];
  const { host, ssl } = parseDatabaseUrl(url).options;
  if (isNear(host ?? '')) return [];
  const [, mode] = /[?&]sslmode=([\w-]+)/.exec(url) ?? [];
  if (!ssl)
    return [
      warning(
        'DATABASE_URL goes to another machine without TLS. Add ?sslmode=verify-full, unless the network between is yours alone.',
      ),
    ];
  if (typeof ssl === 'object' && (ssl.rejectUnauthorized === false || ssl.checkServerIdentity !== undefined))
    return [
      warning(
        `DATABASE_URL uses TLS without verifying the server (${mode ?? 'ssl'}): somebody in between could pose as it. Use sslmode=verify-full, with sslrootcert=FILE for a CA of your own.`,
      ),
    ];
  return [
    ok(
      mode === undefined || mode === 'verify-full'
        ? 'DATABASE_URL uses TLS and verifies the server.'
        : `DATABASE_URL uses TLS and verifies the server: here sslmode=${mode} means verify-full, unlike in libpq. Write verify-full.`,
    ),
  ];
}

function isPlainRedis(url: string | undefined): boolean {
  return url !== undefined && !url.startsWith('rediss:') && !isNear(new URL(url).hostname);
}

/** Whether a host is this machine; an absolute path is a Unix socket. */
function isNear(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?|\/.*|)$/.test(host);
}

/** Null where the system does not say. */
async function openFiles(): Promise<number | null> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const [, soft] = /^Max open files +(\d+)/m.exec(limits) ?? [];
  return soft === undefined ? null : Number(soft);
}

/** Asks several times, and answers the middle of how long it took and what was answered the last time. */
export async function measure<Answer>(ask: () => Promise<Answer>): Promise<{ ms: number; answer: Answer; at: number }> {
  const times: number[] = [];
  let answer = await ask();
  let at = Date.now();
  for (let i = 0; i < 5; i += 1) {
    const [began, wall] = [performance.now(), Date.now()];
    answer = await ask();
    times.push(performance.now() - began);
    // The moment of the answer by this machine's clock, as well as it can be known: half-way.
    at = (wall + Date.now()) / 2;
  }
  return { ms: times.sort((a, b) => a - b)[2] ?? 0, answer, at };
}

/** Tokens are dated by nodes, and tokens live 15 minutes. */
const WORRYING_SKEW_MS = 1_000;
const HARMFUL_SKEW_MS = 60_000;

export function examineClock(whose: string, theirs: number, ours: number, uncertaintyMs: number): Finding {
  const skew = Math.max(Math.abs(theirs - ours) - uncertaintyMs, 0);
  const text = `The clocks of this machine and of ${whose} are ${(skew / 1_000).toFixed(1)} s apart.`;
  if (skew >= HARMFUL_SKEW_MS) return fault(`${text} Tokens run out too soon or too late. Run NTP on both.`);
  if (skew >= WORRYING_SKEW_MS) return warning(`${text} Run NTP on both.`);
  return ok(`${text.replace(/ are .*/, '')} agree.`);
}
