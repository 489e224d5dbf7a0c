import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { ChatError } from '../../core/errors.ts';
import type { FailFastRedis } from '../redis/clients.ts';
import { withTimeout } from '../../core/timeout.ts';

/** Timeout of a count in Redis, in milliseconds. After a timeout, the node counts in memory. */
const COUNT_TIMEOUT_MS = 100;

/**
 * Script that adds points to a counter. KEYS: the counter. ARGV: points to add, and lifetime of a new counter in
 * seconds. Returns the count and its remaining lifetime in milliseconds.
 */
const ADD = `
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = ARGV[2] * 1000
  redis.call('PEXPIRE', KEYS[1], left)
end
return {count, left}`;

/**
 * Creates a counter that allows each key a number of points per period. All nodes share the counts in Redis. While
 * Redis does not respond, each node counts in memory, so that requests still succeed.
 *
 * @param rememberRefusals whether a key without points is refused without querying Redis again
 */
export function openCounter(
  redis: FailFastRedis | null,
  {
    name,
    points,
    seconds,
    rememberRefusals = false,
  }: { name: string; points: number; seconds: number; rememberRefusals?: boolean },
): RateLimiterAbstract {
  const limit = { keyPrefix: `parley:limits:${name}`, points, duration: seconds };
  const memory = new RateLimiterMemory(limit);
  if (!redis) return memory;
  return new RateLimiterRedis({
    ...limit,
    storeClient: {
      rlflxIncr: ([key, add, life]: [string, string, string]) =>
        withTimeout(
          COUNT_TIMEOUT_MS,
          redis.run((client) => client.eval(ADD, 1, key, add, life)),
        ).then(requireCount),
      del: (key: string) =>
        withTimeout(
          COUNT_TIMEOUT_MS,
          redis.run((client) => client.del(key)),
        ),
    },
    insuranceLimiter: memory,
    ...(rememberRefusals ? { inMemoryBlockOnConsumed: points + 1 } : {}),
  });
}

/** Returns the reply of Redis if it is a count. Otherwise throws, so that the node counts in memory. */
function requireCount(reply: unknown): unknown {
  if (Array.isArray(reply) && reply.length === 2 && reply.every(Number.isSafeInteger)) return reply;
  throw new Error('Redis did not return a count.');
}

/**
 * Charges points to a key.
 *
 * @param options.customDuration lifetime of a new count, in seconds. By default, the period of the counter.
 * @param options.message beginning of the error text. The time to wait is appended.
 * @throws ChatError `RATE_LIMITED` if the key has too few points
 */
export async function consume(
  counter: RateLimiterAbstract,
  key: string,
  points: number,
  { message, ...options }: { customDuration?: number; message?: string } = {},
): Promise<void> {
  try {
    await counter.consume(key, points, options);
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error;
    throw rateLimited(Math.max(Math.ceil(error.msBeforeNext), 1), message);
  }
}

export function rateLimited(retryAfterMs: number, message = 'Too many requests.'): ChatError {
  const seconds = Math.ceil(retryAfterMs / 1_000);
  return new ChatError('RATE_LIMITED', `${message} Try again in ${seconds} s.`, { retryAfterMs });
}
