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
local leases, counts, leaving, looked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local told = {}
local function tell(what, user, at) table.insert(told, what .. ' ' .. user .. ' ' .. string.format('%.0f', at)) end
local function drop(lease, user, grace, at)
  if redis.call('ZREM', leases, lease) == 1 and redis.call('HINCRBY', counts, user, -1) < 1 then
    redis.call('HDEL', counts, user)
    redis.call('ZADD', leaving, now + grace, user)
    tell('LEFT', user, at)
  end
end
`;

/** Acquires or renews leases. ARGV: duration in milliseconds, maximum per user (0 for no limit), leases. */
const ACQUIRE = `${PRELUDE}
local term, most = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, #ARGV do
  local user = string.match(ARGV[i], '^[^ ]+')
  if not redis.call('ZSCORE', leases, ARGV[i]) then
    local count = tonumber(redis.call('HGET', counts, user) or 0)
    if most > 0 and count >= most then return {'REFUSED ' .. user .. ' 0'} end
    redis.call('HINCRBY', counts, user, 1)
    if redis.call('ZREM', leaving, user) == 0 and count == 0 then tell('ARRIVED', user, now) end
  end
  redis.call('ZADD', leases, now + term, ARGV[i])
end
return told`;

/** Releases leases. ARGV: grace period in milliseconds, leases. */
const RELEASE = `${PRELUDE}
for i = 2, #ARGV do drop(ARGV[i], string.match(ARGV[i], '^[^ ]+'), tonumber(ARGV[1]), now) end
return told`;

/**
 * Expires leases and grace periods. ARGV: duration, maximum gap between two checks, one lease of the calling node.
 *
 * After a longer gap, extends all leases instead, because Redis or all nodes were stopped and no lease could be
 * renewed. If the given lease is missing, Redis has lost its data. The script then asks the calling node to renew all
 * its leases.
 */
const EXPIRE = `${PRELUDE}
local term, pause = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = tonumber(redis.call('GET', looked) or 0)
redis.call('SET', looked, now)
if ARGV[3] and not redis.call('ZSCORE', leases, ARGV[3]) then tell('EMPTIED', '-', now) end
if now - last > pause then
  for _, lease in ipairs(redis.call('ZRANGE', leases, 0, -1)) do redis.call('ZADD', leases, now + term, lease) end
  return told
end
local run_out = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 1, #run_out, 2 do drop(run_out[i], string.match(run_out[i], '^[^ ]+'), 0, run_out[i + 1] - term) end
for _, user in ipairs(redis.call('ZRANGEBYSCORE', leaving, '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', leaving, user)
  if redis.call('HEXISTS', counts, user) == 0 then tell('GONE', user, now) end
end
return told`;

/** Interval of the expiry check, in milliseconds. */
const CHECK_INTERVAL_MS = 1_000;
/**
 * Maximum time between two checks, in milliseconds. Counts the checks of all nodes. After a longer gap, all leases are
 * extended.
 */
const MAX_CHECK_GAP_MS = 5_000;
/** Maximum number of leases that one call renews. */
const BATCH = 500;
/** Maximum number of users whose last known presence is cached, for use while Redis is unavailable. */
const MAX_REMEMBERED = 100_000;

/** Creates the leases of a node that shares a Redis with other nodes. */
export function createRedisLeases(
  redis: FailFastRedis,
  listener: LeaseListener,
  { leaseMs, graceMs }: LeaseTimes,
  log: Logger,
): Leases {
  /** Connection ids of the leases that this node holds, by user. */
  const mine = new Map<string, Set<string>>();
  const remembered = new Map<string, boolean>();
  // Renews after each reconnect, because Redis may have lost its data meanwhile.
  redis.onReady(() => void renew());

  async function run(script: string, ...args: (string | number)[]): Promise<string[]> {
    return (await redis.run((client) => client.eval(script, KEYS.length, ...KEYS, ...args), 'presence')) as string[];
  }

  function report(changes: readonly string[]): void {
    for (const line of changes) {
      const [what, userId = '', at] = line.split(' ');
      if (what === 'ARRIVED') listener.onArrived(userId);
      else if (what === 'LEFT') listener.onLeft(userId, new Date(Number(at)));
      else if (what === 'GONE') listener.onGone(userId);
      else if (what === 'EMPTIED') void renew();
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
      const held = batch.filter(([userId, connectionId]) => mine.get(userId)?.has(connectionId));
      if (held.length > 0) await attempt(ACQUIRE, leaseMs, 0, ...held.map(toLease));
    }
  }

  function batches(): [userId: string, connectionId: string][][] {
    const leases = [...mine].flatMap(([userId, ids]) => [...ids].map((id): [string, string] => [userId, id]));
    return Array.from({ length: Math.ceil(leases.length / BATCH) }, (_, i) => leases.slice(i * BATCH, (i + 1) * BATCH));
  }

  function forget(userId: string, connectionId: string): boolean {
    const connections = mine.get(userId);
    const found = connections?.delete(connectionId) ?? false;
    if (connections?.size === 0) mine.delete(userId);
    return found;
  }

  const renewing = setInterval(() => void renew(), leaseMs / 3).unref();
  const checking = setInterval(() => {
    const [batch = []] = batches();
    void attempt(EXPIRE, leaseMs, MAX_CHECK_GAP_MS, ...batch.slice(0, 1).map(toLease));
  }, CHECK_INTERVAL_MS).unref();

  return {
    async acquire(userId, connectionId, most) {
      const connections = mine.get(userId) ?? new Set();
      if (connections.size >= most) return false;
      // Adds the connection before Redis replies, so that a concurrent call for the user counts it.
      mine.set(userId, connections.add(connectionId));
      try {
        const changes = await run(ACQUIRE, leaseMs, most, toLease([userId, connectionId]));
        if (changes[0]?.startsWith('REFUSED')) {
          forget(userId, connectionId);
          return false;
        }
        report(changes);
      } catch {
        // While Redis is unavailable nobody is refused. The next renewal acquires the lease.
      }
      return true;
    },
    release(userId, connectionId) {
      if (forget(userId, connectionId)) void attempt(RELEASE, graceMs, toLease([userId, connectionId]));
    },
    async holders(userIds) {
      if (userIds.length === 0) return new Set();
      try {
        const counts = await redis.run((client) => client.hmget(KEYS[1] ?? '', ...userIds), 'reading presence');
        userIds.forEach((userId, i) => {
          remembered.delete(userId);
          remembered.set(userId, counts[i] !== null);
        });
        for (const oldest of remembered.keys()) {
          if (remembered.size <= MAX_REMEMBERED) break;
          remembered.delete(oldest);
        }
      } catch {
        // Falls back to the last known state.
      }
      return new Set(userIds.filter((userId) => mine.has(userId) || remembered.get(userId)));
    },
    size: () => [...mine.values()].reduce((sum, connections) => sum + connections.size, 0),
    async close() {
      clearInterval(renewing);
      clearInterval(checking);
      const held = batches();
      mine.clear();
      for (const batch of held) await attempt(RELEASE, graceMs, ...batch.map(toLease));
    },
  };
}

function toLease([userId, connectionId]: [string, string]): string {
  return `${userId} ${connectionId}`;
}
