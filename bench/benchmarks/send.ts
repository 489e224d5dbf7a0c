import { clients, type Sender } from '../clients/client.ts';
import { cpuSeconds } from '../usage.ts';
import { ROOMS, SENDERS } from '../world.ts';
import { bodyOf } from './audience.ts';
import { type Assignment, atLeast, type Benchmark, type Row, upTo } from './benchmark.ts';

const AT_ONCE = [1, 10, 100];
const name = (count: number) => `${count} at a time`;
const cases = AT_ONCE.map(name);
const overHttp = (caseName: string) => `${caseName}, over HTTP`;

type OpenSender = (user: number) => Promise<Sender>;

export const send: Benchmark = {
  title: 'Sending to a thousand rooms',
  about:
    'Messages are sent to a thousand rooms in turn, without subscribers, and acknowledgements are counted. Parley receives them over one WebSocket per sender, as its client sends them, and then over HTTP. The load process itself runs the bare INSERTs, over a pool of the same size, into one table, without any check.',
  unit: 'sends/s',
  better: 'more',
  stacks: ['parley', 'insert', 'bare', 'socketio', 'mercurius', 'plain'],
  runs: (quick) => [{ runInMs: quick ? 2_000 : 4_000, ms: quick ? 1_000 : 2_000 }],
  load,
  goals: [
    atLeast(0.5, 'insert', cases, 'at least half the rate of bare INSERTs over the same pool'),
    atLeast(1, 'insert', cases, 'at least the rate of bare INSERTs over the same pool'),
    {
      text: 'over a WebSocket at least the rate over HTTP',
      reached(median) {
        const ratios = cases.flatMap((each) => {
          const [socket, http] = [median('parley', each), median('parley', overHttp(each))];
          return http === null || socket === null ? [] : [socket / http];
        });
        return ratios.length === 0 ? null : ratios.every((ratio) => ratio >= 1);
      },
    },
  ],
};

async function load({ stack, urls, pids, params }: Assignment): Promise<Row[]> {
  const { runInMs = 0, ms = 0 } = params;
  const [url = '', pid = process.pid] = [urls[0], pids[0]];
  const client = clients[stack];
  const transports: { title: (count: number) => string; open: OpenSender }[] = [
    { title: name, open: (user) => client.openSender(url, user) },
  ];
  const { openHttpSender } = client;
  if (openHttpSender)
    transports.push({ title: (count) => overHttp(name(count)), open: (user) => openHttpSender(url, user) });

  /** Sends with `count` senders for `time` milliseconds. Returns the number of messages. */
  async function sendFor(open: OpenSender, count: number, time: number): Promise<number> {
    const senders = await Promise.all(upTo(count).map((i) => open(SENDERS[i % SENDERS.length] ?? 0)));
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
  for (const { open } of transports) await sendFor(open, Math.max(...AT_ONCE), runInMs / transports.length);
  const rows: Row[] = [];
  for (const count of AT_ONCE)
    for (const { title, open } of transports) {
      const [began, cpu] = [performance.now(), cpuSeconds(pid)];
      const sent = await sendFor(open, count, ms);
      const seconds = (performance.now() - began) / 1_000;
      rows.push({
        case: title(count),
        value: sent / seconds,
        more: { cpuMicrosecondsEach: ((cpuSeconds(pid) - cpu) * 1e6) / sent },
      });
    }
  return rows;
}
