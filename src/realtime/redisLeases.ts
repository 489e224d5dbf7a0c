import type { Logger } from 'pino';
import type { LeaseListener, Leases, LeaseTimes } from './leases.ts';
import type { HastyRedis } from './redis.ts';

/*
 * In Redis: the leases by the moment at which they run out, how many each user holds, and the users whose grace is
 * running. Each script is atomic, so that of all nodes one is told of each arrival and each going; the clock is Redis's.
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

/** ARGV: term, most (0 for any number), leases. */
const HOLD = `${PRELUDE}
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

/** ARGV: grace, leases. */
const RELEASE = `${PRELUDE}
for i = 2, #ARGV do drop(ARGV[i], string.match(ARGV[i], '^[^ ]+'), tonumber(ARGV[1]), now) end
return told`;

/**
 * ARGV: term, longest pause between two looks, a lease of the one who looks.
 *
 * Where nobody has looked for longer than that, Redis was stopped or all nodes were: nobody could renew, and all leases get
 * another term rather than be taken for dead. Where the lease is not there, Redis was emptied, and its holder is told to
 * take all of theirs anew.
 */
const LOOK = `${PRELUDE}
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

const LOOK_MS = 1_000;
const LONGEST_PAUSE_MS = 5_000;
/** How many leases are renewed in one call. */
const BATCH = 500;
/** How many users' last known presence is kept for while Redis is away. */
const MOST_REMEMBERED = 100_000;

/** The leases of a node that shares a Redis with others. */
export function createRedisLeases(
  redis: HastyRedis,
  listener: LeaseListener,
  { leaseMs, graceMs }: LeaseTimes,
  log: Logger,
): Leases {
  /** The connections to this node, by user. */
  const mine = new Map<string, Set<string>>();
  const remembered = new Map<string, boolean>();
  // Redis may come back emptied.
  redis.onReady(() => void renew());

  async function run(script: string, ...args: (string | number)[]): Promise<string[]> {
    return (await redis.run((client) => client.eval(script, KEYS.length, ...KEYS, ...args), 'presence')) as string[];
  }

  function tellAll(told: readonly string[]): void {
    for (const line of told) {
      const [what, userId = '', at] = line.split(' ');
      if (what === 'ARRIVED') listener.onArrived(userId);
      else if (what === 'LEFT') listener.onLeft(userId, new Date(Number(at)));
      else if (what === 'GONE') listener.onGone(userId);
      else if (what === 'EMPTIED') void renew();
    }
  }

  async function attempt(script: string, ...args: (string | number)[]): Promise<void> {
    try {
      tellAll(await run(script, ...args));
    } catch (error) {
      log.debug({ error }, 'Redis is away; presence stands still.');
    }
  }

  async function renew(): Promise<void> {
    for (const batch of batches()) {
      // One that was given back while the others were renewed must not be taken again.
      const held = batch.filter(([userId, connectionId]) => mine.get(userId)?.has(connectionId));
      if (held.length > 0) await attempt(HOLD, leaseMs, 0, ...held.map(toLease));
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
  const looking = setInterval(() => {
    const [batch = []] = batches();
    void attempt(LOOK, leaseMs, LONGEST_PAUSE_MS, ...batch.slice(0, 1).map(toLease));
  }, LOOK_MS).unref();

  return {
    async take(userId, connectionId, most) {
      const connections = mine.get(userId) ?? new Set();
      if (connections.size >= most) return false;
      // Before Redis answers: another connection of the same user may be on its way.
      mine.set(userId, connections.add(connectionId));
      try {
        const told = await run(HOLD, leaseMs, most, toLease([userId, connectionId]));
        if (told[0]?.startsWith('REFUSED')) {
          forget(userId, connectionId);
          return false;
        }
        tellAll(told);
      } catch {
        // While Redis is away nobody is kept out: the lease is taken by the next renewal.
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
          if (remembered.size <= MOST_REMEMBERED) break;
          remembered.delete(oldest);
        }
      } catch {
        // As it was when last known.
      }
      return new Set(userIds.filter((userId) => mine.has(userId) || remembered.get(userId)));
    },
    size: () => [...mine.values()].reduce((sum, connections) => sum + connections.size, 0),
    async close() {
      clearInterval(renewing);
      clearInterval(looking);
      const held = batches();
      mine.clear();
      for (const batch of held) await attempt(RELEASE, graceMs, ...batch.map(toLease));
    },
  };
}

function toLease([userId, connectionId]: [string, string]): string {
  return `${userId} ${connectionId}`;
}
