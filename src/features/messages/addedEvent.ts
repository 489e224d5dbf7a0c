import { encodeRoomCursor } from '../../delivery/cursor.ts';
import type { RoomEvent } from '../../delivery/roomLog.ts';
import type { ChatroomKind } from '../../platform/database/generated/client.ts';
import type { MessageWithSender } from './messages.ts';

/**
 * Returns the MESSAGE_ADDED event of a message that has just been sent, as `readEventPage` would read it. The nodes then
 * need not read the event.
 *
 * @param roomKind null if the statement of the send did not see the room
 * @returns null if the room or the sender was created so recently that the statement did not see them
 */
export function addedEvent(
  databaseId: string,
  message: MessageWithSender,
  roomKind: ChatroomKind | null,
): RoomEvent | null {
  const { chatroomId, seq, number, sender } = message;
  if (!roomKind || !sender) return null;
  const cursor = encodeRoomCursor(databaseId, { kind: 'room', chatroomId, seq, number });
  const names = { chatroomId, seq, kind: 'MESSAGE_ADDED', number, userId: null, actorId: null } as const;
  return { ...names, isShared: true, cursor, roomKind, message };
}
