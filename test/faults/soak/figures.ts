import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Redis } from 'ioredis';
import { readMetrics } from '../../support/metrics.ts';
import type { Place } from '../stalled/place.ts';

/** A sampled metric, and the maximum increase over the second half that still counts as flat. */
export interface Figure {
  metric: string;
  /** Divisor of the metric. */
  unit?: number;
  /** The larger of a share of the value and a minimum. Without it, the figure is not judged. */
  most?: { share: number; least: number };
}

const MB = 1024 * 1024;

/**
 * The bounds are a multiple of the fluctuation between two samples without growth. A trend over forty samples therefore
 * does not exceed them by chance. docs/soak.md lists the smallest leak that this finds.
 */
export const FIGURES = {
  'heap, MB': { metric: 'nodejs_heap_size_used_bytes', unit: MB, most: { share: 0.03, least: 2 } },
  // The allocator returns memory in steps, and hashing a password briefly takes 19 MB.
  'resident, MB': { metric: 'process_resident_memory_bytes', unit: MB, most: { share: 0.05, least: 8 } },
  'external, MB': { metric: 'nodejs_external_memory_bytes', unit: MB, most: { share: 0.03, least: 2 } },
  // The number of connections depends on the number of concurrent requests.
  'open files': { metric: 'process_open_fds', most: { share: 0.1, least: 10 } },
  handles: { metric: 'nodejs_active_handles_total', most: { share: 0.1, least: 10 } },
  resources: { metric: 'nodejs_active_resources_total', most: { share: 0.1, least: 10 } },
  sockets: { metric: 'parley_sockets', most: { share: 0.1, least: 10 } },
  streams: { metric: 'streams', most: { share: 0.1, least: 10 } },
  followers: { metric: 'parley_followers', most: { share: 0.1, least: 10 } },
  mailboxes: { metric: 'parley_mailboxes', most: { share: 0.1, least: 10 } },
  tails: { metric: 'parley_tails', most: { share: 0.1, least: 10 } },
  watches: { metric: 'parley_session_watches', most: { share: 0.1, least: 10 } },
  leases: { metric: 'parley_presence_leases', most: { share: 0.1, least: 10 } },
  topics: { metric: 'parley_bus_topics', most: { share: 0.1, least: 10 } },
  'Redis keys': { metric: 'keys', most: { share: 0.1, least: 20 } },
  'waiting for the pool': { metric: 'parley_database_waiting', most: { share: 1, least: 20 } },
  'lag p99, ms': { metric: 'nodejs_eventloop_lag_p99_seconds', unit: 0.001, most: { share: 0.5, least: 20 } },
  'own lag p99, ms': { metric: 'own lag' },
  'CPU, %': { metric: 'CPU' },
  'requests/s': { metric: 'requests' },
  'events/s': { metric: 'events' },
} as const satisfies Record<string, Figure>;

export type FigureName = keyof typeof FIGURES;

export interface Sample {
  /** Minutes since all users were created. */
  at: number;
  figures: Record<FigureName, number>;
  /** Error codes of responses since the previous sample. */
  codes: Map<string, number>;
}

/** Samples a node, its Redis, and the event loop delay of this process. */
export function startLooking(place: Place): { look(): Promise<Sample>; restart(): void; stop(): void } {
  const redis = new Redis(place.redisUrl);
  const own = monitorEventLoopDelay();
  own.enable();
  let began = performance.now();
  let before = new Map<string, number>();
  let lookedAt = began;

  return {
    async look() {
      // Reads its own delay first, because the forced garbage collection blocks the node.
      const since = await readMetrics(place.url);
      const now = performance.now();
      const metrics = await place.weigh();
      const seconds = (now - lookedAt) / 1_000;
      const grown = (name: string) => (since.get(name) ?? 0) - (before.get(name) ?? 0);
      const sumOf = (pattern: RegExp) =>
        [...since.keys()].filter((name) => pattern.test(name)).reduce((sum, name) => sum + grown(name), 0);
      const extra: Record<string, number> = {
        nodejs_eventloop_lag_p99_seconds: since.get('nodejs_eventloop_lag_p99_seconds') ?? NaN,
        streams: ['websocket', 'sse'].reduce(
          (sum, transport) => sum + (metrics.get(`parley_subscriptions{transport="${transport}"}`) ?? NaN),
          0,
        ),
        keys: await redis.dbsize(),
        'own lag': own.percentile(99) / 1e6,
        CPU: (100 * grown('process_cpu_seconds_total')) / seconds,
        requests: sumOf(/^parley_requests_total/) / seconds,
        events: sumOf(/^parley_deliveries_total/) / seconds,
      };
      const figures = Object.fromEntries(
        Object.entries<Figure>(FIGURES).map(([name, { metric, unit = 1 }]) => [
          name,
          (extra[metric] ?? metrics.get(metric) ?? NaN) / unit,
        ]),
      ) as Sample['figures'];
      const codes = new Map<string, number>();
      for (const name of since.keys()) {
        const code = /^parley_requests_total{.*code="(\w+)"/.exec(name)?.[1];
        if (code !== undefined && code !== 'OK' && grown(name) > 0)
          codes.set(code, (codes.get(code) ?? 0) + grown(name));
      }
      own.reset();
      [before, lookedAt] = [since, now];
      return { at: (performance.now() - began) / 60_000, figures, codes };
    },
    restart() {
      began = performance.now();
    },
    stop() {
      own.disable();
      redis.disconnect();
    },
  };
}
