import { randomUUID } from 'node:crypto';
import { RedisPubSub } from 'graphql-redis-subscriptions';
import { PubSub } from 'graphql-subscriptions';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';

/**
 * Carries hints between the nodes, "room R has reached event n". What is said may be lost, repeated or
 * come out of order: the database is the truth, and nothing waits for the bus.
 */
export interface Bus {
  /** Tells this node at once and the others soon. Never throws and is never awaited. */
  publish(topic: string, payload: object): void;
  /**
   * Hears a topic from now on.
   *
   * @param onReady called when hints from other nodes arrive too, and so after each loss of the connection:
   *   what was said before may have been missed
   * @returns a function that ends it
   */
  subscribe(topic: string, onMessage: (payload: unknown) => void, onReady: () => void): () => void;
  /** As `subscribe`, and answers when hints from other nodes arrive too, or Redis has not let them for a second. */
  listen(topic: string, onMessage: (payload: unknown) => void): Promise<() => void>;
  close(): Promise<void>;
}

/** What the library's engines in memory and over Redis have in common. */
interface Engine {
  publish(topic: string, payload: unknown): Promise<void>;
  subscribe(topic: string, onMessage: (payload: unknown) => void, options: object): Promise<number>;
  unsubscribe(id: number): void;
}

/** What waits for Redis no longer than this goes on without it. */
const LONGEST_WAIT_MS = 1_000;

interface Envelope {
  from: string;
  payload: unknown;
}

/** The bus of one node alone, or with a Redis the bus of all nodes that share it. */
export function createBus(options: { redisUrl?: string | undefined; log: Logger }): Bus {
  const local = new PubSub();
  const redis = options.redisUrl === undefined ? undefined : connectRedis(options.redisUrl, options.log);
  const engines: Engine[] = redis ? [local, redis.pubSub] : [local];
  const { log } = options;
  // What this node says comes back to it over Redis: it has heard it already.
  const self = randomUUID();

  const bus: Bus = {
    publish(topic, payload) {
      for (const engine of engines) {
        engine.publish(topic, { from: self, payload } satisfies Envelope).catch((error: unknown) => {
          log.debug({ error, topic }, 'A hint was lost; the sweep makes up for it.');
        });
      }
    },
    subscribe(topic, onMessage, onReady) {
      const subscriptions = engines.map(async (engine) => {
        const hear = (said: unknown) => {
          const { from, payload } = (said ?? {}) as Partial<Envelope>;
          if (engine === local || from !== self) onMessage(payload);
        };
        const id = await engine.subscribe(topic, hear, {});
        return () => {
          engine.unsubscribe(id);
        };
      });
      Promise.all(subscriptions).then(onReady, (error: unknown) => {
        log.debug({ error, topic }, 'Hints of other nodes do not arrive; the sweep makes up for it.');
      });
      redis?.onReconnect.add(onReady);
      return () => {
        redis?.onReconnect.delete(onReady);
        for (const subscription of subscriptions)
          subscription.then(
            (end) => {
              end();
            },
            () => undefined,
          );
      };
    },
    async listen(topic, onMessage) {
      let end: () => void = () => undefined;
      await new Promise<void>((resolve) => {
        end = bus.subscribe(topic, onMessage, resolve);
        setTimeout(resolve, LONGEST_WAIT_MS).unref();
      });
      return end;
    },
    async close() {
      await redis?.close();
    },
  };
  return bus;
}

function connectRedis(url: string, log: Logger) {
  // The publisher gives up at once: by default ioredis keeps what it cannot send, and waits 10 s.
  const publisher = new Redis(url, { enableOfflineQueue: false, commandTimeout: 500, maxRetriesPerRequest: 1 });
  // The subscriber keeps trying, and takes up its channels again when it is back.
  const subscriber = new Redis(url, {
    maxRetriesPerRequest: null,
    retryStrategy: (tries) => Math.min(tries * 50, 1_000),
  });
  const onReconnect = new Set<() => void>();
  subscriber.on('ready', () => {
    for (const heard of onReconnect) heard();
  });
  for (const client of [publisher, subscriber]) {
    client.on('error', (error: Error) => {
      log.debug({ error }, 'Redis is away.');
    });
  }
  return {
    pubSub: new RedisPubSub({ publisher, subscriber }),
    onReconnect,
    close: async () => {
      // disconnect, not quit: quit waits for an answer that a hung Redis never gives.
      publisher.disconnect();
      subscriber.disconnect();
      await Promise.resolve();
    },
  };
}
