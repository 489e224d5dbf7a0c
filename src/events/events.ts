import { blockStateOf } from '../blocks/blocks.ts';
import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import type { Chatroom, User } from '../database/generated/client.ts';
import { notFound } from '../errors.ts';
import { decodeRoomCursor } from '../realtime/cursor.ts';
import { type Followed, followRoom } from '../realtime/follow.ts';
import { type LogEvent, resumePosition } from '../realtime/log.ts';
import { asStream, type MaybePromise, proceed, type Pulled, skip, type Stream } from '../realtime/pull.ts';
import { userById } from '../users/users.ts';
import { type ChatroomEvent, cursorAt, knownSeen, loadSeen } from './loading.ts';

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
      : await resumePosition(context, decodeRoomCursor(context.databaseMark, id, after, 'after'), lastSeq);
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

  /** As far as it has been loaded. */
  function upcoming(): ChatroomEvent[] {
    return events.upcoming().flatMap((event) => (isWanted(event) && knownSeen(context, event)) || []);
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
  return proceed(loadSeen(context, event, upcoming), (seen) => {
    if (seen === null || room.kind === 'DIRECT') return seen;
    return proceed(isHidden(context, seen.message?.senderId), (hidden) => {
      if (hidden || seen.kind !== 'REACTIONS_CHANGED') return hidden ? null : seen;
      return proceed(isHidden(context, seen.userId), (byWhom) => (byWhom ? null : seen));
    });
  });
}

/** Whether the viewer has blocked whoever it is of. */
function isHidden(context: Context, ofUser: string | null | undefined): MaybePromise<boolean> {
  if (ofUser == null) return false;
  return proceed(context.blockers.of(ofUser), (blockers) =>
    // Without reading the viewer if nobody has blocked the user: the execution stays shared.
    blockers.size > 0 && blockers.has(requireViewer(context).userId) ? isBlocked(context, ofUser) : false,
  );
}

/** What is in memory may be a second old. Shown a second too long is nothing; hidden wrongly would be lost for good. */
async function isBlocked(context: Context, user: string): Promise<boolean> {
  return (await blockStateOf(freshContext(context), user))?.viewerHasBlocked !== false;
}

/** The user who caused an event. Null if unknown, if the account is gone, and if the viewer has blocked the user. */
export async function actorOf(context: Context, { actorId }: ChatroomEvent): Promise<User | null> {
  return actorId === null || (await isHidden(context, actorId)) ? null : userById(context, actorId);
}

function caughtUp(context: Context, chatroomId: string, at: { seq: number; number: number }): ChatroomEvent {
  const cursor = cursorAt(context, chatroomId, at);
  return { kind: 'CAUGHT_UP', chatroomId, cursor, message: null, userId: null, actorId: null, origin: null };
}
