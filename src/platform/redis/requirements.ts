import { fault, type Finding, ok } from '../../core/findings.ts';
import { waitFor } from '../waiting.ts';
import { type FailFastRedis, openRedis } from './clients.ts';
import { explainRedisFailure, isTransientRedisFailure } from './failures.ts';

const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Script that checks write access by deleting a key that does not exist. Fails on a replica, or if the user may not
 * write.
 */
const PROBE = `return redis.call('DEL', KEYS[1])`;

/** Checks that Redis accepts writes, and that the user may access Parley's keys and channels. Changes nothing. */
export async function examineRedisAccess(redis: FailFastRedis): Promise<Finding[]> {
  const probes = [
    () => redis.run((client) => client.eval(PROBE, 1, 'parley:{presence}:probe')),
    () => redis.run((client) => client.eval(PROBE, 1, 'parley:limits:probe')),
    () => redis.run((client) => client.hmget('parley:{presence}:probe', 'probe')),
    () => redis.run((client) => client.publish('parley:probe', '')),
    async () => {
      await redis.run((client) => client.subscribe('parley:probe'));
      await redis.run((client) => client.unsubscribe('parley:probe'));
    },
  ];
  const faults = new Set<string>();
  for (const probe of probes)
    await probe().catch((error: unknown) => {
      faults.add(explainRedisFailure(error));
    });
  return faults.size > 0
    ? [...faults].map(fault)
    : [ok('Redis is a primary, and its user may use the keys and channels of Parley.')];
}

/**
 * Waits until Redis is up, and checks it. Never throws, because a node works without Redis.
 *
 * @returns the problems, as sentences
 */
export async function waitForRedis(url: string, print: (line: string) => void, waitMs?: number): Promise<string[]> {
  try {
    const redis = await waitFor(() => openRedis(url, CONNECT_TIMEOUT_MS), {
      name: `Redis at ${new URL(url).host}`,
      isTransient: isTransientRedisFailure,
      explain: explainRedisFailure,
      print,
      ...(waitMs === undefined ? {} : { waitMs }),
    });
    const findings = await examineRedisAccess(redis);
    redis.close();
    return findings.filter(({ level }) => level === 'fault').map(({ text }) => text);
  } catch (error) {
    return [explainRedisFailure(error)];
  }
}
