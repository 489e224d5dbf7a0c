import type { ServerNode } from '../../core/context.ts';
import { encodeRoomCursor } from '../../delivery/cursor.ts';
import type { RoomEvent } from '../../delivery/roomLog.ts';
import type { Sent } from './sendQueue.ts';

/**
 * Returns the MESSAGE_ADDED event of a message that has just been sent, as `readEventPage` would read it. The node that
 * stored the message then need not read the event.
 *
 * Returns null if the room or the sender was created so recently that the statement of the send did not see them.
 */
export function addedEvent(
  { databaseId }: Pick<ServerNode, 'databaseId'>,
  { message, roomKind }: Sent,
): RoomEvent | null {
  const { chatroomId, seq, number, sender } = message;
  if (!roomKind || !sender) return null;
  const cursor = encodeRoomCursor(databaseId, { kind: 'room', chatroomId, seq, number });
  const names = { chatroomId, seq, kind: 'MESSAGE_ADDED', number, userId: null, actorId: null } as const;
  return { ...names, isShared: true, cursor, roomKind, message: { ...message, hasReactions: false } };
}
