import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { ChatError } from '../errors.ts';
import type { HastyRedis } from '../realtime/redis.ts';
import { within } from './time.ts';

/** Nobody waits longer than this for a count. */
const LONGEST_WAIT_MS = 100;

/** KEYS: the count. ARGV: how much to add, and for how many seconds a new count lives. */
const ADD = `
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  left = ARGV[2] * 1000
  redis.call('PEXPIRE', KEYS[1], left)
end
return {count, left}`;

/**
 * Opens a counter that lets each key have so many points in so many seconds. All nodes count together in Redis; while it
 * does not answer, each counts for itself, so that neither a dead Redis nor a hung one refuses or delays anybody.
 *
 * @param rememberRefusals whether a key that has had its points is refused without asking Redis again
 */
export function openCounter(
  redis: HastyRedis | null,
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
        within(
          LONGEST_WAIT_MS,
          redis.run((client) => client.eval(ADD, 1, key, add, life)),
        ).then(requireCount),
      del: (key: string) =>
        within(
          LONGEST_WAIT_MS,
          redis.run((client) => client.del(key)),
        ),
    },
    insuranceLimiter: memory,
    ...(rememberRefusals ? { inMemoryBlockOnConsumed: points + 1 } : {}),
  });
}

/** Refuses an answer that is no count, so that the node counts for itself. */
function requireCount(answer: unknown): unknown {
  if (Array.isArray(answer) && answer.length === 2 && answer.every(Number.isSafeInteger)) return answer;
  throw new Error('Redis did not return a count.');
}

/**
 * Takes points of a key.
 *
 * @param options.customDuration seconds that a new count lives, in place of those of the counter
 * @param options.message what is wrong, and what to do besides waiting
 * @throws ChatError `RATE_LIMITED`, with the time to wait
 */
export async function take(
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

export function rateLimited(retryAfterMs: number, message = 'That was too much at once.'): ChatError {
  const seconds = Math.ceil(retryAfterMs / 1_000);
  return new ChatError('RATE_LIMITED', `${message} Try again in ${seconds} s.`, { retryAfterMs });
}
