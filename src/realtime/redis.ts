import { Redis } from 'ioredis';
import type { Logger } from 'pino';

/** A connection to Redis for what is soon worth nothing: a command that is not answered at once has failed. */
export interface HastyRedis {
  /** Runs a command. Rejects at once while Redis is away, and after half a second when it does not answer. */
  run<Answer>(command: (client: Redis) => Promise<Answer>): Promise<Answer>;
  /** Calls a function each time that the connection stands. */
  onReady(listener: () => void): void;
  close(): void;
}

const LONGEST_ANSWER_MS = 500;
/** A half-open connection is noticed within the sum of the two. */
const PING_MS = 3_000;
const LONGEST_PONG_MS = 3_000;

/** By default ioredis keeps what it cannot send, and waits for 10 s. */
export function connectHastily(url: string, log: Logger): HastyRedis {
  const client = new Redis(url, {
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    commandTimeout: LONGEST_ANSWER_MS,
    // What waits when the connection is lost is not kept for the next one.
    maxRetriesPerRequest: 0,
    disconnectTimeout: LONGEST_ANSWER_MS,
    retryStrategy: backOff,
  });
  sayWhenAway(client, log);
  // From the first command that was not answered until the connection has closed.
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
        // A Redis that hangs: what waits for it is let go of, or it would grow until Redis is back.
        if ((error as Error).message === 'Command timed out') letGo();
        throw error;
      }
    },
    onReady(listener) {
      client.on('ready', listener);
    },
    close() {
      // disconnect, not quit: quit waits for an answer that a hung Redis never gives.
      client.disconnect();
    },
  };
}

/**
 * A connection for subscriptions, which keeps trying, and takes its channels up again when it is back. One that is half open,
 * of which TCP says nothing for a quarter of an hour, is noticed by pinging it.
 */
export function connectPatiently(url: string, log: Logger): Redis {
  const client = new Redis(url, {
    maxRetriesPerRequest: null,
    disconnectTimeout: LONGEST_ANSWER_MS,
    retryStrategy: backOff,
  });
  sayWhenAway(client, log);
  const pinging = setInterval(() => {
    if (client.status !== 'ready') return;
    const giveUp = setTimeout(() => {
      client.disconnect(true);
    }, LONGEST_PONG_MS);
    client.ping().then(
      () => {
        clearTimeout(giveUp);
      },
      () => {
        clearTimeout(giveUp);
      },
    );
  }, PING_MS).unref();
  client.once('end', () => {
    clearInterval(pinging);
  });
  return client;
}

function backOff(tries: number): number {
  return Math.min(tries * 50, 1_000);
}

function sayWhenAway(client: Redis, log: Logger): void {
  client.on('error', (error: Error) => {
    log.debug({ error }, 'Redis is away.');
  });
}
