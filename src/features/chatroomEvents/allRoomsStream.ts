import { type Context, requireViewer } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import { decodeAllRoomsCursor, encodeAllRoomsCursor } from '../../delivery/cursor.ts';
import type { FollowedEvent } from '../../delivery/roomFollower.ts';
import { RoomsFollower } from '../../delivery/roomsFollower.ts';
import type { RoomEvent } from '../../delivery/roomLog.ts';
import {
  toAsyncIterator,
  type MaybePromise,
  andThen,
  type Next,
  pullPast,
  type Stream,
} from '../../delivery/source.ts';
import { createSnapshotProgress, type SnapshotProgress } from '../../delivery/snapshotProgress.ts';
import type { Join, ChangeSet } from '../../delivery/changePoller.ts';
import { endsMembership, isVisible } from './chatroomStream.ts';
import type { ChatroomEvent } from './eventPage.ts';
import {
  type Checkpoint,
  findCheckpoints,
  findPositions,
  findPositionsSince,
  type RoomPositions,
} from '../../delivery/resumePositions.ts';

/** An event in one of the viewer's rooms, with the all-rooms cursor to resume from. */
export interface AllRoomsEvent {
  event: FollowedEvent;
  /**
   * Covers the events before this event, but not the event itself. If the connection is lost before the event reaches
   * the client, a resume sends the event again.
   */
  cursor: string;
  /**
   * Returns whether the viewer has left the room after this event, even if the stream has not yet reached the
   * MEMBER_LEFT event.
   */
  isLost: () => boolean;
}

/** The events of all the viewer's rooms. */
export interface AllRoomsStream extends Stream<AllRoomsEvent> {
  /** Snapshot in which the viewer's rooms were read when the stream began. */
  readonly snapshot: string;
  /** Returns the next events that are already in memory, and the current cursor. */
  eventsAhead: () => { events: readonly RoomEvent[]; cursor: string };
  /** Returns whether the viewer is a member of a room, as far as this node has read the room's log. */
  isMemberOf: (chatroomId: string) => boolean;
}

/** A stream over all rooms that already notes changes, but has no position yet. */
export interface OpenedRooms {
  /**
   * Returns the events after a position. Call it once.
   *
   * @param positions the viewer's rooms, read after the call of {@link openAllRooms}
   * @param reached snapshot whose events the client has received; by default, that of `positions`
   */
  follow(positions: RoomPositions, reached?: string, checkpoints?: Checkpoint[]): AllRoomsStream;
  end(): void;
}

/**
 * Streams the events of all the viewer's rooms. Adds rooms that the viewer joins, and drops rooms when the viewer's
 * membership ends.
 *
 * The cursor is a snapshot of the database. Every event that is visible in the snapshot has been delivered. A poll
 * looks for new events about once a second. The cursor advances when the stream has delivered all events that a poll
 * found. If the client has missed many events, the cursor also advances at checkpoints between them. The next resume
 * repeats the events since the last advance, and loses none.
 *
 * @throws ChatError `BAD_USER_INPUT` for a cursor of another kind; `RESYNC_REQUIRED`, before any event is sent, if the
 *   stream cannot resume from the cursor
 */
export async function followAllRooms(context: Context, after: string | null | undefined): Promise<AllRoomsStream> {
  const since = after == null ? null : decodeAllRoomsCursor(context.databaseId, after, 'after');
  const rooms = openAllRooms(context);
  try {
    const positions = since === null ? await findPositions(context) : await findPositionsSince(context, since);
    return rooms.follow(positions, since ?? undefined, await findCheckpoints(context.database, positions));
  } catch (error) {
    rooms.end();
    throw error;
  }
}

/** Opens a stream as {@link followAllRooms}, for a caller that reads the positions. */
export function openAllRooms(context: Context): OpenedRooms {
  const { userId } = requireViewer(context);
  const { changePoller, databaseId } = context;
  const events = new RoomsFollower(context.roomTails);
  /**
   * Rooms that the viewer has left. A query is checking whether the viewer has joined these rooms again. The cursor
   * does not advance until that query has ended.
   */
  const asked = new Set<string>();
  /**
   * Sequence number of the event that ended the viewer's membership, by room. Joins before that event are ignored,
   * because the stream has already passed them.
   */
  const lost = new Map<string, number>();
  let started = false;
  const isDue = (chatroomId: string, seq: number) =>
    !started || asked.has(chatroomId) || (events.position(chatroomId) ?? seq) < seq;

  // Listens before the rooms are read. Changes that arrive during the read are stored in `early` and applied
  // afterwards.
  const early: ChangeSet[] = [];
  const stopListening = changePoller.listen((changes) => {
    if (progress) apply(changes, progress);
    else early.push(changes);
  });
  let progress: SnapshotProgress | null = null;
  function apply({ snapshot, rooms, joins, ended }: ChangeSet, progress: SnapshotProgress): void {
    for (const [chatroomId, seq] of firstJoins(joins.get(userId) ?? [], lost)) events.add(chatroomId, seq - 1);
    progress.require(snapshot, [
      ...changedAmong(rooms, events.rooms),
      ...changedAmong(rooms, asked),
      // The deletion of a room has no `seq`. It is delivered after all events of the room, which is then dropped.
      ...ended.filter((id) => events.rooms.has(id)).map((id) => [id, Infinity] as const),
    ]);
  }

  function follow(positions: RoomPositions, reached = positions.snapshot, checkpoints: Checkpoint[] = []) {
    progress = createSnapshotProgress(reached, isDue, checkpoints);
    progress.require(
      positions.snapshot,
      positions.rooms.map(({ chatroomId, lastSeq }) => [chatroomId, lastSeq]),
    );
    for (const { chatroomId, seq } of positions.rooms) events.add(chatroomId, seq);
    for (const changes of early.splice(0)) apply(changes, progress);
    started = true;
    progress.advance();
    return streamOf(progress, positions.snapshot);
  }

  // Caches the encoded cursor. Every event carries a cursor, but the snapshot changes only about once a second.
  let latest = { snapshot: '', cursor: '' };
  function cursorOf(snapshot: string): string {
    if (latest.snapshot !== snapshot) latest = { snapshot, cursor: encodeAllRoomsCursor(databaseId, snapshot) };
    return latest.cursor;
  }

  function streamOf({ snapshot: reached, advance }: SnapshotProgress, snapshot: string): AllRoomsStream {
    function pull(): MaybePromise<Next<AllRoomsEvent>> {
      return andThen(events.pull(), (pulled) => {
        if (!pulled || pulled.done) return pulled;
        const event = pulled.value;
        const { chatroomId, seq } = event;
        // Reads the cursor before `advance`, because the cursor must not cover this event. If the connection breaks
        // before the event reaches the client, a resume from the cursor sends the event again.
        const cursor = cursorOf(reached());
        return andThen(endsMembership(event, userId) ? lose(event) : undefined, () => {
          advance(chatroomId);
          const isLost = () => (events.leftAt(chatroomId, userId) ?? 0) > seq;
          return { value: { event, cursor, isLost }, done: false };
        });
      });
    }

    const stream = toAsyncIterator<AllRoomsEvent>({
      pull,
      onReady(listener, group) {
        events.onReady(listener, group);
      },
      end,
    });
    const isMemberOf = (chatroomId: string) =>
      (events.leftAt(chatroomId, userId) ?? 0) <= (events.position(chatroomId) ?? -1);
    const eventsAhead = () => ({ events: events.lookahead(), cursor: cursorOf(reached()) });
    return Object.assign(stream, { snapshot, eventsAhead, isMemberOf });
  }

  async function lose({ chatroomId, seq }: FollowedEvent): Promise<void> {
    events.drop(chatroomId);
    lost.set(chatroomId, seq);
    // The viewer may already have joined again. If a poll reported that join while the stream still followed the room,
    // the report had no effect. The membership is therefore queried.
    asked.add(chatroomId);
    if (await isMemberNow(context, chatroomId, userId)) events.add(chatroomId, seq);
    asked.delete(chatroomId);
  }

  function end(): void {
    stopListening();
    events.end();
  }

  return { follow, end };
}

/**
 * Returns, by room, the sequence number of the first join after the viewer's previous membership ended. If the viewer
 * joined, left and joined again, a start at the last join would skip events.
 */
function firstJoins(joins: readonly Join[], lost: ReadonlyMap<string, number>): Map<string, number> {
  const first = new Map<string, number>();
  for (const { chatroomId, seq } of joins) {
    if (seq > (lost.get(chatroomId) ?? 0)) first.set(chatroomId, Math.min(seq, first.get(chatroomId) ?? seq));
  }
  return first;
}

/**
 * Yields each of `rooms` that has changed, with its last sequence number. Iterates over the smaller collection, because
 * every all-rooms stream calls this function once a second. A user has few rooms, even if many rooms of the server have
 * changed.
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

/**
 * Streams the messages of all the viewer's rooms. Leaves out messages that a block hides.
 *
 * @throws ChatError as {@link followAllRooms}
 */
export async function followAllMessages(
  context: Context,
  after: string | null | undefined,
): Promise<Stream<ChatroomEvent>> {
  const events = await followAllRooms(context, after);
  function pull(): MaybePromise<Next<ChatroomEvent> | undefined> {
    return andThen(events.pull(), (pulled) => {
      if (!pulled || pulled.done) return pulled;
      const { event, cursor, isLost } = pulled.value;
      if (event.kind !== 'MESSAGE_ADDED') return undefined;
      return andThen(isVisible(context, event), (visible) =>
        visible && !isLost() ? { value: placeAt(event, cursor), done: false } : undefined,
      );
    });
  }

  return toAsyncIterator({
    pull: () => pullPast(pull),
    onReady(listener, group) {
      events.onReady(listener, group);
    },
    lookahead() {
      const { events: ahead, cursor } = events.eventsAhead();
      return ahead.filter(({ kind }) => kind === 'MESSAGE_ADDED').map((event) => placeAt(event, cursor));
    },
    end() {
      events.end();
    },
  });
}

/** Maps a room event to the object that is executed for all streams over all rooms. */
const sharedCopies = new WeakMap<RoomEvent, object>();

/** Returns an event with the cursor of one stream. Streams at different cursors share the execution of the event. */
export function placeAt(original: RoomEvent, cursor: string): ChatroomEvent {
  const { kind, chatroomId, seq, message, userId, actorId } = original;
  const isNoLongerMember = lostMembershipOf(chatroomId);
  const event = { kind, chatroomId, seq, isShared: true, message, userId, actorId, isNoLongerMember };
  const sharedAs = sharedCopies.get(original) ?? { ...event, cursor: null };
  sharedCopies.set(original, sharedAs);
  return { ...event, cursor, sharedAs };
}

/** Returns the `isNoLongerMember` of an event in a room. */
export function lostMembershipOf(chatroomId: string): (context: Context) => Promise<boolean> {
  return async (context) => !(await isMemberNow(context, chatroomId, requireViewer(context).userId));
}

async function isMemberNow(context: Context, chatroomId: string, userId: string): Promise<boolean> {
  const found = await context.database.query(sql`
    SELECT FROM members WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid`);
  return found.length > 0;
}
