import type { Finding } from './findings.ts';
import { type Entry, only } from './history.ts';

/** Latencies in milliseconds, from the acknowledgement until a connected reader received the message. */
export interface Latency {
  count: number;
  p50: number;
  p99: number;
  most: number;
  /** Number of messages that took longer than promised. */
  overdue: number;
}

export interface Stats {
  healthy: Latency;
  withoutRedis: Latency;
  retries: number;
  resyncs: number;
  /** Number of events whose execution failed. */
  failed: number;
  /** Share of the time in which this process was blocked. The nodes were blocked at least as long. */
  heldUp: number;
}

/** Promised latency in milliseconds while Redis is away. With Redis, it is far lower. */
const OVERDUE_MS = 1_500;
/** Time in milliseconds for which a fault has effects after its end, because clients reconnect and pools fill. */
const AFTERMATH_MS = 3_000;
const REDIS_IS_AWAY = ['redis killed', 'redis frozen'];

/** A message that arrives within this many milliseconds shows that its stream is up to date. */
const LIVE_MS = 500;

/**
 * Measures messages sent without other faults, to streams that were up to date. A reader with a backlog is late because
 * of the backlog.
 */
export function measure(entries: readonly Entry[]): Stats {
  const faults = only(entries, 'fault');
  const around = (from: number, to: number) =>
    faults.filter((fault) => fault.at < to && fault.until + AFTERMATH_MS > from).map((fault) => fault.kind);
  const withoutRedisAlone = (kinds: readonly string[]) => kinds.every((kind) => REDIS_IS_AWAY.includes(kind));
  const acknowledged = new Map(
    only(entries, 'acknowledged').map((entry) => [
      `${entry.room}/${entry.number}`,
      {
        at: entry.at,
        faults: around(entry.at - 500, entry.at + 2_000),
        isRedisAway: faults.some(
          ({ kind, at, until }) => REDIS_IS_AWAY.includes(kind) && at < entry.at && until > entry.at,
        ),
      },
    ]),
  );
  /** Time since which each reader's stream has been up to date. */
  const live = new Map<string, number>();
  const healthy: number[] = [];
  const withoutRedis: number[] = [];
  for (const entry of entries) {
    if (entry.what === 'subscribed' || entry.what === 'ended') live.delete(entry.who);
    if (entry.what !== 'received') continue;
    const sent = acknowledged.get(`${entry.room}/${entry.number}`);
    if (!sent) continue;
    // A message may arrive before its acknowledgement.
    const took = Math.max(0, entry.at - sent.at);
    if (!withoutRedisAlone(sent.faults)) live.delete(entry.who);
    else if (sent.at < (live.get(entry.who) ?? (took < LIVE_MS ? 0 : Infinity))) continue;
    else {
      if (!live.has(entry.who)) live.set(entry.who, entry.at);
      if (sent.faults.length === 0) healthy.push(took);
      else if (sent.isRedisAway) withoutRedis.push(took);
    }
  }
  const lasted = (entries.at(-1)?.at ?? 0) - (entries[0]?.at ?? 0);
  return {
    heldUp: only(entries, 'late').reduce((sum, { ms }) => sum + ms, 0) / Math.max(1, lasted),
    healthy: summarise(healthy),
    withoutRedis: summarise(withoutRedis),
    retries: only(entries, 'retrying').length,
    resyncs: only(entries, 'ended').filter((entry) => entry.code === 'RESYNC_REQUIRED').length,
    // NOT_FOUND is the expected refusal of removed members.
    failed: only(entries, 'failed').filter((entry) => entry.code !== 'NOT_FOUND').length,
  };
}

/** Minimum number of messages. Fewer are not conclusive. */
const ENOUGH = 30;
/**
 * Notifications are broken if the median exceeds `healthyMs`. Polls are broken if more than
 * `overdueShare` of the messages are overdue while Redis is away.
 */
const LATE = { healthyMs: 250, overdueShare: 0.05 };
/** Above this share, the machine is too busy for any conclusion. */
const MOST_HELD_UP = 0.03;

/** Finds latencies that indicate a defect which no other check would notice. */
export function findLateness({ healthy, withoutRedis, heldUp }: Stats): Finding[] {
  if (heldUp > MOST_HELD_UP) return [];
  const findings: Finding[] = [];
  const find = (detail: string) => findings.push({ kind: 'late', detail });
  if (healthy.count >= ENOUGH && healthy.p50 > LATE.healthyMs)
    find(`half of ${healthy.count} messages took more than ${healthy.p50} ms, though all was well`);
  const { count, overdue } = withoutRedis;
  if (count >= ENOUGH && overdue > count * LATE.overdueShare)
    find(`${overdue} of ${count} messages took more than ${OVERDUE_MS} ms while Redis was away`);
  return findings;
}

function summarise(times: number[]): Latency {
  times.sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0);
  return {
    ...{ count: times.length, p50: at(0.5), p99: at(0.99), most: at(1) },
    overdue: times.filter((time) => time > OVERDUE_MS).length,
  };
}
