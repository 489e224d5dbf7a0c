import { type FailFastRedis, openRedis } from '../../platform/redis/clients.ts';
import { explainRedisFailure } from '../../platform/redis/failures.ts';
import { examineRedisAccess } from '../../platform/redis/requirements.ts';
import { fault, type Finding, ok, warning } from '../../core/findings.ts';
import { examineClock, measure } from './measure.ts';

/** Round trip to Redis, in milliseconds, above which `doctor` warns. */
const SLOW_MS = 5;
/** Minimum version of Redis. An older version is a fault. */
const MIN_VERSION = [6, 2] as const;
const CONNECT_TIMEOUT_MS = 5_000;

/** Checks Redis without changing it. Returns a warning if `url` is undefined. */
export async function examineRedis(url: string | undefined): Promise<Finding[]> {
  if (url === undefined)
    return [warning('REDIS_URL is not set: nodes cannot notify one another. Set it if there is more than one node.')];
  let redis: FailFastRedis;
  try {
    redis = await openRedis(url, CONNECT_TIMEOUT_MS);
  } catch (error) {
    return [fault(explainRedisFailure(error))];
  }
  try {
    return [...(await examineServer(redis)), ...(await examineRedisAccess(redis))];
  } catch (error) {
    return [fault(explainRedisFailure(error))];
  } finally {
    redis.close();
  }
}

async function examineServer(redis: FailFastRedis): Promise<Finding[]> {
  const info = await redis.run((client) => client.info());
  const read = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const version = read('redis_version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1]);
  const [limit, policy] = [Number(read('maxmemory')), read('maxmemory_policy')];
  const { ms, result, at } = await measure(() => redis.run((client) => client.time()));
  const [seconds = 0, microseconds = 0] = result.map(Number);
  return [
    isOld ? fault(`Redis is ${version}. Install 6.2 or newer.`) : ok(`Redis is ${version}.`),
    limit > 0 && policy !== 'noeviction'
      ? warning(
          `Redis evicts keys when it is full (${policy}): users would appear offline. Set maxmemory-policy noeviction.`,
        )
      : ok(limit > 0 ? 'Redis evicts no keys.' : 'Redis has no memory limit.'),
    read('redis_mode') === 'cluster'
      ? warning(
          'This is a Redis Cluster: notifications go through all of its nodes. Use a single Redis with a replica.',
        )
      : ok('Redis is not a cluster.'),
    ms > SLOW_MS
      ? warning(
          `A round trip to Redis takes ${ms.toFixed(1)} ms: messages reach other nodes that much later. Move Redis closer to the nodes.`,
        )
      : ok(`A round trip to Redis takes ${ms.toFixed(1)} ms.`),
    examineClock('Redis', seconds * 1_000 + microseconds / 1_000, at, ms / 2),
  ];
}
