import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Config } from './config.ts';
import type { ServerNode } from './context.ts';

/** What Prometheus is told of one node. */
export interface Metrics {
  /** A request was answered; `code` is `OK` or that of its first error. */
  answered: (operation: string, code: string, seconds: number) => void;
  /** A nudge has arrived so long after it was sent. */
  nudged: (seconds: number) => void;
  /** A job was run. */
  ran: (task: string, outcome: 'done' | 'failed') => void;
  /** Lets it look at what the node counts by itself. */
  watch(node: Watched): void;
  /** Everything, as Prometheus reads it. */
  text(): Promise<string>;
  contentType: string;
}

type Watched = Pick<ServerNode, 'open' | 'counts' | 'database' | 'bus' | 'tails' | 'sessions' | 'presence'>;

/** Values by the labels under which they stand. */
type Readings = [labels: Record<string, string>, value: number][];

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** The clocks of two nodes may differ, and a Redis that is shared may say anything. */
const LONGEST_LAG_S = 60;

/** The metrics of one node, in a registry of its own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'parley_requests_total',
    help: 'Requests by the root field that they ask for, and the code of their first error, OK without one.',
    labelNames: ['operation', 'code'],
    registers,
  });
  const requestSeconds = new Histogram({
    name: 'parley_request_duration_seconds',
    help: 'How long requests took from parsing to their result; subscriptions until they were taken up.',
    labelNames: ['operation'],
    buckets: SECONDS,
    registers,
  });
  const nudgeLag = new Histogram({
    name: 'parley_nudge_lag_seconds',
    help: 'How long nudges took to this node, by the clocks of both nodes.',
    buckets: SECONDS,
    registers,
  });
  const jobs = new Counter({
    name: 'parley_jobs_total',
    help: 'Jobs that this node has run, by task and outcome; one that failed is run again.',
    labelNames: ['task', 'outcome'],
    registers,
  });
  let isLookedAt = false;

  return {
    answered(operation, code, seconds) {
      requests.inc({ operation, code });
      requestSeconds.observe({ operation }, seconds);
    },
    nudged(seconds) {
      nudgeLag.observe(Math.min(Math.max(seconds, 0), LONGEST_LAG_S));
    },
    ran(task, outcome) {
      jobs.inc({ task, outcome });
    },
    watch(node) {
      exposeNode(registry, node);
    },
    async text() {
      // From the first look on: it watches the event loop with timers that nothing could stop again.
      if (!isLookedAt) collectDefaultMetrics({ register: registry });
      isLookedAt = true;
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/**
 * Answers who asks for the metrics: with `METRICS_TOKEN`, whoever sends it; without one everybody, but nobody in production.
 * By the address it could not be decided: behind a proxy of the same machine, everybody comes from there.
 */
export async function answerScrape(
  { NODE_ENV, METRICS_TOKEN }: Pick<Config, 'NODE_ENV' | 'METRICS_TOKEN'>,
  metrics: Metrics,
  authorization: string | undefined,
): Promise<{ status: number; contentType: string; text: string }> {
  const contentType = 'text/plain; charset=utf-8';
  if (METRICS_TOKEN === undefined && NODE_ENV === 'production')
    return { status: 404, contentType, text: 'Set METRICS_TOKEN to have metrics here.\n' };
  if (METRICS_TOKEN !== undefined && !isSame(authorization ?? '', `Bearer ${METRICS_TOKEN}`))
    return { status: 401, contentType, text: 'Send METRICS_TOKEN as "Authorization: Bearer TOKEN".\n' };
  return { status: 200, contentType: metrics.contentType, text: await metrics.text() };
}

/** How long it takes says nothing of how much of a guess was right. */
function isSame(guess: string, secret: string): boolean {
  const [a, b] = [guess, secret].map((text) => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

/** What the node counts in plain numbers, read when somebody looks. */
function exposeNode(registry: Registry, node: Watched): void {
  const { open, counts, database, bus, tails, sessions, presence } = node;
  const registers = [registry];
  // No client has come yet.
  const ownTopics = bus.topics();

  function gauge(name: string, help: string, read: () => number | Readings, labelNames: string[] = []): void {
    new Gauge({
      ...{ name, help, labelNames, registers },
      collect() {
        const found = read();
        for (const [labels, value] of typeof found === 'number' ? [[{}, found] as const] : found)
          this.set(labels, value);
      },
    });
  }
  function total(name: string, help: string, read: () => number | Readings, labelNames: string[] = []): void {
    new Counter({
      ...{ name, help, labelNames, registers },
      collect() {
        this.reset();
        const found = read();
        for (const [labels, value] of typeof found === 'number' ? [[{}, found] as const] : found)
          this.inc(labels, value);
      },
    });
  }
  const transports = ['websocket', 'sse'] as const;

  total('parley_messages_sent_total', 'Messages that were acknowledged; retries are not counted.', () => counts.sent);
  total(
    'parley_deliveries_total',
    'Events that were handed to subscribers.',
    () => transports.map((transport) => [{ transport }, counts[transport].delivered]),
    ['transport'],
  );
  total(
    'parley_event_executions_total',
    'Executions of events: shared by all who asked the same, or for one subscriber.',
    () =>
      transports.flatMap((transport) =>
        (['shared', 'own'] as const).map((kind): Readings[number] => [{ transport, kind }, counts[transport][kind]]),
      ),
    ['transport', 'kind'],
  );
  total(
    'parley_healed_events_total',
    'Events of watched rooms that the sweep found before any nudge told of them.',
    () => counts.healed,
  );

  gauge('parley_ready', 'Whether this node takes requests: 0 while it stops.', () => Number(open.ready));
  gauge('parley_sockets', 'Open WebSockets.', () => open.sockets);
  gauge(
    'parley_subscriptions',
    'Open subscriptions.',
    () => [
      [{ transport: 'websocket' }, open.streams - open.sse],
      [{ transport: 'sse' }, open.sse],
    ],
    ['transport'],
  );
  gauge(
    'parley_subscriptions_waiting',
    'Subscriptions over WebSocket whose client does not read what was sent.',
    () => open.waiting,
  );
  gauge('parley_followers', 'What reads the logs of rooms for subscriptions.', () => open.followers);
  gauge('parley_mailboxes', 'What keeps hints for subscriptions.', () => open.mailboxes);
  gauge('parley_operations', 'Operations in progress, without open subscriptions.', () => open.operations);
  gauge(
    'parley_operations_waiting',
    'Operations that wait for another one of the same client to end.',
    () => open.operationsWaiting,
  );
  gauge('parley_tails', 'Rooms that are watched on this node.', () => tails.size());
  gauge('parley_tail_readers', 'How many hold those rooms’ tails.', () => tails.readers());
  gauge('parley_session_watches', 'Sockets and streams that end with their session.', () => sessions.size());
  gauge('parley_presence_leases', 'Sockets of signed-in users whose presence this node renews.', () =>
    presence.leases(),
  );
  gauge('parley_bus_topics', 'Topics that this node hears for its clients.', () => bus.topics() - ownTopics);
  gauge(
    'parley_database_connections',
    'Connections of the pool to PostgreSQL.',
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
