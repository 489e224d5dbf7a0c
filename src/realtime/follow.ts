import { resyncRequired } from './cursor.ts';
import type { LogEvent } from './log.ts';
import { asStream, done, type MaybePromise, type Pulled, type Stream } from './pull.ts';
import type { TailReader, Tails } from './tails.ts';

/** An event of a room's log; or, last of all, that the room is no more. */
export type Followed = Omit<LogEvent, 'kind'> & { kind: LogEvent['kind'] | 'CHATROOM_DELETED' };

/** Reads the logs of some rooms, each in order and each thing once: first what was missed, then what comes. */
export interface Follower extends Stream<Followed> {
  /** Follows one more room, from what comes after `seq`. One that is followed already goes on where it is. */
  add(chatroomId: string, seq: number): void;
  /** Follows a room no longer. */
  drop(chatroomId: string): void;
  /** The last event of a room that was handed on; undefined for a room that is not followed. */
  position(chatroomId: string): number | undefined;
  /** Where the log of a room says that a user has left, which may be further on than what was handed on. */
  leftAt(chatroomId: string, userId: string): number | undefined;
}

interface Room {
  reader: TailReader;
  /** The last event that was handed on. */
  position: number;
  /** What has been read, and the place in it of the next event. */
  page: readonly LogEvent[];
  place: number;
}

const NOTHING: Pick<Room, 'page' | 'place'> = { page: [], place: 0 };

/**
 * Follows rooms, each from what comes after the given `seq`. Missed and live come out of the same log, so that there is
 * no seam between them.
 *
 * It holds a position for each room and no queue: a follower that is not pulled costs nothing.
 */
export function follow(
  { tails, open }: { tails: Tails; open: { followers: number } },
  start: Iterable<readonly [chatroomId: string, seq: number]>,
): Follower {
  const rooms = new Map<string, Room>();
  /** The rooms that may have something to read, the one that has waited longest first. */
  const ready = new Set<string>();
  let ended = false;
  let onReady = () => {};
  open.followers += 1;

  function add(chatroomId: string, seq: number): void {
    if (ended || rooms.has(chatroomId)) return;
    const mayHaveGrown = () => {
      ready.add(chatroomId);
      onReady();
    };
    const reader = tails.open(chatroomId, seq, mayHaveGrown);
    rooms.set(chatroomId, { reader, position: seq, ...NOTHING });
    mayHaveGrown();
  }

  function drop(chatroomId: string): void {
    rooms.get(chatroomId)?.reader.close();
    rooms.delete(chatroomId);
    ready.delete(chatroomId);
  }

  function pull(): MaybePromise<Pulled<Followed>> {
    for (const chatroomId of ready) {
      const room = rooms.get(chatroomId);
      // Before reading, so that what comes meanwhile puts it back.
      ready.delete(chatroomId);
      if (!room) continue;
      if (room.place < room.page.length) return { value: take(chatroomId, room), done: false };
      const deleted = room.reader.deleted();
      const page = room.reader.read(room.position);
      if (page instanceof Promise) {
        return page.then(
          (events) => turnTo(chatroomId, room, events, deleted) ?? pull(),
          (error: unknown) => {
            end();
            throw error;
          },
        );
      }
      const result = turnTo(chatroomId, room, page, deleted);
      if (result) return result;
    }
    return ended ? done : null;
  }

  /** The first event of a page; nothing if it is empty, or the room is followed no longer. */
  function turnTo(chatroomId: string, room: Room, page: readonly LogEvent[], deleted: boolean): Pulled<Followed> {
    if (rooms.get(chatroomId) !== room) return null;
    Object.assign(room, { page, place: 0 });
    if (page.length > 0) return { value: take(chatroomId, room), done: false };
    if (!deleted) return null;
    drop(chatroomId);
    const nothing = { number: null, userId: null };
    return { value: { chatroomId, seq: room.position, kind: 'CHATROOM_DELETED', ...nothing }, done: false };
  }

  function take(chatroomId: string, room: Room): LogEvent {
    const event = room.page[room.place];
    if (event?.seq !== room.position + 1) {
      // The log has no holes: what is missing was cleared away while this follower was far behind.
      end();
      throw resyncRequired('What followed has been cleared away.');
    }
    room.place += 1;
    // Most have read all there is, and wait: they hold nothing.
    if (room.place === room.page.length) Object.assign(room, NOTHING);
    room.position = event.seq;
    ready.add(chatroomId);
    return event;
  }

  function end(): void {
    if (ended) return;
    open.followers -= 1;
    ended = true;
    for (const chatroomId of [...rooms.keys()]) drop(chatroomId);
    onReady();
  }

  for (const [chatroomId, seq] of start) add(chatroomId, seq);
  const source = { pull, onReady: (listener: () => void) => void (onReady = listener), end };
  return {
    ...asStream<Followed>(source),
    ...{ add, drop },
    position: (chatroomId) => rooms.get(chatroomId)?.position,
    leftAt: (chatroomId, userId) => rooms.get(chatroomId)?.reader.leftAt(userId),
  };
}
