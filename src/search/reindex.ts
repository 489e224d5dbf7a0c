import { type Database, sql } from '../database/database.ts';
import type { Progress } from '../progress.ts';
import { toVector } from './words.ts';

/** Number of messages read and written at once. Each batch is a transaction of its own. */
const BATCH = 1_000;

/**
 * Cuts the texts of all messages again and stores the words that differ, such as those of an earlier version of `words.ts`.
 * Nodes may run meanwhile. Interrupted and run again, it changes only what is left.
 *
 * @returns how many messages have other words now
 */
export async function reindex(database: Database, progress: Progress): Promise<number> {
  const [counted] = await database.query<{ total: number }>(sql`SELECT count(*)::int AS total FROM messages`);
  progress.start('Messages', counted?.total ?? 0);
  let changed = 0;
  let last = { chatroomId: '00000000-0000-0000-0000-000000000000', number: 0 };
  for (;;) {
    const messages = await database.query<{ chatroomId: string; number: number; body: string | null }>(sql`
      SELECT chatroom_id AS "chatroomId", number, CASE kind WHEN 'USER' THEN body END AS body FROM messages
        WHERE (chatroom_id, number) > (${last.chatroomId}::uuid, ${last.number}::int)
        ORDER BY chatroom_id, number LIMIT ${BATCH}`);
    changed += await storeWords(
      database,
      messages.flatMap((message) => (message.body === null ? [] : { ...message, body: message.body })),
    );
    progress.advance(messages.length);
    const end = messages.at(-1);
    if (!end || messages.length < BATCH) break;
    last = end;
  }
  progress.done();
  return changed;
}

async function storeWords(
  database: Database,
  messages: readonly { chatroomId: string; number: number; body: string }[],
): Promise<number> {
  // Compared with the text as it was read: whoever edits a message meanwhile stores its new words.
  const changed = await database.query(sql`
    UPDATE messages m SET search = w.words
      FROM (
        SELECT chatroom_id, number, body, words::tsvector AS words
          FROM unnest(${messages.map(({ chatroomId }) => chatroomId)}::uuid[], ${messages.map(({ number }) => number)}::int[],
                      ${messages.map(({ body }) => body)}::text[], ${messages.map(({ body }) => toVector(body))}::text[])
            AS w (chatroom_id, number, body, words)
      ) w
      WHERE m.chatroom_id = w.chatroom_id AND m.number = w.number AND m.body = w.body
        AND m.search IS DISTINCT FROM w.words RETURNING 1`);
  return changed.length;
}
