import { chatroomById } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { Chatroom } from '../database/generated/client.ts';
import { decodeAllRoomsCursor, encodeAllRoomsCursor } from '../realtime/cursor.ts';
import { type Followed, follow } from '../realtime/follow.ts';
import { asStream, type MaybePromise, proceed, type Pulled, skip, type Stream } from '../realtime/pull.ts';
import { createReach, type Reach } from '../realtime/reach.ts';
import type { Join, Swept } from '../realtime/sweep.ts';
import { isLoss, see } from './events.ts';
import type { ChatroomEvent } from './loading.ts';
import { findPlaces, findPlacesSince, findSteps } from './places.ts';

/** Something that happened in one of the viewer's rooms, and where the stream over all of them then stands. */
export interface AnywhereEvent {
  event: Followed;
  cursor: string;
  /** Whether the viewer has left its room by now, however far the stream has come. */
  isLost: () => boolean;
}

/**
 * Follows all rooms of the viewer, those too that they join later; without those that they lose.
 *
 * Its cursor is a snapshot of the database, all of whose events have been handed on. It moves on when the stream has
 * reached everything that a sweep has found, and so about once a second, and by steps through what was missed: what came
 * since is repeated after a resume, and nothing is lost.
 *
 * @throws ChatError `BAD_USER_INPUT` for a cursor of another kind; `RESYNC_REQUIRED` for one that cannot be honoured any
 *   more, before anything is sent
 */
export async function followAllRooms(
  context: Context,
  after: string | null | undefined,
): Promise<Stream<AnywhereEvent>> {
  const { userId } = requireViewer(context);
  const { sweep, databaseMark } = context;
  const since = after == null ? null : decodeAllRoomsCursor(databaseMark, after, 'after');
  const events = follow(context);
  /** Rooms of which it is not known whether the viewer is a member again. */
  const asked = new Set<string>();
  /** Where the viewer has lost a room: what a sweep tells of a joining before that, the stream has come past. */
  const lost = new Map<string, number>();
  let started = false;
  const isDue = (chatroomId: string, seq: number) =>
    !started || asked.has(chatroomId) || (events.position(chatroomId) ?? seq) < seq;

  // Before the rooms are looked up, so that who joins one meanwhile is heard of, and what is told of them counts.
  const early: Swept[] = [];
  const stopListening = sweep.listen((swept) => {
    if (reach) take(swept, reach);
    else early.push(swept);
  });
  let reach: Reach | null = null;
  function take({ snapshot, rooms, joins }: Swept, reach: Reach): void {
    for (const [chatroomId, seq] of firstJoins(joins.get(userId) ?? [], lost)) events.add(chatroomId, seq - 1);
    reach.owe(snapshot, [...changedAmong(rooms, events.rooms), ...changedAmong(rooms, asked)]);
  }

  try {
    const places = since === null ? await findPlaces(context) : await findPlacesSince(context, since);
    reach = createReach(since ?? places.snapshot, isDue, await findSteps(context.database, places));
    reach.owe(
      places.snapshot,
      places.rooms.map(({ chatroomId, lastSeq }) => [chatroomId, lastSeq]),
    );
    for (const { chatroomId, seq } of places.rooms) events.add(chatroomId, seq);
    for (const swept of early) take(swept, reach);
    started = true;
    reach.settle();
  } catch (error) {
    stopListening();
    events.end();
    throw error;
  }
  const { snapshot: reached, settle } = reach;

  // It changes once a second, and each event carries it.
  let latest = { snapshot: '', cursor: '' };
  function cursorOf(snapshot: string): string {
    if (latest.snapshot !== snapshot) latest = { snapshot, cursor: encodeAllRoomsCursor(databaseMark, snapshot) };
    return latest.cursor;
  }

  function pull(): MaybePromise<Pulled<AnywhereEvent>> {
    return proceed(events.pull(), (pulled) => {
      if (!pulled || pulled.done) return pulled;
      const event = pulled.value;
      const { chatroomId, seq } = event;
      // It says what was reached before this event, which may yet get lost on its way.
      const cursor = cursorOf(reached());
      return proceed(isLoss(event, userId) ? lose(event) : undefined, () => {
        settle(chatroomId);
        const isLost = () => (events.leftAt(chatroomId, userId) ?? 0) > seq;
        return { value: { event, cursor, isLost }, done: false };
      });
    });
  }

  async function lose({ chatroomId, seq }: Followed): Promise<void> {
    events.drop(chatroomId);
    lost.set(chatroomId, seq);
    // Who was taken in again meanwhile goes on; a sweep may have said so while the room was still followed.
    asked.add(chatroomId);
    if (await isMemberNow(context, chatroomId, userId)) events.add(chatroomId, seq);
    asked.delete(chatroomId);
  }

  function end(): void {
    stopListening();
    events.end();
  }

  return asStream({ pull, onReady: events.onReady, end });
}

/**
 * The first joining of each room after the viewer lost it. Not the last one: a user who left and came back in between was a
 * member of what lies before.
 */
function firstJoins(joins: readonly Join[], lost: ReadonlyMap<string, number>): Map<string, number> {
  const first = new Map<string, number>();
  for (const { chatroomId, seq } of joins) {
    if (seq > (lost.get(chatroomId) ?? 0)) first.set(chatroomId, Math.min(seq, first.get(chatroomId) ?? seq));
  }
  return first;
}

/**
 * What has changed among some rooms. Each all-rooms stream asks once a second, so the smaller side is walked: a user's rooms
 * are few where the changed rooms of the whole server are many.
 */
export function* changedAmong(
  changed: ReadonlyMap<string, number>,
  rooms: Pick<ReadonlySet<string>, 'size' | 'has' | 'keys'>,
): Generator<readonly [chatroomId: string, seq: number]> {
  const smaller = rooms.size < changed.size ? rooms : changed;
  for (const chatroomId of smaller.keys()) {
    const seq = changed.get(chatroomId);
    if (seq !== undefined && rooms.has(chatroomId)) yield [chatroomId, seq];
  }
}

/** The messages of all the viewer's rooms, as they may see them. */
export async function followAllMessages(
  context: Context,
  after: string | null | undefined,
): Promise<Stream<ChatroomEvent>> {
  const events = await followAllRooms(context, after);
  const kinds = new Map<string, Pick<Chatroom, 'kind'>>();

  function kindOf(chatroomId: string): MaybePromise<Pick<Chatroom, 'kind'> | null> {
    return kinds.get(chatroomId) ?? findKind(chatroomId);
  }

  async function findKind(chatroomId: string): Promise<Pick<Chatroom, 'kind'> | null> {
    const known = await chatroomById(freshContext(context), chatroomId);
    // It never changes.
    if (known) kinds.set(chatroomId, known);
    return known;
  }

  function pull(): MaybePromise<Pulled<ChatroomEvent> | undefined> {
    return proceed(events.pull(), (pulled) => {
      if (!pulled || pulled.done) return pulled;
      const { event, cursor, isLost } = pulled.value;
      if (event.kind !== 'MESSAGE_ADDED') return undefined;
      return proceed(kindOf(event.chatroomId), (room) =>
        proceed(room && see(context, event, room), (seen) =>
          seen && !isLost() ? { value: placeAt(seen, cursor), done: false } : undefined,
        ),
      );
    });
  }

  return asStream({ pull: () => skip(pull), onReady: events.onReady, end: events.end });
}

/** For what was seen of an event, the same in a stream over all rooms: one object for all who have come equally far. */
const placed = new WeakMap<ChatroomEvent, ChatroomEvent>();

function placeAt(seen: ChatroomEvent, cursor: string): ChatroomEvent {
  const known = placed.get(seen);
  if (known?.cursor === cursor) return known;
  const { kind, chatroomId, message, userId, actorId, origin } = seen;
  const isLost = async (context: Context) => !(await isMemberNow(context, chatroomId, requireViewer(context).userId));
  const event = { kind, chatroomId, cursor, message, userId, actorId, origin, isLost };
  placed.set(seen, event);
  return event;
}

async function isMemberNow(context: Context, chatroomId: string, userId: string): Promise<boolean> {
  const found = await context.database.query(sql`
    SELECT FROM members WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid`);
  return found.length > 0;
}
