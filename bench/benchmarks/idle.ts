import { clients } from '../clients/client.ts';
import { cpuSeconds, residentBytes } from '../usage.ts';
import { ROOMS } from '../world.ts';
import { type Assignment, type Benchmark, eachOf, type Row, upTo } from './benchmark.ts';

const ROOM_COUNT = 1_000;
const MEMORY = 'memory, KB for each subscription';
const CPU = 'processor, ms for each second';

export const idle: Benchmark = {
  title: 'Idle subscriptions',
  about: `Memory and CPU time for 10,000 subscriptions without events, on one socket each, in ${ROOM_COUNT.toLocaleString('en')} rooms. Memory is the increase since before they connected.`,
  unit: 'unit per line',
  better: 'less',
  stacks: ['parley', 'bare', 'socketio', 'mercurius', 'plain'],
  runs: (quick) => [
    { subscriptions: quick ? 2_000 : 10_000, settleMs: quick ? 2_000 : 5_000, ms: quick ? 3_000 : 5_000 },
  ],
  enoughRounds: 1,
  load,
  goals: [
    {
      text: 'at most twice the memory of bare ws sockets',
      reached(median) {
        const [own, bare] = [median('parley', MEMORY), median('bare', MEMORY)];
        return own === null || bare === null ? null : own <= 2 * bare;
      },
    },
  ],
};

async function load({ stack, urls, pids, params }: Assignment): Promise<Row[]> {
  const { subscriptions = 0, settleMs = 0, ms = 0 } = params;
  const [url = '', pid = 0] = [urls[0], pids[0]];
  const client = clients[stack];
  let failure: string | null = null;
  const before = residentBytes(pid);
  const sockets = await eachOf(upTo(subscriptions), 50, async (user) => {
    const room = ROOMS.many + 1 + ((user - 1) % ROOM_COUNT);
    const socket = await client.listen(url, user, room, (bytes, start, end) => {
      const text = bytes.toString('utf8', start, end);
      if (/"errors?"|refused/.test(text)) failure = text;
    });
    void socket.closed.then((why) => (failure = why));
    return socket;
  });
  await pause(settleMs);
  const [began, cpu] = [performance.now(), cpuSeconds(pid)];
  await pause(ms);
  if (failure !== null) throw new Error(`A subscription ended: ${String(failure)}`);
  const seconds = (performance.now() - began) / 1_000;
  return [
    { case: MEMORY, value: (residentBytes(pid) - before) / 1_024 / sockets.length },
    { case: CPU, value: ((cpuSeconds(pid) - cpu) * 1_000) / seconds },
  ];
}

/** Waits for a fixed time, because this benchmark measures over a period. */
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
