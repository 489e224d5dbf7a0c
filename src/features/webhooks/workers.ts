import { createBatcher } from '../../core/batcher.ts';
import type { ServerNode } from '../../core/context.ts';
import type { EventDocuments } from '../../graphql/eventDocuments.ts';
import type { WebhookClient } from '../../platform/web/webhookClient.ts';
import { type Advance, advanceCursors, releaseLeases, renewLeases } from './deliveryStore.ts';
import { type DeliveryNode, type DeliveryTimes, WebhookWorker } from './worker.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    webhooks: Webhooks;
  }
}

/** What webhooks need of a node. */
export interface Webhooks {
  documents: EventDocuments;
  client: WebhookClient;
  /** Timeout of a request for whose response a mutation waits, in milliseconds. */
  shortTimeoutMs: number;
  /** Returns the number of webhooks that this node delivers. */
  workers(): number;
  /** Returns how far the webhooks of this node's workers are behind. */
  lag(): { rooms: number; events: number };
  /** Makes all nodes look at the webhooks now. Call it after a webhook has changed. */
  notifyChanged(): void;
  /**
   * Makes the workers of all nodes look for new events soon. Call it after the logs of rooms have grown. A lost hint delays
   * an event until the next poll.
   */
  notifyGrowth(chatroomIds: readonly string[]): void;
  /** Stops all workers, and lets other nodes take over. */
  stop(): Promise<void>;
}

/** Times of the workers, in milliseconds. Production must use the defaults. */
export interface WebhookTimes extends DeliveryTimes {
  /** Time after which another node takes over from a node that no longer renews its leases. */
  leaseMs: number;
  /** Time between two renewals. */
  renewMs: number;
}

const HOUR = 3_600_000;
const TIMES: WebhookTimes = {
  ...{ leaseMs: 5_000, renewMs: 1_000 },
  ...{ firstDelayMs: 5_000, maxDelayMs: HOUR, giveUpMs: 72 * HOUR },
};
/** Time between two looks for webhooks while there are none, in milliseconds. A change is usually announced by a hint. */
const IDLE_MS = 10_000;
/** Maximum number of webhooks that a node takes at a time, so that nodes that start together share them. */
const MAX_TAKEN = 5;
/** Bus topic of changed webhooks. */
const CHANGES = 'webhooks';
/** Bus topic of logs that have grown. A payload names the `rooms`. */
const GROWTH = 'webhook events';
/** Time for which events are collected before the workers look for them, in milliseconds. Each look is a statement. */
const GROWTH_DELAY_MS = 50;

type Node = Omit<DeliveryNode, 'webhooks'> & Pick<ServerNode, 'bus' | 'changePoller'>;

/**
 * Starts the webhooks of one node. A webhook is delivered by one node at a time, which renews a lease in the database. If
 * a node is killed, its leases expire, and another node continues from the cursors.
 */
export function startWebhooks(
  node: Node,
  options: Pick<Webhooks, 'documents' | 'client' | 'shortTimeoutMs'> & { times?: Partial<WebhookTimes> | undefined },
): Webhooks {
  const { database, bus, changePoller, log } = node;
  const { documents, client, shortTimeoutMs, times } = options;
  const allTimes = { ...TIMES, ...times };
  const { leaseMs, renewMs } = allTimes;
  const workers = new Map<string, WebhookWorker>();
  const advance = createBatcher<Advance, boolean>((moves) => advanceCursors(database, moves), {
    concurrency: 1,
    maxBatchSize: 100,
  });
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  let isRequestedAgain = false;
  /** Time until which the leases are valid. Measured from before the renewal, by a clock that is never set. */
  let validUntil = -Infinity;
  /** Whether any node may have a worker. */
  let anyActive = false;
  let growthTimer: NodeJS.Timeout | undefined;
  /** Rooms that the next hint names. */
  const grown = new Set<string>();

  const isLeased = () => performance.now() < validUntil;

  async function renew(): Promise<void> {
    const held = [...workers.values()].map(({ webhook }) => webhook.leaseId);
    const startedAt = performance.now();
    const renewed = await renewLeases(database, held, { leaseMs, wanted: MAX_TAKEN });
    const { webhooks } = renewed;
    anyActive = renewed.anyActive;
    validUntil = startedAt + leaseMs;
    const leased = new Map(webhooks.map((webhook) => [webhook.id, webhook]));
    const ending = [...workers].filter(([id, { webhook }]) => leased.get(id)?.leaseId !== webhook.leaseId);
    // A worker ends before another one begins, so that two of a node never deliver the same webhook.
    await stopWorkers(ending);
    if (isStopped) return;
    for (const [id, webhook] of leased) {
      const worker = workers.get(id);
      if (worker) worker.webhook = webhook;
      else
        workers.set(
          id,
          new WebhookWorker({ ...node, webhooks: self }, webhook, { times: allTimes, advance, isLeased }),
        );
    }
    schedule(anyActive ? renewMs : IDLE_MS);
  }

  async function stopWorkers(ending: readonly (readonly [string, WebhookWorker])[]): Promise<void> {
    for (const [id] of ending) workers.delete(id);
    await Promise.all(ending.map(([, worker]) => worker.stop()));
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (isStopped) return;
    timer = setTimeout(look, ms);
    timer.unref();
  }

  function look(): void {
    if (isStopped) return;
    isRequestedAgain = running !== null;
    running ??= renew()
      .catch(async (error: unknown) => {
        log.debug({ err: error }, 'The leases of the webhooks could not be renewed.');
        schedule(renewMs);
        if (!isLeased()) await stopWorkers([...workers]);
      })
      .finally(() => {
        running = null;
        if (isRequestedAgain) look();
      });
  }

  function scanAll(): void {
    for (const worker of workers.values()) worker.scan();
  }

  function lookInto(payload: unknown): void {
    const { rooms } = payload as { rooms: string[] };
    for (const worker of workers.values()) worker.lookInto(rooms);
  }

  const ends = [
    bus.subscribe(CHANGES, look, look),
    bus.subscribe(GROWTH, lookInto, () => undefined),
    changePoller.listen(({ rooms }) => {
      if (rooms.size > 0) scanAll();
    }),
  ];

  const self: Webhooks = {
    documents,
    client,
    shortTimeoutMs,
    workers: () => workers.size,
    lag() {
      const all = [...workers.values()].map((worker) => worker.lag());
      return {
        rooms: all.reduce((sum, { rooms }) => sum + rooms, 0),
        events: all.reduce((sum, { events }) => sum + events, 0),
      };
    },
    notifyChanged() {
      bus.publish(CHANGES, {});
    },
    notifyGrowth(chatroomIds) {
      if (!anyActive || isStopped) return;
      for (const id of chatroomIds) grown.add(id);
      growthTimer ??= setTimeout(() => {
        growthTimer = undefined;
        bus.publish(GROWTH, { rooms: [...grown] });
        grown.clear();
      }, GROWTH_DELAY_MS);
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      clearTimeout(growthTimer);
      for (const end of ends) end();
      await running;
      const held = [...workers.values()].map(({ webhook }) => webhook.leaseId);
      await stopWorkers([...workers]);
      if (held.length > 0) {
        await releaseLeases(database, held).catch(() => undefined);
        bus.publish(CHANGES, {});
      }
      client.close();
    },
  };
  look();
  return self;
}
