import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { RedisConnections } from './redis.ts';

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
  /** How many topics are heard on this node. */
  topics(): number;
}

/** Who hears a topic on this node, and whether Redis sends it here. */
interface Channel {
  hearers: Set<{ onMessage: (payload: unknown) => void; onReady: () => void }>;
  ready: boolean;
}

/** What waits for Redis no longer than this goes on without it. */
const LONGEST_WAIT_MS = 1_000;
/** Pause before a refused subscription is tried again. */
const RESUBSCRIBE_MS = 5_000;
/** Redis may be shared with others. */
const PREFIX = 'parley:';

/** The bus of one node alone, or with a Redis the bus of all nodes that share it. */
export function createBus({ redis, log }: { redis: RedisConnections | null; log: Logger }): Bus {
  const channels = new Map<string, Channel>();
  // What this node says comes back to it over Redis: it has heard it already.
  const self = randomUUID();

  function tell(topic: string, payload: unknown): void {
    for (const { onMessage } of [...(channels.get(topic)?.hearers ?? [])]) {
      try {
        onMessage(payload);
      } catch (error) {
        // What comes over Redis may be anything, and must not end the process.
        log.debug({ error, topic }, 'A hint could not be understood.');
      }
    }
  }

  function becomeReady(channel: Channel): void {
    channel.ready = true;
    for (const { onReady } of [...channel.hearers]) onReady();
  }

  redis?.subscriber.on('message', (name: string, text: string) => {
    const { from, payload } = readEnvelope(text);
    if (from !== self) tell(name.slice(PREFIX.length), payload);
  });
  // It takes its channels up again by itself; what was said meanwhile is lost.
  redis?.subscriber.on('ready', () => {
    for (const channel of channels.values()) if (channel.ready) becomeReady(channel);
  });

  /** Subscribes at Redis, and tries again if Redis refuses, because its rights may change without a reconnect. */
  function subscribeTo(topic: string, channel: Channel): void {
    redis?.subscriber.subscribe(PREFIX + topic).then(
      () => {
        redis.onSubscription(null);
        becomeReady(channel);
      },
      (error: unknown) => {
        // The connection was closed for good.
        if (redis.subscriber.status === 'end') return;
        redis.onSubscription(error);
        setTimeout(() => {
          if (channels.get(topic) === channel) subscribeTo(topic, channel);
        }, RESUBSCRIBE_MS).unref();
      },
    );
  }

  function open(topic: string): Channel {
    const channel: Channel = { hearers: new Set(), ready: redis === null };
    channels.set(topic, channel);
    subscribeTo(topic, channel);
    return channel;
  }

  const bus: Bus = {
    publish(topic, payload) {
      tell(topic, payload);
      redis?.commands
        .run((client) => client.publish(PREFIX + topic, JSON.stringify({ from: self, payload })), 'publishing')
        .catch((error: unknown) => {
          log.debug({ error, topic }, 'A hint was lost; the sweep makes up for it.');
        });
    },
    subscribe(topic, onMessage, onReady) {
      const channel = channels.get(topic) ?? open(topic);
      const hearer = { onMessage, onReady };
      channel.hearers.add(hearer);
      if (channel.ready) queueMicrotask(onReady);
      return () => {
        if (!channel.hearers.delete(hearer) || channel.hearers.size > 0) return;
        channels.delete(topic);
        redis?.subscriber.unsubscribe(PREFIX + topic).catch(() => undefined);
      };
    },
    async listen(topic, onMessage) {
      let end: () => void = () => undefined;
      await new Promise<void>((resolve) => {
        const wait = setTimeout(resolve, LONGEST_WAIT_MS);
        end = bus.subscribe(topic, onMessage, () => {
          clearTimeout(wait);
          resolve();
        });
      });
      return end;
    },
    topics: () => channels.size,
  };
  return bus;
}

function readEnvelope(text: string): { from?: unknown; payload?: unknown } {
  try {
    return (JSON.parse(text) ?? {}) as object;
  } catch {
    return {};
  }
}
