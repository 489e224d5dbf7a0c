import { blocked, blockStateOf } from '../blocks/blocks.ts';
import { connect, type Connection, type ConnectionArgs, decodeKeyset, encodeKeyset } from '../connections.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { empty, join, sql, type Sql } from '../database/database.ts';
import type { Chatroom, ChatroomKind, Member, User } from '../database/generated/client.ts';
import { badInput, notFound } from '../errors.ts';
import { pairKey } from '../friends/pair.ts';
import { createLoader } from '../loader.ts';
import { checkRoomName, checkTopic } from '../text/names.ts';

/** A chatroom as the viewer sees it. */
export interface VisibleChatroom extends Chatroom {
  /** The viewer's own membership, or null: an OPEN room that they have not joined. */
  viewerRole: Member['role'] | null;
  /** The other member of a DIRECT room. */
  opponentId: string | null;
  /** A DIRECT room that the viewer does not see in lists: hidden, or not begun by the other yet. */
  isHidden: boolean;
}

/**
 * The one predicate for who may see a room (`c`): its members, and an OPEN room everyone. Its messages,
 * members and cursor are for members alone: see {@link isMember}.
 */
const visibleTo = (userId: string): Sql => sql`(c.kind = 'OPEN' OR ${isMember(sql`c.id`, sql`${userId}::uuid`)})`;

/** Whether a user is a member of a room now. */
export function isMember(chatroomId: Sql, user: Sql): Sql {
  return sql`EXISTS (SELECT FROM members own WHERE own.chatroom_id = ${chatroomId} AND own.user_id = ${user})`;
}

/** A room's row as `VisibleChatroom`; `c` names the table. */
export const visibleColumns = (userId: string): Sql => sql`
  c.id, c.kind, c.name, c.name_key AS "nameKey", c.topic, c.owner_id AS "ownerId", c.direct_key AS "directKey",
  c.created_at AS "createdAt", c.updated_at AS "updatedAt", c.last_number AS "lastNumber", c.last_seq AS "lastSeq",
  c.last_message_at AS "lastMessageAt", c.active_at AS "activeAt",
  (SELECT role FROM members m WHERE m.chatroom_id = c.id AND m.user_id = ${userId}::uuid) AS "viewerRole",
  EXISTS (SELECT FROM members m
    WHERE m.chatroom_id = c.id AND m.user_id = ${userId}::uuid AND m.hidden_at_number >= c.last_number) AS "isHidden",
  CASE WHEN c.kind = 'DIRECT'
    THEN (SELECT user_id FROM members m WHERE m.chatroom_id = c.id AND m.user_id <> ${userId}::uuid)
  END AS "opponentId"`;

/** A room by key, where the viewer may see it. */
export const chatroomById = createLoader<VisibleChatroom>(
  (context, ids) => {
    const { userId } = requireViewer(context);
    return context.database.prepared<VisibleChatroom>(sql`
      SELECT ${visibleColumns(userId)} FROM chatrooms c
        WHERE c.id = ANY (${ids}::uuid[]) AND ${visibleTo(userId)}`);
  },
  (chatroom) => chatroom.id,
);

/**
 * A room that the viewer may see.
 *
 * @throws ChatError `NOT_FOUND`
 */
export async function requireChatroom(context: Context, chatroomId: string): Promise<VisibleChatroom> {
  const chatroom = await chatroomById(context, chatroomId);
  if (!chatroom) throw notFound('chatroom');
  return chatroom;
}

/**
 * The room of an event or message that the viewer may see. While it is observed whether an answer depends on the viewer, the
 * room does not, but what it is to the viewer does.
 *
 * @throws ChatError `NOT_FOUND`
 */
export async function requireRoomOf(context: Context, chatroomId: string): Promise<VisibleChatroom> {
  if (!context.impersonally) return requireChatroom(context, chatroomId);
  const { context: plain, note } = context.impersonally;
  const { viewerRole, opponentId, isHidden, ...room } = await requireChatroom(plain, chatroomId);
  const personal = { viewerRole, opponentId, isHidden };
  const noting = (key: keyof typeof personal): PropertyDescriptor => ({
    get() {
      note();
      return personal[key];
    },
  });
  return Object.defineProperties(room, {
    viewerRole: noting('viewerRole'),
    opponentId: noting('opponentId'),
    isHidden: noting('isHidden'),
  }) as VisibleChatroom;
}

/**
 * A room that the viewer is a member of.
 *
 * @throws ChatError `NOT_FOUND` for strangers, as for a room that does not exist
 */
export async function requireMembership(context: Context, chatroomId: string | null): Promise<VisibleChatroom> {
  requireViewer(context);
  const chatroom = chatroomId === null ? null : await chatroomById(context, chatroomId);
  if (!chatroom?.viewerRole) throw notFound('chatroom');
  return chatroom;
}

const memberCountByChatroom = createLoader<{ chatroomId: string; count: number }>(
  (context, chatroomIds) =>
    context.database.query(sql`
      SELECT chatroom_id AS "chatroomId", count(*)::int AS count FROM members
        WHERE chatroom_id = ANY(${chatroomIds}::uuid[]) GROUP BY chatroom_id`),
  ({ chatroomId }) => chatroomId,
);

/** Counts the members of a room, which its viewer may see: one statement for all rooms that are asked for together. */
export async function countMembers(context: Context, chatroomId: string): Promise<number> {
  return (await memberCountByChatroom(context, chatroomId))?.count ?? 0;
}

/** A room's members, the longest-standing first. */
export async function listMembers(
  context: Context,
  chatroomId: string,
  args: ConnectionArgs,
): Promise<Connection<Member>> {
  return connect<Member, string[]>(args, {
    encode: (member) => encodeKeyset('members', [member.joinedAt.toISOString(), member.userId]),
    decode: (cursor, path) => decodeKeyset('members', ['moment', 'uuid'], cursor, path),
    load: ({ after, before, reverse, limit }) =>
      context.database.query<Member>(sql`
        SELECT ${memberColumns} FROM members m
          WHERE m.chatroom_id = ${chatroomId}::uuid
            ${after === null ? empty : sql`AND (m.joined_at, m.user_id) > (${after[0]}::timestamptz, ${after[1]}::uuid)`}
            ${before === null ? empty : sql`AND (m.joined_at, m.user_id) < (${before[0]}::timestamptz, ${before[1]}::uuid)`}
          ORDER BY m.joined_at ${reverse ? sql`DESC` : empty}, m.user_id ${reverse ? sql`DESC` : empty} LIMIT ${limit}`),
  });
}

/** A member whose read mark is shown. */
export interface ShownMember extends Member {
  /** No block stands between the member and those who get this row, so that their read mark needs no further check. */
  isShownToAll?: boolean;
}

/** A member's row as `Member`; `m` names the table. */
export const memberColumns = sql`
  m.chatroom_id AS "chatroomId", m.user_id AS "userId", m.role, m.joined_at AS "joinedAt",
  m.last_read_number AS "lastReadNumber", m.unread_after AS "unreadAfter"`;

/** A member by `chatroomId:userId`, where the viewer is a member of that room too. */
export const memberByKey = createLoader<Member>((context, keys) => {
  const { userId } = requireViewer(context);
  const pairs = keys.map((key) => {
    const [chatroomId, memberId] = key.split(':');
    return sql`(${chatroomId}::uuid, ${memberId}::uuid)`;
  });
  return context.database.query<Member>(sql`
      SELECT ${memberColumns} FROM members m
        WHERE (m.chatroom_id, m.user_id) IN (${join(pairs)}) AND ${isMember(sql`m.chatroom_id`, sql`${userId}::uuid`)}`);
}, memberKey);

/** The key of a member in its id and in loaders. */
export function memberKey(member: { chatroomId: string; userId: string }): string {
  return `${member.chatroomId}:${member.userId}`;
}

export interface NewChatroom {
  kind: ChatroomKind;
  name?: string | null | undefined;
  topic?: string | null | undefined;
  /** Whom to add beside the viewer; null for an id that names no user. */
  memberIds: readonly (string | null)[];
}

/** How many others a room can be made with. */
const MOST_NEW_MEMBERS = 100;

/**
 * Makes a room. A DIRECT room is made once for each pair: whoever asks, and however many ask at once, gets
 * the same one.
 *
 * @throws ChatError `BAD_USER_INPUT`; `NOT_FOUND` if any of the members does not exist, `BLOCKED` across a block; then
 *   nothing is made
 */
export async function createChatroom(context: Context, input: NewChatroom): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  const memberIds = [...new Set(input.memberIds)];
  if (memberIds.length > MOST_NEW_MEMBERS)
    throw badInput('input.memberIds', `A chatroom is made with at most ${MOST_NEW_MEMBERS} others.`);
  const id =
    input.kind === 'DIRECT'
      ? await createDirect(context, userId, checkPair(input, memberIds, userId))
      : await createShared(
          context,
          checkShared(input),
          memberIds.filter((memberId) => memberId !== userId),
        );
  return requireMembership(freshContext(context), id);
}

function checkPair(input: NewChatroom, memberIds: (string | null)[], userId: string): string {
  const [opponentId, ...rest] = memberIds;
  if (opponentId === undefined || rest.length > 0)
    throw badInput('input.memberIds', 'A DIRECT chatroom has exactly one other member.');
  if (opponentId === userId) throw badInput('input.memberIds', 'A DIRECT chatroom is with someone else.');
  if (input.name != null || input.topic != null)
    throw badInput('input.name', 'A DIRECT chatroom has no name and no topic.');
  if (opponentId === null) throw notFound('user');
  return opponentId;
}

function checkShared(input: NewChatroom): { kind: ChatroomKind; name: string | null; topic: string | null } {
  const name = checkRoomName(input.name, 'input.name');
  if (input.kind === 'OPEN' && name === null)
    throw badInput('input.name', 'An OPEN chatroom needs a name to be found by.');
  return { kind: input.kind, name, topic: checkTopic(input.topic, 'input.topic') };
}

/** The viewer's DIRECT room with a user, if there is one. */
export async function findDirectChatroom(context: Context, opponentId: string | null): Promise<VisibleChatroom | null> {
  const { userId } = requireViewer(context);
  if (opponentId === null) return null;
  const directKey = pairKey(userId, opponentId);
  const found = await context.database.prisma.chatroom.findUnique({ where: { directKey }, select: { id: true } });
  return found && chatroomById(context, found.id);
}

async function createDirect(context: Context, userId: string, opponentId: string): Promise<string> {
  await requireUsers(context, [opponentId]);
  const directKey = pairKey(userId, opponentId);
  const id = await makeRoom(context, { kind: 'DIRECT', name: null, topic: null, directKey }, [opponentId]);
  // Whoever opens a room that they had hidden wants to see it.
  const shown = await context.database.query(sql`
    UPDATE members SET hidden_at_number = NULL
      WHERE chatroom_id = ${id}::uuid AND user_id = ${userId}::uuid AND hidden_at_number IS NOT NULL RETURNING 1`);
  if (shown.length > 0) context.sweep.announce();
  return id;
}

async function createShared(
  context: Context,
  room: { kind: ChatroomKind; name: string | null; topic: string | null },
  memberIds: (string | null)[],
): Promise<string> {
  const others = memberIds.filter((memberId) => memberId !== null);
  if (others.length < memberIds.length) throw notFound('user');
  await requireUsers(context, others);
  return makeRoom(context, { ...room, directKey: null }, others);
}

async function makeRoom(
  context: Context,
  room: { kind: ChatroomKind; name: string | null; topic: string | null; directKey: string | null },
  others: readonly string[],
): Promise<string> {
  const { userId } = requireViewer(context);
  const { kind, name, topic, directKey } = room;
  const [made] = await context.database.query<{ id: string }>(sql`
    SELECT create_chatroom(${kind}::"ChatroomKind", ${name}, ${topic}, ${directKey}, ${userId}::uuid, ${others}::uuid[]) AS id`);
  if (!made) throw new Error('create_chatroom answered nothing.');
  context.sweep.announce();
  return made.id;
}

/**
 * All of them exist, and none of them and the viewer have blocked each other.
 *
 * @throws ChatError `NOT_FOUND`, `BLOCKED`
 */
async function requireUsers(context: Context, ids: readonly string[]): Promise<void> {
  const found: Pick<User, 'id'>[] = await context.database.prisma.user.findMany({
    where: { id: { in: [...ids] } },
    select: { id: true },
  });
  if (found.length < ids.length) throw notFound('user');
  const states = await Promise.all(ids.map((id) => blockStateOf(context, id)));
  if (states.some((state) => state?.either)) throw blocked();
}
