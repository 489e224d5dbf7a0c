import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { storeMessages } from '../src/cli/import/bulkInsert.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { toVector, wordsOf } from '../src/features/messages/tokenizer.ts';
import type { Person } from './support/client.ts';
import { cpuMs } from './support/cpu.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world, type World } from './support/world.ts';

const IN_ROOM = `query ($id: ID!, $query: String!, $first: Int, $after: String) { chatroom(id: $id) { searchMessages(query: $query, first: $first, after: $after) { nodes { number body } pageInfo { hasNextPage endCursor } } } }`;
const EVERYWHERE = `query ($query: String!, $first: Int, $after: String, $last: Int, $before: String) { viewer { searchMessages(query: $query, first: $first, after: $after, last: $last, before: $before) { nodes { body } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`;
const everywhere = async (person: Person, args: object): Promise<string[]> =>
  (await person.ask(EVERYWHERE, args)).viewer.searchMessages.nodes.map((message: any) => message.body);

describe('searching', () => {
  /** A room that contains all texts of `SAID`. */
  let said: World;
  const endings: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    said = await world(await startTestServer({ atEnd: (end) => endings.unshift(end) }));
    for (const body of SAID) await send(said.ann, said.room, body);
  }, 60_000);
  afterAll(async () => {
    for (const end of endings) await end();
  }, 60_000);
  const SAID = [
    '昨日、東京で写真を撮りました。',
    '東京タワーは高い',
    'データベースの話',
    '我的大脑不需要任何饮料。',
    '김치전을 만들었어요',
    'На завтра обещают дождь, ёлки!',
    'שָׁלוֹם לכולם',
    'Café at noon? The Straße is closed.',
    'HELLO, world-wide web',
    'ｆｕｌｌ ｗｉｄｔｈ',
    '❤️thanks a lot',
    '☀️morning',
    '⚠️Wartung 👩‍💻',
    '👍🏽 great',
    '🇩🇪🇫🇷 1️⃣',
    'می‌خواهم کتاب',
    'co­operate q ΟΔΟΣΚΑ',
    'ひか゚き',
  ];

  test.each([
    ['two Japanese characters inside a sentence', '写真', [0]],
    ['the beginning of a sentence', '昨日', [0]],
    ['a word that two have, newest first', '東京', [1, 0]],
    ['a longer word', '東京タワー', [1]],
    ['one character', '高', [1]],
    ['the last character', '話', [2]],
    ['characters that do not stand side by side', '東話', []],
    ['half width for full width', 'ﾃﾞｰﾀ', [2]],
    ['another letter by its mark', 'テータ', []],
    ['Chinese', '大脑', [3]],
    ['two Chinese words', '饮料 大脑', [3]],
    ['Korean by its beginning', '김치', [4]],
    ['not by a part of a syllable', '기', []],
    ['Russian without regard to case', 'ДОЖДЬ', [5]],
    ['е for ё', 'елки', [5]],
    ['Hebrew without points', 'שלום', [6]],
    ['Hebrew with points', 'שָׁלוֹם', [6]],
    ['no accent', 'cafe', [7]],
    ['another accent', 'CAFÈ', [7]],
    ['ss for ß', 'strasse', [7]],
    ['a prefix', 'wor', [8]],
    ['no middle', 'orld', []],
    ['all words, in any order', 'web hello', [8]],
    ['one word too many', 'web hello moon', []],
    ['full width', 'full', [9]],
    ['signs between words', 'world, wide!', [8]],
    ['a word right after an emoji', 'thanks', [10]],
    ['an emoji with U+FE0F', '❤️', [10]],
    ['an emoji without U+FE0F', '❤', [10]],
    ['one emoji and not another', '☀', [11]],
    ['a word after a sign', 'wartung', [12]],
    ['a person out of a joined emoji', '👩', [12]],
    ['a joined emoji', '👩‍💻', [12]],
    ['emoji in another order', '💻👩', []],
    ['any skin tone by none', '👍', [13]],
    ['any skin tone by another', '👍🏿', [13]],
    ['a flag', '🇩🇪', [14]],
    ['not a flag by letters of two', '🇪🇫', []],
    ['a keycap', '1️⃣', [14]],
    ['a word with ZWNJ by the word without', 'میخواهم', [15]],
    ['a word without tatweel by the word with', 'کتـــاب', [15]],
    ['a soft hyphen', 'cooperate', [16]],
    ['one letter as a whole word', 'q', [16]],
    ['no word by one letter', 'c', []],
    ['a name by one Hangul syllable', '김', [4]],
    ['a prefix that ends with a sigma', 'οδοσ', [16]],
    ['a voiced mark that no letter has', 'か゚き', [17]],
  ])('finds %s (%s)', async (_, query, expected) => {
    const { ann, room } = said;
    const { chatroom } = await ann.ask(IN_ROOM, { id: room, query });
    expect(chatroom.searchMessages.nodes.map((message: any) => message.number - 1)).toEqual(expected);
  });

  test('covers current texts in the viewer’s rooms, without deleted messages', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { id } = await send(ann, room, 'a secret plan');
    const other = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP' } })).createChatroom.chatroom.id;
    await send(ann, other, 'another secret');
    expect(await everywhere(ann, { query: 'secret' })).toEqual(['another secret', 'a secret plan']);
    expect(await everywhere(ben, { query: 'secret' })).toEqual(['a secret plan']);
    expect(await everywhere(eve, { query: 'secret' })).toEqual([]);
    await ann.ask(
      'mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "open book" }) { message { id } } }',
      { id },
    );
    expect(await everywhere(ben, { query: 'secret' })).toEqual([]);
    expect(await everywhere(ben, { query: 'book' })).toEqual(['open book']);
    await ann.ask('mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }', { id });
    expect(await everywhere(ben, { query: 'book' })).toEqual([]);
    const open = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name: 'Square' } })).createChatroom.chatroom
      .id;
    await send(ann, open, 'hello');
    expect(await eve.ask(IN_ROOM, { id: open, query: 'hello' })).toEqual({ chatroom: { searchMessages: null } });
  });

  test('refuses a query without a word, and pages both ways', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (let i = 1; i <= 7; i += 1) await send(ann, room, `word ${i}`);
    for (const query of [
      '',
      ' ',
      '?!',
      'x'.repeat(101),
      `'`,
      '\\',
      '&|:*',
      '\u0301',
      '\u200b\ufe0f',
      'a b c d e f g h i',
    ])
      expect(await ann.askForErrorCode(EVERYWHERE, { query }), query).toBe('BAD_USER_INPUT');
    const page = async (args: object) => (await ann.ask(EVERYWHERE, { query: 'word', ...args })).viewer.searchMessages;
    const first = await page({ first: 3 });
    const second = await page({ first: 3, after: first.pageInfo.endCursor });
    expect([...first.nodes, ...second.nodes].map((message: any) => message.body)).toEqual(
      [7, 6, 5, 4, 3, 2].map((i) => `word ${i}`),
    );
    expect(second.pageInfo.hasNextPage).toBe(true);
    const back = await page({ last: 3, before: second.pageInfo.startCursor });
    expect(back.nodes).toEqual(first.nodes);
    expect(await ann.askForErrorCode(IN_ROOM, { id: room, query: 'word', after: first.pageInfo.endCursor })).toBe(
      'BAD_USER_INPUT',
    );
  });

  test('finds every emoji and the word after it', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const EMOJI = ['©️', '™️', '‼️', 'ℹ️', 'Ⓜ️', '㊗️', '🈁', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '🧑🏽‍❤️‍💋‍🧑🏿', '🏳️‍🌈', '#️⃣', '🏽', '❤️‍🔥', '🇺🇳'];
    for (const emoji of EMOJI) await send(ann, room, `${emoji}thanks`);
    for (const emoji of EMOJI)
      for (const query of [emoji, emoji.replaceAll('\ufe0f', ''), `${emoji} thank`])
        expect(await everywhere(ann, { query, first: 100 }), query).toContain(`${emoji}thanks`);
    expect(await everywhere(ann, { query: 'thanks', first: 100 })).toHaveLength(EMOJI.length);
  });

  test('words are cut between characters and remain valid text', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const adlam = '\u{1e900}';
    const bodies = [
      `a${adlam.repeat(64)}`,
      `${'x'.repeat(63)}${adlam}`,
      `${'x'.repeat(63)}कि`,
      `क${'\u0901\u093c'.repeat(4_999)}`,
    ];
    for (const body of bodies) {
      expect(toVector(body).isWellFormed()).toBe(true);
      await send(ann, room, body);
      expect(await everywhere(ann, { query: Array.from(body).slice(0, 100).join('') })).toContain(body);
    }
    // A vowel sign stays with its letter.
    expect(wordsOf(bodies[2] ?? '')).toEqual([{ text: 'x'.repeat(63), position: 0 }]);
  });

  test('no text of 10,000 characters takes long to split', () => {
    const TEXTS = [
      '\ufdfa',
      '\u0316\u0301\u0323\u0334',
      'a\u034f\u0301',
      '漢',
      '👩‍💻',
      '\u{1d165}\u0301\u0316',
      '1\u20e3',
      'ab ',
    ];
    for (const text of TEXTS) {
      const long = text.repeat(10_000 / Array.from(text).length);
      expect(
        cpuMs(() => toVector(long)),
        text,
      ).toBeLessThan(250);
    }
  });

  test('only reads messages of rooms that the viewer is in', async () => {
    // With a single connection, the statistics are complete as soon as they are queried.
    const server = await startTestServer({ env: { DATABASE_POOL_SIZE: '1' } });
    const { ann, ben, eve, room } = await world(server);
    const { database } = server.node;
    const said = Array.from({ length: 5_000 }, (_, i) => ({
      senderId: keyOf('User', ann.id) ?? '',
      body: `the word ${i}`,
      createdAt: new Date(i * 1000),
      clientMessageId: `${i}`,
    }));
    await storeMessages(database, keyOf('Chatroom', room) ?? '', said);
    await database.query(sql`ANALYZE messages`);
    const countRead = async () => {
      await database.query(sql`SELECT pg_stat_force_next_flush()`);
      const [read] = await database.query<{ rows: number }>(sql`
        SELECT (seq_tup_read + idx_tup_fetch)::int AS rows FROM pg_stat_user_tables WHERE relname = 'messages'`);
      return read?.rows ?? 0;
    };
    const readBy = async (person: Person, query: string) => {
      const before = await countRead();
      const found = await everywhere(person, { query });
      return { found: found.length, rows: (await countRead()) - before };
    };
    expect(await readBy(eve, 'the')).toEqual({ found: 0, rows: 0 });
    const own = (await eve.ask(CREATE_CHATROOM, { input: { kind: 'GROUP' } })).createChatroom.chatroom.id;
    await send(eve, own, 'the only one');
    expect(await readBy(eve, 'the')).toEqual({ found: 1, rows: 2 });
    expect(await readBy(eve, 'word')).toEqual({ found: 0, rows: 0 });
    expect((await readBy(ben, '4999')).rows).toBe(2);
  });
});
