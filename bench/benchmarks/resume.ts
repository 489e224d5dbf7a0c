import { resumeAtBare } from '../clients/bare.ts';
import { runStatement } from '../../test/support/statement.ts';
import { clients } from '../clients/client.ts';
import { openParley, resumeAtParley } from '../clients/graphql.ts';
import { bearer, ROOMS, roomId } from '../world.ts';
import { bodyOf, openAudience } from './audience.ts';
import { type Assignment, atMost, type Benchmark, eachOf, type Row, upTo } from './benchmark.ts';

const CLIENTS = 2_000;
const COUNT = 20;
const MISSED = 100;
const LONGEST_MS = 60_000;
const DONE = 'seconds until all are live';
const READS = 'reads of the log per second, for each room and cursor';
const LOADS = 'loads of messages beside the log, for each message';

/** Returns the room of a user. */
const roomOf = (user: number) => ROOMS.missed + (user % COUNT);
const rooms = upTo(COUNT).map((k) => ROOMS.missed + (k % COUNT));

export const resume: Benchmark = {
  title: 'All clients reconnect at once',
  about: `${CLIENTS.toLocaleString('en')} clients of ${COUNT} rooms connect at the same moment, after missing ${MISSED} messages each. A client is live when it has received these and the next message. Reads are statements, counted by PostgreSQL.`,
  unit: 'unit per line',
  better: 'less',
  stacks: ['parley', 'bare'],
  runs: (quick) => [{ clients: quick ? 500 : CLIENTS }],
  load,
  goals: [
    atMost(10, [DONE], 'all are live within 10 s'),
    // A page of the log stays in memory for half a second.
    atMost(2, [READS], 'at most 2 reads per second for each room and cursor, instead of one per client'),
  ],
};

async function load({ stack, urls, params, databaseUrl }: Assignment): Promise<Row[]> {
  const [url = ''] = urls;
  const users = upTo(params['clients'] ?? 0);
  const cursors = new Map<number, string>();
  for (const room of rooms) cursors.set(room, await cursorOf(stack, url, databaseUrl, room));
  const senders = await Promise.all(rooms.map((room) => clients[stack].openSender(url, userOf(room))));
  // The audience below counts these messages as its run 1.
  await eachOf(rooms, 10, async (room, i) => {
    for (let k = 0; k < MISSED; k += 1) await senders[i]?.send(room, bodyOf(1, k));
  });

  // Signs all tokens before the measurement, because signing is not part of the server's work.
  await eachOf(users, 50, bearer);
  const calls = await countCalls(databaseUrl);
  let onOpened: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (onOpened = resolve));
  const began = performance.now();
  let heard = 0;
  const resumeAt = stack === 'parley' ? resumeAtParley : resumeAtBare;
  const audience = await openAudience(
    users,
    (user, onText) => {
      const room = roomOf(user);
      return resumeAt(url, user, { room, after: cursors.get(room) ?? '' }, onText);
    },
    {
      atOnce: users.length,
      onHeard: () => {
        heard += 1;
        if (heard === users.length * MISSED) onOpened();
      },
    },
  );
  const timer = setTimeout(onOpened, LONGEST_MS);
  await opened;
  clearTimeout(timer);
  if (audience.heard() < users.length * MISSED)
    throw new Error(`Of ${users.length * MISSED} messages ${audience.heard()} arrived within ${LONGEST_MS / 1_000} s.`);
  const caughtUp = (performance.now() - began) / 1_000;
  const after = await countCalls(databaseUrl);

  await eachOf(rooms, COUNT, async (room, i) => senders[i]?.send(room, bodyOf(1, MISSED)));
  if (!(await audience.hears(users.length * (MISSED + 1), performance.now() + LONGEST_MS)))
    throw new Error('Not every client received the next message.');
  return [
    { case: DONE, value: (performance.now() - began) / 1_000, more: { caughtUp } },
    {
      case: READS,
      value: (after.log - calls.log) / COUNT / caughtUp,
      more: { reads: (after.log - calls.log) / COUNT },
    },
    ...(stack === 'parley' ? [{ case: LOADS, value: (after.messages - calls.messages) / (COUNT * MISSED) }] : []),
  ];
}

const userOf = (room: number) => (room === ROOMS.missed ? COUNT : room - ROOMS.missed);

async function cursorOf(stack: string, url: string, databaseUrl: string, room: number): Promise<string> {
  if (stack === 'parley') {
    const { ask, close } = await openParley(url, userOf(room));
    const answer = await ask('query ($room: ID!) { chatroom(id: $room) { cursor } }', { room: roomId(room) });
    close();
    return (JSON.parse(answer) as { data: { chatroom: { cursor: string } } }).data.chatroom.cursor;
  }
  // Restricted to the room, because the histories of other benchmarks have larger ids than the messages to come.
  const statement = `SELECT coalesce(max(id), 0) AS last FROM messages WHERE room_id = ${room}`;
  return String((await runStatement<{ last: string }>(databaseUrl, statement))[0]?.last);
}

/** Returns the number of reads so far: of the log (or the bare server's messages), and of messages without the log. */
async function countCalls(databaseUrl: string): Promise<{ log: number; messages: number }> {
  const rows = await runStatement<{ query: string; calls: string }>(
    databaseUrl,
    `SELECT query, calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()`,
  );
  const count = (pattern: RegExp) =>
    rows.filter(({ query: text }) => pattern.test(text)).reduce((sum, { calls }) => sum + Number(calls), 0);
  return {
    log: count(/FROM events WHERE chatroom_id = .* AND seq > .* ORDER BY seq LIMIT|AND m\.id > \$2 ORDER BY m\.id/),
    messages: count(/FROM messages m\s+WHERE m\.chatroom_id = .* AND m\.number = ANY/),
  };
}
