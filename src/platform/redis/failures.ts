/** Errors of a read-only server: a demoted primary, or a primary that lost its replicas. */
export const DEMOTED = /READONLY|NOREPLICAS|MASTERDOWN/;

/** Returns true if a later attempt to connect may succeed without a change of the settings. */
export function isTransientRedisFailure(error: unknown): boolean {
  return !/NOAUTH|WRONGPASS|NOPERM|invalid password|ERR AUTH|ERR invalid DB index/i.test(textOf(error));
}

/** Returns sentences that say why Redis fails and what to do. */
export function explainRedisFailure(error: unknown): string {
  const text = textOf(error);
  const sentence = text.replace(/\.?$/, '.');
  if (/ENOTFOUND|EAI_AGAIN/.test(text))
    return `The host of REDIS_URL is not found (${text}). Correct REDIS_URL. ${ENCODE}`;
  if (/WRONGPASS|invalid password|ERR AUTH/i.test(text))
    return `Redis refuses the user or password of REDIS_URL: ${sentence} Correct REDIS_URL. ${ENCODE}`;
  if (text.includes('NOAUTH'))
    return 'Redis requires a password. Add it to REDIS_URL: redis://user:password@host:6379.';
  if (/NOPERM.*channel/s.test(text))
    return 'The user of REDIS_URL may not use the channels parley:*, so nodes cannot notify each other. Run: ACL SETUSER name &parley:*';
  if (/NOPERM.*key/s.test(text))
    return 'The user of REDIS_URL may not use the keys parley:*, so presence and rate limits are not shared. Run: ACL SETUSER name ~parley:*';
  if (text.includes('NOPERM'))
    return 'The user of REDIS_URL may not run all commands that Parley uses (NOPERM). Run: ACL SETUSER name +@all -@dangerous +info';
  if (DEMOTED.test(text))
    return `This Redis is read-only: it is a replica, or lost its replicas. ${sentence} Point REDIS_URL at the primary. Nodes reconnect until they reach it.`;
  if (/^(MISCONF|OOM)/.test(text)) return `Redis refuses writes: ${sentence} Fix the cause in Redis.`;
  return `Redis does not respond: ${sentence} Check REDIS_URL. Until it responds, presence is frozen and messages arrive up to a second later.`;
}

const ENCODE = 'Percent-encode special characters in its password, such as %40 for @.';

/**
 * Returns the text of an error. A host with several addresses may fail with one error per address. The first of these
 * errors is used.
 */
function textOf(error: unknown): string {
  const [first = error] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return first instanceof Error ? first.message : String(first);
}
