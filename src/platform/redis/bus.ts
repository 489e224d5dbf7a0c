import { EventEmitter } from 'node:events';
import { randomUUID } from 'node:crypto';
import { PubSub } from 'graphql-subscriptions';
import type { Logger } from 'pino';
import type { RedisConnections } from './clients.ts';
import { createRedisPubSub, type Envelope } from './redisPubSub.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    bus: Bus;
  }
}

/**
 * Carries hints between the nodes, such as "room R has reached event n". A hint may be lost, repeated or out of order.
 * Only the database is authoritative.
 */
export interface Bus {
  /** Delivers a payload to this node at once and to other nodes soon. Never throws and is never awaited. */
  publish(topic: string, payload: object): void;
  /**
   * Subscribes to a topic.
   *
   * @param onReady called when Redis has confirmed the subscription. From then on, hints from other nodes arrive.
   *   Called again after each reconnect, because hints may have been missed. Without Redis, called once.
   * @returns a function that unsubscribes
   */
  subscribe(topic: string, onMessage: (payload: unknown) => void, onReady: () => void): () => void;
  /**
   * Subscribes to a topic, and waits until Redis has confirmed the subscription. Waits at most a second, and not at all
   * without Redis. Resolves to a function that unsubscribes.
   */
  listen(topic: string, onMessage: (payload: unknown) => void): Promise<() => void>;
  /** Number of topics with subscribers on this node. */
  topics(): number;
}

/** A topic with subscribers on this node. */
interface Channel {
  /** The `onReady` callbacks of the subscribers. */
  subscribers: Set<() => void>;
  /** Whether hints from all nodes arrive. Without Redis, always true. */
  isReady: boolean;
  close: () => void;
}

/** Maximum time that `listen` waits for Redis, in milliseconds. The caller then continues without Redis. */
const LISTEN_TIMEOUT_MS = 1_000;

/**
 * Creates the bus of one node. With Redis, the bus reaches all nodes that share the Redis; without Redis, only this
 * node.
 */
export function createBus({ redis, log }: { redis: RedisConnections | null; log: Logger }): Bus {
  // A room may have many subscribers. By default, Node.js prints a warning for more than 10 listeners.
  const local = new PubSub({ eventEmitter: new EventEmitter().setMaxListeners(0) });
  const remote = redis && createRedisPubSub(redis);
  const channels = new Map<string, Channel>();
  // Sender id of this node. Redis also returns the node's own hints. The node ignores them, because it has already
  // delivered them locally.
  const self = randomUUID();

  /** Wraps a listener so that its errors do not end the process. A payload from Redis may be anything. */
  function catchErrors(topic: string, listener: (payload: unknown) => void): (payload: unknown) => void {
    return (payload) => {
      try {
        listener(payload);
      } catch (error) {
        log.debug({ error, topic }, 'A hint could not be read.');
      }
    };
  }

  function becomeReady(channel: Channel): void {
    channel.isReady = true;
    for (const onReady of [...channel.subscribers]) onReady();
  }

  // After a reconnect, ioredis resubscribes to its channels. Hints that were published in between are lost, so
  // `onReady` is called again.
  redis?.subscriber.on('ready', () => {
    for (const channel of channels.values()) if (channel.isReady) becomeReady(channel);
  });

  /**
   * Creates the channel of a topic. Redis has one subscription per node and topic, regardless of the number of
   * subscribers on the node.
   */
  function open(topic: string): Channel {
    const channel: Channel = { subscribers: new Set(), isReady: remote === null, close: () => undefined };
    channels.set(topic, channel);
    if (!remote) return channel;
    const subscribed = remote.subscribe<Envelope>(topic, ({ from, payload }) => {
      // A channel may be closed before Redis has confirmed its subscription. Hints for a closed channel are ignored.
      if (from !== self && channels.get(topic) === channel) void local.publish(topic, payload);
    });
    void subscribed.then(() => {
      if (channels.get(topic) === channel) becomeReady(channel);
    });
    // Unsubscribes only after the confirmation. Otherwise the library forgets the pending subscription, and throws when
    // its confirmation arrives.
    channel.close = () =>
      void subscribed.then((id) => {
        remote.unsubscribe(id);
      });
    return channel;
  }

  const bus: Bus = {
    publish(topic, payload) {
      void local.publish(topic, payload);
      remote?.publish(topic, { from: self, payload }).catch((error: unknown) => {
        log.debug({ error, topic }, 'A hint was lost. The next poll recovers it if it is a notification of a room.');
      });
    },
    subscribe(topic, onMessage, onReady) {
      const channel = channels.get(topic) ?? open(topic);
      // A new function for each call, because the set would merge two calls with the same `onReady`.
      const subscriber = () => {
        onReady();
      };
      channel.subscribers.add(subscriber);
      let isOpen = true;
      const listening = local.subscribe(
        topic,
        catchErrors(topic, (payload) => {
          if (isOpen) onMessage(payload);
        }),
      );
      if (channel.isReady) queueMicrotask(subscriber);
      return () => {
        if (!isOpen) return;
        isOpen = false;
        void listening.then((id) => {
          local.unsubscribe(id);
        });
        channel.subscribers.delete(subscriber);
        if (channel.subscribers.size > 0) return;
        channels.delete(topic);
        channel.close();
      };
    },
    async listen(topic, onMessage) {
      let unsubscribe: () => void = () => undefined;
      await new Promise<void>((resolve) => {
        const timeout = setTimeout(resolve, LISTEN_TIMEOUT_MS);
        unsubscribe = bus.subscribe(topic, onMessage, () => {
          clearTimeout(timeout);
          resolve();
        });
      });
      return unsubscribe;
    },
    topics: () => channels.size,
  };
  return bus;
}
