import { resyncRequired } from './cursor.ts';
import type { LogEvent } from './log.ts';
import { done, type MaybePromise, proceed, type Pulled, type Source } from './pull.ts';
import type { Tails } from './tails.ts';

/** An event of a room's log; or, last of all, that the room is no more. */
export type Followed = Omit<LogEvent, 'kind'> & { kind: LogEvent['kind'] | 'CHATROOM_DELETED' };

/** What following needs of a node. */
interface Logs {
  tails: Tails;
  open: { followers: number };
}

/** The log of one room, read by one follower. */
interface RoomLog {
  /** The next event; null while there is none. */
  pull(): MaybePromise<Followed | null>;
  /** Whether there is something to pull. */
  hasMore: () => boolean;
  /** What has been read of what comes next. */
  upcoming: () => readonly LogEvent[];
  /** The last event that was handed on. */
  position(): number;
  /** Where the log says that a user has left, which may be further on than what was handed on. */
  leftAt: (userId: string) => number | undefined;
  close(): void;
}

const NOTHING: readonly LogEvent[] = [];
/** How many events are looked ahead: each is executed before the first of them is told. */
const MOST_UPCOMING = 50;

/**
 * Reads a room's log from what comes after `seq`: first what was missed, then what comes. Both come out of the same log, so
 * that there is no seam between them.
 *
 * It holds a position and no queue: a follower that is not pulled costs nothing.
 *
 * @param onReady called when there may be something to pull after null
 */
function readRoom(tails: Tails, chatroomId: string, seq: number, onReady: () => void): RoomLog {
  let position = seq;
  /** What has been read, and the place in it of the next event. */
  let page = NOTHING;
  let place = 0;
  let deleted = false;
  const reader = tails.open(chatroomId, seq, onReady);

  function pull(): MaybePromise<Followed | null> {
    if (place < page.length) return take();
    // Before reading: what is in the log of a room that was deleted since is read by the next pull.
    deleted = reader.deleted();
    return proceed(reader.read(position), turnTo);
  }

  /** The first event of a page; null if it is empty. */
  function turnTo(read: readonly LogEvent[]): Followed | null {
    page = read;
    place = 0;
    if (page.length > 0) return take();
    if (!deleted) return null;
    return { chatroomId, seq: position, kind: 'CHATROOM_DELETED', number: null, userId: null, actorId: null };
  }

  function take(): LogEvent {
    const event = page[place];
    // The log has no holes: what is missing was cleared away before this follower came to it.
    if (event?.seq !== position + 1) throw resyncRequired('What followed has been cleared away.');
    position = event.seq;
    place += 1;
    // Most have read all there is, and wait: they hold nothing.
    if (place === page.length) {
      page = NOTHING;
      place = 0;
    }
    return event;
  }

  return {
    pull,
    hasMore: () => place < page.length || reader.hasMore(position),
    upcoming: () => page.slice(place, place + MOST_UPCOMING),
    position: () => position,
    leftAt: (userId) => reader.leftAt(userId),
    close: () => {
      reader.close();
    },
  };
}

/** Follows one room, each event once and in order; the last of a room that is no more is told as often as one asks. */
export function followRoom(
  { tails, open }: Logs,
  chatroomId: string,
  seq: number,
): Omit<Source<Followed>, 'upcoming'> & Pick<RoomLog, 'hasMore' | 'upcoming' | 'leftAt'> {
  let ended = false;
  let onReady = () => {};
  open.followers += 1;
  const room = readRoom(tails, chatroomId, seq, () => {
    onReady();
  });

  function pull(): MaybePromise<Pulled<Followed>> {
    return ended ? done : proceed(room.pull(), hand);
  }

  function hand(event: Followed | null): Pulled<Followed> {
    if (ended) return done;
    return event && { value: event, done: false };
  }

  function end(): void {
    if (ended) return;
    ended = true;
    open.followers -= 1;
    room.close();
    onReady();
  }

  // Named, as in pull.ts.
  return {
    pull,
    onReady: (listener) => void (onReady = listener),
    hasMore: room.hasMore,
    upcoming: room.upcoming,
    leftAt: room.leftAt,
    end,
  };
}

/** Follows some rooms, each in order and each event once. */
export interface Follower extends Source<Followed> {
  /** Follows one more room, from what comes after `seq`. One that is followed already goes on where it is. */
  add(chatroomId: string, seq: number): void;
  /** Follows a room no longer. */
  drop(chatroomId: string): void;
  /** The rooms that are followed. */
  rooms: Pick<ReadonlySet<string>, 'size' | 'has' | 'keys'>;
  /** The last event of a room that was handed on; undefined for a room that is not followed. */
  position(chatroomId: string): number | undefined;
  /** Where the log of a room says that a user has left, which may be further on than what was handed on. */
  leftAt(chatroomId: string, userId: string): number | undefined;
}

/** Follows rooms, of which there are none to begin with. */
export function follow({ tails, open }: Logs): Follower {
  const rooms = new Map<string, RoomLog>();
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
    rooms.set(chatroomId, readRoom(tails, chatroomId, seq, mayHaveGrown));
    mayHaveGrown();
  }

  function drop(chatroomId: string): void {
    rooms.get(chatroomId)?.close();
    rooms.delete(chatroomId);
    ready.delete(chatroomId);
  }

  function pull(): MaybePromise<Pulled<Followed>> {
    for (const chatroomId of ready) {
      // Before reading, so that what comes meanwhile puts it back.
      ready.delete(chatroomId);
      const room = rooms.get(chatroomId);
      const event = room?.pull();
      if (event instanceof Promise) {
        // Who is followed no longer, or anew, is not heard of by what was read before.
        return event.then((later) => (rooms.get(chatroomId) === room && later ? hand(later) : pull()));
      }
      if (event) return hand(event);
    }
    return ended ? done : null;
  }

  function hand(event: Followed): Pulled<Followed> {
    if (event.kind === 'CHATROOM_DELETED') drop(event.chatroomId);
    else ready.add(event.chatroomId);
    return { value: event, done: false };
  }

  function end(): void {
    if (ended) return;
    open.followers -= 1;
    ended = true;
    for (const chatroomId of [...rooms.keys()]) drop(chatroomId);
    onReady();
  }

  return {
    pull,
    onReady: (listener) => void (onReady = listener),
    end,
    add,
    drop,
    rooms,
    position: (chatroomId) => rooms.get(chatroomId)?.position(),
    leftAt: (chatroomId, userId) => rooms.get(chatroomId)?.leftAt(userId),
  };
}
