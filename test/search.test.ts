import { access, readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { sql } from '../src/database/database.ts';
import { importPath } from '../src/import/import.ts';
import { storeMessages } from '../src/import/store.ts';
import { createProgress } from '../src/progress.ts';
import { toQuery } from '../src/search/words.ts';
import { type Person, signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const DATA = new URL('../../shared/data/', import.meta.url).pathname;
const hasData = await access(DATA).then(
  () => true,
  () => false,
);

const IN_ROOM = `query ($id: ID!, $query: String!, $first: Int, $after: String) { chatroom(id: $id) { searchMessages(query: $query, first: $first, after: $after) { nodes { number body } pageInfo { hasNextPage endCursor } } } }`;
const EVERYWHERE = `query ($query: String!, $first: Int, $after: String, $last: Int, $before: String) { viewer { searchMessages(query: $query, first: $first, after: $after, last: $last, before: $before) { nodes { body } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`;
const everywhere = async (person: Person, args: object): Promise<string[]> =>
  (await person.ask(EVERYWHERE, args)).viewer.searchMessages.nodes.map((message: any) => message.body);

describe('searching', () => {
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
  ])('finds %s (%s)', async (_, query, expected) => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (const body of SAID) await send(ann, room, body);
    const { chatroom } = await ann.ask(IN_ROOM, { id: room, query });
    expect(chatroom.searchMessages.nodes.map((message: any) => message.number - 1)).toEqual(expected);
  });

  test('looks where the viewer is a member, never at deleted messages, and at the text as it is now', async () => {
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

  test('refuses a query without a word, and pages by keyset in both directions', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (let i = 1; i <= 7; i += 1) await send(ann, room, `word ${i}`);
    for (const query of ['', ' ', '?!', 'x'.repeat(101), `'`, '\\', '&|:*'])
      expect(await ann.refused(EVERYWHERE, { query }), query).toBe('BAD_USER_INPUT');
    const page = async (args: object) => (await ann.ask(EVERYWHERE, { query: 'word', ...args })).viewer.searchMessages;
    const first = await page({ first: 3 });
    const second = await page({ first: 3, after: first.pageInfo.endCursor });
    expect([...first.nodes, ...second.nodes].map((message: any) => message.body)).toEqual(
      [7, 6, 5, 4, 3, 2].map((i) => `word ${i}`),
    );
    expect(second.pageInfo.hasNextPage).toBe(true);
    const back = await page({ last: 3, before: second.pageInfo.startCursor });
    expect(back.nodes).toEqual(first.nodes);
    expect(await ann.refused(IN_ROOM, { id: room, query: 'word', after: first.pageInfo.endCursor })).toBe(
      'BAD_USER_INPUT',
    );
  });

  test.skipIf(!hasData)(
    '#ubuntu and phrases in five languages (skipped without them): what a plain look through them finds, by the index',
    { timeout: 120_000 },
    async () => {
      const server = await startTestServer();
      const { database, passwords } = server.node;
      const ann = await signUp(server.url, 'ann');
      await importPath(
        { database, passwords, progress: createProgress({ isTTY: false, write: () => true }) },
        `${DATA}ubuntu-irc`,
        ['ann'],
      );
      const room = (await ann.ask(CREATE_CHATROOM, { input: { kind: 'GROUP' } })).createChatroom.chatroom.id;
      const phrases: string[] = [];
      for (const file of (await readdir(`${DATA}phrases`)).filter((name) => name.endsWith('.yml')).sort()) {
        const text = await readFile(`${DATA}phrases/${file}`, 'utf8');
        phrases.push(...[...text.matchAll(/^(?:- - | {2}- )(.*\S)/gm)].map(([, line = '']) => line));
      }
      const keyOf = (id: string) => Buffer.from(id, 'base64url').toString().split(':')[1] ?? '';
      await storeMessages(
        database,
        keyOf(room),
        phrases.map((body, i) => ({
          senderId: keyOf(ann.id),
          body,
          createdAt: new Date(i * 1000),
          clientMessageId: `${i}`,
        })),
      );

      /** The slow and sure way: characters side by side, or words that begin so. */
      const found = (line: string, query: string) =>
        /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]/u.test(query)
          ? line.normalize('NFKC').includes(query)
          : new RegExp(`(?<![\\p{L}\\p{N}])${query}`, 'iu').test(line.normalize('NFKC'));
      const table: [language: string, query: string, least: number][] = [
        ['Japanese', '飲み', 2],
        ['Japanese', 'ロボット', 5],
        ['Japanese', '電気', 3],
        ['Chinese', '机器人', 3],
        ['Chinese', '能源', 1],
        ['Korean', '로봇', 1],
        ['Korean', '전기', 1],
        ['Russian', 'робот', 1],
        ['Russian', 'ты', 3],
        ['Hebrew', 'שלום', 1],
      ];
      for (const [language, query, least] of table) {
        const expected = phrases.filter((line) => found(line, query)).reverse();
        expect(expected.length, `${language} ${query}`).toBeGreaterThanOrEqual(least);
        const { chatroom } = await ann.ask(IN_ROOM, { id: room, query, first: 100 });
        expect(
          chatroom.searchMessages.nodes.map((message: any) => message.body),
          `${language} ${query}`,
        ).toEqual(expected.slice(0, 100));
      }
      const [english] = await database.query<{ count: number }>(
        sql`SELECT count(*)::int AS count FROM messages WHERE body ~* '(?<![[:alnum:]])kernel'`,
      );
      const kernel = [];
      for (let after: string | undefined; ;) {
        const { nodes, pageInfo } = (await ann.ask(EVERYWHERE, { query: 'KERNEL', first: 100, after })).viewer
          .searchMessages;
        kernel.push(...nodes);
        if (!pageInfo.hasNextPage) break;
        after = pageInfo.endCursor;
      }
      expect(kernel).toHaveLength(english?.count ?? 0);

      await database.query(sql`ANALYZE messages`);
      for (const query of ['kernel', '機器', 'ロボット']) {
        const plan = await database.query<{ 'QUERY PLAN': string }>(
          sql`EXPLAIN SELECT * FROM messages m WHERE m.search @@ ${toQuery(query)}::tsquery`,
        );
        expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toContain('messages_search_idx');
      }
    },
  );
});
