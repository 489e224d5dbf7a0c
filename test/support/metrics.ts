import { setTimeout as sleep } from 'node:timers/promises';

/** Gauges of resources that a node holds for clients. All must be zero after the clients have disconnected. */
const GAUGES = [
  'parley_sockets',
  'parley_subscriptions{transport="websocket"}',
  'parley_subscriptions{transport="sse"}',
  'parley_subscriptions_waiting',
  'parley_followers',
  'parley_mailboxes',
  'parley_tails',
  'parley_session_watches',
  'parley_presence_leases',
  'parley_bus_topics',
];

/** Returns the values of a node's `/metrics` by name with labels. */
export async function readMetrics(url: string): Promise<Map<string, number>> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(60_000) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}/metrics answered ${response.status}: ${text}`);
  return new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

/** Returns the gauges of a node's open resources by name. */
export async function readOpen(url: string): Promise<Record<string, number>> {
  const metrics = await readMetrics(url);
  return Object.fromEntries(GAUGES.map((name) => [name, metrics.get(name) ?? NaN]));
}

/**
 * Waits until a node has no open resources, after its clients have disconnected. A node detects connections that were
 * cut without a close frame by its pings, within 36 s.
 *
 * @throws Error that names the remaining resources
 */
export async function expectAllClosed(url: string, ms = 60_000): Promise<void> {
  const deadline = performance.now() + ms;
  for (;;) {
    const left = Object.entries(await readOpen(url)).filter(([, value]) => value !== 0);
    if (left.length === 0) return;
    if (performance.now() > deadline)
      throw new Error(`${url} has left open: ${left.map(([name, value]) => `${name} ${value}`).join(', ')}`);
    await sleep(50);
  }
}
