import { type HastyRedis, openRedis } from '../realtime/redis.ts';
import { explainRedisFailure } from '../realtime/redisFailures.ts';
import { examineRedisAccess } from '../realtime/redisRequirements.ts';
import { fault, type Finding, ok, warning } from '../findings.ts';
import { examineClock, measure } from './doctor.ts';

const SLOW_MS = 5;
const LEAST_VERSION = [6, 2] as const;
const CONNECT_TIMEOUT_MS = 5_000;

/** Looks at Redis, where there is one. */
export async function examineRedis(url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return [warning('REDIS_URL is not set: a node knows of no other. One node needs none.')];
  let redis: HastyRedis;
  try {
    redis = await openRedis(url, CONNECT_TIMEOUT_MS);
  } catch (error) {
    return [fault(explainRedisFailure(error))];
  }
  try {
    return [...(await examine(redis)), ...(await examineRedisAccess(redis))];
  } catch (error) {
    return [fault(explainRedisFailure(error))];
  } finally {
    redis.close();
  }
}

async function examine(redis: HastyRedis): Promise<Finding[]> {
  const info = await redis.run((client) => client.info());
  const read = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const version = read('redis_version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1]);
  const [limit, policy] = [Number(read('maxmemory')), read('maxmemory_policy')];
  const { ms, answer, at } = await measure(() => redis.run((client) => client.time()));
  const [seconds = 0, microseconds = 0] = answer.map(Number);
  return [
    isOld ? fault(`Redis is ${version}. Parley needs 6.2 or newer.`) : ok(`Redis is ${version}.`),
    limit > 0 && policy !== 'noeviction'
      ? warning(
          `Redis drops keys when it is full (${policy}): users would seem offline. Set maxmemory-policy noeviction.`,
        )
      : ok(limit > 0 ? 'Redis drops no keys.' : 'Redis has no limit of memory.'),
    read('redis_mode') === 'cluster'
      ? warning('This is a Redis Cluster: hints go through all of its nodes. One Redis with a replica is enough.')
      : ok('It is one Redis.'),
    ms > SLOW_MS
      ? warning(`Redis takes ${ms.toFixed(1)} ms there and back: so much later messages arrive on other nodes.`)
      : ok(`Redis takes ${ms.toFixed(1)} ms there and back.`),
    examineClock('Redis', seconds * 1_000 + microseconds / 1_000, at, ms / 2),
  ];
}
