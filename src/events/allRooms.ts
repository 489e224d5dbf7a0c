import { chatroomById } from '../chatrooms/chatrooms.ts';
import { type Context, freshContext, requireViewer } from '../context.ts';
import { sql } from '../database/database.ts';
import type { Chatroom } from '../database/generated/client.ts';
import { decodeAllRoomsCursor, encodeAllRoomsCursor, resyncRequired } from '../realtime/cursor.ts';
import { type Followed, follow } from '../realtime/follow.ts';
import { createReach, type Reach } from '../realtime/reach.ts';
import type { Swept } from '../realtime/sweep.ts';
import { type ChatroomEvent, isLoss, see } from './events.ts';

/** How far a stream over all rooms can be behind in one of them. */
const MOST_MISSED = 100_000;

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
 * reached everything that a sweep has found, and so about once a second: what came since is repeated after a resume, and
 * nothing is lost.
 *
 * @throws ChatError `BAD_USER_INPUT` for a cursor of another kind; `RESYNC_REQUIRED` for one that cannot be honoured any
 *   more, before anything is sent
 */
export async function followAllRooms(
  context: Context,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<AnywhereEvent, undefined>> {
  const { userId } = requireViewer(context);
  const { sweep, tails, databaseMark } = context;
  const since = after == null ? null : decodeAllRoomsCursor(databaseMark, after, 'after');
  const events = follow(tails, []);
  /** Rooms of which it is not known whether the viewer is a member again. */
  const asked = new Set<string>();
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
  function take({ snapshot, rooms }: Swept, reach: Reach): void {
    for (const { chatroomId, joined } of rooms) {
      const joins = joined?.filter((join) => join.userId === userId).map((join) => join.seq) ?? [];
      // From the first on: who left and came back in between was a member of what lies before.
      if (joins.length > 0) events.add(chatroomId, Math.min(...joins) - 1);
    }
    reach.owe(
      snapshot,
      rooms.map(({ chatroomId, seq }) => [chatroomId, seq]),
    );
  }

  try {
    const places = await findPlaces(context, since);
    reach = createReach(since ?? places.snapshot, isDue);
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
    await events.return?.();
    throw error;
  }
  const { snapshot: reached, settle } = reach;

  async function next(): Promise<IteratorResult<AnywhereEvent, undefined>> {
    const { value: event, done } = await events.next();
    if (done) return { value: undefined, done: true };
    const { chatroomId, seq } = event;
    // It says what was reached before this event, which may yet get lost on its way.
    const cursor = encodeAllRoomsCursor(databaseMark, reached());
    if (isLoss(event, userId)) {
      events.drop(chatroomId);
      // Who was taken in again meanwhile goes on; a sweep may have said so while the room was still followed.
      asked.add(chatroomId);
      if (await isMemberNow(context, chatroomId, userId)) events.add(chatroomId, seq);
      asked.delete(chatroomId);
    }
    settle(chatroomId);
    const isLost = () => (events.leftAt(chatroomId, userId) ?? 0) > seq;
    return { value: { event, cursor, isLost }, done: false };
  }

  const stream: AsyncIterableIterator<AnywhereEvent, undefined> = {
    [Symbol.asyncIterator]: () => stream,
    next,
    async return() {
      stopListening();
      await events.return?.();
      return { value: undefined, done: true };
    },
  };
  return stream;
}

/** The messages of all the viewer's rooms, as they may see them. */
export async function followAllMessages(
  context: Context,
  after: string | null | undefined,
): Promise<AsyncIterableIterator<ChatroomEvent>> {
  const events = await followAllRooms(context, after);
  const kinds = new Map<string, Pick<Chatroom, 'kind'>>();

  async function kindOf(chatroomId: string): Promise<Pick<Chatroom, 'kind'> | null> {
    const known = kinds.get(chatroomId) ?? (await chatroomById(freshContext(context), chatroomId));
    // It never changes.
    if (known) kinds.set(chatroomId, known);
    return known;
  }

  const stream: AsyncIterableIterator<ChatroomEvent> = {
    [Symbol.asyncIterator]: () => stream,
    async next() {
      for (;;) {
        const { value, done } = await events.next();
        if (done) return { value: undefined, done: true };
        const { event, cursor, isLost } = value;
        if (event.kind !== 'MESSAGE_ADDED') continue;
        const room = await kindOf(event.chatroomId);
        const seen = room && (await see(context, event, room));
        if (seen && !isLost()) return { value: { ...seen, cursor }, done: false };
      }
    },
    async return() {
      await events.return?.();
      return { value: undefined, done: true };
    },
  };
  return stream;
}

interface Place {
  chatroomId: string;
  /** What has been handed on. */
  seq: number;
  /** What there is. */
  lastSeq: number;
}

/**
 * Where each of the viewer's rooms stands, or stood in the snapshot `since`. Who has joined a room since begins with that.
 *
 * Within a room commits follow `seq`, so that a snapshot has seen all up to some event and nothing after it.
 */
async function findPlaces(context: Context, since: string | null): Promise<{ snapshot: string; rooms: Place[] }> {
  const { userId } = requireViewer(context);
  const [found] = await context.database.query<{
    snapshot: string;
    known: boolean;
    rooms: (Place & { seen: number | null; next: number | null; joined: number | null })[];
  }>(sql`
    SELECT flushed_snapshot()::text AS snapshot,
      pg_snapshot_xmax(${since}::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
      (SELECT coalesce(json_agg(place), '[]') FROM (
        SELECT c.id AS "chatroomId", c.last_seq AS "lastSeq", seen.seq AS seen,
          (SELECT min(e.seq) FROM events e WHERE e.chatroom_id = c.id AND e.seq > coalesce(seen.seq, 0)) AS next,
          -- The first that is said of the viewer: if it is that they joined, they were no member before.
          (SELECT CASE e.kind WHEN 'MEMBER_JOINED' THEN e.seq END FROM events e
            WHERE e.chatroom_id = c.id AND e.seq > coalesce(seen.seq, c.last_seq - ${MOST_MISSED})
              AND e.kind IN ('MEMBER_JOINED', 'MEMBER_LEFT') AND e.user_id = v.user_id ORDER BY e.seq LIMIT 1) AS joined
          FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
          LEFT JOIN LATERAL (
            SELECT e.seq FROM events e
              WHERE e.chatroom_id = c.id AND e.seq > c.last_seq - ${MOST_MISSED}
                AND (${since}::pg_snapshot IS NULL OR pg_visible_in_snapshot(e.xid, ${since}::pg_snapshot))
              ORDER BY e.seq DESC LIMIT 1
          ) seen ON true
          WHERE v.user_id = ${userId}::uuid
      ) place) AS rooms`);
  if (!found) throw new Error('PostgreSQL gave no snapshot.');
  if (since === null) {
    return { snapshot: found.snapshot, rooms: found.rooms.map((room) => ({ ...room, seq: room.lastSeq })) };
  }
  if (!found.known) throw resyncRequired('This database is older than the cursor.');
  const rooms = found.rooms.map((room) => {
    const { seen, next, joined, lastSeq } = room;
    if (seen === null && joined === null && lastSeq > MOST_MISSED) throw resyncRequired('Too much has happened since.');
    const seq = joined === null ? (seen ?? (next === null ? lastSeq : 0)) : joined - 1;
    // The log goes on right after what the cursor has seen, or its beginning has been cleared away.
    if (joined === null && next !== null && next !== seq + 1) {
      throw resyncRequired('What followed this cursor has been cleared away.');
    }
    return { chatroomId: room.chatroomId, seq, lastSeq };
  });
  return { snapshot: found.snapshot, rooms };
}

async function isMemberNow(context: Context, chatroomId: string, userId: string): Promise<boolean> {
  const found = await context.database.query(sql`
    SELECT FROM members WHERE chatroom_id = ${chatroomId}::uuid AND user_id = ${userId}::uuid`);
  return found.length > 0;
}
