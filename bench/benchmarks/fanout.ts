import { clients, type Sender } from '../clients/client.ts';
import { cpuSeconds } from '../usage.ts';
import { ROOMS } from '../world.ts';
import { bodyOf, openAudience, warmUpWithSubscribers, warmUpWithoutSubscribers } from './audience.ts';
import { type Assignment, atLeast, type Benchmark, type Row, upTo } from './benchmark.ts';

const BURST = 50;
/** Number of connections over which a burst is sent. */
const SENDERS = 10;
/** Timeout in milliseconds. Deliveries until then are counted. */
const LONGEST_MS = 15_000;

const name = (subscribers: number, how: string) => `${subscribers.toLocaleString('en')} subscribers, ${how}`;
const SINGLE = 'one message at a time';
const BURSTS = `bursts of ${BURST}`;
const SIZES = [1_000, 5_000];
const singles = SIZES.map((size) => name(size, SINGLE));
const bursts = SIZES.map((size) => name(size, BURSTS));

export const fanout: Benchmark = {
  title: 'Fan-out in one room',
  about:
    'A message is sent, stored, and delivered to all subscribers of the room, with its sender. The rate covers the time from the first send to the last delivery.',
  unit: 'deliveries/s',
  better: 'more',
  stacks: ['parley', 'bare', 'socketio', 'mercurius', 'plain'],
  runs: (quick) =>
    quick
      ? [{ subscribers: 1_000, unheardMs: 2_000, runInMs: 500, ms: 1_500 }]
      : SIZES.map((subscribers) => ({ subscribers, unheardMs: 3_000, runInMs: 1_000, ms: 2_500 })),
  takesPart: (stack, { subscribers = 0 }) => subscribers === SIZES[0] || stack === 'parley' || stack === 'bare',
  load,
  goals: [
    atLeast(0.9, 'bare', singles, 'one message at a time: at least 0.9 times the bare loop'),
    atLeast(1, 'bare', bursts, 'bursts: at least the rate of the bare loop'),
    atLeast(20, 'plain', [...singles, ...bursts], 'at least 20 times the plain stack (1,000 subscribers)'),
  ],
};

async function load({ stack, urls, pids, params }: Assignment): Promise<Row[]> {
  const { subscribers = 0, ms = 0 } = params;
  const [url = '', pid = 0] = [urls[0], pids[0]];
  const client = clients[stack];
  await warmUpWithoutSubscribers(client, url, ROOMS.hall, params);
  const audience = await openAudience(upTo(subscribers), (user, onText) =>
    client.listen(url, user, ROOMS.hall, onText),
  );
  const senders = await Promise.all(upTo(SENDERS).map((user) => client.openSender(url, user)));
  const [first] = senders;
  if (!first) throw new Error('There are no senders.');
  await audience.warmUp(first, ROOMS.hall);
  // The plain stack takes minutes for the work of others in a second. One sender suffices to warm it up.
  await warmUpWithSubscribers(audience, stack === 'plain' ? [first] : senders, ROOMS.hall, params);

  const eachSender = (work: (sender: Sender, place: number) => Promise<void>) => Promise.all(senders.map(work));

  async function measure(how: string, size: number): Promise<Row> {
    const run = audience.begin();
    const [began, cpu] = [performance.now(), cpuSeconds(pid)];
    let sent = 0;
    let inTime = true;
    while (inTime && performance.now() - began < ms) {
      const next = sent;
      sent += size;
      const sending = eachSender(async (sender, place) => {
        for (let i = next + place; i < next + size; i += SENDERS) await sender.send(ROOMS.hall, bodyOf(run, i));
      });
      // A failure is thrown by the await below. Until then, it must not count as an unhandled rejection.
      sending.catch(() => undefined);
      inTime = await audience.hears(sent * subscribers, began + LONGEST_MS);
      if (inTime) await sending;
    }
    const seconds = (performance.now() - began) / 1_000;
    const deliveries = audience.heard();
    return {
      case: name(subscribers, how),
      value: deliveries / seconds,
      more: { messages: sent, cpuMicrosecondsEach: ((cpuSeconds(pid) - cpu) * 1e6) / deliveries },
    };
  }

  return [await measure(SINGLE, 1), await measure(BURSTS, BURST)];
}
