import { hasBlocked } from '../blocks/blocks.ts';
import type { Connection, ConnectionArgs } from '../connections.ts';
import { type Context, requireViewer } from '../context.ts';
import { empty, join, sql, type Sql } from '../database/database.ts';
import type { Message, User } from '../database/generated/client.ts';
import { badInput } from '../errors.ts';
import { groupBy } from '../groupBy.ts';
import { createLoader, createPageLoader } from '../loader.ts';
import { requireReadable, settle } from '../messages/changes.ts';
import { messageKey } from '../messages/messages.ts';
import type { Change } from '../realtime/log.ts';
import { qualifyEmoji } from '../text/emoji.ts';
import { connectUsers, userColumns } from '../users/users.ts';

/** One emoji on one message, and who put it there. */
export interface ReactionGroup {
  chatroomId: string;
  number: number;
  emoji: string;
  count: number;
  viewerHasReacted: boolean;
}

/**
 * Puts an emoji on a message, or takes it back: one of each for each user. Doing it again changes nothing. A message has at
 * most 20 emoji of one user and 50 kinds of emoji; the database counts them under the room's lock.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @throws ChatError `BAD_USER_INPUT` for what is not one emoji, and for one emoji too many; `NOT_FOUND`, also for a deleted
 *   message; `BLOCKED` in a DIRECT room across a block
 */
export async function react(context: Context, key: string | null, emoji: string, present: boolean): Promise<Message> {
  const qualified = checkEmoji(emoji);
  const { chatroomId, number } = await requireReadable(context, key);
  const { userId } = requireViewer(context);
  const [change] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM react(${chatroomId}::uuid, ${number}::int, ${userId}::uuid, ${qualified}, ${present})`);
  if (change?.outcome === 'TOO_MANY_OF_USER')
    throw badInput('input.emoji', 'You have put 20 emoji on this message. Take one back first.');
  if (change?.outcome === 'TOO_MANY_KINDS')
    throw badInput('input.emoji', 'This message has 50 different emoji. Use one of them.');
  return settle(context, key, change);
}

/** Returns the form in which an emoji is stored, so that ❤ and ❤️ are the same reaction. */
function checkEmoji(emoji: string): string {
  const qualified = qualifyEmoji(emoji);
  if (qualified === null) throw badInput('input.emoji', 'A reaction is one emoji, such as 👍.');
  return qualified;
}

/** Whether the viewer sees a reaction (`r`) in a room (`c`): not those of users whom they have blocked, except in DIRECT rooms. */
const isShown = (viewerId: string): Sql =>
  sql`NOT (c.kind <> 'DIRECT' AND ${hasBlocked(sql`${viewerId}::uuid`, sql`r.user_id`)})`;

/** What a loader of many messages' reactions answers for one of them. */
interface MessageReactions {
  key: string;
  groups: ReactionGroup[];
}

const reactionsByKey = createLoader<MessageReactions>(
  async (context, keys) => {
    const { userId } = requireViewer(context);
    const pairs = keys.map((key) => {
      const [chatroomId, number] = key.split(':');
      return sql`(${chatroomId}::uuid, ${number}::int)`;
    });
    const rows = await context.database.query<ReactionGroup>(sql`
      SELECT r.chatroom_id AS "chatroomId", r.number, r.emoji, count(*)::int AS count,
             bool_or(r.user_id = ${userId}::uuid) AS "viewerHasReacted"
        FROM reactions r JOIN chatrooms c ON c.id = r.chatroom_id
        WHERE (r.chatroom_id, r.number) IN (${join(pairs)})
          AND ${isShown(userId)}
        GROUP BY r.chatroom_id, r.number, r.emoji
        ORDER BY min(r.created_at), r.emoji`);
    const groups = groupBy(rows, ({ chatroomId, number }) => messageKey(chatroomId, number));
    return [...groups].map(([key, ofMessage]) => ({ key, groups: ofMessage }));
  },
  ({ key }) => key,
);

/** The reactions to a message, the first one first; not those of people whom the viewer has blocked. */
export async function reactionsOf(context: Context, message: Message): Promise<ReactionGroup[]> {
  const reactions = await reactionsByKey(context, messageKey(message.chatroomId, message.number));
  return reactions?.groups ?? [];
}

interface Reactors {
  key: string;
  users: User[];
}

/** One page of the users of many reaction groups, in one statement for each page that is asked for. */
const reactorsByPage = createPageLoader<Reactors, string>(
  async (context, keys, { after, before, reverse, limit }) => {
    const { userId } = requireViewer(context);
    const direction = reverse ? sql`DESC` : empty;
    const groups = keys.map((key) => {
      const [chatroomId, number, emoji] = key.split(':');
      return sql`(${chatroomId}::uuid, ${number}::int, ${emoji})`;
    });
    const rows = await context.database.query<User & { ofGroup: string }>(sql`
      SELECT concat_ws(':', g.chatroom_id, g.number, g.emoji) AS "ofGroup", ${userColumns}
        FROM (VALUES ${join(groups)}) g (chatroom_id, number, emoji)
        JOIN chatrooms c ON c.id = g.chatroom_id
        CROSS JOIN LATERAL (
          SELECT n.id FROM reactions r JOIN users n ON n.id = r.user_id
            WHERE r.chatroom_id = g.chatroom_id AND r.number = g.number AND r.emoji = g.emoji AND ${isShown(userId)}
              ${after === null ? empty : sql`AND n.username_key > ${after}`}
              ${before === null ? empty : sql`AND n.username_key < ${before}`}
            ORDER BY n.username_key ${direction} LIMIT ${limit}
        ) reactor JOIN users u ON u.id = reactor.id
        ORDER BY u.username_key ${direction}`);
    return [...groupBy(rows, ({ ofGroup }) => ofGroup)].map(([key, users]) => ({ key, users }));
  },
  ({ key }) => key,
);

/** Lists who put an emoji on a message, by name; not those whom the viewer has blocked, except in DIRECT rooms. */
export async function listReactors(
  context: Context,
  { chatroomId, number, emoji }: ReactionGroup,
  args: ConnectionArgs,
): Promise<Connection<User>> {
  const key = `${messageKey(chatroomId, number)}:${emoji}`;
  return connectUsers(
    context,
    'reactors',
    async (page) => (await reactorsByPage(context, key, page))?.users ?? [],
    args,
  );
}
