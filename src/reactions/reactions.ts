import { hasBlocked } from '../blocks/blocks.ts';
import { type Context, requireViewer } from '../context.ts';
import { join, sql } from '../database/database.ts';
import type { Message } from '../database/generated/client.ts';
import { badInput } from '../errors.ts';
import { groupBy } from '../groupBy.ts';
import { createLoader } from '../loader.ts';
import { requireReadable, settle } from '../messages/changes.ts';
import { messageKey } from '../messages/messages.ts';
import type { Change } from '../realtime/log.ts';
import { qualifyEmoji } from '../text/emoji.ts';

/** One emoji on one message, and who put it there. */
export interface ReactionGroup {
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
    const rows = await context.database.query<ReactionGroup & { chatroomId: string; number: number }>(sql`
      SELECT r.chatroom_id AS "chatroomId", r.number, r.emoji, count(*)::int AS count,
             bool_or(r.user_id = ${userId}::uuid) AS "viewerHasReacted"
        FROM reactions r JOIN chatrooms c ON c.id = r.chatroom_id
        WHERE (r.chatroom_id, r.number) IN (${join(pairs)})
          AND NOT (c.kind <> 'DIRECT' AND ${hasBlocked(sql`${userId}::uuid`, sql`r.user_id`)})
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
