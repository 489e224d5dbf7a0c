import type { Context } from '../context.ts';
import { columnsOf, rowOf, sql } from '../database/database.ts';
import { columnsWithSender, findMessages, type MessageWithSender, withSender } from '../messages/messages.ts';
import { encodeRoomCursor } from '../realtime/cursor.ts';
import type { Followed } from '../realtime/follow.ts';
import { eventFields, type LogEvent, pageAfter, readEvents } from '../realtime/log.ts';
import type { MaybePromise } from '../realtime/pull.ts';

/** Something that happened in a room, as one viewer may know it. */
export interface ChatroomEvent {
  kind: LogEvent['kind'] | 'CAUGHT_UP';
  chatroomId: string;
  /** The place after it, in its room or among all rooms. */
  cursor: string;
  /** The message that it is about, as it is now. */
  message: MessageWithSender | null;
  /** The user that it is about. */
  userId: string | null;
  /** The user who caused it. Null for the operator, and for events of earlier releases. */
  actorId: string | null;
  /** The same for all who are handed the event; null for what one subscriber alone is told. */
  origin: object | null;
  /** In a stream over all rooms, which goes on without a room that is lost: whether the viewer has lost this one. */
  isLost?: (context: Context) => Promise<boolean>;
}

/** What is shared of an event of the log: as members see it. */
const SEEN = 'seen';

/** What events are loaded from. */
type Loading = Pick<Context, 'database' | 'databaseMark' | 'sharing'>;

const eventColumns = columnsOf('e', eventFields, 'event.');

/**
 * Reads a room's log as `readEvents` does, and with it what members will see: whoever follows the room then finds it there,
 * and need not wait.
 *
 * With one statement: little of what a message costs in a lively room is more than to ask the database once again.
 */
export async function readSeen(node: Loading, chatroomId: string, seq: number): Promise<LogEvent[]> {
  const { database, sharing } = node;
  if (!sharing.isOn) return readEvents(database, chatroomId, seq);
  const rows = await database.prepared(sql`
    SELECT ${eventColumns}, ${columnsWithSender} FROM ${pageAfter(chatroomId, seq)} e
        LEFT JOIN messages m ON m.chatroom_id = e.chatroom_id AND m.number = e.number
        LEFT JOIN users u ON u.id = m.sender_id
      ORDER BY e.seq`);
  const events = rows.map((row) => rowOf<LogEvent>(row, eventFields, 'event.'));
  const messages = new Map(rows.map(withSender).map((message) => [message.number, message]));
  await Promise.all(events.map((event) => share(node, event, messages)));
  return events;
}

/** What members see of an event, null for nothing. It is loaded once for all who are handed it. */
export function loadSeen(
  node: Loading,
  event: Followed,
  upcoming: () => readonly LogEvent[] = () => [],
): MaybePromise<ChatroomEvent | null> {
  return node.sharing.once(event, SEEN, async () => {
    // Along with it what follows: who comes back when it has been forgotten does not ask for each message.
    const next = node.sharing.isOn ? upcoming() : [];
    const numbers = [event, ...next].flatMap(({ number }) => number ?? []);
    const messages = findMessages(node.database, event.chatroomId, numbers);
    for (const each of next) share(node, each, messages);
    return seenOf(node, event, await messages);
  });
}

/** What has been loaded already of what members see of an event. */
export function knownSeen({ sharing }: Loading, event: LogEvent): ChatroomEvent | null {
  return (sharing.known(event, SEEN) ?? null) as ChatroomEvent | null;
}

type Messages = ReadonlyMap<number, MessageWithSender>;

function share(node: Loading, event: LogEvent, messages: MaybePromise<Messages>): MaybePromise<unknown> {
  return node.sharing.once(event, SEEN, async () => seenOf(node, event, await messages));
}

/** Null where its message or its room is no more. */
function seenOf(node: Loading, event: Followed, messages: Messages): ChatroomEvent | null {
  const { kind, chatroomId, number, seq, userId, actorId } = event;
  if (kind === 'CHATROOM_DELETED') return null;
  const message = number === null ? null : (messages.get(number) ?? null);
  if (number !== null && message === null) return null;
  const cursor = cursorAt(node, chatroomId, { seq, number: number ?? 0 });
  return { kind, chatroomId, cursor, message, userId, actorId, origin: event };
}

/** The cursor of what comes after an event. */
export function cursorAt(
  { databaseMark }: Pick<Context, 'databaseMark'>,
  chatroomId: string,
  at: { seq: number; number: number },
): string {
  return encodeRoomCursor(databaseMark, { kind: 'room', chatroomId, ...at });
}
