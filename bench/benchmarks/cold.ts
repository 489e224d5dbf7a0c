import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { clients } from '../clients/client.ts';
import { cpuSeconds } from '../usage.ts';
import { ROOMS, SENDERS } from '../world.ts';
import { bodyOf } from './audience.ts';
import { type Assignment, type Benchmark, type Row, upTo } from './benchmark.ts';

/** Number of senders. Each has its own connection. */
const AT_ONCE = 20;
const [FIRST, WARM] = ['first 1,000 sends', 'warm'];

export const cold: Benchmark = {
  title: 'Sends to a server that has just started',
  about: `${AT_ONCE} senders send over HTTP to a thousand rooms in turn, without subscribers. The first line is the rate of the first 1,000 sends after the start of the server. The second line is the rate of as many sends after some seconds of sending. The load process has warmed up on a server of its own.`,
  unit: 'sends/s',
  better: 'more',
  stacks: ['parley'],
  runs: (quick) => [{ sends: 1_000, runInMs: quick ? 6_000 : 10_000 }],
  load,
  goals: [
    {
      text: 'the first 1,000 sends: at least 0.7 times the later rate',
      reached(median) {
        const [first, warm] = [median('parley', FIRST), median('parley', WARM)];
        return first === null || warm === null ? null : first / warm >= 0.7;
      },
    },
  ],
};

async function load({ urls, pids, params }: Assignment): Promise<Row[]> {
  const { sends = 0, runInMs = 0 } = params;
  const [url = '', pid = 0] = [urls[0], pids[0]];
  await warmUpLoad(sends);

  const measure = async (name: string): Promise<Row> => {
    const [began, cpu] = [performance.now(), cpuSeconds(pid)];
    const sent = await sendWhile(url, (count) => count < sends);
    const seconds = (performance.now() - began) / 1_000;
    const more = { cpuMicrosecondsEach: ((cpuSeconds(pid) - cpu) * 1e6) / sent };
    return { case: name, value: sent / seconds, more };
  };
  const first = await measure(FIRST);
  const until = performance.now() + runInMs;
  await sendWhile(url, () => performance.now() < until);
  return [first, await measure(WARM)];
}

/** Sends with all senders while `continues` returns true for the number of sends so far. Returns the final number. */
async function sendWhile(url: string, continues: (count: number) => boolean): Promise<number> {
  const senders = await Promise.all(
    upTo(AT_ONCE).map((i) => {
      const sender = clients.parley.openHttpSender?.(url, SENDERS[i % SENDERS.length] ?? 0);
      if (!sender) throw new Error('The client of Parley sends over HTTP.');
      return sender;
    }),
  );
  let count = 0;
  await Promise.all(
    senders.map(async (sender) => {
      while (continues(count)) {
        const index = count++;
        await sender.send(ROOMS.many + 1 + (index % 1_000), bodyOf(1, index));
      }
    }),
  );
  for (const sender of senders) sender.close();
  return count;
}

/** Sends to a server in this process, because the load process also compiles its code while it is used. */
async function warmUpLoad(sends: number): Promise<void> {
  const server = createServer((request, response) => {
    request.resume();
    request.once('end', () => response.end('{"data":{"sendMessage":{"message":{"number":1}}}}'));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await sendWhile(`http://127.0.0.1:${port}`, (count) => count < sends);
  server.close();
}
