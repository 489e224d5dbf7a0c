import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { manage } from '../chatrooms/managing.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { MemberRole } from '../database/generated/enums.ts';
import { badInput, notFound } from '../errors.ts';

/** How many users can be added at once. */
const MOST_ADDED = 100;
/** The id of no user. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/**
 * Makes the viewer a member of an OPEN room. Joining again changes nothing.
 *
 * @throws ChatError `NOT_FOUND` for any other room
 */
export async function joinChatroom(context: Context, chatroomId: string | null): Promise<VisibleChatroom> {
  requireViewer(context);
  if (chatroomId === null) throw notFound('chatroom');
  const seq = await manage(context, (by) => sql`join_chatroom(${chatroomId}::uuid, ${by})`);
  if (seq !== null) tellJoined(context, chatroomId, seq);
  return requireMembership(freshContext(context), chatroomId);
}

/**
 * Ends the viewer's membership, and with it their streams of the room. The owner hands the room to the longest-standing
 * admin, else member; the last to leave ends it.
 *
 * @throws ChatError `NOT_FOUND` for who is no member; `BAD_USER_INPUT` for a DIRECT room, in which both are for good
 */
export async function leaveChatroom(context: Context, chatroomId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  if (chatroomId === null) throw notFound('chatroom');
  const seq = await manage(context, (by) => sql`leave_chatroom(${chatroomId}::uuid, ${by})`);
  if (seq !== null) tellLeft(context, chatroomId, userId, seq);
}

/** After the commit: the room's streams, and those over all rooms of whoever has joined. */
function tellJoined(context: Context, chatroomId: string, seq: number): void {
  context.tails.nudge(chatroomId, seq);
  context.sweep.announce();
}

/** After the commit: the room's streams; the room may have ended, too, and what waited for the leaver's reading. */
function tellLeft(context: Context, chatroomId: string, userId: string, seq: number): void {
  context.tails.nudge(chatroomId, seq);
  context.sweep.announce();
  context.announceSeen(chatroomId, userId, 0);
}

/**
 * Adds users to a room, all or none; who is a member already stays one. For owners and admins.
 *
 * @param userIds null for an id that names nobody
 * @throws ChatError `BAD_USER_INPUT`, also for a DIRECT room; `NOT_FOUND` for the room or any of the users; `FORBIDDEN`;
 *   `BLOCKED` across a block
 */
export async function addChatroomMembers(
  context: Context,
  chatroomId: string | null,
  userIds: readonly (string | null)[],
): Promise<VisibleChatroom> {
  const ids = [...new Set(userIds)];
  if (ids.length < 1 || ids.length > MOST_ADDED) {
    throw badInput('input.userIds', `Add 1 to ${MOST_ADDED} users at once.`);
  }
  const room = await requireMembership(context, chatroomId);
  // Somebody who does not exist: the roles are checked first, as for those who do.
  const users = ids.map((id) => id ?? NOBODY);
  const seq = await manage(context, (by) => sql`add_members(${room.id}::uuid, ${by}, ${users}::uuid[])`);
  if (seq !== null) tellJoined(context, room.id, seq);
  return requireMembership(freshContext(context), room.id);
}

/**
 * Removes a member, and ends their streams of the room. Admins remove members, the owner admins too.
 *
 * @throws ChatError `BAD_USER_INPUT` for oneself, and for a DIRECT room; `NOT_FOUND`, `FORBIDDEN`
 */
export async function removeChatroomMember(
  context: Context,
  chatroomId: string | null,
  memberId: string | null,
): Promise<VisibleChatroom> {
  const room = await requireMembership(context, chatroomId);
  if (memberId === requireViewer(context).userId) throw badInput('input.userId', 'Leave the chatroom instead.');
  const target = memberId ?? NOBODY;
  const seq = await manage(context, (by) => sql`remove_member(${room.id}::uuid, ${by}, ${target}::uuid)`);
  if (seq !== null) tellLeft(context, room.id, target, seq);
  return requireMembership(freshContext(context), room.id);
}

/**
 * Gives a member another role, for the owner. OWNER hands the room over; who had it stays as an admin.
 *
 * @throws ChatError `BAD_USER_INPUT` for the owner's own role, and for a DIRECT room; `NOT_FOUND`, `FORBIDDEN`
 */
export async function setMemberRole(
  context: Context,
  chatroomId: string | null,
  memberId: string | null,
  role: MemberRole,
): Promise<VisibleChatroom> {
  const room = await requireMembership(context, chatroomId);
  const seq = await manage(
    context,
    (by) => sql`set_member_role(${room.id}::uuid, ${by}, ${memberId ?? NOBODY}::uuid, ${role}::"MemberRole")`,
  );
  if (seq !== null) context.tails.nudge(room.id, seq);
  return requireMembership(freshContext(context), room.id);
}
