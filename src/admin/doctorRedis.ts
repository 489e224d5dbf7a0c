import { pino } from 'pino';
import { connectHastily, type HastyRedis } from '../realtime/redis.ts';
import { examineClock, fault, type Finding, measure, ok, warning } from './doctor.ts';

const SLOW_MS = 5;
const LEAST_VERSION = [6, 2] as const;
const LONGEST_CONNECT_MS = 5_000;

/** Looks at Redis, where there is one. */
export async function examineRedis(url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return [warning('REDIS_URL is not set: a node knows of no other. One node needs none.')];
  const redis = connectHastily(url, pino({ level: 'silent' }));
  try {
    await becomeReady(redis);
    return await examine(redis);
  } catch (error) {
    return [
      fault(
        `Redis does not answer: ${(error as Error).message}. Look at REDIS_URL. Until then presence stands still, and messages arrive up to a second later.`,
      ),
    ];
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

async function becomeReady(redis: HastyRedis): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`nothing came back for ${LONGEST_CONNECT_MS / 1_000} s`));
    }, LONGEST_CONNECT_MS);
    redis.onReady(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
