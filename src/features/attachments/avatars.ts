import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import { notFound } from '../../core/errors.ts';
import type { MaybePromise } from '../../delivery/source.ts';
import { sql } from '../../platform/database/database.ts';
import type { Attachment, User } from '../../platform/database/generated/client.ts';
import { createLoader } from '../../platform/database/loader.ts';
import { callRoomFunction } from '../chatrooms/changes.ts';
import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { requireUser } from '../users/users.ts';
import { attachmentColumns } from './attachments.ts';

const avatarById = createLoader<Attachment>(
  ({ database }, ids) =>
    database.prepared<Attachment>(sql`
      SELECT ${attachmentColumns} FROM attachments a WHERE a.id = ANY (${ids}::uuid[]) AND a.purpose = 'AVATAR'`),
  ({ id }) => id,
);

/** Returns the avatar of a user or a room that the viewer may see. Null if there is none. */
export function avatarOf(
  context: Context,
  // Undefined in events of nodes of the previous release.
  { avatarId }: { avatarId?: string | null },
): MaybePromise<Attachment | null> {
  return avatarId == null ? null : avatarById(context, avatarId);
}

/**
 * Sets the viewer's avatar. Null removes it. The former avatar is deleted. If the new one is being processed, the former
 * one stays until the processing ends, or for good if the new one is rejected. A later call cancels the change.
 *
 * @param attachmentId null to remove the avatar; undefined for an id that names no attachment
 * @throws ChatError `NOT_FOUND` unless the viewer has uploaded this image as an avatar and uses it nowhere else
 */
export async function setAvatar(context: Context, attachmentId: string | null | undefined): Promise<User> {
  const { userId } = requireViewer(context);
  if (attachmentId === undefined) throw notFound('attachment');
  const [changed] = await context.database.query<{ done: boolean }>(sql`
    SELECT set_user_avatar(${userId}::uuid, ${attachmentId}::uuid) AS done`);
  if (!changed?.done) throw notFound('attachment');
  return requireUser(eventContext(context), userId);
}

/**
 * Sets the avatar of a room. Null removes it. Requires the OWNER or ADMIN role. The former avatar is deleted. If the new
 * one is being processed, the former one stays until the processing ends, or for good if the new one is rejected.
 *
 * @param chatroomId null for an id that names no room
 * @param attachmentId null to remove the avatar; undefined for an id that names no attachment
 * @throws ChatError `NOT_FOUND` if the viewer is not a member, or has not uploaded this image as an avatar, or uses it
 *   elsewhere; `FORBIDDEN` if their role does not suffice; `BAD_USER_INPUT` for a DIRECT room
 */
export async function setChatroomAvatar(
  context: Context,
  chatroomId: string | null,
  attachmentId: string | null | undefined,
): Promise<VisibleChatroom> {
  const room = await requireMembership(context, chatroomId);
  // No attachment has this id.
  const id = attachmentId === undefined ? room.id : attachmentId;
  const seq = await callRoomFunction(context, (by) => sql`set_chatroom_avatar(${room.id}::uuid, ${by}, ${id}::uuid)`);
  if (seq !== null) context.roomTails.notify(room.id, seq);
  return requireMembership(eventContext(context), room.id);
}
