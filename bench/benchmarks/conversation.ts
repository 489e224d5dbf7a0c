import { clients } from '../clients/client.ts';
import { cpuSeconds } from '../usage.ts';
import { ROOMS } from '../world.ts';
import { bodyOf, openAudience, warmUpWithSubscribers, warmUpWithoutSubscribers } from './audience.ts';
import { type Assignment, atLeast, type Benchmark, type Row, upTo } from './benchmark.ts';

const MEMBERS = 50;
const LONGEST_MS = 15_000;
const SENDERS = [1, 20, 50];
const RUNNING_IN = 20;
const name = (senders: number) => `${senders} sender${senders === 1 ? '' : 's'}`;
const cases = SENDERS.map(name);

export const conversation: Benchmark = {
  title: 'A conversation in one room',
  about: `Each sender sends one message after another to a room of ${MEMBERS} subscribed members, and waits for each acknowledgement. A message counts when every member has received it.`,
  unit: 'sends/s',
  better: 'more',
  stacks: ['parley', 'bare', 'socketio', 'mercurius', 'ejabberd', 'plain'],
  runs: (quick) => [{ unheardMs: quick ? 2_000 : 3_000, runInMs: quick ? 1_000 : 2_000, ms: quick ? 1_000 : 2_000 }],
  load,
  goals: [
    atLeast(1, 'socketio', cases, 'at least the rate of Socket.IO with pg'),
    atLeast(2, 'mercurius', cases, 'at least twice Mercurius with pg'),
    atLeast(2, 'ejabberd', cases, 'at least twice ejabberd'),
    atLeast(10, 'plain', cases, 'at least ten times the plain stack'),
  ],
};

async function load(assignment: Assignment): Promise<Row[]> {
  const { stack, urls, params } = assignment;
  // XMPP only accepts messages from occupants of a room, so there is no warm-up without subscribers.
  if (stack !== 'ejabberd') await warmUpWithoutSubscribers(clients[stack], urls[0] ?? '', ROOMS.talk, params);
  return measureConversation(assignment, SENDERS);
}

/** Measures a room whose members subscribe to its messages, for each number of senders. */
export async function measureConversation(
  { stack, urls, pids, params }: Assignment,
  counts: readonly number[],
): Promise<Row[]> {
  const { ms = 0 } = params;
  const [url = '', pid = 0] = [urls[0], pids[0]];
  const client = clients[stack];
  const audience = await openAudience(upTo(MEMBERS), (user, onText) => client.listen(url, user, ROOMS.talk, onText));
  const open = (count: number) => Promise.all(upTo(count).map((i) => client.openSender(url, 1 + (i % MEMBERS))));
  // Warms up with many senders. A single one sends too little to get the code compiled before the measurement.
  const first = await open(RUNNING_IN);
  if (first[0]) await audience.warmUp(first[0], ROOMS.talk);
  await warmUpWithSubscribers(audience, first, ROOMS.talk, params);
  for (const sender of first) sender.close();

  const rows: Row[] = [];
  for (const count of counts) {
    const senders = await open(count);
    if (senders[0]) await audience.warmUp(senders[0], ROOMS.talk);
    const run = audience.begin();
    const [began, cpu] = [performance.now(), cpuSeconds(pid)];
    let sent = 0;
    await Promise.all(
      senders.map(async (sender) => {
        do await sender.send(ROOMS.talk, bodyOf(run, sent++));
        while (performance.now() - began < ms);
      }),
    );
    if (!(await audience.hears(sent * MEMBERS, began + LONGEST_MS)))
      throw new Error(`Of ${sent * MEMBERS} deliveries ${audience.heard()} arrived within ${LONGEST_MS / 1_000} s.`);
    const seconds = (performance.now() - began) / 1_000;
    rows.push({
      case: name(count),
      value: sent / seconds,
      more: { cpuMicrosecondsEach: ((cpuSeconds(pid) - cpu) * 1e6) / sent },
    });
    for (const sender of senders) sender.close();
  }
  return rows;
}
