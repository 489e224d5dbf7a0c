import { blocked, blockStateOf } from '../relationships/blocks.ts';
import { connect, type Connection, type ConnectionArgs, cursors, keyset } from '../../platform/database/keysetPage.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import { keyTable, sql, type Sql } from '../../platform/database/database.ts';
import type { Chatroom, ChatroomKind, Member, Prisma, User } from '../../platform/database/generated/client.ts';
import { badInput, ChatError, notFound } from '../../core/errors.ts';
import { pairKey } from '../relationships/pair.ts';
import { createLoader, createViewerLoader, type Loader, type OfViewer } from '../../platform/database/loader.ts';
import { PersonalObject } from '../../graphql/personalFields.ts';
import { checkRoomName, checkTopic } from '../../core/text/names.ts';

/** Fields of a chatroom that depend on the viewer. */
interface ViewerFields {
  /** Role of the viewer in the room. Null in an OPEN room that the viewer has not joined. */
  viewerRole: Member['role'] | null;
  /** The other member of a DIRECT room; null for other kinds. */
  opponentId: string | null;
  /**
   * Whether the viewer's list leaves out this DIRECT room. True from the time the viewer hides the room until its next
   * message. Also true until the first message if the other member created the room.
   */
  isHidden: boolean;
}

/** A chatroom with the fields that depend on the viewer. */
export type VisibleChatroom = ChatroomRow & ViewerFields;

/**
 * Returns the SQL condition that a user may see a room (`c`). Prisma queries use {@link visibleChatrooms}, which
 * selects the same rooms.
 *
 * OPEN rooms are visible to everyone, other rooms to their members. Messages, members and cursor are visible to members
 * only: see {@link isMember}.
 */
export const visibleTo = (user: Sql): Sql => sql`(c.kind = 'OPEN' OR ${isMember(sql`c.id`, user)})`;

/** Returns the SQL condition that a user is currently a member of a room. */
export function isMember(chatroomId: Sql, user: Sql): Sql {
  return sql`EXISTS (SELECT FROM members own WHERE own.chatroom_id = ${chatroomId} AND own.user_id = ${user})`;
}

/** Returns the condition of Prisma Client that a user may see a room. Selects the same rooms as {@link visibleTo}. */
export function visibleChatrooms(userId: string): Prisma.ChatroomWhereInput {
  return { OR: [{ kind: 'OPEN' }, joinedChatrooms(userId)] };
}

/** Returns the condition that finds a room by its id, if the viewer may see the room. */
export function visibleChatroom(id: string, viewerId: string): Prisma.ChatroomWhereUniqueInput {
  return { id, AND: visibleChatrooms(viewerId) };
}

/** Returns the condition of Prisma Client that a user is currently a member of a room, like {@link isMember}. */
export function joinedChatrooms(userId: string): Prisma.ChatroomWhereInput {
  return { members: { some: { userId } } };
}

/** Returns the condition of Prisma Client that a user may see a member of a room: members see each other. */
export function visibleMembers(userId: string): Prisma.MemberWhereInput {
  return { chatroom: joinedChatrooms(userId) };
}

/** Columns of `Chatroom`; the table alias is `c`. */
export const chatroomColumns = sql`
  c.id, c.kind, c.name, c.name_key AS "nameKey", c.topic, c.owner_id AS "ownerId", c.direct_key AS "directKey",
  c.created_at AS "createdAt", c.updated_at AS "updatedAt", c.last_number AS "lastNumber", c.last_seq AS "lastSeq",
  c.last_message_at AS "lastMessageAt", c.active_at AS "activeAt", c.avatar_id AS "avatarId",
  c.external_id AS "externalId"`;

/** Returns the columns of `VisibleChatroom` for a viewer; the table alias is `c`. */
export const visibleColumns = (user: Sql): Sql => sql`
  ${chatroomColumns},
  (SELECT role FROM members m WHERE m.chatroom_id = c.id AND m.user_id = ${user}) AS "viewerRole",
  EXISTS (SELECT FROM members m
    WHERE m.chatroom_id = c.id AND m.user_id = ${user} AND m.hidden_at_number >= c.last_number) AS "isHidden",
  CASE WHEN c.kind = 'DIRECT'
    THEN (SELECT user_id FROM members m WHERE m.chatroom_id = c.id AND m.user_id <> ${user})
  END AS "opponentId"`;

/** Returns a room by its id; null unless the viewer may see the room. */
export const chatroomById: Loader<VisibleChatroom> = createViewerLoader<VisibleChatroom & OfViewer>(
  ({ database }, keys) => {
    const viewer = sql`k.viewer_id`;
    return database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", ${visibleColumns(viewer)}
        FROM ${keyTable(keys, 'uuid', 'uuid')} k (viewer_id, chatroom_id) JOIN chatrooms c ON c.id = k.chatroom_id
        WHERE ${visibleTo(viewer)}`);
  },
  ({ id }) => id,
);

/**
 * Returns a room by its id.
 *
 * @throws ChatError `NOT_FOUND` unless the viewer may see the room
 */
async function requireChatroom(context: Context, chatroomId: string): Promise<VisibleChatroom> {
  const chatroom = await chatroomById(context, chatroomId);
  if (!chatroom) throw notFound('chatroom');
  return chatroom;
}

/**
 * A chatroom that the viewer may see. Rows from SQL have the fields that depend on the viewer. Rows that Prisma Client has
 * loaded for `node` lack them, and so do rows of shared executions.
 */
export type ChatroomRow = Chatroom &
  Partial<ViewerFields> & {
    /** True in a shared execution. All subscribers who receive the result are members of the room. */
    isShared?: boolean;
  };

/**
 * Returns whether the viewer is a member of a room that the viewer may see.
 *
 * @throws ChatError `FORBIDDEN` for a service. The fields that services may read do not call this function for them.
 */
export async function isJoined(context: Context, room: ChatroomRow): Promise<boolean> {
  if (context.service) requireViewer(context);
  if (room.isShared) return true;
  if (room.viewerRole !== undefined) return room.viewerRole !== null;
  // Only members may see a room that is not OPEN. The query of `node` has already checked that the viewer may see the
  // room.
  if (room.kind !== 'OPEN') return true;
  return (await chatroomById(context, room.id))?.viewerRole != null;
}

/** Returns the id of the other member of a DIRECT room; null for other kinds. */
export async function opponentIdOf(context: Context, room: ChatroomRow): Promise<string | null> {
  if (room.kind !== 'DIRECT') return null;
  if (room.opponentId !== undefined) return room.opponentId;
  return (await chatroomById(context, room.id))?.opponentId ?? null;
}

const sharedChatroomById = createLoader<ChatroomRow>(
  ({ database }, ids) =>
    database.prepared(sql`
      SELECT ${chatroomColumns}, true AS "isShared" FROM chatrooms c WHERE c.id = ANY (${ids}::uuid[])`),
  ({ id }) => id,
);

/**
 * Returns the room of an event or message that the viewer may see. In a shared execution, loads the room without the
 * viewer, because the stream has checked that each subscriber is a member.
 *
 * @throws ChatError `NOT_FOUND` unless the viewer may see the room
 */
export async function requireEventChatroom(context: Context, chatroomId: string): Promise<VisibleChatroom> {
  if (!context.viewerTracking) return requireChatroom(context, chatroomId);
  const chatroom = await sharedChatroomById(context, chatroomId);
  if (!chatroom) throw notFound('chatroom');
  // The resolvers of `Chatroom` accept a row without the fields of the viewer.
  return chatroom as VisibleChatroom;
}

/**
 * Returns a room that the viewer is a member of.
 *
 * @param chatroomId null for an id that names no room
 * @throws ChatError `NOT_FOUND` unless the viewer is a member; a room that does not exist gives the same error
 */
export async function requireMembership(context: Context, chatroomId: string | null): Promise<VisibleChatroom> {
  requireViewer(context);
  const chatroom = chatroomId === null ? null : await chatroomById(context, chatroomId);
  if (!chatroom?.viewerRole) throw notFound('chatroom');
  return chatroom;
}

const memberCountByChatroom = createLoader<{ chatroomId: string; count: number }>(
  ({ database }, chatroomIds) =>
    database.prepared(sql`
      SELECT chatroom_id AS "chatroomId", count(*)::int AS count FROM members
        WHERE chatroom_id = ANY(${chatroomIds}::uuid[]) GROUP BY chatroom_id`),
  ({ chatroomId }) => chatroomId,
);

/** Returns the number of members of a room. The caller must check that the viewer may see the room. */
export async function countMembers(context: Context, chatroomId: string): Promise<number> {
  return (await memberCountByChatroom(context, chatroomId))?.count ?? 0;
}

const byJoinTime = keyset({ 'm.joined_at': 'moment', 'm.user_id': 'uuid' });

/** Lists the members of a room, longest-standing first. The caller must check that the viewer is a member. */
export async function listMembers(
  context: Context,
  chatroomId: string,
  args: ConnectionArgs,
): Promise<Connection<Member>> {
  return connect<Member>(args, {
    ...cursors('members', byJoinTime, (member) => [member.joinedAt, member.userId]),
    load: (page) =>
      context.database.query<Member>(sql`
        SELECT ${memberColumns} FROM members m
          WHERE m.chatroom_id = ${chatroomId}::uuid ${byJoinTime.bounds(page)}
          ORDER BY ${byJoinTime.order(page)} LIMIT ${page.limit}`),
  });
}

/** A member, and whether the read mark can be shown without checking blocks. */
export interface ShownMember extends Member {
  /** True if there is no block between the member and any subscriber who receives this object. */
  isReadMarkPublic?: boolean;
}

/** Columns of `Member`; the table alias is `m`. */
export const memberColumns = sql`
  m.chatroom_id AS "chatroomId", m.user_id AS "userId", m.role, m.joined_at AS "joinedAt",
  m.last_read_number AS "lastReadNumber", m.unread_after AS "unreadAfter"`;

/**
 * Returns the condition that finds a member by its key `chatroomId:userId`, if the viewer is a member of the same room.
 */
export function visibleMember(key: string, viewerId: string): Prisma.MemberWhereUniqueInput {
  const [chatroomId = '', userId = ''] = key.split(':');
  return { chatroomId_userId: { chatroomId, userId }, AND: visibleMembers(viewerId) };
}

/** Returns a member by `chatroomId:userId`; null unless the viewer is a member of the same room. */
export const memberByKey: Loader<Member> = createViewerLoader<Member & OfViewer>(
  ({ database }, keys) =>
    database.prepared(sql`
      SELECT k.viewer_id AS "viewerId", ${memberColumns}
        FROM ${keyTable(keys, 'uuid', 'uuid', 'uuid')} k (viewer_id, chatroom_id, user_id)
        JOIN members m ON m.chatroom_id = k.chatroom_id AND m.user_id = k.user_id
        WHERE ${isMember(sql`m.chatroom_id`, sql`k.viewer_id`)}`),
  memberKey,
);

/**
 * Returns the viewer's membership of a room; null if the viewer is not a member.
 *
 * In a shared execution, returns an object whose fields are loaded for each subscriber.
 */
export function membershipOf(context: Context, room: ChatroomRow): Promise<Member | null> {
  const load = (own: Context) =>
    memberByKey(own, memberKey({ chatroomId: room.id, userId: requireViewer(own).userId }));
  if (!room.isShared) return load(context);
  return Promise.resolve(
    PersonalObject.of(async (own) => {
      const member = await load(own);
      if (!member) throw notFound('chatroom');
      return member;
    }),
  );
}

/** Returns the key of a member, used in its global id and in loaders. */
export function memberKey(member: { chatroomId: string; userId: string }): string {
  return `${member.chatroomId}:${member.userId}`;
}

export interface NewChatroom {
  kind: ChatroomKind;
  name?: string | null | undefined;
  topic?: string | null | undefined;
  /** Users to add besides the viewer; null for an id that names no user. */
  memberIds: readonly (string | null)[];
}

/** Maximum number of users whom `createChatroom` adds besides the viewer. More users are `BAD_USER_INPUT`. */
export const MAX_NEW_MEMBERS = 100;

/**
 * Creates a room, or returns the existing DIRECT room of two users. Each pair of users has at most one DIRECT room,
 * even if both users create the room at the same time.
 *
 * @throws ChatError `BAD_USER_INPUT` for invalid members, name or topic; `NOT_FOUND` if one of the users does not
 *   exist; `BLOCKED` if there is a block between the viewer and one of the users
 */
export async function createChatroom(context: Context, input: NewChatroom): Promise<VisibleChatroom> {
  const { userId } = requireViewer(context);
  const memberIds = [...new Set(input.memberIds)];
  if (memberIds.length > MAX_NEW_MEMBERS)
    throw badInput(
      'input.memberIds',
      `Create a chatroom with at most ${MAX_NEW_MEMBERS} other users, and add more later.`,
    );
  const id =
    input.kind === 'DIRECT'
      ? await createDirect(context, userId, checkPair(input, memberIds, userId))
      : await createShared(
          context,
          checkShared(input),
          memberIds.filter((memberId) => memberId !== userId),
        );
  return requireMembership(eventContext(context), id);
}

function checkPair(input: NewChatroom, memberIds: (string | null)[], userId: string): string {
  const [opponentId, ...rest] = memberIds;
  if (opponentId === undefined || rest.length > 0)
    throw badInput('input.memberIds', 'A DIRECT chatroom has exactly one other member.');
  if (opponentId === userId)
    throw badInput('input.memberIds', 'You cannot create a DIRECT chatroom with yourself. Choose another user.');
  if (input.name != null || input.topic != null)
    throw badInput('input.name', 'A DIRECT chatroom has no name and no topic.');
  if (opponentId === null) throw notFound('user');
  return opponentId;
}

/**
 * Checks the name and topic of a new room that is not DIRECT.
 *
 * @throws ChatError `BAD_USER_INPUT`
 */
export function checkShared(input: Omit<NewChatroom, 'memberIds'>): {
  kind: ChatroomKind;
  name: string | null;
  topic: string | null;
} {
  const name = checkRoomName(input.name, 'input.name');
  if (input.kind === 'OPEN' && name === null)
    throw badInput('input.name', 'An OPEN chatroom needs a name, because users find it by name.');
  return { kind: input.kind, name, topic: checkTopic(input.topic, 'input.topic') };
}

/** Returns the viewer's DIRECT room with a user; null if there is none. */
export async function findDirectChatroom(context: Context, opponentId: string | null): Promise<VisibleChatroom | null> {
  const { userId } = requireViewer(context);
  if (opponentId === null) return null;
  const [found] = await context.database.query<{ id: string }>(sql`
    SELECT id FROM chatrooms WHERE direct_key = ${pairKey(userId, opponentId)}`);
  return found ? chatroomById(context, found.id) : null;
}

async function createDirect(context: Context, userId: string, opponentId: string): Promise<string> {
  await requireUsers(context, [opponentId]);
  const directKey = pairKey(userId, opponentId);
  const id = await makeRoom(context, { kind: 'DIRECT', name: null, topic: null, directKey }, [opponentId]);
  // Creating a DIRECT room that the viewer had hidden shows that room again.
  const shown = await context.database.query(sql`
    UPDATE members SET hidden_at_number = NULL
      WHERE chatroom_id = ${id}::uuid AND user_id = ${userId}::uuid AND hidden_at_number IS NOT NULL RETURNING 1`);
  if (shown.length > 0) context.changePoller.requestPoll();
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
  const [made] = await context.database
    .query<{ id: string }>(
      sql`
        SELECT create_chatroom(${kind}::"ChatroomKind", ${name}, ${topic}, ${directKey}, ${userId}::uuid, ${others}::uuid[]) AS id`,
    )
    .catch(explainBotRefusal);
  if (!made) throw new Error('create_chatroom returned no row.');
  context.changePoller.requestPoll();
  return made.id;
}

/**
 * Handles the failure of a statement that changes members. Triggers on `members` refuse to add a bot without its owner, and
 * to give a bot a role.
 *
 * @throws ChatError `FORBIDDEN` if a trigger has refused a bot; otherwise the given error
 */
export function explainBotRefusal(error: unknown): never {
  const { code } = error as { code?: string };
  if (code === 'PB001')
    throw new ChatError(
      'FORBIDDEN',
      'A bot can be in a chatroom only together with its owner. Add the owner of the bot first.',
    );
  if (code === 'PB002')
    throw new ChatError('FORBIDDEN', 'A bot cannot be an owner or admin of a chatroom. Give the role to a person.');
  throw error;
}

/**
 * Checks that all users exist, and that there is no block between the viewer and any of them.
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
