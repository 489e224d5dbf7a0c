import { blockStateOf } from '../blocks/blocks.ts';
import { requireMembership, type VisibleChatroom } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import type { Message } from '../database/generated/client.ts';
import { notFound } from '../errors.ts';
import { messageByKey, messageKey } from '../messages/messages.ts';
import { decodeRoomCursor, encodeRoomCursor } from '../realtime/cursor.ts';
import { type Followed, follow } from '../realtime/follow.ts';
import { type LogEvent, resumePosition } from '../realtime/log.ts';

/** Something that happened in a room, as one viewer may know it. */
export interface ChatroomEvent {
  kind: LogEvent['kind'] | 'CAUGHT_UP';
  chatroomId: string;
  /** The place after it. */
  cursor: string;
  /** The message that it is about, as it is now. */
  message: Message | null;
  /** The user that it is about. */
  userId: string | null;
}

/**
 * Calls `onLost` once the viewer has lost a room, for streams that are told of other things than its log.
 *
 * @returns a function that ends it
 */
export function watchMembership(context: Context, room: VisibleChatroom, onLost: (error: unknown) => void): () => void {
  const { userId } = requireViewer(context);
  const events = follow(context.tails, [[room.id, room.lastSeq]]);
  const watch = async () => {
    for await (const event of events) if (isLoss(event, userId)) throw notFound('chatroom');
  };
  watch().catch(onLost);
  return () => void events.return?.();
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
): Promise<AsyncIterableIterator<ChatroomEvent>> {
  const room = await requireMembership(context, chatroomId);
  const { userId: viewerId } = requireViewer(context);
  const start =
    after == null
      ? { seq: room.lastSeq, number: 0 }
      : await resumePosition(
          context.database,
          decodeRoomCursor(context.databaseMark, room.id, after, 'after'),
          room.lastSeq,
        );
  const events = follow(context.tails, [[room.id, start.seq]]);
  // What was in the log when the stream began has been missed; without a cursor nothing has.
  const missedUpTo = { seq: room.lastSeq, number: room.lastNumber };
  let position = start.seq;
  let owesCaughtUp = options.caughtUp === true && after != null;

  async function next(): Promise<IteratorResult<ChatroomEvent, undefined>> {
    for (;;) {
      if (owesCaughtUp && position >= missedUpTo.seq) {
        owesCaughtUp = false;
        return { value: caughtUp(context, room.id, { ...missedUpTo, seq: position }), done: false };
      }
      const { value: event, done } = await events.next();
      if (done) return { value: undefined, done: true };
      position = event.seq;
      // A leaving before the viewer was found to be a member has been undone since.
      if (isLoss(event, viewerId, room.lastSeq)) throw notFound('chatroom');
      const seen = await see(context, event, start.number);
      if (seen && (options.only === undefined || seen.kind === options.only)) return { value: seen, done: false };
    }
  }

  const stream: AsyncIterableIterator<ChatroomEvent> = {
    [Symbol.asyncIterator]: () => stream,
    next,
    async return() {
      await events.return?.();
      return { value: undefined, done: true };
    },
  };
  return stream;
}

/** Whether an event, if it is after `since`, ends what a user may see of its room. */
export function isLoss({ kind, userId, seq }: Followed, viewerId: string, since = 0): boolean {
  return kind === 'CHATROOM_DELETED' || (kind === 'MEMBER_LEFT' && userId === viewerId && seq > since);
}

/** The event as the viewer may see it now, or null: it was known before, or is about what a block hides. */
async function see(context: Context, event: Followed, known: number): Promise<ChatroomEvent | null> {
  const { kind, chatroomId, number, seq, userId } = event;
  if (kind === 'CHATROOM_DELETED') return null;
  if (kind === 'MESSAGE_ADDED' && number !== null && number <= known) return null;
  if (kind === 'REACTIONS_CHANGED' && userId !== null && (await isHidden(context, userId, chatroomId))) return null;
  const message = number === null ? null : await messageByKey(freshContext(context), messageKey(chatroomId, number));
  if (number !== null && message === null) {
    // Either a block hides it, or the viewer is no member any more.
    await requireMembership(freshContext(context), chatroomId);
    return null;
  }
  const cursor = encodeRoomCursor(context.databaseMark, { kind: 'room', chatroomId, number: number ?? 0, seq });
  return { kind, chatroomId, cursor, message, userId };
}

/** Whether a block hides from the viewer what somebody does in a room. */
async function isHidden(context: Context, userId: string, chatroomId: string): Promise<boolean> {
  const now = freshContext(context);
  const block = await blockStateOf(now, userId);
  return (block?.viewerHasBlocked ?? false) && (await requireMembership(now, chatroomId)).kind !== 'DIRECT';
}

function caughtUp(context: Context, chatroomId: string, at: { seq: number; number: number }): ChatroomEvent {
  const cursor = encodeRoomCursor(context.databaseMark, { kind: 'room', chatroomId, ...at });
  return { kind: 'CAUGHT_UP', chatroomId, cursor, message: null, userId: null };
}
