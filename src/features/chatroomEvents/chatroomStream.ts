import { blockStateOf } from '../relationships/blocks.ts';
import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, eventContext, requireViewer } from '../../core/context.ts';
import type { User } from '../../platform/database/generated/client.ts';
import { notFound } from '../../core/errors.ts';
import { decodeRoomCursor } from '../../delivery/cursor.ts';
import { type FollowedEvent, RoomFollower } from '../../delivery/roomFollower.ts';
import { resumePosition, type RoomEvent } from '../../delivery/roomLog.ts';
import {
  toAsyncIterator,
  type MaybePromise,
  andThen,
  forEach,
  type Next,
  pullPast,
  type Source,
  type Stream,
  type SubscriberGroup,
} from '../../delivery/source.ts';
import { userById } from '../users/users.ts';
import { type ChatroomEvent, cursorAt } from './eventPage.ts';

/**
 * Calls `onLost` with `NOT_FOUND` when the viewer's membership ends. Used by streams that do not read the room's log
 * themselves.
 *
 * @param onLost also called with the error if the room's log can no longer be read
 * @returns a function that stops watching
 */
export function watchMembership(context: Context, room: VisibleChatroom, onLost: (error: unknown) => void): () => void {
  const { userId } = requireViewer(context);
  const events = new RoomFollower(context.roomTails, room.id, room.lastSeq);
  forEach<FollowedEvent>(events, (event) => {
    if (endsMembership(event, userId)) throw notFound('chatroom');
  }).catch(onLost);
  return () => {
    events.end();
  };
}

/** Position of a stream in a room: see `resumePosition`. */
interface Position {
  seq: number;
  number: number;
}

interface RoomStreamOptions {
  /** Sends only events of this kind. */
  only?: RoomEvent['kind'];
  /** Sends a CAUGHT_UP event after the last event that was missed. */
  caughtUp?: boolean;
}

/**
 * Streams the events of one room. With `after`, the missed events come first. Without `after`, only new events are
 * sent.
 *
 * Ends with `NOT_FOUND` when the viewer's membership ends. Events that have not been sent by then may be left out.
 *
 * @throws ChatError `NOT_FOUND` if the viewer is not a member; `BAD_USER_INPUT` for a cursor of another kind or room;
 *   `RESYNC_REQUIRED`, before any event is sent, if the stream cannot resume from the cursor
 */
export async function followChatroom(
  context: Context,
  chatroomId: string | null,
  after: string | null | undefined,
  options: RoomStreamOptions = {},
): Promise<Stream<ChatroomEvent>> {
  const room = await requireMembership(context, chatroomId);
  if (after == null)
    return toAsyncIterator(eventsFrom(context, room, positionOf(room), { ...options, caughtUp: false }));
  return toAsyncIterator(await eventsAfter(context, room, after, options));
}

/**
 * Returns the events of a room after a cursor.
 *
 * @throws ChatError as {@link followChatroom}
 */
export async function eventsAfter(
  context: Context,
  room: VisibleChatroom,
  after: string,
  options: RoomStreamOptions = {},
): Promise<Source<ChatroomEvent>> {
  const cursor = decodeRoomCursor(context.databaseId, room.id, after, 'after');
  return eventsFrom(context, room, await resumePosition(context, cursor, room.lastSeq), options);
}

/** Returns the position at the end of a room's log when the room was read. */
export function positionOf({ lastSeq }: VisibleChatroom): Position {
  return { seq: lastSeq, number: 0 };
}

/**
 * Returns the events of a room after a position.
 *
 * @param room the room when the viewer was known to be a member
 */
export function eventsFrom(
  context: Context,
  room: VisibleChatroom,
  start: Position,
  options: RoomStreamOptions = {},
): Source<ChatroomEvent> {
  return new RoomEvents(context, room, start, options);
}

/** The events of one room that the viewer may see. A class, because closures would take 1 KB for each idle stream. */
class RoomEvents implements Source<ChatroomEvent> {
  readonly #context: Context;
  readonly #chatroomId: string;
  readonly #events: RoomFollower;
  readonly #only: RoomStreamOptions['only'];
  /** End of the log when the stream began. Events up to that position count as missed. */
  readonly #missedUpTo: Position;
  /** Number of the last message that the client has received. */
  readonly #receivedNumber: number;
  #position: number;
  #owesCaughtUp: boolean;

  constructor(context: Context, room: VisibleChatroom, start: Position, options: RoomStreamOptions) {
    this.#context = context;
    this.#chatroomId = room.id;
    this.#events = new RoomFollower(context.roomTails, room.id, start.seq);
    this.#only = options.only;
    this.#missedUpTo = { seq: room.lastSeq, number: room.lastNumber };
    this.#receivedNumber = start.number;
    this.#position = start.seq;
    this.#owesCaughtUp = options.caughtUp === true;
  }

  pull(): MaybePromise<Next<ChatroomEvent>> {
    return pullPast(() => this.#pull());
  }

  onReady(listener: () => void, group?: SubscriberGroup | null): void {
    this.#events.onReady(listener, group);
  }

  hasMore(): boolean {
    return this.#owesCaughtUp || this.#events.hasMore();
  }

  lookahead(): readonly RoomEvent[] {
    return this.#events.lookahead().filter((event) => this.#isWanted(event));
  }

  end(): void {
    this.#events.end();
  }

  #isWanted({ kind, number }: RoomEvent): boolean {
    return (
      (this.#only === undefined || kind === this.#only) &&
      !(kind === 'MESSAGE_ADDED' && number !== null && number <= this.#receivedNumber)
    );
  }

  #pull(): MaybePromise<Next<ChatroomEvent> | undefined> {
    if (this.#owesCaughtUp && this.#position >= this.#missedUpTo.seq) {
      this.#owesCaughtUp = false;
      const value = caughtUp(this.#context, this.#chatroomId, { ...this.#missedUpTo, seq: this.#position });
      return { value, done: false };
    }
    return andThen(this.#events.pull(), (pulled) => (!pulled || pulled.done ? pulled : this.#take(pulled.value)));
  }

  #take(event: FollowedEvent): MaybePromise<Next<ChatroomEvent> | undefined> {
    const { userId: viewerId } = requireViewer(this.#context);
    const since = this.#missedUpTo.seq;
    this.#position = event.seq;
    // The viewer was a member at `since`. A MEMBER_LEFT event up to that position therefore does not end the stream: the
    // viewer has joined again since.
    if (event.kind === 'CHATROOM_DELETED' || endsMembership(event, viewerId, since)) throw notFound('chatroom');
    return andThen(this.#isWanted(event) && isVisible(this.#context, event), (visible) => {
      // This node may already have read later events of the log. If they include the viewer's MEMBER_LEFT event, the
      // stream ends now.
      if ((this.#events.leftAt(viewerId) ?? 0) > since) throw notFound('chatroom');
      return visible ? { value: event, done: false } : undefined;
    });
  }
}

/**
 * Returns whether an event ends the viewer's access. True if the room was deleted, or if the viewer left after the
 * position `since`.
 */
export function endsMembership(event: FollowedEvent, viewerId: string, since = 0): boolean {
  if (event.kind === 'CHATROOM_DELETED') return true;
  return event.kind === 'MEMBER_LEFT' && event.userId === viewerId && event.seq > since;
}

/**
 * Returns whether the viewer may see an event now. False if a block hides the event, or if its message no longer
 * exists. Call this only for a member of the room.
 *
 * Called for each subscriber of each event, so the check must be cheap. Blocks are therefore cached in memory.
 */
export function isVisible(
  context: Context,
  { kind, number, message, userId, roomKind }: RoomEvent,
): MaybePromise<boolean> {
  if (number !== null && message === null) return false;
  if (roomKind === 'DIRECT') return true;
  return andThen(isHidden(context, message?.senderId), (senderHidden) => {
    if (senderHidden || kind !== 'REACTIONS_CHANGED') return !senderHidden;
    return andThen(isHidden(context, userId), (reactorHidden) => !reactorHidden);
  });
}

/** Returns whether the viewer has blocked a user; false for null. */
function isHidden(context: Context, ofUser: string | null | undefined): MaybePromise<boolean> {
  if (ofUser == null || context.viewerTracking?.ignoresBlocks) return false;
  return andThen(context.blockCache.of(ofUser), (blockers) =>
    // Reads the viewer only if somebody has blocked the user. An execution that has read the viewer cannot be shared
    // with other subscribers.
    blockers.size > 0 && blockers.has(requireViewer(context).userId) ? isBlocked(context, ofUser) : false,
  );
}

/**
 * Returns whether the viewer has blocked a user. Reads the database, because the cache may still contain a block that
 * was removed within the last second. The stream would then skip an event and never send it.
 */
async function isBlocked(context: Context, user: string): Promise<boolean> {
  return (await blockStateOf(eventContext(context), user))?.viewerHasBlocked !== false;
}

/**
 * Returns the user who caused an event. Null if the user is unknown, has deleted their account, or is blocked by the
 * viewer.
 */
export async function actorOf(context: Context, { actorId }: ChatroomEvent): Promise<User | null> {
  return actorId === null || (await isHidden(context, actorId)) ? null : userById(context, actorId);
}

function caughtUp(context: Context, chatroomId: string, at: { seq: number; number: number }): ChatroomEvent {
  const cursor = cursorAt(context.databaseId, { chatroomId, ...at });
  const event = { chatroomId, seq: at.seq, cursor, message: null, userId: null, actorId: null };
  return { kind: 'CAUGHT_UP', isShared: false, ...event };
}
