import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Config } from '../../core/config/settings.ts';
import type { ServerNode } from '../../core/context.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    metrics: Metrics;
  }
}

/** Prometheus metrics of one node. */
export interface Metrics {
  /** Records a completed request. `code` is `OK` or the code of its first error. */
  recordRequest: (operation: string, code: string, seconds: number) => void;
  /** Records the delay between sending and receiving a notification. */
  recordNotificationLag: (seconds: number) => void;
  /** Records a finished job. */
  recordJob: (task: string, outcome: 'done' | 'failed') => void;
  /** Registers metrics that read the gauges and counters of the node. */
  register(node: Watched): void;
  /** Returns all metrics in the Prometheus text format. */
  text(): Promise<string>;
  contentType: string;
}

type Watched = Pick<ServerNode, 'gauges' | 'counters' | 'database' | 'bus' | 'roomTails' | 'sessions' | 'presence'> & {
  webhooks: { lag(): { rooms: number; events: number } };
};

/** Values of a metric, one per combination of labels. */
type Readings = [labels: Record<string, string>, value: number][];

const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/**
 * Maximum notification delay that is recorded, in seconds. Larger values are recorded as this maximum. They come from
 * clocks that differ, or from other programs on a shared Redis.
 */
const MAX_LAG_SECONDS = 60;

/** Creates the metrics of one node, in its own registry. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'parley_requests_total',
    help: 'Requests by root field and by the code of their first error, or OK.',
    labelNames: ['operation', 'code'],
    registers,
  });
  const requestSeconds = new Histogram({
    name: 'parley_request_duration_seconds',
    help: 'Duration of requests from parsing to the result; of subscriptions until they are established.',
    labelNames: ['operation'],
    buckets: BUCKETS,
    registers,
  });
  const notificationLag = new Histogram({
    name: 'parley_nudge_lag_seconds',
    help: 'Delay of notifications to this node, by the clocks of both nodes.',
    buckets: BUCKETS,
    registers,
  });
  const jobs = new Counter({
    name: 'parley_jobs_total',
    help: 'Jobs that this node has run, by task and outcome. A failed job is retried.',
    labelNames: ['task', 'outcome'],
    registers,
  });
  let isScraped = false;

  return {
    recordRequest(operation, code, seconds) {
      requests.inc({ operation, code });
      requestSeconds.observe({ operation }, seconds);
    },
    recordNotificationLag(seconds) {
      notificationLag.observe(Math.min(Math.max(seconds, 0), MAX_LAG_SECONDS));
    },
    recordJob(task, outcome) {
      jobs.inc({ task, outcome });
    },
    register(node) {
      exposeNode(registry, node);
    },
    async text() {
      // Collects metrics of Node.js from the first scrape on, because the timers of these metrics cannot be stopped.
      if (!isScraped) collectDefaultMetrics({ register: registry });
      isScraped = true;
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/**
 * Serves /metrics. If METRICS_TOKEN is set, requests must send it. Otherwise the endpoint is off in production, and
 * public elsewhere. Access does not depend on the client's address, because behind a proxy on the same machine every
 * request seems local.
 */
export async function serveMetrics(
  { NODE_ENV, METRICS_TOKEN }: Pick<Config, 'NODE_ENV' | 'METRICS_TOKEN'>,
  metrics: Metrics,
  authorization: string | undefined,
): Promise<{ status: number; contentType: string; text: string }> {
  const contentType = 'text/plain; charset=utf-8';
  if (METRICS_TOKEN === undefined && NODE_ENV === 'production')
    return { status: 404, contentType, text: 'Metrics are off in production. Set METRICS_TOKEN to turn them on.\n' };
  if (METRICS_TOKEN !== undefined && !isSame(authorization ?? '', `Bearer ${METRICS_TOKEN}`))
    return { status: 401, contentType, text: 'Send METRICS_TOKEN as "Authorization: Bearer TOKEN".\n' };
  return { status: 200, contentType: metrics.contentType, text: await metrics.text() };
}

/** Compares in constant time, so that the duration does not reveal how much of a guess was right. */
function isSame(guess: string, secret: string): boolean {
  const [a, b] = [guess, secret].map((text) => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

/** Registers metrics that read the gauges and counters of the node during each scrape. */
function exposeNode(registry: Registry, node: Watched): void {
  const { gauges, counters, database, bus, roomTails, sessions, presence, webhooks } = node;
  const registers = [registry];
  // Number of topics that the node itself uses. No client is connected yet.
  const ownTopics = bus.topics();

  function gauge(name: string, help: string, read: () => number | Readings, labelNames: string[] = []): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        const found = read();
        for (const [labels, value] of typeof found === 'number' ? [[{}, found] as const] : found)
          this.set(labels, value);
      },
    });
  }
  function total(name: string, help: string, read: () => number | Readings, labelNames: string[] = []): void {
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        const found = read();
        for (const [labels, value] of typeof found === 'number' ? [[{}, found] as const] : found)
          this.inc(labels, value);
      },
    });
  }
  const transports = ['websocket', 'sse'] as const;

  total('parley_messages_sent_total', 'Acknowledged messages. Retries are not counted.', () => counters.sent);
  total(
    'parley_deliveries_total',
    'Events delivered to subscribers.',
    () => transports.map((transport) => [{ transport }, counters[transport].delivered]),
    ['transport'],
  );
  total(
    'parley_event_executions_total',
    'Executions of events: shared by subscribers with an equal operation, or for one subscriber.',
    () =>
      transports.flatMap((transport) => [
        [{ transport, kind: 'shared' }, counters[transport].shared],
        [{ transport, kind: 'own' }, counters[transport].unshared],
      ]),
    ['transport', 'kind'],
  );
  total(
    'parley_healed_events_total',
    'Events of watched rooms that a poll found before any notification arrived.',
    () => counters.recoveredByPoll,
  );
  total(
    'parley_webhook_attempts_total',
    'Attempts to deliver events to webhooks, by outcome. A failed attempt is repeated.',
    () => (['delivered', 'failed'] as const).map((outcome) => [{ outcome }, counters.webhooks[outcome]]),
    ['outcome'],
  );

  gauge(
    'parley_webhook_events_behind',
    'Events that the webhooks of this node have not delivered yet, of all kinds.',
    () => webhooks.lag().events,
  );
  gauge(
    'parley_webhook_rooms_behind',
    'Rooms in which a webhook of this node has not delivered all events.',
    () => webhooks.lag().rooms,
  );
  gauge('parley_ready', 'Whether this node accepts requests: 0 while it shuts down.', () => Number(gauges.ready));
  gauge('parley_sockets', 'Open WebSockets.', () => gauges.sockets);
  gauge(
    'parley_subscriptions',
    'Open subscriptions.',
    () => [
      [{ transport: 'websocket' }, gauges.streams - gauges.sse],
      [{ transport: 'sse' }, gauges.sse],
    ],
    ['transport'],
  );
  gauge(
    'parley_subscriptions_waiting',
    'WebSocket subscriptions paused by backpressure, because the client does not read.',
    () => gauges.backpressured,
  );
  gauge('parley_followers', 'Readers of room logs that serve subscriptions.', () => roomTails.followers());
  gauge('parley_mailboxes', 'Conflated streams of hints that serve subscriptions.', () => gauges.conflatedStreams);
  gauge('parley_operations', 'Operations in progress, excluding open subscriptions.', () => gauges.operations);
  gauge(
    'parley_operations_waiting',
    'Operations that wait for another one of the same client.',
    () => gauges.operationsWaiting,
  );
  gauge(
    'parley_image_tasks',
    'Uploaded files that are inspected or processed, or wait for it.',
    () => gauges.imageTasks,
  );
  gauge('parley_tails', 'Rooms watched on this node.', () => roomTails.size());
  gauge('parley_session_watches', 'Sockets and streams that end with their session.', () => sessions.size());
  gauge('parley_presence_leases', 'Sockets of signed-in users whose presence this node renews.', () =>
    presence.leases(),
  );
  gauge(
    'parley_bus_topics',
    'Bus topics that this node is subscribed to for its clients.',
    () => bus.topics() - ownTopics,
  );
  gauge(
    'parley_database_connections',
    'Connections to PostgreSQL in the pool.',
    () => {
      const { total, idle } = database.connections();
      return [
        [{ state: 'idle' }, idle],
        [{ state: 'busy' }, total - idle],
      ];
    },
    ['state'],
  );
  gauge(
    'parley_database_waiting',
    'Statements and transactions that wait for a connection.',
    () => database.connections().waiting,
  );
}
