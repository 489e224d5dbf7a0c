import { clients } from '../clients/client.ts';
import { cpuSeconds } from '../usage.ts';
import { ROOMS, SENDERS } from '../world.ts';
import { bodyOf } from './audience.ts';
import { type Assignment, atLeast, type Benchmark, type Row, upTo } from './benchmark.ts';

const AT_ONCE = [1, 10, 100];
const name = (count: number) => `${count} at a time`;
const cases = AT_ONCE.map(name);

export const send: Benchmark = {
  title: 'Sending to a thousand rooms',
  about:
    'Messages are sent to a thousand rooms in turn, without subscribers, and acknowledgements are counted. The load process itself runs the bare INSERTs, over a pool of the same size, into one table, without any check.',
  unit: 'sends/s',
  better: 'more',
  stacks: ['parley', 'insert', 'bare', 'socketio', 'mercurius', 'plain'],
  runs: (quick) => [{ runInMs: quick ? 2_000 : 4_000, ms: quick ? 1_000 : 2_000 }],
  load,
  goals: [
    atLeast(0.5, 'insert', cases, 'at least half the rate of bare INSERTs over the same pool'),
    atLeast(1, 'insert', cases, 'at least the rate of bare INSERTs over the same pool'),
  ],
};

async function load({ stack, urls, pids, params }: Assignment): Promise<Row[]> {
  const { runInMs = 0, ms = 0 } = params;
  const [url = '', pid = process.pid] = [urls[0], pids[0]];

  /** Sends with `count` senders for `time` milliseconds. Returns the number of messages. */
  async function sendFor(count: number, time: number): Promise<number> {
    const senders = await Promise.all(
      upTo(count).map((i) => clients[stack].openSender(url, SENDERS[i % SENDERS.length] ?? 0)),
    );
    const until = performance.now() + time;
    let sent = 0;
    await Promise.all(
      senders.map(async (sender) => {
        do {
          const index = sent++;
          await sender.send(ROOMS.many + 1 + (index % 1_000), bodyOf(1, index));
        } while (performance.now() < until);
      }),
    );
    for (const sender of senders) sender.close();
    return sent;
  }

  // Warms up with all senders, because a server's code is compiled while it is used.
  await sendFor(Math.max(...AT_ONCE), runInMs);
  const rows: Row[] = [];
  for (const count of AT_ONCE) {
    const [began, cpu] = [performance.now(), cpuSeconds(pid)];
    const sent = await sendFor(count, ms);
    const seconds = (performance.now() - began) / 1_000;
    rows.push({
      case: name(count),
      value: sent / seconds,
      more: { cpuMicrosecondsEach: ((cpuSeconds(pid) - cpu) * 1e6) / sent },
    });
  }
  return rows;
}
