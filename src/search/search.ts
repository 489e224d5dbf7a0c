import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { empty, type Sql, sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput } from '../errors.ts';
import { isReadable, messageColumns } from '../messages/messages.ts';
import { countCharacters } from '../text/text.ts';
import { toQuery } from './words.ts';

/** How long a query may be, in characters. */
const MOST_CHARACTERS = 100;

/**
 * The messages that have all words of a query, or words that begin so, newest first; of one room, or of all that the
 * viewer is a member of. Only what they may read, and nothing that was deleted.
 *
 * What the index finds is sorted before anybody asks whether the viewer may read it, which is done until the page is full: a
 * common word is in thousands of messages. `OFFSET 0` keeps the planner from doing it the other way round, and from looking
 * through every message of the viewer's rooms for a word of which it knows little.
 *
 * @throws ChatError `BAD_USER_INPUT` for a query without a letter or digit, or a long one
 */
export async function searchMessages(
  context: Context,
  query: string,
  args: ConnectionArgs,
  chatroomId?: string,
): Promise<Connection<Message>> {
  const { userId } = requireViewer(context);
  const words = checkQuery(query);
  const list = chatroomId ?? 'all';
  return connect<Message, string[]>(args, {
    encode: (message) =>
      encodeKeyset(`search ${list}`, [message.createdAt.toISOString(), message.chatroomId, String(message.number)]),
    decode: (cursor, path) => decodeKeyset(`search ${list}`, ['moment', 'uuid', 'number'], cursor, path),
    load({ after, before, reverse, limit }) {
      const order = (table: Sql) => sql`
        ${table}.created_at ${reverse ? empty : sql`DESC`}, ${table}.chatroom_id ${reverse ? empty : sql`DESC`},
        ${table}.number ${reverse ? empty : sql`DESC`}`;
      return context.database.query<Message>(sql`
        SELECT ${messageColumns} FROM (
          SELECT m.chatroom_id, m.number FROM (
            SELECT f.created_at, f.chatroom_id, f.number, f.sender_id FROM messages f
              WHERE f.search @@ ${words}::tsquery
                ${chatroomId === undefined ? empty : sql`AND f.chatroom_id = ${chatroomId}::uuid`}
                ${after === null ? empty : sql`AND (f.created_at, f.chatroom_id, f.number) < (${after[0]}::timestamptz, ${after[1]}::uuid, ${after[2]}::int)`}
                ${before === null ? empty : sql`AND (f.created_at, f.chatroom_id, f.number) > (${before[0]}::timestamptz, ${before[1]}::uuid, ${before[2]}::int)`}
              ORDER BY ${order(sql`f`)} OFFSET 0
          ) m WHERE ${isReadable(sql`${userId}::uuid`)} ORDER BY ${order(sql`m`)} LIMIT ${limit}
        ) found JOIN messages m ON m.chatroom_id = found.chatroom_id AND m.number = found.number
          ORDER BY ${order(sql`m`)}`);
    },
  });
}

function checkQuery(query: string): string {
  const words = countCharacters(query, MOST_CHARACTERS) > MOST_CHARACTERS ? null : toQuery(query);
  if (words === null)
    throw badInput('query', `Search for words or parts of them, up to ${MOST_CHARACTERS} characters.`);
  return words;
}
