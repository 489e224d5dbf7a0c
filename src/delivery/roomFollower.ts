import { resyncRequired } from './cursor.ts';
import type { RoomEvent } from './roomLog.ts';
import type { RoomTail, TailFollower } from './roomTail.ts';
import { MAX_AGE_MS } from './roomTail.ts';
import type { RoomTails } from './roomTails.ts';
import { andThen, done, type MaybePromise, type Next, type Source, type SubscriberGroup } from './source.ts';

/** An event of a room's log, or the deletion of the room, which follows the last event. */
export type FollowedEvent = RoomEvent | { kind: 'CHATROOM_DELETED'; chatroomId: string; seq: number };

/**
 * Maximum number of events in a lookahead. Limited because all of these events are executed before the first result is
 * sent.
 */
const MAX_LOOKAHEAD = 50;

/** Events that were read together and are delivered one by one. */
interface Page {
  events: readonly RoomEvent[];
  /** Index of the next event. */
  index: number;
  readAt: number;
}

const NO_PAGE: Page = { events: [], index: 0, readAt: 0 };

/**
 * Follows one room after `seq`: first the missed events, then the live events. All events come from the same log, so
 * none is lost in between. Each event is delivered once and in order. After a deletion, every pull returns
 * `CHATROOM_DELETED` until the follower is ended.
 *
 * A follower stores its position and at most one page of events. Events therefore do not accumulate for a follower that
 * is not pulled.
 */
export class RoomFollower implements Source<FollowedEvent>, TailFollower {
  readonly #tails: RoomTails;
  readonly #tail: RoomTail;
  #state: 'following' | 'ended' = 'following';
  #position: number;
  #page = NO_PAGE;
  #listener = () => {};
  group: SubscriberGroup | null = null;

  /** @param seq number of an event that is in the log, or 0. The follower delivers the events after it. */
  constructor(tails: RoomTails, chatroomId: string, seq: number) {
    this.#tails = tails;
    this.#position = seq;
    this.#tail = tails.open(chatroomId, seq, this);
  }

  /** The `seq` of the last delivered event. */
  get position(): number {
    return this.#position;
  }

  /**
   * Returns the `seq` of the event with which a user left the room. Undefined if the user has not left. The follower
   * may not have delivered that event yet.
   */
  leftAt(userId: string): number | undefined {
    return this.#tail.leftAt(userId);
  }

  onReady(listener: () => void, group: SubscriberGroup | null = null): void {
    [this.#listener, this.group] = [listener, group];
  }

  wake(): void {
    this.#listener();
  }

  pull(): MaybePromise<Next<FollowedEvent>> {
    if (this.#state === 'ended') return done;
    if (this.#isPageCurrent()) return this.#next();
    // Checked before reading. If the room is deleted during the read, the next pull reports the deletion.
    const { isDeleted } = this.#tail;
    return andThen(this.#tail.read(this.#position), (events) => this.#open(events, isDeleted));
  }

  /**
   * Returns whether the page contains the next event and is not older than {@link MAX_AGE_MS}. An older page is read
   * again, because a slow subscriber would otherwise receive outdated data.
   */
  #isPageCurrent(): boolean {
    const { events, index, readAt } = this.#page;
    return index < events.length && performance.now() - readAt < MAX_AGE_MS;
  }

  #open(events: readonly RoomEvent[], isDeleted: boolean): Next<FollowedEvent> {
    if (this.#state === 'ended') return done;
    if (events.length > 0) {
      this.#page = { events, index: 0, readAt: performance.now() };
      return this.#next();
    }
    if (!isDeleted) return null;
    return { value: { kind: 'CHATROOM_DELETED', chatroomId: this.#tail.chatroomId, seq: this.#position }, done: false };
  }

  #next(): Next<RoomEvent> {
    const { events, index } = this.#page;
    const event = events[index];
    // The log has no gaps. A missing event was deleted before this follower reached it.
    if (event?.seq !== this.#position + 1) throw resyncRequired('Events after this position have been deleted.');
    this.#position = event.seq;
    this.#page.index += 1;
    // Releases a page that is delivered completely, to free memory. Most followers are up to date and only wait.
    if (index + 1 === events.length) this.#page = NO_PAGE;
    return { value: event, done: false };
  }

  /** Returns whether `pull` would return an event. */
  hasMore(): boolean {
    return this.#page !== NO_PAGE || this.#tail.hasMore(this.#position);
  }

  /** Returns the next events that are already in memory, at most {@link MAX_LOOKAHEAD}. */
  lookahead(): readonly RoomEvent[] {
    const { events, index } = this.#page;
    return events.slice(index, index + MAX_LOOKAHEAD);
  }

  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#page = NO_PAGE;
    this.#tails.close(this.#tail, this);
    this.#listener();
  }
}
