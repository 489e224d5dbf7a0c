import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { createFailureLog } from '../failureLog.ts';
import { DEMOTED, explainRedisFailure } from './redisFailures.ts';

/** A connection to Redis for data that is soon worthless: a command without a prompt reply fails. */
export interface HastyRedis {
  /**
   * Runs a command. Rejects at once while Redis is away, and after half a second without a reply.
   *
   * @param purpose what the log calls it; each purpose recovers by itself
   */
  run<Answer>(command: (client: Redis) => Promise<Answer>, purpose?: string): Promise<Answer>;
  /** Calls a function after each connect. */
  onReady(listener: () => void): void;
  close(): void;
}

/** The connections of one node. A demoted Redis is left by both, because PUBLISH succeeds on a replica. */
export interface RedisConnections {
  commands: HastyRedis;
  subscriber: Redis;
  /** Reports a subscription that Redis refused, or accepted. */
  onSubscription(error: unknown): void;
  close(): void;
}

const COMMAND_TIMEOUT_MS = 500;
/** A half-open connection is noticed within the sum of the two. */
const PING_MS = 3_000;
const PONG_TIMEOUT_MS = 3_000;
/** Pause between two departures from a server that takes no writes; it doubles while none is found that does. */
const MIN_LEAVE_MS = 1_000;
const MAX_LEAVE_MS = 5_000;

const BASE: RedisOptions = { disconnectTimeout: COMMAND_TIMEOUT_MS, retryStrategy: backOff };
const HASTY: RedisOptions = {
  ...BASE,
  // By default ioredis queues what it cannot send, and waits for 10 s.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  commandTimeout: COMMAND_TIMEOUT_MS,
  // Commands in flight when the connection is lost are not kept for the next one.
  maxRetriesPerRequest: 0,
};

/**
 * Opens the connections of a node: one for commands, and one for subscriptions, which resubscribes after each reconnect.
 *
 * After a failover the old primary may keep its connections and refuse writes (ElastiCache and TCP proxies do not close
 * them). The presence leases write every second, so READONLY shows it within a second. Then all connections reconnect,
 * which resolves the host again.
 */
export function connectRedis(url: string, log: Logger): RedisConnections {
  const failures = createFailureLog(log, {
    explain: explainRedisFailure,
    recovered: 'Redis works again.',
  });
  const client = new Redis(url, HASTY);
  const subscriber = new Redis(url, { ...BASE, maxRetriesPerRequest: null });
  for (const [part, each] of Object.entries({ commands: client, subscriptions: subscriber })) {
    each.on('error', (error: Error) => {
      failures.failed(part, error);
    });
    each.on('ready', () => {
      failures.worked(part);
    });
  }
  pingRegularly(subscriber);

  let leave = { purpose: '', notBefore: 0, pauseMs: MIN_LEAVE_MS };
  function leaveDemoted(purpose: string): void {
    const now = performance.now();
    if (now < leave.notBefore) return;
    leave = { purpose, notBefore: now + leave.pauseMs, pauseMs: Math.min(leave.pauseMs * 2, MAX_LEAVE_MS) };
    for (const each of [client, subscriber]) if (each.status === 'ready') each.disconnect(true);
  }

  const hasty = createHasty(client);
  return {
    commands: {
      ...hasty,
      async run(command, purpose = 'rate limits') {
        try {
          const answer = await hasty.run(command);
          failures.worked(purpose);
          if (leave.purpose === purpose) leave = { purpose: '', notBefore: 0, pauseMs: MIN_LEAVE_MS };
          return answer;
        } catch (error) {
          const { name, message } = error as Error;
          // Other errors follow from a lost connection, which is reported by itself.
          if (name === 'ReplyError' || message === TIMED_OUT) failures.failed(purpose, error);
          if (DEMOTED.test(message)) leaveDemoted(purpose);
          throw error;
        }
      },
    },
    subscriber,
    onSubscription(error) {
      if (error === null) failures.worked('subscribing');
      else failures.failed('subscribing', error);
    },
    close() {
      hasty.close();
      subscriber.disconnect();
    },
  };
}

/**
 * Connects once, for a check.
 *
 * @throws the first error of the connection
 */
export async function openRedis(url: string, timeoutMs: number): Promise<HastyRedis> {
  const client = new Redis(url, { ...HASTY, connectTimeout: timeoutMs, lazyConnect: true, retryStrategy: () => null });
  let first: Error | undefined;
  client.on('error', (error: Error) => (first ??= error));
  try {
    await client.connect();
    return createHasty(client);
  } catch (error) {
    client.disconnect();
    throw first ?? error;
  }
}

const TIMED_OUT = 'Command timed out';

function createHasty(client: Redis): HastyRedis {
  // From the first command without a reply until the connection has closed.
  let hangs = false;
  client.on('close', () => (hangs = false));
  // Once: each call would put another listener and another timer on the socket.
  function letGo(): void {
    if (hangs || client.status !== 'ready') return;
    hangs = true;
    client.disconnect(true);
  }
  return {
    async run(command) {
      if (hangs) throw new Error('Redis does not answer.');
      try {
        return await command(client);
      } catch (error) {
        // Drops the commands that wait for a hung Redis, because they would pile up until it is back.
        if ((error as Error).message === TIMED_OUT) letGo();
        throw error;
      }
    },
    onReady(listener) {
      client.on('ready', listener);
    },
    close() {
      // disconnect, not quit: quit waits for a reply that a hung Redis never sends.
      client.disconnect();
    },
  };
}

/** Reconnects a half-open connection, which TCP would keep for a quarter of an hour. */
function pingRegularly(client: Redis): void {
  const pinging = setInterval(() => {
    if (client.status !== 'ready') return;
    const giveUp = setTimeout(() => {
      client.disconnect(true);
    }, PONG_TIMEOUT_MS);
    const settle = () => {
      clearTimeout(giveUp);
    };
    client.ping().then(settle, settle);
  }, PING_MS).unref();
  client.once('end', () => {
    clearInterval(pinging);
  });
}

function backOff(tries: number): number {
  return Math.min(tries * 50, 1_000);
}
