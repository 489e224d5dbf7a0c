import { clients, type Sender } from '../clients/client.ts';
import { ROOMS } from '../world.ts';
import { bodyOf, openAudience, warmUpWithSubscribers, warmUpWithoutSubscribers } from './audience.ts';
import { type Assignment, type Benchmark, percentile, type Row, upTo } from './benchmark.ts';

const MEMBERS = 50;
const SENDERS = 20;
const LONGEST_MS = 15_000;
const place = (nodes: number) => (nodes === 1 ? 'one node' : 'two nodes');

export const latency: Benchmark = {
  title: 'From send to delivery',
  about: `Time from the scheduled send of a message to its arrival at each of ${MEMBERS} members. First, ${SENDERS} senders measure the highest rate of each stack. Then they send half of that rate at a steady pace. With two nodes, senders use one and subscribers the other.`,
  unit: 'ms',
  better: 'less',
  stacks: ['parley', 'bare', 'socketio'],
  runs: (quick) =>
    [1, 2].map((nodes) => ({ nodes, unheardMs: quick ? 2_000 : 3_000, runInMs: 1_000, ms: quick ? 1_000 : 2_000 })),
  // Each figure is a percentile of tens of thousands of deliveries.
  enoughRounds: 1,
  load,
  goals: [],
};

async function load({ stack, urls, params }: Assignment): Promise<Row[]> {
  const { ms = 0, nodes = 1 } = params;
  const [here = '', there = here] = urls;
  const client = clients[stack];
  for (const url of urls) await warmUpWithoutSubscribers(client, url, ROOMS.talk, params);
  const audience = await openAudience(upTo(MEMBERS), (user, onText) => client.listen(there, user, ROOMS.talk, onText));
  const senders = await Promise.all(upTo(SENDERS).map((user) => client.openSender(here, user)));
  if (senders[0]) await audience.warmUp(senders[0], ROOMS.talk);
  await warmUpWithSubscribers(audience, senders, ROOMS.talk, params);

  const most = await highestRate(senders, audience.begin(), ms);
  const drained = await audience.hears(most.sent * MEMBERS, performance.now() + LONGEST_MS);
  const due: number[] = [];
  const taken: number[] = [];
  const run = audience.begin((index) => {
    taken.push(performance.now() - (due[index] ?? NaN));
  });
  const sent = await sendSteadily(senders, run, most.perSecond / 2, ms, due);
  if (!drained || !(await audience.hears(sent * MEMBERS, performance.now() + LONGEST_MS)))
    throw new Error(`Of ${sent * MEMBERS} deliveries ${audience.heard()} arrived.`);
  return [50, 99].map((percent) => ({
    case: `${place(nodes)}, p${percent}`,
    value: percentile(taken, percent),
    more: { sendsPerSecond: most.perSecond / 2 },
  }));
}

async function highestRate(senders: Sender[], run: number, ms: number): Promise<{ sent: number; perSecond: number }> {
  const began = performance.now();
  let sent = 0;
  await Promise.all(
    senders.map(async (sender) => {
      do await sender.send(ROOMS.talk, bodyOf(run, sent++));
      while (performance.now() - began < ms);
    }),
  );
  return { sent, perSecond: (sent * 1_000) / (performance.now() - began) };
}

/**
 * Sends at a steady pace. A message that waits for a free sender keeps its scheduled time, so that a stalled server does not
 * pause the measurement.
 */
async function sendSteadily(
  senders: Sender[],
  run: number,
  perSecond: number,
  ms: number,
  due: number[],
): Promise<number> {
  const began = performance.now();
  const count = Math.max(1, Math.floor((perSecond * ms) / 1_000));
  for (let i = 0; i < count; i += 1) due.push(began + (i * 1_000) / perSecond);
  let next = 0;
  await Promise.all(
    senders.map(async (sender) => {
      while (next < count) {
        const index = next++;
        const wait = (due[index] ?? 0) - performance.now();
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        // A late timer is a delay of this process, so it does not count. A server that blocks all senders does count.
        if (wait > 0) due[index] = performance.now();
        await sender.send(ROOMS.talk, bodyOf(run, index));
      }
    }),
  );
  return count;
}
