import { clients } from '../clients/client.ts';
import { uploadImages } from '../clients/images.ts';
import { pageClients } from '../clients/page.ts';
import { SUBSCRIPTIONS } from '../clients/parleyPage.ts';
import { countExecutions, countStatements } from '../counters.ts';
import type { StackName } from '../stacks.ts';
import { cpuSeconds } from '../usage.ts';
import { ROOMS } from '../world.ts';
import { bodyOf, warmUpWithoutSubscribers } from './audience.ts';
import { type Assignment, type Benchmark, percentile, type Row, upTo } from './benchmark.ts';
import { measureConversation } from './conversation.ts';
import { openPages, type Pages } from './pages.ts';

const MEMBERS = 50;
const SENDERS = [1, 20];
/** Messages that the page loads, as in client/react/useRoom.ts. */
const MESSAGES = 40;
const STACKS = ['parley', 'plain', 'socketio'] as const satisfies StackName[];
/** Number of images that are uploaded before a run with images, for all senders together. */
const IMAGES = 240;
/** In the runs with images, one of so many messages has one. */
const IMAGE_EVERY = 10;
const userOf = (sender: number) => 1 + (sender % MEMBERS);
const name = (senders: number, imageEvery = 0) =>
  `${senders} sender${senders === 1 ? '' : 's'}${imageEvery > 0 ? `, an image in every ${imageEvery}th message` : ''}`;

export const page: Benchmark = {
  title: 'Open chat pages of one room',
  about: [
    `Every member of a room of ${MEMBERS} has a chat page open, and each page marks what arrives as read, at most once a second. Each sender sends one message after another, and waits for each acknowledgement. A message counts when every page has received it over both of its streams: the one over all rooms, for its list, and the one of the room. Statements include those of the node's own polls.`,
    `In the lines with images, every ${IMAGE_EVERY}th message carries a photo of 640 × 480 pixels that was uploaded before, and each page loads its preview. A message counts without waiting for that.`,
    'The last lines have no pages: each member subscribes only to messageAdded of the room, as in the benchmark conversation.',
    ...STACKS.map((stack) => `A page of ${stack} sends:\n${pageClients[stack]?.selects ?? ''}`),
  ].join('\n'),
  unit: 'unit per line',
  better: null,
  stacks: STACKS,
  rivals: 'page/',
  runs(quick) {
    const times = quick
      ? { unheardMs: 2_000, runInMs: 1_000, ms: 3_000 }
      : { unheardMs: 3_000, runInMs: 4_000, ms: 10_000 };
    const each = { ...times, pages: MEMBERS, subscriptions: SUBSCRIPTIONS, drainMs: 10_000 };
    // A run per number of senders, because a slow stack would still deliver messages of the one before.
    return [
      ...SENDERS.map((senders) => ({ ...each, senders })),
      ...SENDERS.map((senders) => ({ ...each, senders, imageEvery: IMAGE_EVERY })),
      { ...times, ms: quick ? 1_000 : 2_000, senders: 0 },
    ];
  },
  takesPart: (stack, { senders = 0, imageEvery = 0 }) => stack === 'parley' || (senders > 0 && imageEvery === 0),
  load,
  goals: [],
};

async function load(assignment: Assignment): Promise<Row[]> {
  const { stack, urls, pids, params, databaseUrl } = assignment;
  const { senders: count = 0, imageEvery = 0, subscriptions = 0, runInMs = 0, ms = 0, drainMs = 0 } = params;
  const [url = '', pid = 0] = [urls[0], pids[0]];
  const [client, pageClient] = [clients[stack], pageClients[stack]];
  if (!pageClient) throw new Error(`There is no page for ${stack}.`);
  await warmUpWithoutSubscribers(client, url, ROOMS.talk, params);
  if (count === 0) return measureReference(assignment);

  const users = upTo(Math.min(params['pages'] ?? 0, MEMBERS));
  let failures = 0;
  const onRetry = () => (failures += 1);
  const options = { room: ROOMS.talk, subscriptions, messages: MESSAGES, atOnce: 10, marksRead: true, onRetry };
  const pages = await openPages(pageClient, url, users, options);
  const senders = await Promise.all(upTo(count).map((i) => client.openSender(url, userOf(i))));
  const uploaders = imageEvery > 0 ? upTo(count).map(userOf) : [];
  const images = await Promise.all(uploaders.map((user) => uploadImages(url, user, Math.ceil(IMAGES / count))));
  await pages.warmUp(senders, runInMs);

  const readCounts = async (): Promise<Counts> => ({
    statements: await countStatements(databaseUrl),
    executions: stack === 'parley' ? await countExecutions(url) : null,
  });

  const run = pages.begin();
  const before = await readCounts();
  const [began, cpu] = [performance.now(), cpuSeconds(pid)];
  const sentAt: number[] = [];
  const refused = new Set<number>();
  failures = 0;
  await Promise.all(
    senders.map(async (sender, place) => {
      for (let sent = 0; sent === 0 || performance.now() - began < ms; sent += 1) {
        const image = sent % imageEvery === 0 ? images[place]?.pop() : undefined;
        const index = sentAt.push(performance.now()) - 1;
        // A message that was not acknowledged counts only if it arrives everywhere.
        await sender.send(ROOMS.talk, bodyOf(run, index), image).catch(() => refused.add(index));
      }
    }),
  );
  const acknowledged = performance.now();
  const arrivedAll = await pages.complete(sentAt.length - refused.size, acknowledged + drainMs);
  const ended = arrivedAll ? pages.results().lastAt : performance.now();
  const cpuMs = (cpuSeconds(pid) - cpu) * 1_000;
  const after = await readCounts();
  const rows = rowsOf(name(count, imageEvery), pages, {
    ...{ before, after, sentAt, refused, began, acknowledged, ended, cpuMs },
    failures: failures + refused.size,
  });
  pages.close();
  return rows;
}

interface Counts {
  statements: number;
  /** Null for stacks that do not count them. */
  executions: number | null;
}

interface Measurement {
  before: Counts;
  after: Counts;
  sentAt: readonly number[];
  /** Messages that were not acknowledged. */
  refused: ReadonlySet<number>;
  began: number;
  acknowledged: number;
  ended: number;
  cpuMs: number;
  failures: number;
}

function rowsOf(prefix: string, pages: Pages, measured: Measurement): Row[] {
  const { before, after, sentAt, refused, began, acknowledged, ended } = measured;
  const { complete, times, events, marks, images } = pages.results();
  // A page that has not received a message yet counts with the time that it has waited so far.
  const taken = sentAt.flatMap((at, index) => {
    const received = times[index] ?? [];
    if (refused.has(index)) return [];
    return [...received, ...Array.from({ length: pages.size - received.length }, () => ended)].map((t) => t - at);
  });
  const each = (total: number) => total / Math.max(complete, 1);
  const { executions } = after;
  return [
    {
      case: `${prefix}, sends/s`,
      value: (complete * 1_000) / (ended - began),
      more: {
        acknowledgedPerSecond: ((sentAt.length - refused.size) * 1_000) / (acknowledged - began),
        incomplete: Math.max(0, sentAt.length - refused.size - complete),
        cpuMsEach: each(measured.cpuMs),
        eventsEach: each(events),
        marksEach: each(marks),
        imagesEach: each(images),
      },
    },
    ...[50, 99].map((percent) => ({
      case: `${prefix}, ms from send to both streams, p${percent}`,
      value: percentile(taken, percent),
    })),
    { case: `${prefix}, failed requests`, value: measured.failures },
    { case: `${prefix}, SQL statements per message`, value: each(after.statements - before.statements) },
    ...(executions === null
      ? []
      : [{ case: `${prefix}, executions per message`, value: each(executions - (before.executions ?? 0)) }]),
  ];
}

/** Measures the same node without pages. */
async function measureReference(assignment: Assignment): Promise<Row[]> {
  const rows = await measureConversation(assignment, SENDERS);
  return rows.map((row) => ({ ...row, case: `messageAdded only, ${row.case}, sends/s` }));
}
