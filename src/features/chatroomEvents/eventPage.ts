import type { Context, ServerNode } from '../../core/context.ts';
import { encodeRoomCursor } from '../../delivery/cursor.ts';
import { eventFields, type LogEvent, pageAfter, type RoomEvent } from '../../delivery/roomLog.ts';
import { columnsOf, createRowReader, sql } from '../../platform/database/database.ts';
import type { ChatroomKind } from '../../platform/database/generated/client.ts';
import {
  columnsWithSender,
  contentColumns,
  type Contents,
  type MessageWithSender,
  withSender,
} from '../messages/messages.ts';

/** Reason why a stream sends a snapshot. */
export type SnapshotReason = 'REQUESTED' | 'RESYNC';

/** An event of a room, as delivered to subscribers. */
export interface ChatroomEvent extends Pick<RoomEvent, 'chatroomId' | 'cursor' | 'message' | 'userId' | 'actorId'> {
  kind: RoomEvent['kind'] | 'CAUGHT_UP' | 'SNAPSHOT';
  /** Set for a snapshot. */
  reason?: SnapshotReason;
  /** Position in the room's log. For an event that is not in the log, that of the last event before it. */
  seq: number;
  /** Whether the event can be executed once for all subscribers. */
  isShared: boolean;
  /** Set only in streams over all rooms, where each stream has its own cursor: the event without a cursor. */
  sharedAs?: object;
  /**
   * Returns whether the viewer is no longer a member of the room. Set only in streams over all rooms. If the execution
   * of the event fails for a former member, the stream skips the event.
   */
  isNoLongerMember?: (context: Context) => Promise<boolean>;
}

declare module '../../delivery/roomLog.ts' {
  interface RoomEvent {
    /**
     * The message of the event in its current state. Null if the event has no message, or if the message no longer
     * exists.
     */
    message: MessageWithSender | null;
    roomKind: ChatroomKind;
  }
}

const columns = [...eventFields, 'detail'] as const;
const eventColumns = columnsOf('e', columns, 'event.');
const readEvent = createRowReader<LogEvent & { detail: LogEvent['kind'] | null }>(columns, 'event.');

/** Returns the event of a row. `detail` names kinds that the previous release does not know. */
function logEventOf(row: object): LogEvent {
  const { detail, ...event } = readEvent(row);
  return { ...event, kind: detail ?? event.kind };
}

/**
 * Reads the events of a room after `seq` with their messages and senders, oldest first, at most `LOG_PAGE_SIZE`.
 *
 * Uses one statement, because a second query would be one of the largest costs of a message in a busy room.
 */
export async function readEventPage(
  { database, databaseId }: Pick<ServerNode, 'database' | 'databaseId'>,
  chatroomId: string,
  seq: number,
): Promise<RoomEvent[]> {
  const rows = await database.prepared<{ roomKind: ChatroomKind } & Contents>(sql`
    SELECT ${eventColumns}, ${columnsWithSender}, c.kind AS "roomKind", ${contentColumns}
      FROM ${pageAfter(chatroomId, seq)} e
        JOIN chatrooms c ON c.id = e.chatroom_id
        LEFT JOIN messages m ON m.chatroom_id = e.chatroom_id AND m.number = e.number
        LEFT JOIN users u ON u.id = m.sender_id
      ORDER BY e.seq`);
  return rows.map((row) => {
    const event = logEventOf(row);
    const { hasReactions, hasLinkPreviews } = row;
    const message = { ...withSender(row), hasReactions, hasLinkPreviews };
    // All other fields of `message` are null if the event has no message, or if it no longer exists.
    const { number } = message as { number: number | null };
    const cursor = cursorAt(databaseId, event);
    return { ...event, isShared: true, cursor, roomKind: row.roomKind, message: number === null ? null : message };
  });
}

/** Returns the room cursor of the position after an event. */
export function cursorAt(
  databaseId: string,
  { chatroomId, seq, number }: { chatroomId: string; seq: number; number: number | null },
): string {
  return encodeRoomCursor(databaseId, { kind: 'room', chatroomId, seq, number: number ?? 0 });
}
