import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { type Database, empty, type Sql, sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput } from '../errors.ts';
import { isReadable, messageColumns } from '../messages/messages.ts';
import { countCharacters } from '../text/text.ts';
import { termsOf } from './words.ts';

/** Length of a query in characters. */
const MAX_CHARACTERS = 100;
/** Words of a query. Each costs a lookup in every room of the viewer. */
const MAX_WORDS = 8;
/** A search that takes longer fails. It must not occupy a connection for as long as other statements may. */
const TIMEOUT_MS = 2_000;
/** PostgreSQL's code for a statement that exceeded its timeout. */
const QUERY_CANCELED = '57014';

/** What a search looks for. */
interface Search {
  /** A `tsquery` over the words of one message. */
  words: string;
  /** The same over the index, whose words begin with the key of their room; `~` stands for the key. */
  inRoom: string;
}

/**
 * Finds the messages that have all words of a query, or words that begin so, newest first; in one room, or in all rooms of
 * the viewer. Leaves out deleted messages and what the viewer may not read.
 *
 * The index is asked once for each room of the viewer, so that neither the result nor the duration depends on other rooms.
 * `OFFSET 0` keeps the planner from combining the conditions: it would read all messages of a room for a word whose frequency
 * it does not know. Matches are sorted before `isReadable` runs, which then runs only until the page is full: a common word
 * is in thousands of messages.
 *
 * @throws ChatError `BAD_USER_INPUT` for a query without a word or with too many, and for a search that takes too long
 */
export async function searchMessages(
  context: Context,
  query: string,
  args: ConnectionArgs,
  chatroomId?: string,
): Promise<Connection<Message>> {
  const { userId } = requireViewer(context);
  const { words, inRoom } = parseQuery(query);
  const list = chatroomId ?? 'all';
  return connect<Message, string[]>(args, {
    encode: (message) =>
      encodeKeyset(`search ${list}`, [message.createdAt.toISOString(), message.chatroomId, String(message.number)]),
    decode: (cursor, path) => decodeKeyset(`search ${list}`, ['moment', 'uuid', 'number'], cursor, path),
    load({ after, before, reverse, limit }) {
      const order = (table: Sql) => sql`
        ${table}.created_at ${reverse ? empty : sql`DESC`}, ${table}.chatroom_id ${reverse ? empty : sql`DESC`},
        ${table}.number ${reverse ? empty : sql`DESC`}`;
      return runLimited<Message>(
        context.database,
        sql`
        SELECT ${messageColumns} FROM (
          SELECT m.chatroom_id, m.number FROM (
            SELECT f.created_at, f.chatroom_id, f.number, f.sender_id
              FROM members v CROSS JOIN LATERAL (
                SELECT i.created_at, i.chatroom_id, i.number, i.sender_id, i.search FROM messages i
                  WHERE words_in_room(i.chatroom_id, i.search)
                    @@ replace(${inRoom}, '~', right(v.chatroom_id::text, 8))::tsquery OFFSET 0
              ) f
              WHERE v.user_id = ${userId}::uuid AND f.chatroom_id = v.chatroom_id AND f.search @@ ${words}::tsquery
                ${chatroomId === undefined ? empty : sql`AND v.chatroom_id = ${chatroomId}::uuid`}
                ${after === null ? empty : sql`AND (f.created_at, f.chatroom_id, f.number) < (${after[0]}::timestamptz, ${after[1]}::uuid, ${after[2]}::int)`}
                ${before === null ? empty : sql`AND (f.created_at, f.chatroom_id, f.number) > (${before[0]}::timestamptz, ${before[1]}::uuid, ${before[2]}::int)`}
              ORDER BY ${order(sql`f`)} OFFSET 0
          ) m WHERE ${isReadable(sql`${userId}::uuid`)} ORDER BY ${order(sql`m`)} LIMIT ${limit}
        ) found JOIN messages m ON m.chatroom_id = found.chatroom_id AND m.number = found.number
          ORDER BY ${order(sql`m`)}`,
      );
    },
  });
}

async function runLimited<Row extends object>(database: Database, statement: Sql): Promise<Row[]> {
  try {
    return await database.transaction(async (query) => {
      await query(sql`SELECT set_config('statement_timeout', ${String(TIMEOUT_MS)}, true)`);
      return query<Row>(statement);
    });
  } catch (error) {
    if ((error as { code?: string }).code !== QUERY_CANCELED) throw error;
    throw badInput('query', 'This search takes too long. Search for longer or rarer words, or in one chatroom.');
  }
}

function parseQuery(query: string): Search {
  const terms = countCharacters(query, MAX_CHARACTERS) > MAX_CHARACTERS ? [] : termsOf(query);
  if (terms.length === 0)
    throw badInput('query', `Search for words, parts of them or emoji, up to ${MAX_CHARACTERS} characters.`);
  if (terms.length > MAX_WORDS) throw badInput('query', `Search for at most ${MAX_WORDS} words.`);
  const words = terms.join(' & ');
  // The index has no positions: whether words stand side by side is compared with the message itself.
  return { words, inRoom: words.replaceAll(/'([^']+)'/g, "'~$1'").replaceAll('<->', '&') };
}
