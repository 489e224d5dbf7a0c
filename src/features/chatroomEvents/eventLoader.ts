import type { Context } from '../../core/context.ts';
import { columnsOf, rowOf, sql } from '../../platform/database/database.ts';
import { columnsWithSender, findMessages, type MessageWithSender, withSender } from '../messages/messages.ts';
import { encodeRoomCursor } from '../../delivery/cursor.ts';
import type { FollowedEvent } from '../../delivery/roomFollower.ts';
import { eventFields, type LogEvent, pageAfter, readEvents } from '../../delivery/roomLog.ts';
import type { MaybePromise } from '../../delivery/source.ts';

/** An event of a room, in the form in which the members of the room receive it. */
export interface ChatroomEvent {
  kind: LogEvent['kind'] | 'CAUGHT_UP';
  chatroomId: string;
  /** Cursor to resume from after the event: a room cursor, or an all-rooms cursor in a stream over all rooms. */
  cursor: string;
  /** The message that the event is about, in its current state. */
  message: MessageWithSender | null;
  /** The user that the event is about, such as the member who joined. */
  userId: string | null;
  /** The user who caused the event. Null for the operator, and for events stored by earlier releases. */
  actorId: string | null;
  /** Identifies the event across its subscribers. Null for an event that is made for one subscriber only. */
  origin: object | null;
  /** Returns whether the viewer has lost the room. Set in streams over all rooms, which continue without lost rooms. */
  isNoLongerMember?: (context: Context) => Promise<boolean>;
}

/** Key of a `ChatroomEvent` in the event cache. */
const SEEN = 'seen';

/** Parts of the context that loading an event requires. */
type Loading = Pick<Context, 'database' | 'databaseId' | 'eventCache'>;

const eventColumns = columnsOf('e', eventFields, 'event.');

/**
 * Reads a page of a room's log like `readEvents`, and caches a `ChatroomEvent` for each event. Followers of the room
 * then find these in the cache and need not wait.
 *
 * Uses one statement, because a second query would be one of the largest costs of a message in a busy room.
 */
export async function readEventPage(node: Loading, chatroomId: string, seq: number): Promise<LogEvent[]> {
  const { database, eventCache } = node;
  if (!eventCache.isEnabled) return readEvents(database, chatroomId, seq);
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

/**
 * Returns an event as the members of its room receive it, or null if nobody receives it. Each event is loaded once for
 * all subscribers.
 */
export function loadEvent(
  node: Loading,
  event: FollowedEvent,
  lookahead: () => readonly LogEvent[] = () => [],
): MaybePromise<ChatroomEvent | null> {
  return node.eventCache.load(event, SEEN, async () => {
    // Also loads the events that follow. Otherwise a subscriber that resumes from an old cursor, whose events are no
    // longer cached, would load each message with a query of its own.
    const next = node.eventCache.isEnabled ? lookahead() : [];
    const numbers = [event, ...next].flatMap(({ number }) => number ?? []);
    const messages = findMessages(node.database, event.chatroomId, numbers);
    for (const each of next) share(node, each, messages);
    return toChatroomEvent(node, event, await messages);
  });
}

/** Returns an event as the members of its room receive it, if that form is already cached; null otherwise. */
export function peekEvent({ eventCache }: Loading, event: LogEvent): ChatroomEvent | null {
  return (eventCache.peek(event, SEEN) ?? null) as ChatroomEvent | null;
}

type Messages = ReadonlyMap<number, MessageWithSender>;

function share(node: Loading, event: LogEvent, messages: MaybePromise<Messages>): MaybePromise<unknown> {
  return node.eventCache.load(event, SEEN, async () => toChatroomEvent(node, event, await messages));
}

/** Converts an event of the log. Returns null if the message or the room no longer exists. */
function toChatroomEvent(node: Loading, event: FollowedEvent, messages: Messages): ChatroomEvent | null {
  const { kind, chatroomId, number, seq, userId, actorId } = event;
  if (kind === 'CHATROOM_DELETED') return null;
  const message = number === null ? null : (messages.get(number) ?? null);
  if (number !== null && message === null) return null;
  const cursor = cursorAt(node, chatroomId, { seq, number: number ?? 0 });
  return { kind, chatroomId, cursor, message, userId, actorId, origin: event };
}

/** Returns the room cursor of the position after an event. */
export function cursorAt(
  { databaseId }: Pick<Context, 'databaseId'>,
  chatroomId: string,
  at: { seq: number; number: number },
): string {
  return encodeRoomCursor(databaseId, { kind: 'room', chatroomId, ...at });
}
