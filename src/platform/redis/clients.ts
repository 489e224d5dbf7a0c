import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { createFailureLog } from '../observability/failureLog.ts';
import { DEMOTED, explainRedisFailure } from './failures.ts';

/** Redis connection for short-lived data. A command without a reply within half a second fails. */
export interface FailFastRedis {
  /**
   * Runs a command. Rejects at once while Redis is unavailable, and after half a second without a reply.
   *
   * @param purpose name of the use in the log. The log reports the failure and recovery of each purpose separately.
   */
  run<Reply>(command: (client: Redis) => Promise<Reply>, purpose?: string): Promise<Reply>;
  /** Calls a function after each connect. */
  onReady(listener: () => void): void;
  close(): void;
}

/**
 * Redis connections of one node. Both connections reconnect if a command shows that Redis has been demoted to a
 * replica.
 */
export interface RedisConnections {
  commands: FailFastRedis;
  subscriber: Redis;
  /** Logs whether Redis accepted a SUBSCRIBE. Call it with null on success, otherwise with the error. */
  onSubscription(error: unknown): void;
  close(): void;
}

const COMMAND_TIMEOUT_MS = 500;
/**
 * Interval of pings and timeout of a pong, in milliseconds. A half-open connection is detected within the sum of both.
 */
const PING_INTERVAL_MS = 3_000;
const PONG_TIMEOUT_MS = 3_000;
/**
 * Minimum and maximum pause between two reconnects because of a read-only server, in milliseconds. The pause doubles
 * until the node reaches a writable server.
 */
const MIN_RECONNECT_PAUSE_MS = 1_000;
const MAX_RECONNECT_PAUSE_MS = 5_000;

const BASE: RedisOptions = { disconnectTimeout: COMMAND_TIMEOUT_MS, retryStrategy: backOff };
const FAIL_FAST: RedisOptions = {
  ...BASE,
  // By default, ioredis queues commands while it is disconnected. Queued commands would wait instead of failing.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  commandTimeout: COMMAND_TIMEOUT_MS,
  // Commands in flight fail immediately when the connection is lost.
  maxRetriesPerRequest: 0,
};

/**
 * Opens two connections: one for commands, and one for subscriptions. The second resubscribes after each reconnect.
 *
 * After a failover, ElastiCache and TCP proxies do not close connections to the old primary. The old primary then
 * refuses writes, but PUBLISH still succeeds. The presence leases write every second, and therefore receive READONLY
 * within a second. Both connections then reconnect, and resolve the host name again.
 */
export function connectRedis(url: string, log: Logger): RedisConnections {
  const failures = createFailureLog(log, {
    explain: explainRedisFailure,
    recovered: 'Redis works again.',
  });
  const client = new Redis(url, FAIL_FAST);
  const subscriber = new Redis(url, { ...BASE, maxRetriesPerRequest: null });
  for (const [connection, each] of Object.entries({ commands: client, subscriptions: subscriber })) {
    each.on('error', (error: Error) => {
      failures.failed(connection, error);
    });
    each.on('ready', () => {
      failures.succeeded(connection);
    });
  }
  pingRegularly(subscriber);

  let reconnection = { purpose: '', notBefore: 0, pauseMs: MIN_RECONNECT_PAUSE_MS };
  function reconnectAfterDemotion(purpose: string): void {
    const now = performance.now();
    if (now < reconnection.notBefore) return;
    reconnection = {
      purpose,
      notBefore: now + reconnection.pauseMs,
      pauseMs: Math.min(reconnection.pauseMs * 2, MAX_RECONNECT_PAUSE_MS),
    };
    for (const each of [client, subscriber]) if (each.status === 'ready') each.disconnect(true);
  }

  const failFast = createFailFast(client);
  return {
    commands: {
      ...failFast,
      async run(command, purpose = 'rate limits') {
        try {
          const reply = await failFast.run(command);
          failures.succeeded(purpose);
          if (reconnection.purpose === purpose)
            reconnection = { purpose: '', notBefore: 0, pauseMs: MIN_RECONNECT_PAUSE_MS };
          return reply;
        } catch (error) {
          const { name, message } = error as Error;
          // Other errors result from a lost connection, which is reported separately.
          if (name === 'ReplyError' || message === TIMED_OUT) failures.failed(purpose, error);
          if (DEMOTED.test(message)) reconnectAfterDemotion(purpose);
          throw error;
        }
      },
    },
    subscriber,
    onSubscription(error) {
      if (error === null) failures.succeeded('subscribing');
      else failures.failed('subscribing', error);
    },
    close() {
      failFast.close();
      subscriber.disconnect();
    },
  };
}

/**
 * Opens a connection for a check. Does not reconnect.
 *
 * @throws the first error of the connection
 */
export async function openRedis(url: string, timeoutMs: number): Promise<FailFastRedis> {
  const client = new Redis(url, {
    ...FAIL_FAST,
    connectTimeout: timeoutMs,
    lazyConnect: true,
    retryStrategy: () => null,
  });
  let first: Error | undefined;
  client.on('error', (error: Error) => (first ??= error));
  try {
    await client.connect();
    return createFailFast(client);
  } catch (error) {
    client.disconnect();
    throw first ?? error;
  }
}

const TIMED_OUT = 'Command timed out';

function createFailFast(client: Redis): FailFastRedis {
  // True from the first timeout of a command until the connection has closed.
  let isHung = false;
  client.on('close', () => (isHung = false));
  // Disconnects once, even if many commands time out. Each `disconnect` adds a listener and a timer to the socket.
  function dropConnection(): void {
    if (isHung || client.status !== 'ready') return;
    isHung = true;
    client.disconnect(true);
  }
  return {
    async run(command) {
      if (isHung) throw new Error('Redis does not respond.');
      try {
        return await command(client);
      } catch (error) {
        // Closes the connection of a hung Redis. Otherwise commands without a reply would accumulate until Redis
        // recovers.
        if ((error as Error).message === TIMED_OUT) dropConnection();
        throw error;
      }
    },
    onReady(listener) {
      client.on('ready', listener);
    },
    close() {
      // Uses disconnect, because quit waits for a reply that a hung Redis never sends.
      client.disconnect();
    },
  };
}

/** Pings regularly to detect and replace a half-open connection. TCP alone would take a quarter of an hour. */
function pingRegularly(client: Redis): void {
  const pinging = setInterval(() => {
    if (client.status !== 'ready') return;
    const pongTimeout = setTimeout(() => {
      client.disconnect(true);
    }, PONG_TIMEOUT_MS);
    const cancel = () => {
      clearTimeout(pongTimeout);
    };
    client.ping().then(cancel, cancel);
  }, PING_INTERVAL_MS).unref();
  client.once('end', () => {
    clearInterval(pinging);
  });
}

function backOff(tries: number): number {
  return Math.min(tries * 50, 1_000);
}
