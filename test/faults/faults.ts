import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import type { History } from './history.ts';
import type { Proxy } from './proxy.ts';
import { CALM_MS, type Fault } from './schedule.ts';

export interface Stage {
  cluster: Cluster;
  /** Proxies of the readers that can be slowed down. */
  slow: readonly Proxy[];
  history: History;
  /** Returns the number of events that the readers have received. */
  progress: () => number;
}

/**
 * A fault has no effect on a stalled cluster. Waits between two faults for this many events, up to a timeout in
 * milliseconds.
 */
const PROGRESS = { atLeast: 20, mostMs: 3_000 };

/** Returns the parts of the cluster that a fault affects. Two faults of one part at once would cancel each other. */
function partOf({ kind, node }: Fault): string[] {
  if (kind === 'nodes restarted one by one') return ['node 0', 'node 1', 'node 2'];
  if (kind.startsWith('node ')) return [`node ${node}`];
  if (kind.startsWith('redis')) return ['redis'];
  if (kind.startsWith('database')) return ['database'];
  return kind === 'reader does not read' ? ['reader'] : [];
}

/**
 * Applies the faults of a schedule, which overlap, and reverts each. A fault waits until its part of the cluster is
 * free. Before some faults, everything is repaired and left alone for a while.
 */
export async function runSchedule(
  stage: Stage,
  schedule: readonly Fault[],
  show: (fault: Fault, index: number) => void,
): Promise<void> {
  const taken = new Map<string, Promise<void>>();
  let before = stage.progress();
  for (const [index, fault] of schedule.entries()) {
    if (fault.calmBefore) {
      await Promise.all(taken.values());
      await calm(stage);
    }
    await sleep(fault.afterMs);
    const latest = performance.now() + PROGRESS.mostMs;
    while (stage.progress() < before + PROGRESS.atLeast && performance.now() < latest) await sleep(20);
    before = stage.progress();
    const parts = partOf(fault);
    const happening = Promise.all(parts.map((part) => taken.get(part) ?? Promise.resolve())).then(() => {
      show(fault, index);
      return happen(stage, fault);
    });
    for (const part of parts.length > 0 ? parts : [`fault ${index}`]) taken.set(part, happening);
  }
  await Promise.all(taken.values());
  await calm(stage);
}

/** Runs without faults, and later with Redis dead only. Latencies are measured during these periods. */
async function calm(stage: Stage): Promise<void> {
  await sleep(CALM_MS.before + CALM_MS.healthy + CALM_MS.after);
  const fault = { node: 0, afterMs: 0, bytes: 0, calmBefore: false };
  await happen(stage, { ...fault, kind: 'redis killed', lastsMs: CALM_MS.withoutRedis });
  await sleep(CALM_MS.after);
}

async function happen(stage: Stage, fault: Fault): Promise<void> {
  // `until` is Infinity until the fault has ended.
  const entry = {
    who: `node ${fault.node}`,
    what: 'fault' as const,
    kind: fault.kind,
    until: Infinity,
    at: performance.now(),
  };
  stage.history.entries.push(entry);
  await act(stage, fault);
  entry.until = performance.now();
}

async function act({ cluster, slow, history }: Stage, fault: Fault): Promise<void> {
  const { nodes, redis, postgres } = cluster;
  const { lastsMs, bytes } = fault;
  const node = nodes[fault.node % nodes.length];
  if (!node) throw new Error('There are no nodes.');
  const during = async (begin: () => unknown, end: () => unknown) => {
    await begin();
    await sleep(lastsMs);
    await end();
  };
  const all = (way: 'front' | 'database' | 'redis', deed: (proxy: Proxy) => void) => () => {
    for (const each of nodes) deed(each[way]);
  };

  switch (fault.kind) {
    case 'redis killed':
      return during(redis.kill, redis.start);
    case 'redis frozen':
      return during(
        () => {
          redis.signal('SIGSTOP');
        },
        () => {
          redis.signal('SIGCONT');
        },
      );
    case 'redis emptied':
      return void (await redis.command('FLUSHALL'));
    case 'redis drops its subscribers':
      for (let left = lastsMs; left > 0; left -= 1_000) {
        await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await sleep(1_000);
      }
      return;
    case 'redis slow to answer':
      return during(
        all('redis', (proxy) => {
          proxy.pause();
        }),
        all('redis', (proxy) => {
          proxy.resume();
        }),
      );
    case 'redis cut off from one node':
      return during(
        () => {
          node.redis.blackhole();
        },
        () => {
          node.redis.resume();
        },
      );
    case 'node killed':
      return during(() => node.end('SIGKILL'), node.start);
    case 'node frozen':
      return during(
        () => {
          node.signal('SIGSTOP');
        },
        () => {
          node.signal('SIGCONT');
        },
      );
    case 'nodes restarted one by one':
      for (const each of nodes) {
        const began = performance.now();
        const code = await each.end('SIGTERM');
        const ms = Math.round(performance.now() - began);
        if (code !== 0)
          history.note({ who: `node ${each.index}`, what: 'undrained', detail: `exit code ${code} after ${ms} ms` });
        await each.start();
      }
      return;
    case 'database connections ended':
      return void (await postgres
        .query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley'`)
        .catch(() => undefined));
    case 'database killed':
      return during(postgres.kill, postgres.start);
    case 'database slow to answer':
      return during(
        all('database', (proxy) => {
          proxy.pause();
        }),
        all('database', (proxy) => {
          proxy.resume();
        }),
      );
    case 'database far away':
      return during(
        all('database', (proxy) => {
          proxy.delay(40);
        }),
        all('database', (proxy) => {
          proxy.delay(0);
        }),
      );
    case 'answers of the database cut off':
      node.database.cutAfter(bytes);
      return;
    case 'client sockets dropped':
      return void all('front', (proxy) => {
        proxy.reset();
      })();
    case 'reader does not read':
      return during(
        () => {
          for (const proxy of slow) proxy.pause();
        },
        () => {
          for (const proxy of slow) proxy.resume();
        },
      );
  }
}
