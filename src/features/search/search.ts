import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { type Database, empty, type Sql, sql } from '../../platform/database/database.ts';
import type { Message } from '../../platform/database/generated/client.ts';
import { badInput } from '../../core/errors.ts';
import { isReadable, messageColumns } from '../messages/messages.ts';
import { countCharacters } from '../../core/text/text.ts';
import { termsOf } from '../messages/tokenizer.ts';

/** Maximum length of a query in characters. A longer query is `BAD_USER_INPUT`. */
const MAX_CHARACTERS = 100;
/** Maximum number of words in a query, because each word costs a lookup in every room of the viewer. */
const MAX_WORDS = 8;
/**
 * Timeout of a search, in milliseconds. Shorter than the timeout of other statements, because a slow search must not
 * occupy a database connection for long.
 */
const TIMEOUT_MS = 2_000;
/** PostgreSQL's error code for a statement that exceeded its timeout. */
const QUERY_CANCELED = '57014';

const byTime = keyset({ 'm.created_at': 'moment', 'm.chatroom_id': 'uuid', 'm.number': 'number' }, 'DESC');

/** A parsed search query. */
interface Search {
  /** A `tsquery` over the words of one message. */
  words: string;
  /**
   * A `tsquery` over the index. Each indexed word starts with the last 8 digits of the room's id, so that a lookup
   * finds hardly any messages of other rooms. `~` is the placeholder for these digits.
   */
  inRoom: string;
}

/**
 * Finds messages that contain all words of a query, newest first. A query word also matches longer words that begin
 * with it. Leaves out deleted messages and messages that the viewer may not read.
 *
 * The index is queried once for each room of the viewer, so neither the result nor the duration depends on other rooms.
 *
 * `OFFSET 0` keeps the planner from combining the conditions. Otherwise, the planner would read all messages of a room
 * for a word of unknown frequency.
 *
 * Matches are sorted before `isReadable` runs, so that the check stops when the page is full. A common word can occur
 * in thousands of messages.
 *
 * @param chatroomId searches this room only; by default, all rooms of the viewer are searched
 * @throws ChatError `BAD_USER_INPUT` for a query that is too long, has no word or too many, or takes longer than 2 s
 */
export async function searchMessages(
  context: Context,
  query: string,
  args: ConnectionArgs,
  chatroomId?: string,
): Promise<Connection<Message>> {
  const { userId } = requireViewer(context);
  const { words, inRoom } = parseQuery(query);
  return connect<Message>(args, {
    ...cursors(`search ${chatroomId ?? 'all'}`, byTime, (message) => [
      message.createdAt,
      message.chatroomId,
      message.number,
    ]),
    load(page) {
      const order = byTime.order(page);
      return runLimited<Message>(
        context.database,
        sql`
        SELECT ${messageColumns} FROM (
          SELECT m.chatroom_id, m.number FROM (
            SELECT m.created_at, m.chatroom_id, m.number, m.sender_id
              FROM members v CROSS JOIN LATERAL (
                SELECT i.created_at, i.chatroom_id, i.number, i.sender_id, i.search FROM messages i
                  WHERE words_in_room(i.chatroom_id, i.search)
                    @@ replace(${inRoom}, '~', right(v.chatroom_id::text, 8))::tsquery OFFSET 0
              ) m
              WHERE v.user_id = ${userId}::uuid AND m.chatroom_id = v.chatroom_id AND m.search @@ ${words}::tsquery
                ${chatroomId === undefined ? empty : sql`AND v.chatroom_id = ${chatroomId}::uuid`}
                ${byTime.bounds(page)}
              ORDER BY ${order} OFFSET 0
          ) m WHERE ${isReadable(sql`${userId}::uuid`)} ORDER BY ${order} LIMIT ${page.limit}
        ) found JOIN messages m ON m.chatroom_id = found.chatroom_id AND m.number = found.number
          ORDER BY ${order}`,
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
    throw badInput('query', 'The search took too long. Use longer or rarer words, or search in one chatroom.');
  }
}

function parseQuery(query: string): Search {
  const terms = countCharacters(query, MAX_CHARACTERS) > MAX_CHARACTERS ? [] : termsOf(query);
  if (terms.length === 0)
    throw badInput(
      'query',
      `Search for words, beginnings of words or emoji, with at most ${MAX_CHARACTERS} characters.`,
    );
  if (terms.length > MAX_WORDS) throw badInput('query', `Search for at most ${MAX_WORDS} words.`);
  const words = terms.join(' & ');
  // The index has no positions, so `inRoom` ignores adjacency. The condition `words` then checks adjacency in the
  // message itself.
  return { words, inRoom: words.replaceAll(/'([^']+)'/g, "'~$1'").replaceAll('<->', '&') };
}
