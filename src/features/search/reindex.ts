import { type Database, sql } from '../../platform/database/database.ts';
import type { Progress } from '../../core/progress.ts';
import { toVector } from '../messages/tokenizer.ts';

/** Number of messages per batch. Each batch is a transaction of its own. */
const BATCH_SIZE = 1_000;

/**
 * Splits the bodies of all messages into words again, and updates messages whose indexed words differ. Needed after an
 * upgrade, because the tokenizer of an earlier release may have indexed other words. Nodes may keep running. An
 * interrupted run can be repeated: messages that are already up to date are not written again.
 *
 * @returns number of messages whose words have changed
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
        ORDER BY chatroom_id, number LIMIT ${BATCH_SIZE}`);
    changed += await storeWords(
      database,
      messages.flatMap((message) => (message.body === null ? [] : { ...message, body: message.body })),
    );
    progress.advance(messages.length);
    const end = messages.at(-1);
    if (!end || messages.length < BATCH_SIZE) break;
    last = end;
  }
  progress.done();
  return changed;
}

async function storeWords(
  database: Database,
  messages: readonly { chatroomId: string; number: number; body: string }[],
): Promise<number> {
  // Updates a message only if its body has not changed since the read. A concurrent edit has already stored the words
  // of the new body.
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
