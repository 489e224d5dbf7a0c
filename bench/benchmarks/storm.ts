import { clients } from '../clients/client.ts';
import { parleyPage, SUBSCRIPTIONS } from '../clients/parleyPage.ts';
import { countStatements } from '../counters.ts';
import type { Machine } from '../machine.ts';
import { cpuSeconds } from '../usage.ts';
import { bearer, ROOMS, uuidOf } from '../world.ts';
import { bodyOf } from './audience.ts';
import { type Assignment, type Benchmark, eachOf, type Params, percentile, type Row, upTo } from './benchmark.ts';
import { openPages, type Pages } from './pages.ts';

const PAGES = 600;
const MEMBERS = 50;
const HISTORY = 200;
/** Messages that each page loads. */
const MESSAGES = 50;
/** Number of pages that are opened and closed again and again during the warm-up. */
const WARM_UP_PAGES = 20;
/** Time in milliseconds after which the pages that are complete are counted. */
const LONGEST_MS = 90_000;

export const storm: Benchmark = {
  title: 'All chat pages come back at once',
  about: `${PAGES} pages connect at the same moment, in rooms of ${MEMBERS} members with ${HISTORY} messages each. A page opens its socket, loads the list of rooms and the last ${MESSAGES} messages of its room, and subscribes; it is complete when all are answered and the stream of the room has caught up. Then a message to each room must reach both streams of every page. A page sends:\n${parleyPage.selects}`,
  unit: 'unit per line',
  better: null,
  stacks: ['parley'],
  runs: (quick) => [{ pages: quick ? 200 : PAGES, subscriptions: SUBSCRIPTIONS, runInMs: quick ? 3_000 : 8_000 }],
  prepare,
  load,
  goals: [],
};

const roomOf = (user: number) => ROOMS.storm + Math.ceil(user / MEMBERS);
const roomsOf = ({ pages = 0 }: Params) => Math.ceil(pages / MEMBERS);

/** Creates the rooms, whose messages all members have read. Room `storm + k` has the users 50 (k - 1) + 1 to 50 k. */
async function prepare({ run, parleyUrl }: Machine, params: Params): Promise<void> {
  const rooms = `generate_series(${ROOMS.storm + 1}, ${ROOMS.storm + roomsOf(params)}) room`;
  const member = `((room - ${ROOMS.storm} - 1) * ${MEMBERS} + n)`;
  const id = uuidOf('room', 'room');
  await run(
    parleyUrl,
    `
    INSERT INTO chatrooms (id, kind, name, owner_id, last_number, last_seq, last_message_at)
      SELECT ${id}, 'GROUP', 'Room ' || room, ${uuidOf('user', member)}, ${HISTORY}, ${HISTORY}, now()
        FROM ${rooms}, (VALUES (1)) v (n) ON CONFLICT DO NOTHING;
    INSERT INTO members (chatroom_id, user_id, role, last_read_number)
      SELECT ${id}, ${uuidOf('user', member)}, (CASE n WHEN 1 THEN 'OWNER' ELSE 'MEMBER' END)::"MemberRole", ${HISTORY}
        FROM ${rooms}, generate_series(1, ${MEMBERS}) n ON CONFLICT DO NOTHING;
    INSERT INTO messages (chatroom_id, number, seq, sender_id, body, search, created_at)
      SELECT ${id}, number, number, ${uuidOf('user', member)}, 'Shall we meet at the station at six?', '''meet'':3',
             now() - (${HISTORY} - number) * interval '1 minute'
        FROM ${rooms}, generate_series(1, ${HISTORY}) number, LATERAL (SELECT 1 + number % ${MEMBERS} AS n) sender
        ON CONFLICT DO NOTHING;
    INSERT INTO events (chatroom_id, seq, kind, number)
      SELECT ${id}, number, 'MESSAGE_ADDED', number FROM ${rooms}, generate_series(1, ${HISTORY}) number
        ON CONFLICT DO NOTHING;`,
  );
  await run(parleyUrl, 'VACUUM ANALYZE');
}

async function load({ urls, pids, params, databaseUrl }: Assignment): Promise<Row[]> {
  const { pages: size = 0, subscriptions = 0, runInMs = 0 } = params;
  const [url = '', pid = 0] = [urls[0], pids[0]];
  // Signs all tokens before the measurement, because signing is not part of the server's work.
  await eachOf(upTo(size), 50, bearer);
  const rooms = upTo(roomsOf(params)).map((k) => ROOMS.storm + k);
  const options = { subscriptions, messages: MESSAGES, marksRead: false };
  const usersOf = (room: number) => upTo(size).filter((user) => roomOf(user) === room);

  // Opens and closes some pages before the measurement, because a server's code is compiled while it is used.
  const room = ROOMS.storm + 1;
  for (const until = performance.now() + runInMs; performance.now() < until;) {
    const users = usersOf(room).slice(0, WARM_UP_PAGES);
    (await openPages(parleyPage, url, users, { ...options, room, atOnce: 10, onRetry: () => undefined })).close();
  }

  const before = await countStatements(databaseUrl);
  const [began, cpu] = [performance.now(), cpuSeconds(pid)];
  const taken: number[] = [];
  let retries = 0;
  const onOpened = () => taken.push(performance.now() - began);
  const onRetry = () => (retries += 1);
  const opening = Promise.all(
    rooms.map((room) =>
      openPages(parleyPage, url, usersOf(room), { ...options, room, atOnce: MEMBERS, onOpened, onRetry }),
    ),
  );
  const all = await within(opening, LONGEST_MS);
  // A copy, because pages that are late still arrive.
  const times = [...taken];
  const ms = performance.now() - began;
  const cpuMs = (cpuSeconds(pid) - cpu) * 1_000;
  const after = await countStatements(databaseUrl);
  if (all) await checkLive(url, rooms, all);
  return [
    {
      case: 'pages/s until every page is complete',
      value: (times.length * 1_000) / ms,
      more: { pages: times.length, incomplete: size - times.length, cpuMsEach: cpuMs / Math.max(times.length, 1) },
    },
    ...[50, 99].map((percent) => ({
      case: `ms until a page is complete, p${percent}`,
      value: percentile([...times, ...Array.from({ length: size - times.length }, () => ms)], percent),
    })),
    { case: 'requests and subscriptions repeated after a failure', value: retries },
    { case: 'SQL statements per page', value: (after - before) / Math.max(times.length, 1) },
  ];
}

/** Returns null at the end of the time. */
async function within<Result>(work: Promise<Result>, ms: number): Promise<Result | null> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<null>((resolve) => (timer = setTimeout(resolve, ms, null)));
  return Promise.race([work, timeout]).finally(() => {
    clearTimeout(timer);
  });
}

/** Sends a message to each room, which must reach both streams of every page. */
async function checkLive(url: string, rooms: readonly number[], all: readonly Pages[]): Promise<void> {
  await eachOf(all, all.length, async (pages, i) => {
    const room = rooms[i] ?? 0;
    const sender = await clients.parley.openSender(url, 1 + (room - ROOMS.storm - 1) * MEMBERS);
    await sender.send(room, bodyOf(pages.begin(), 0));
    if (!(await pages.complete(1, performance.now() + LONGEST_MS / 3)))
      throw new Error(`Not every page of room ${room} received a message over both streams.`);
  });
}
