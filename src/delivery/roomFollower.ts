import { resyncRequired } from './cursor.ts';
import type { LogEvent } from './roomLog.ts';
import { done, type MaybePromise, andThen, type Next, type Source } from './source.ts';
import type { RoomTails } from './roomTail.ts';

/** An event of a room's log, or `CHATROOM_DELETED` as the last event if the room has been deleted. */
export type FollowedEvent = Omit<LogEvent, 'kind'> & { kind: LogEvent['kind'] | 'CHATROOM_DELETED' };

/** Parts of a node that a follower needs. */
interface FollowerNode {
  roomTails: RoomTails;
  gauges: { followers: number };
}

/** Reads the log of one room for one follower. */
interface RoomLogReader {
  /** Returns the next event. Null if there is none yet. */
  pull(): MaybePromise<FollowedEvent | null>;
  /** Returns whether `pull` would return an event. */
  hasMore: () => boolean;
  /** Returns the next events that are already loaded, at most {@link MAX_LOOKAHEAD}. */
  lookahead: () => readonly LogEvent[];
  /** Returns the `seq` of the last delivered event. */
  position(): number;
  /** Returns the `seq` at which a user left. The result may be higher than the `seq` of the last delivered event. */
  leftAt: (userId: string) => number | undefined;
  close(): void;
}

const NOTHING: readonly LogEvent[] = [];
/**
 * Maximum number of events in a lookahead. All of them are executed before the first is sent, so more would delay the
 * first.
 */
const MAX_LOOKAHEAD = 50;

/**
 * Reads a room's log after `seq`: first the missed events, then the live ones. Both are read from the same log, so no
 * event is lost in between.
 *
 * The reader stores a position and no queue, so events do not accumulate for a follower that is not pulled.
 *
 * @param onReady called when a pull after null may return an event
 */
function readRoom(tails: RoomTails, chatroomId: string, seq: number, onReady: () => void): RoomLogReader {
  let position = seq;
  /** Loaded events, and the index of the next event to deliver. */
  let page = NOTHING;
  let index = 0;
  let deleted = false;
  const reader = tails.open(chatroomId, seq, onReady);

  function pull(): MaybePromise<FollowedEvent | null> {
    if (index < page.length) return take();
    // Checked before reading. If the room is deleted during the read, the next pull reports the deletion.
    deleted = reader.deleted();
    return andThen(reader.read(position), openPage);
  }

  /** Returns the first event of a page. If the page is empty, returns the deletion of the room or null. */
  function openPage(read: readonly LogEvent[]): FollowedEvent | null {
    page = read;
    index = 0;
    if (page.length > 0) return take();
    if (!deleted) return null;
    return { chatroomId, seq: position, kind: 'CHATROOM_DELETED', number: null, userId: null, actorId: null };
  }

  function take(): LogEvent {
    const event = page[index];
    // The log has no gaps. A missing event was deleted before this follower reached it.
    if (event?.seq !== position + 1) throw resyncRequired('Events after this position have been deleted.');
    position = event.seq;
    index += 1;
    // Releases a page that is delivered completely, to free memory. Most followers are up to date and only wait.
    if (index === page.length) {
      page = NOTHING;
      index = 0;
    }
    return event;
  }

  return {
    pull,
    hasMore: () => index < page.length || reader.hasMore(position),
    lookahead: () => page.slice(index, index + MAX_LOOKAHEAD),
    position: () => position,
    leftAt: (userId) => reader.leftAt(userId),
    close: () => {
      reader.close();
    },
  };
}

/**
 * Follows one room after `seq`. Delivers each event once and in order. After a deletion, every pull returns
 * `CHATROOM_DELETED` until the source is ended.
 */
export function followRoom(
  { roomTails, gauges }: FollowerNode,
  chatroomId: string,
  seq: number,
): Omit<Source<FollowedEvent>, 'lookahead'> & Pick<RoomLogReader, 'hasMore' | 'lookahead' | 'leftAt'> {
  let ended = false;
  let onReady = () => {};
  gauges.followers += 1;
  const room = readRoom(roomTails, chatroomId, seq, () => {
    onReady();
  });

  function pull(): MaybePromise<Next<FollowedEvent>> {
    return ended ? done : andThen(room.pull(), toResult);
  }

  function toResult(event: FollowedEvent | null): Next<FollowedEvent> {
    if (ended) return done;
    return event && { value: event, done: false };
  }

  function end(): void {
    if (ended) return;
    ended = true;
    gauges.followers -= 1;
    room.close();
    onReady();
  }

  // Fields are named, not spread, for the reason given at `toAsyncIterator`.
  return {
    pull,
    onReady: (listener) => void (onReady = listener),
    hasMore: room.hasMore,
    lookahead: room.lookahead,
    leftAt: room.leftAt,
    end,
  };
}

/** Follows several rooms. Delivers each event once, and the events of each room in order. */
export interface Follower extends Source<FollowedEvent> {
  /** Adds a room and follows it after `seq`. No effect on a room that is already followed. */
  add(chatroomId: string, seq: number): void;
  /** Stops following a room. */
  drop(chatroomId: string): void;
  /** The followed rooms. */
  rooms: Pick<ReadonlySet<string>, 'size' | 'has' | 'keys'>;
  /** Returns the `seq` of the last delivered event of a room. Undefined for a room that is not followed. */
  position(chatroomId: string): number | undefined;
  /**
   * Returns the `seq` at which a user left a room. The result may be higher than the `seq` of the last delivered event.
   */
  leftAt(chatroomId: string, userId: string): number | undefined;
}

/** Creates a follower without rooms. */
export function createFollower({ roomTails, gauges }: FollowerNode): Follower {
  const rooms = new Map<string, RoomLogReader>();
  /** Rooms that may have events to read. The room that has waited longest comes first. */
  const ready = new Set<string>();
  let ended = false;
  let onReady = () => {};
  gauges.followers += 1;

  function add(chatroomId: string, seq: number): void {
    if (ended || rooms.has(chatroomId)) return;
    const mayHaveGrown = () => {
      ready.add(chatroomId);
      onReady();
    };
    rooms.set(chatroomId, readRoom(roomTails, chatroomId, seq, mayHaveGrown));
    mayHaveGrown();
  }

  function drop(chatroomId: string): void {
    rooms.get(chatroomId)?.close();
    rooms.delete(chatroomId);
    ready.delete(chatroomId);
  }

  function pull(): MaybePromise<Next<FollowedEvent>> {
    for (const chatroomId of ready) {
      // Removed before reading, so that an event that arrives during the read adds the room again.
      ready.delete(chatroomId);
      const room = rooms.get(chatroomId);
      const event = room?.pull();
      if (event instanceof Promise) {
        // Discards the event if the room was dropped, or dropped and added again, during the read.
        return event.then((later) => (rooms.get(chatroomId) === room && later ? toResult(later) : pull()));
      }
      if (event) return toResult(event);
    }
    return ended ? done : null;
  }

  function toResult(event: FollowedEvent): Next<FollowedEvent> {
    if (event.kind === 'CHATROOM_DELETED') drop(event.chatroomId);
    else ready.add(event.chatroomId);
    return { value: event, done: false };
  }

  function end(): void {
    if (ended) return;
    gauges.followers -= 1;
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
