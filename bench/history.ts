import { toVector } from '../src/features/messages/tokenizer.ts';
import type { Params } from './benchmarks/benchmark.ts';
import type { Machine } from './machine.ts';
import { historiesOf, uuidOf } from './world.ts';

/** Number of different texts. Each message of a history has one of them. */
export const TEXTS = 40_000;

/** Words to search for, and the number of texts that contain each, out of {@link TEXTS}. */
export const WORDS = [
  { word: 'zeppelin', texts: 1 },
  { word: 'lighthouse', texts: 40 },
  { word: 'umbrella', texts: 400 },
  { word: '約束', texts: 1 },
  { word: '図書館', texts: 40 },
  { word: '電車', texts: 400 },
  { word: '자전거', texts: 40 },
  { word: 'вокзал', texts: 40 },
] as const;

const SYLLABLES = [
  'ka',
  'lo',
  'mi',
  'ren',
  'tas',
  'vo',
  'sha',
  'du',
  'pel',
  'nor',
  'qui',
  'ber',
  'zan',
  'fi',
  'gro',
  'ye',
];
const KANA = [
  ...'かきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ日本語東京大阪今朝夜山川',
];

/** Returns a pseudo-random generator that yields the same sequence in each run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Returns texts like those of a chat: a few words occur in many, most in few. Every fourth text is Japanese. */
export function makeTexts(): string[] {
  const random = createRandom(7);
  const pick = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;
  const vocabulary = Array.from({ length: 8_000 }, () => pick(SYLLABLES) + pick(SYLLABLES) + pick(SYLLABLES));
  // The exponent makes words at the beginning of the list common, as in every language.
  const word = () => vocabulary[Math.floor(random() ** 2.5 * vocabulary.length)] ?? '';
  const texts = Array.from({ length: TEXTS }, (_, i) =>
    i % 4 === 3
      ? Array.from({ length: 12 + Math.floor(random() * 20) }, () => pick(KANA)).join('')
      : Array.from({ length: 6 + Math.floor(random() * 12) }, word).join(' '),
  );
  let next = 0;
  for (const { word: added, texts: count } of WORDS)
    for (let i = 0; i < count; i += 1) {
      const place = next % TEXTS;
      texts[place] = `${texts[place] ?? ''} ${added}`;
      // This step visits each text once before it repeats one.
      next += 9_973;
    }
  return texts;
}

const filled = new WeakSet<Machine>();

/** Fills the rooms of {@link historiesOf}, once per machine. Only Parley's database has a log and a search index. */
export async function fillHistories(machine: Machine, params: Params): Promise<void> {
  if (filled.has(machine)) return;
  const histories = historiesOf(params['largest'] ?? 0);
  const texts = makeTexts();
  const given = JSON.stringify(texts.map((body) => ({ body, search: toVector(body) }))).replaceAll("'", "''");
  // Interleaves the rooms, as people write. Room by room would place the rows of a room next to each other.
  const numbers = histories.map(
    ({ room, messages }) => `SELECT ${room} AS room, n FROM generate_series(1, ${messages}) n`,
  );
  const said = `(${numbers.join(' UNION ALL ')}) said`;
  await machine.run(
    machine.parleyUrl,
    `
    CREATE TEMP TABLE texts AS
      SELECT ordinality - 1 AS id, t->>'body' AS body, (t->>'search')::tsvector AS search
        FROM jsonb_array_elements('${given}'::jsonb) WITH ORDINALITY AS g (t, ordinality);
    CREATE UNIQUE INDEX ON texts (id);
    ANALYZE texts;
    DROP INDEX messages_search_idx, messages_room_search_idx;
    INSERT INTO messages (chatroom_id, number, seq, sender_id, body, search, created_at)
      SELECT ${uuidOf('room', 'room')}, n, n, ${uuidOf('user', '1 + n % 5')}, body, search,
             now() - interval '30 days' + n * interval '1 second'
        FROM ${said} JOIN texts ON texts.id = (n * 7919::bigint) % ${TEXTS};
    CREATE INDEX messages_search_idx ON messages USING gin (search);
    CREATE INDEX messages_room_search_idx ON messages USING gin (words_in_room(chatroom_id, search)) WITH (fastupdate = off);
    INSERT INTO events (chatroom_id, seq, kind, number, created_at)
      SELECT chatroom_id, seq, 'MESSAGE_ADDED', number, created_at FROM messages
        WHERE chatroom_id IN (${histories.map(({ room }) => uuidOf('room', String(room))).join()});
    UPDATE chatrooms SET last_number = n, last_seq = n, last_message_at = now(), active_at = now()
      FROM (VALUES ${histories.map(({ room, messages }) => `(${uuidOf('room', String(room))}, ${messages})`).join()}) v (room, n)
      WHERE id = room;
    UPDATE members m SET last_read_number = c.last_number FROM chatrooms c
      WHERE c.id = m.chatroom_id AND c.last_number > 1;`,
  );
  await machine.run(
    machine.rivalsUrl,
    `INSERT INTO messages (id, room_id, sender_id, body, created_at)
       SELECT room * 10000000::bigint + n, room, 1 + n % 5, 'Shall we meet at the station at six, or is that too early?',
              now() - interval '30 days' + n * interval '1 second' FROM ${said}`,
  );
  for (const url of [machine.parleyUrl, machine.rivalsUrl]) {
    await machine.run(url, 'VACUUM ANALYZE');
    await machine.run(url, 'CHECKPOINT');
  }
  filled.add(machine);
}
