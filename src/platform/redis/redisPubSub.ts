import { RedisPubSub } from 'graphql-redis-subscriptions';
import type { Redis } from 'ioredis';
import type { RedisConnections } from './clients.ts';

/** Message on a Redis channel. Fields may have any value, because another program may publish on the same Redis. */
export interface Envelope {
  /** Id of the node that published the message. */
  from?: unknown;
  payload?: unknown;
}

/** Pause before a refused subscription is retried, in milliseconds. */
const RESUBSCRIBE_MS = 5_000;
/** Prefix of all channels, because Redis may be shared with other programs. */
const PREFIX = 'parley:';

/**
 * Creates the pub/sub engine of the bus with graphql-redis-subscriptions. Version 2.7 of this library leaves some
 * rejections unhandled, which would end the process. The library therefore receives wrapped clients. They have only the
 * methods that the library calls.
 */
export function createRedisPubSub(redis: RedisConnections): Pick<RedisPubSub, 'publish' | 'subscribe' | 'unsubscribe'> {
  const publisher = {
    on: () => publisher,
    publish: (channel: string, text: string) =>
      redis.commands.run((client) => client.publish(PREFIX + channel, text), 'publishing'),
  };
  const pubSub = new RedisPubSub({
    publisher: publisher as unknown as Redis,
    subscriber: wrapSubscriber(redis) as unknown as Redis,
    // The library's `publish` does not apply the transform. The publisher above adds the prefix instead.
    triggerTransform: (topic) => PREFIX + String(topic),
    // Must not throw, because listeners would then receive the raw text.
    deserializer: (text) => parseEnvelope(text.toString()),
  });
  return pubSub;
}

/** Wraps the subscriber so that the library receives no rejections. */
function wrapSubscriber(redis: RedisConnections) {
  const { subscriber } = redis;
  /**
   * Subscribes to a channel and calls `done`, but only on success. After an error, the library would reject a promise
   * without a handler, which would end the process. A refused subscription is tried again, because the privileges of
   * the Redis user may change without a reconnect.
   */
  function subscribe(channel: string, done: (error: null) => void): void {
    subscriber.subscribe(channel).then(
      () => {
        redis.onSubscription(null);
        done(null);
      },
      (error: unknown) => {
        // The connection was closed and does not reconnect.
        if (subscriber.status === 'end') return;
        redis.onSubscription(error);
        setTimeout(() => {
          subscribe(channel, done);
        }, RESUBSCRIBE_MS).unref();
      },
    );
  }
  const wrapped = {
    on(event: string, listener: (...args: unknown[]) => void) {
      subscriber.on(event, listener);
      return wrapped;
    },
    subscribe,
    // Ignores the rejection of a closed connection (graphql-redis-subscriptions#593).
    unsubscribe: (channel: string) => subscriber.unsubscribe(channel).catch(() => undefined),
    // The library calls this together with `unsubscribe`, but the bus has no patterns.
    punsubscribe: () => undefined,
  };
  return wrapped;
}

function parseEnvelope(text: string): Envelope {
  try {
    return Object(JSON.parse(text)) as Envelope;
  } catch {
    return {};
  }
}
