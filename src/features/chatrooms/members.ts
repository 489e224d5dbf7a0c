import { requireMembership, type VisibleChatroom } from './chatrooms.ts';
import { callRoomFunction } from './changes.ts';
import { requireChatroomOfService } from './externalChatrooms.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import type { MemberRole } from '../../platform/database/generated/enums.ts';
import { badInput, notFound } from '../../core/errors.ts';

/** Maximum number of users added by one mutation. More users are `BAD_USER_INPUT`. */
const MAX_ADDED = 100;
/** The nil UUID, which no user has. Passed to the database if an id names no user. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/**
 * Makes the viewer a member of an OPEN room. Joining again changes nothing.
 *
 * @param chatroomId null for an id that names no room
 * @throws ChatError `NOT_FOUND` for an unknown room, or a room that is not OPEN
 */
export async function joinChatroom(context: Context, chatroomId: string | null): Promise<VisibleChatroom> {
  requireViewer(context);
  if (chatroomId === null) throw notFound('chatroom');
  const seq = await callRoomFunction(context, (by) => sql`join_chatroom(${chatroomId}::uuid, ${by})`);
  if (seq !== null) notifyJoined(context, chatroomId, seq);
  return requireMembership(eventContext(context), chatroomId);
}

/**
 * Ends the viewer's membership and subscriptions to the room. If the owner leaves, the longest-standing admin becomes
 * owner, or else the longest-standing member. If the last member leaves, the room is deleted.
 *
 * @param chatroomId null for an id that names no room
 * @throws ChatError `NOT_FOUND` if the viewer is not a member; `BAD_USER_INPUT` for a DIRECT room, whose members are
 *   permanent
 */
export async function leaveChatroom(context: Context, chatroomId: string | null): Promise<void> {
  const { userId } = requireViewer(context);
  if (chatroomId === null) throw notFound('chatroom');
  const seq = await callRoomFunction(context, (by) => sql`leave_chatroom(${chatroomId}::uuid, ${by})`);
  if (seq !== null) notifyLeft(context, chatroomId, userId, seq);
}

/** Notifies the subscribers of the room, and the all-rooms streams of the new members. Called after the commit. */
function notifyJoined(context: Context, chatroomId: string, seq: number): void {
  context.roomTails.notify(chatroomId, seq);
  context.changePoller.requestPoll();
}

/**
 * Notifies the subscribers of the room, and requests a poll in case the room was deleted. Called after the commit.
 *
 * A message that everyone but the former member had read is now read by all members. The sender of that message is
 * notified as well.
 */
function notifyLeft(context: Context, chatroomId: string, userId: string, seq: number): void {
  context.roomTails.notify(chatroomId, seq);
  context.changePoller.requestPoll();
  context.notifyReadByAll(chatroomId, userId, 0);
}

/**
 * Adds users to a room: either all of them or none. Nothing changes for users who are already members. Requires the
 * OWNER or ADMIN role, or a service with the scope `rooms:write`, for which blocks are not checked.
 *
 * @param chatroomId null for an id that names no room
 * @param userIds 1 to 100 users; null for an id that names no user
 * @throws ChatError `BAD_USER_INPUT` for a wrong number of users, or a DIRECT room; `NOT_FOUND` for the room or any of
 *   the users; `FORBIDDEN` if the viewer's role does not suffice; `BLOCKED` if there is a block between the viewer and
 *   any of the users
 */
export async function addChatroomMembers(
  context: Context,
  chatroomId: string | null,
  userIds: readonly (string | null)[],
): Promise<VisibleChatroom> {
  const ids = [...new Set(userIds)];
  if (ids.length < 1 || ids.length > MAX_ADDED) {
    throw badInput('input.userIds', `Add 1 to ${MAX_ADDED} users at once.`);
  }
  const room = await requireManaged(context, chatroomId);
  // Invalid ids also go to the database function, because that function checks the viewer's role before the users.
  const users = ids.map((id) => id ?? NOBODY);
  const seq = await callRoomFunction(context, (by) => sql`add_members(${room.id}::uuid, ${by}, ${users}::uuid[])`);
  if (seq !== null) notifyJoined(context, room.id, seq);
  return requireManaged(eventContext(context), room.id);
}

/**
 * Returns a room whose members the viewer or service wants to change.
 *
 * @throws ChatError `NOT_FOUND` unless the viewer is a member; for a service, if there is no such room
 */
function requireManaged(context: Context, chatroomId: string | null): Promise<VisibleChatroom> {
  return context.service ? requireChatroomOfService(context, chatroomId) : requireMembership(context, chatroomId);
}

/**
 * Removes a member from a room, and ends the member's subscriptions to the room. Admins can remove members with the
 * MEMBER role. The owner can also remove admins, and a service
 * with the scope `rooms:write` every member, also the owner. A room ends with its last member.
 *
 * @param chatroomId null for an id that names no room
 * @param memberId null for an id that names no user
 * @throws ChatError `BAD_USER_INPUT` for the viewer's own id, or a DIRECT room; `NOT_FOUND` for the room or the member;
 *   `FORBIDDEN` if the viewer's role does not suffice
 */
export async function removeChatroomMember(
  context: Context,
  chatroomId: string | null,
  memberId: string | null,
): Promise<VisibleChatroom> {
  const room = await requireManaged(context, chatroomId);
  if (!context.service && memberId === requireViewer(context).userId)
    throw badInput('input.userId', 'You cannot remove yourself. Leave the chatroom instead.');
  const target = memberId ?? NOBODY;
  const seq = await callRoomFunction(context, (by) => sql`remove_member(${room.id}::uuid, ${by}, ${target}::uuid)`);
  if (seq !== null) notifyLeft(context, room.id, target, seq);
  return requireManaged(eventContext(context), room.id);
}

/**
 * Changes the role of a member. Requires the OWNER role. The role OWNER transfers the room, and the previous owner
 * becomes an admin.
 *
 * @param chatroomId null for an id that names no room
 * @param memberId null for an id that names no user
 * @throws ChatError `BAD_USER_INPUT` for the owner's own role, or a DIRECT room; `NOT_FOUND` for the room or the
 *   member; `FORBIDDEN` if the viewer is not the owner
 */
export async function setMemberRole(
  context: Context,
  chatroomId: string | null,
  memberId: string | null,
  role: MemberRole,
): Promise<VisibleChatroom> {
  const room = await requireMembership(context, chatroomId);
  const seq = await callRoomFunction(
    context,
    (by) => sql`set_member_role(${room.id}::uuid, ${by}, ${memberId ?? NOBODY}::uuid, ${role}::"MemberRole")`,
  );
  if (seq !== null) context.roomTails.notify(room.id, seq);
  return requireMembership(eventContext(context), room.id);
}
