import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { empty, type Sql, sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput } from '../errors.ts';
import { isReadable, messageColumns } from '../messages/messages.ts';
import { countCharacters } from '../text.ts';
import { toQuery } from './words.ts';

/** How long a query may be, in characters. */
const MOST_CHARACTERS = 100;

/**
 * The messages that have all words of a query, or words that begin so, newest first; of one room, or of all that the
 * viewer is a member of. Only what they may read, and nothing that was deleted.
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
    load: ({ after, before, reverse, limit }) =>
      context.database.query<Message>(sql`
        SELECT ${messageColumns} FROM ${matching(words, chatroomId)} m
          WHERE ${isReadable(sql`${userId}::uuid`)}
            ${after === null ? empty : sql`AND (m.created_at, m.chatroom_id, m.number) < (${after[0]}::timestamptz, ${after[1]}::uuid, ${after[2]}::int)`}
            ${before === null ? empty : sql`AND (m.created_at, m.chatroom_id, m.number) > (${before[0]}::timestamptz, ${before[1]}::uuid, ${before[2]}::int)`}
          ORDER BY m.created_at ${reverse ? empty : sql`DESC`}, m.chatroom_id ${reverse ? empty : sql`DESC`},
                   m.number ${reverse ? empty : sql`DESC`}
          LIMIT ${limit}`),
  });
}

/**
 * The messages that have the words, of all rooms by the index alone. Of one whose words it knows little of, the planner takes
 * thousands to have them, and looks through every message of the viewer's rooms besides; `OFFSET 0` keeps it from that.
 */
function matching(words: string, chatroomId: string | undefined): Sql {
  const found = sql`SELECT * FROM messages WHERE search @@ ${words}::tsquery`;
  return chatroomId === undefined ? sql`(${found} OFFSET 0)` : sql`(${found} AND chatroom_id = ${chatroomId}::uuid)`;
}

function checkQuery(query: string): string {
  const words = countCharacters(query) > MOST_CHARACTERS ? null : toQuery(query);
  if (words === null)
    throw badInput('query', `Search for words or parts of them, up to ${MOST_CHARACTERS} characters.`);
  return words;
}
