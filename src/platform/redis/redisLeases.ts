import type { Logger } from 'pino';
import type { LeaseListener, Leases, LeaseTimes } from './leases.ts';
import type { FailFastRedis } from './clients.ts';

/**
 * Keys in Redis: leases by expiry, number of leases per user, users in their grace period, and time of the last expiry
 * check. Each script is atomic, so each arrival and departure is reported to exactly one node. All times come from the
 * clock of Redis.
 */
const KEYS = [
  'parley:{presence}:leases',
  'parley:{presence}:counts',
  'parley:{presence}:leaving',
  'parley:{presence}:looked',
];

const PRELUDE = `
local leases, counts, leaving, last_check = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changes = {}
local function report(kind, user, at) table.insert(changes, kind .. ' ' .. user .. ' ' .. string.format('%.0f', at)) end
local function release(lease, user, grace, at)
  if redis.call('ZREM', leases, lease) == 1 and redis.call('HINCRBY', counts, user, -1) < 1 then
    redis.call('HDEL', counts, user)
    redis.call('ZADD', leaving, now + grace, user)
    report('LEFT', user, at)
  end
end
`;

/** Acquires or renews leases. ARGV: duration in milliseconds, maximum per user (0 for no limit), leases. */
const ACQUIRE = `${PRELUDE}
local duration, max = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, #ARGV do
  local user = string.match(ARGV[i], '^[^ ]+')
  if not redis.call('ZSCORE', leases, ARGV[i]) then
    local count = tonumber(redis.call('HGET', counts, user) or 0)
    if max > 0 and count >= max then return {'REFUSED ' .. user .. ' 0'} end
    redis.call('HINCRBY', counts, user, 1)
    if redis.call('ZREM', leaving, user) == 0 and count == 0 then report('ARRIVED', user, now) end
  end
  redis.call('ZADD', leases, now + duration, ARGV[i])
end
return changes`;

/** Releases leases. ARGV: grace period in milliseconds, leases. */
const RELEASE = `${PRELUDE}
for i = 2, #ARGV do release(ARGV[i], string.match(ARGV[i], '^[^ ]+'), tonumber(ARGV[1]), now) end
return changes`;

/**
 * Expires leases and grace periods. ARGV: duration, maximum gap between two checks, one lease of the calling node.
 *
 * After a longer gap, extends all leases instead, because Redis or all nodes were stopped and no lease could be
 * renewed. If the given lease is missing, Redis has lost its data. The script then asks the calling node to renew all
 * its leases.
 */
const EXPIRE = `${PRELUDE}
local duration, max_gap = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('GET', last_check) or 0)
redis.call('SET', last_check, now)
if ARGV[3] and not redis.call('ZSCORE', leases, ARGV[3]) then report('EMPTIED', '-', now) end
if now - last > max_gap then
  for _, lease in ipairs(redis.call('ZRANGE', leases, 0, -1)) do redis.call('ZADD', leases, now + duration, lease) end
  return changes
end
local expired = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 1, #expired, 2 do release(expired[i], string.match(expired[i], '^[^ ]+'), 0, expired[i + 1] - duration) end
for _, user in ipairs(redis.call('ZRANGEBYSCORE', leaving, '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', leaving, user)
  if redis.call('HEXISTS', counts, user) == 0 then report('GONE', user, now) end
end
return changes`;

/** Interval of the expiry check, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000;
/**
 * Maximum time between two checks, in milliseconds. Counts the checks of all nodes. After a longer gap, all leases are
 * extended.
 */
const MAX_CHECK_GAP_MS = 5_000;
/** Maximum number of leases that one call renews. */
const MAX_BATCH_SIZE = 500;
/** Maximum number of users whose last known presence is cached, for use while Redis is unavailable. */
const MAX_CACHED_USERS = 100_000;

/** Creates the leases of a node that shares a Redis with other nodes. */
export function createRedisLeases(
  redis: FailFastRedis,
  listener: LeaseListener,
  { leaseMs, graceMs }: LeaseTimes,
  log: Logger,
): Leases {
  /** Connection ids of the leases that this node holds, by user. */
  const held = new Map<string, Set<string>>();
  const lastKnown = new Map<string, boolean>();
  // Renews after each reconnect, because Redis may have lost its data meanwhile.
  redis.onReady(() => void renew());

  async function run(script: string, ...args: (string | number)[]): Promise<string[]> {
    return (await redis.run((client) => client.eval(script, KEYS.length, ...KEYS, ...args), 'presence')) as string[];
  }

  function report(changes: readonly string[]): void {
    for (const line of changes) {
      const [kind, userId = '', at] = line.split(' ');
      if (kind === 'ARRIVED') listener.onArrived(userId);
      else if (kind === 'LEFT') listener.onLeft(userId, new Date(Number(at)));
      else if (kind === 'GONE') listener.onGone(userId);
      else if (kind === 'EMPTIED') void renew();
    }
  }

  async function attempt(script: string, ...args: (string | number)[]): Promise<void> {
    try {
      report(await run(script, ...args));
    } catch (error) {
      log.debug({ error }, 'Redis is unavailable. Presence is frozen until it recovers.');
    }
  }

  async function renew(): Promise<void> {
    for (const batch of batches()) {
      // A lease that was released while earlier batches were renewed must not be acquired again.
      const current = batch.filter(([userId, connectionId]) => held.get(userId)?.has(connectionId));
      if (current.length > 0) await attempt(ACQUIRE, leaseMs, 0, ...current.map(toLease));
    }
  }

  function batches(): [userId: string, connectionId: string][][] {
    const leases = [...held].flatMap(([userId, ids]) => [...ids].map((id): [string, string] => [userId, id]));
    return Array.from({ length: Math.ceil(leases.length / MAX_BATCH_SIZE) }, (_, i) =>
      leases.slice(i * MAX_BATCH_SIZE, (i + 1) * MAX_BATCH_SIZE),
    );
  }

  function remove(userId: string, connectionId: string): boolean {
    const connections = held.get(userId);
    const found = connections?.delete(connectionId) ?? false;
    if (connections?.size === 0) held.delete(userId);
    return found;
  }

  const renewing = setInterval(() => void renew(), leaseMs / 3).unref();
  const checking = setInterval(() => {
    const [batch = []] = batches();
    void attempt(EXPIRE, leaseMs, MAX_CHECK_GAP_MS, ...batch.slice(0, 1).map(toLease));
  }, CHECK_INTERVAL_MS).unref();

  return {
    async acquire(userId, connectionId, max) {
      const connections = held.get(userId) ?? new Set();
      if (connections.size >= max) return false;
      // Adds the connection before Redis replies, so that a concurrent call for the user counts it.
      held.set(userId, connections.add(connectionId));
      try {
        const changes = await run(ACQUIRE, leaseMs, max, toLease([userId, connectionId]));
        if (changes[0]?.startsWith('REFUSED')) {
          remove(userId, connectionId);
          return false;
        }
        report(changes);
      } catch {
        // While Redis is unavailable nobody is refused. The next renewal acquires the lease.
      }
      return true;
    },
    release(userId, connectionId) {
      if (remove(userId, connectionId)) void attempt(RELEASE, graceMs, toLease([userId, connectionId]));
    },
    async holders(userIds) {
      if (userIds.length === 0) return new Set();
      try {
        const counts = await redis.run((client) => client.hmget(KEYS[1] ?? '', ...userIds), 'reading presence');
        userIds.forEach((userId, i) => {
          lastKnown.delete(userId);
          lastKnown.set(userId, counts[i] !== null);
        });
        for (const oldest of lastKnown.keys()) {
          if (lastKnown.size <= MAX_CACHED_USERS) break;
          lastKnown.delete(oldest);
        }
      } catch {
        // Falls back to the last known state.
      }
      return new Set(userIds.filter((userId) => held.has(userId) || lastKnown.get(userId)));
    },
    size: () => [...held.values()].reduce((sum, connections) => sum + connections.size, 0),
    async close() {
      clearInterval(renewing);
      clearInterval(checking);
      const remaining = batches();
      held.clear();
      for (const batch of remaining) await attempt(RELEASE, graceMs, ...batch.map(toLease));
    },
  };
}

function toLease([userId, connectionId]: [string, string]): string {
  return `${userId} ${connectionId}`;
}
