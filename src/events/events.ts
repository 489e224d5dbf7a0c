import { blockStateOf } from '../blocks/blocks.ts';
import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import type { Chatroom, Message } from '../database/generated/client.ts';
import { notFound } from '../errors.ts';
import { findMessages } from '../messages/messages.ts';
import { decodeRoomCursor, encodeRoomCursor } from '../realtime/cursor.ts';
import { type Followed, followRoom } from '../realtime/follow.ts';
import { type LogEvent, resumePosition } from '../realtime/log.ts';
import { asStream, type MaybePromise, proceed, type Pulled, skip, type Stream } from '../realtime/pull.ts';

/** Something that happened in a room, as one viewer may know it. */
export interface ChatroomEvent {
  kind: LogEvent['kind'] | 'CAUGHT_UP';
  chatroomId: string;
  /** The place after it, in its room or among all rooms. */
  cursor: string;
  /** The message that it is about, as it is now. */
  message: Message | null;
  /** The user that it is about. */
  userId: string | null;
  /** The same for all who are handed the event; null for what one subscriber alone is told. */
  origin: object | null;
  /** In a stream over all rooms, which goes on without a room that is lost: whether the viewer has lost this one. */
  isLost?: (context: Context) => Promise<boolean>;
}

/**
 * Calls `onLost` once the viewer has lost a room, for streams that are told of other things than its log.
 *
 * @returns a function that ends it
 */
export function watchMembership(context: Context, room: VisibleChatroom, onLost: (error: unknown) => void): () => void {
  const { userId } = requireViewer(context);
  const events = asStream(followRoom(context, room.id, room.lastSeq));
  const watch = async () => {
    for await (const event of events) if (isLoss(event, userId)) throw notFound('chatroom');
  };
  watch().catch(onLost);
  return () => {
    events.end();
  };
}

/**
 * Follows one room: after `after` first what was missed, without it only what comes.
 *
 * Ends with `NOT_FOUND` when the viewer loses the room: their own leaving stands in the log, in its place.
 *
 * @param options.only nothing but events of this kind
 * @param options.caughtUp says when all that had been missed has been sent
 * @throws ChatError `NOT_FOUND` for who is no member; `BAD_USER_INPUT` for a cursor of another kind or room;
 *   `RESYNC_REQUIRED` for one that cannot be honoured any more, before anything is sent
 */
export async function followChatroom(
  context: Context,
  chatroomId: string | null,
  after: string | null | undefined,
  options: { only?: LogEvent['kind']; caughtUp?: boolean } = {},
): Promise<Stream<ChatroomEvent>> {
  const { id, kind, lastSeq, lastNumber } = await requireMembership(context, chatroomId);
  const room = { kind };
  const { userId: viewerId } = requireViewer(context);
  const start =
    after == null
      ? { seq: lastSeq, number: 0 }
      : await resumePosition(context.database, decodeRoomCursor(context.databaseMark, id, after, 'after'), lastSeq);
  const events = followRoom(context, id, start.seq);
  // What was in the log when the stream began has been missed; without a cursor nothing has.
  const missedUpTo = { seq: lastSeq, number: lastNumber };
  const isWanted = ({ kind }: Followed) => options.only === undefined || kind === options.only;
  let position = start.seq;
  let owesCaughtUp = options.caughtUp === true && after != null;

  function pull(): MaybePromise<Pulled<ChatroomEvent> | undefined> {
    if (owesCaughtUp && position >= missedUpTo.seq) {
      owesCaughtUp = false;
      return { value: caughtUp(context, id, { ...missedUpTo, seq: position }), done: false };
    }
    return proceed(events.pull(), (pulled) => {
      if (!pulled || pulled.done) return pulled;
      const event = pulled.value;
      position = event.seq;
      // A leaving before the viewer was found to be a member has been undone since.
      if (isLoss(event, viewerId, lastSeq)) throw notFound('chatroom');
      const isKnown = event.kind === 'MESSAGE_ADDED' && event.number !== null && event.number <= start.number;
      return proceed(isWanted(event) && !isKnown ? see(context, event, room, events.upcoming) : null, (seen) => {
        // The log may have been read further than this stream has come: who has left by now gets nothing more.
        if ((events.leftAt(viewerId) ?? 0) > lastSeq) throw notFound('chatroom');
        return seen ? { value: seen, done: false } : undefined;
      });
    });
  }

  /** As far as `prepareEvents` has loaded it. */
  function upcoming(): ChatroomEvent[] {
    return events.upcoming().flatMap((event) => {
      const seen = isWanted(event) ? context.sharing.known(event, SEEN) : null;
      return (seen as ChatroomEvent | null | undefined) ?? [];
    });
  }

  const hasMore = () => owesCaughtUp || events.hasMore();
  return asStream({ pull: () => skip(pull), onReady: events.onReady, hasMore, upcoming, end: events.end });
}

/** Whether an event, if it is after `since`, ends what a user may see of its room. */
export function isLoss({ kind, userId, seq }: Followed, viewerId: string, since = 0): boolean {
  return kind === 'CHATROOM_DELETED' || (kind === 'MEMBER_LEFT' && userId === viewerId && seq > since);
}

/**
 * The event as the viewer may see it now, or null where a block hides it. They are a member: the stream of who is not ends.
 *
 * It is made once for all who are handed it, and the blocks are in memory: this is done for each subscriber.
 */
export function see(
  context: Context,
  event: Followed,
  room: Pick<Chatroom, 'kind'>,
  upcoming?: () => readonly LogEvent[],
): MaybePromise<ChatroomEvent | null> {
  return proceed(
    context.sharing.once(event, SEEN, () => load(context, event, upcoming)),
    (seen) => {
      if (seen === null || room.kind === 'DIRECT') return seen;
      return proceed(isHidden(context, seen.message?.senderId), (hidden) => {
        if (hidden || seen.kind !== 'REACTIONS_CHANGED') return hidden ? null : seen;
        return proceed(isHidden(context, seen.userId), (byWhom) => (byWhom ? null : seen));
      });
    },
  );
}

/** What is shared of an event of the log: as members see it. */
const SEEN = 'seen';

/** What events are loaded from. */
type Loading = Pick<Context, 'database' | 'databaseMark' | 'sharing'>;

/**
 * Loads what members will see of events of one room, with one statement for all and before anybody is told of them: whoever
 * follows the room then finds it there, and need not wait.
 */
export async function prepareEvents(node: Loading, events: readonly LogEvent[]): Promise<void> {
  if (node.sharing.isOn) await Promise.all(share(node, events, messagesOf(node, events)));
}

/** What follows is loaded along with it: who comes back when it has been forgotten does not ask for each message. */
async function load(
  node: Loading,
  event: Followed,
  upcoming?: () => readonly LogEvent[],
): Promise<ChatroomEvent | null> {
  const next = node.sharing.isOn ? (upcoming?.() ?? []) : [];
  const messages = messagesOf(node, [event, ...next]);
  share(node, next, messages);
  return seenOf(node, event, await messages);
}

type Messages = Promise<ReadonlyMap<number, Message>>;

function share(node: Loading, events: readonly LogEvent[], messages: Messages): MaybePromise<unknown>[] {
  return events.map((event) => node.sharing.once(event, SEEN, async () => seenOf(node, event, await messages)));
}

async function messagesOf({ database }: Loading, events: readonly Followed[]): Messages {
  const [first] = events;
  const numbers = events.flatMap(({ number }) => number ?? []);
  return first ? findMessages(database, first.chatroomId, numbers) : new Map<number, Message>();
}

/** Null for what a member sees nothing of: its message or its room is no more. */
function seenOf(node: Loading, event: Followed, messages: ReadonlyMap<number, Message>): ChatroomEvent | null {
  const { kind, chatroomId, number, seq, userId } = event;
  if (kind === 'CHATROOM_DELETED') return null;
  const message = number === null ? null : (messages.get(number) ?? null);
  if (number !== null && message === null) return null;
  const cursor = cursorAt(node, chatroomId, { seq, number: number ?? 0 });
  return { kind, chatroomId, cursor, message, userId, origin: event };
}

/** Whether the viewer has blocked whoever it is of. */
function isHidden(context: Context, ofUser: string | null | undefined): MaybePromise<boolean> {
  if (ofUser == null) return false;
  return proceed(context.blockers.of(ofUser), (blockers) =>
    blockers.has(requireViewer(context).userId) ? isBlocked(context, ofUser) : false,
  );
}

/** What is in memory may be a second old. Shown a second too long is nothing; hidden wrongly would be lost for good. */
async function isBlocked(context: Context, user: string): Promise<boolean> {
  return (await blockStateOf(freshContext(context), user))?.viewerHasBlocked !== false;
}

function cursorAt(
  { databaseMark }: Pick<Context, 'databaseMark'>,
  chatroomId: string,
  at: { seq: number; number: number },
): string {
  return encodeRoomCursor(databaseMark, { kind: 'room', chatroomId, ...at });
}

function caughtUp(context: Context, chatroomId: string, at: { seq: number; number: number }): ChatroomEvent {
  const cursor = cursorAt(context, chatroomId, at);
  return { kind: 'CAUGHT_UP', chatroomId, cursor, message: null, userId: null, origin: null };
}
