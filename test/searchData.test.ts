import { access, readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { storeMessages } from '../src/cli/import/bulkInsert.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { toQuery } from '../src/features/messages/tokenizer.ts';
import { sql } from '../src/platform/database/database.ts';
import { signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM } from './support/world.ts';

const DATA = new URL('../../shared/data/', import.meta.url).pathname;
const hasData = await access(DATA).then(
  () => true,
  () => false,
);

const IN_ROOM = `query ($id: ID!, $query: String!, $first: Int) { chatroom(id: $id) { searchMessages(query: $query, first: $first) { nodes { body } } } }`;
const EVERYWHERE = `query ($query: String!, $first: Int, $after: String) { viewer { searchMessages(query: $query, first: $first, after: $after) { nodes { body } pageInfo { hasNextPage endCursor } } } }`;

test.skipIf(!hasData)(
  'search finds in #ubuntu and multilingual phrases what a full scan finds (skipped without them)',
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
    await storeMessages(
      database,
      keyOf('Chatroom', room) ?? '',
      phrases.map((body, i) => ({
        senderId: keyOf('User', ann.id) ?? '',
        body,
        createdAt: new Date(i * 1000),
        clientMessageId: `${i}`,
      })),
    );

    /** Finds matches slowly but reliably: adjacent characters, or words with the prefix. */
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
        sql`EXPLAIN SELECT * FROM messages m WHERE words_in_room(m.chatroom_id, m.search) @@ ${toQuery(query)?.replaceAll('<->', '&')}::tsquery`,
      );
      expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toContain('messages_room_search_idx');
    }
  },
);
