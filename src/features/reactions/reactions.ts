import { hasBlocked } from '../relationships/blocks.ts';
import type { Connection, ConnectionArgs } from '../../platform/database/keysetPage.ts';
import { type Context, requireViewer } from '../../core/context.ts';
import { keyTable, sql, type Sql } from '../../platform/database/database.ts';
import type { Message, User } from '../../platform/database/generated/client.ts';
import { badInput } from '../../core/errors.ts';
import { groupBy } from '../../core/groupBy.ts';
import { createLoader, createPageLoader, createViewerLoader, type OfViewer } from '../../platform/database/loader.ts';
import { isMember } from '../chatrooms/chatrooms.ts';
import { requireReadable, completeChange } from '../messages/changes.ts';
import { messageKey, type MessageWithSender } from '../messages/messages.ts';
import type { Change } from '../../delivery/roomLog.ts';
import type { MaybePromise } from '../../delivery/source.ts';
import { qualifyEmoji } from '../../core/text/emoji.ts';
import { byUsername, connectUsers, userColumns } from '../users/users.ts';

/** The reactions to one message with one emoji, as the viewer sees them. */
export interface ReactionGroup {
  chatroomId: string;
  number: number;
  emoji: string;
  count: number;
  /** Undefined in a shared execution. */
  viewerHasReacted?: boolean;
}

/**
 * Adds the viewer's reaction to a message, or removes it. Each user has at most one reaction per emoji. A repeated call
 * changes nothing. A message has at most 20 reactions of one user and 50 different emoji. The database checks both
 * limits under the room's lock.
 *
 * @param key `chatroomId:number`; null for an id that names no message
 * @param present true to add the reaction, false to remove it
 * @throws ChatError `BAD_USER_INPUT` if `emoji` is not exactly one emoji, or if a limit is reached; `NOT_FOUND` for an
 *   unknown or deleted message; `BLOCKED` in a DIRECT room if one of the two users has blocked the other
 */
export async function react(context: Context, key: string | null, emoji: string, present: boolean): Promise<Message> {
  const qualified = checkEmoji(emoji);
  const { chatroomId, number } = await requireReadable(context, key);
  const { userId } = requireViewer(context);
  const [change] = await context.database.query<Change>(sql`
    SELECT outcome, seq FROM react(${chatroomId}::uuid, ${number}::int, ${userId}::uuid, ${qualified}, ${present})`);
  if (change?.outcome === 'TOO_MANY_OF_USER')
    throw badInput('input.emoji', 'You have 20 reactions to this message, which is the limit. Remove one first.');
  if (change?.outcome === 'TOO_MANY_KINDS')
    throw badInput('input.emoji', 'This message has 50 different emoji, which is the limit. Use one of them.');
  return completeChange(context, key, change);
}

/**
 * Returns the stored form of an emoji. ❤ has the same stored form with and without a variation selector.
 *
 * @throws ChatError `BAD_USER_INPUT` if the text is not exactly one emoji
 */
function checkEmoji(emoji: string): string {
  const qualified = qualifyEmoji(emoji);
  if (qualified === null) throw badInput('input.emoji', 'This is not one emoji. Send exactly one, such as 👍.');
  return qualified;
}

/**
 * Returns the SQL condition that the viewer sees a reaction (`r`) in a room (`c`). Outside DIRECT rooms, reactions of
 * users whom the viewer has blocked are hidden.
 */
const isShown = (viewer: Sql): Sql => sql`NOT (c.kind <> 'DIRECT' AND ${hasBlocked(viewer, sql`r.user_id`)})`;

/** The reactions to one message, as the loader returns them. */
interface MessageReactions extends OfViewer {
  key: string;
  groups: ReactionGroup[];
}

const reactionsByKey = createViewerLoader<MessageReactions>(
  async ({ database }, keys) => {
    const rows = await database.prepared<ReactionGroup & OfViewer>(sql`
      SELECT k.viewer_id AS "viewerId", r.chatroom_id AS "chatroomId", r.number, r.emoji, count(*)::int AS count,
             bool_or(r.user_id = k.viewer_id) AS "viewerHasReacted"
        FROM ${keyTable(keys, 'uuid', 'uuid', 'int')} k (viewer_id, chatroom_id, number)
        JOIN reactions r ON r.chatroom_id = k.chatroom_id AND r.number = k.number
        JOIN chatrooms c ON c.id = r.chatroom_id
        WHERE ${isShown(sql`k.viewer_id`)} AND ${isMember(sql`r.chatroom_id`, sql`k.viewer_id`)}
        GROUP BY k.viewer_id, r.chatroom_id, r.number, r.emoji
        ORDER BY min(r.created_at), r.emoji`);
    const keyOf = ({ viewerId, chatroomId, number }: (typeof rows)[number]) =>
      `${viewerId}:${messageKey(chatroomId, number)}`;
    return [...groupBy(rows, keyOf)].map(([id, groups]) => {
      const [viewerId = '', ...key] = id.split(':');
      return { viewerId, key: key.join(':'), groups };
    });
  },
  ({ key }) => key,
);

/** The reactions to one message, and whether some members do not see all of them. */
interface AllReactions {
  key: string;
  groups: ReactionGroup[];
  isHiddenFromSome: boolean;
}

const allReactionsByKey = createLoader<AllReactions>(
  async ({ database }, keys) => {
    const rows = await database.prepared<ReactionGroup & { isHiddenFromSome: boolean }>(sql`
      SELECT r.chatroom_id AS "chatroomId", r.number, r.emoji, count(*)::int AS count,
             bool_or(c.kind <> 'DIRECT' AND EXISTS (SELECT FROM blocks b WHERE b.blocked_id = r.user_id))
               AS "isHiddenFromSome"
        FROM ${keyTable(keys, 'uuid', 'int')} k (chatroom_id, number)
        JOIN reactions r ON r.chatroom_id = k.chatroom_id AND r.number = k.number
        JOIN chatrooms c ON c.id = r.chatroom_id
        GROUP BY r.chatroom_id, r.number, r.emoji
        ORDER BY min(r.created_at), r.emoji`);
    return [...groupBy(rows, ({ chatroomId, number }) => messageKey(chatroomId, number))].map(([key, groups]) => ({
      ...{ key, groups },
      isHiddenFromSome: groups.some((group) => group.isHiddenFromSome),
    }));
  },
  ({ key }) => key,
);

/**
 * Returns the reactions to a message, one group per emoji. The emoji that was used first comes first. Outside DIRECT
 * rooms, leaves out reactions of users whom the viewer has blocked. Returns an empty list if the viewer is not a
 * member.
 */
export function reactionsOf(context: Context, message: MessageWithSender): MaybePromise<ReactionGroup[]> {
  return message.hasReactions === false ? [] : loadReactions(context, message);
}

async function loadReactions(context: Context, message: Message): Promise<ReactionGroup[]> {
  const key = messageKey(message.chatroomId, message.number);
  // Subscribers who share an execution are members of the room.
  const all = context.viewerTracking ? await allReactionsByKey(context, key) : undefined;
  if (all === null) return [];
  if (all && (!all.isHiddenFromSome || context.viewerTracking?.ignoresBlocks)) return all.groups;
  return (await reactionsByKey(context, key))?.groups ?? [];
}

/** Returns whether the viewer belongs to a reaction group. */
export async function hasReacted(context: Context, group: ReactionGroup): Promise<boolean> {
  if (group.viewerHasReacted !== undefined) return group.viewerHasReacted;
  const reactions = await reactionsByKey(context, messageKey(group.chatroomId, group.number));
  return reactions?.groups.find(({ emoji }) => emoji === group.emoji)?.viewerHasReacted ?? false;
}

interface Reactors {
  key: string;
  users: User[];
}

/**
 * Loads one page of users for each of many reaction groups, with one statement for all groups that request the same
 * page.
 */
const reactorsByPage = createPageLoader<Reactors>(
  async (context, keys, page) => {
    const { userId } = requireViewer(context);
    const order = byUsername.order(page);
    const rows = await context.database.query<User & { ofGroup: string }>(sql`
      SELECT concat_ws(':', g.chatroom_id, g.number, g.emoji) AS "ofGroup", ${userColumns}
        FROM ${keyTable(keys, 'uuid', 'int', 'text')} g (chatroom_id, number, emoji)
        JOIN chatrooms c ON c.id = g.chatroom_id
        CROSS JOIN LATERAL (
          SELECT u.id FROM reactions r JOIN users u ON u.id = r.user_id
            WHERE r.chatroom_id = g.chatroom_id AND r.number = g.number AND r.emoji = g.emoji AND ${isShown(sql`${userId}::uuid`)}
              ${byUsername.bounds(page)}
            ORDER BY ${order} LIMIT ${page.limit}
        ) reactor JOIN users u ON u.id = reactor.id
        ORDER BY ${order}`);
    return [...groupBy(rows, ({ ofGroup }) => ofGroup)].map(([key, users]) => ({ key, users }));
  },
  ({ key }) => key,
);

/**
 * Lists the users who reacted to a message with an emoji, sorted by username. Outside DIRECT rooms, leaves out users
 * whom the viewer has blocked.
 */
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
