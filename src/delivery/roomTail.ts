import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Database, sql } from '../platform/database/database.ts';
import { LOG_PAGE_SIZE, type RoomEvent } from './roomLog.ts';
import type { MaybePromise, SubscriberGroup } from './source.ts';

/** The part of a follower that the tail of a room uses. */
export interface TailFollower {
  /** Subscribers with which the follower shares the execution of events. Null if the follower shares with nobody. */
  readonly group: SubscriberGroup | null;
  /** Called when the tail may have new events, or when the room has been deleted. */
  wake(): void;
}

export interface TailOptions {
  database: Database;
  /** Reads a page of a room's log after a `seq`, oldest first, at most {@link LOG_PAGE_SIZE} events. */
  readPage: (chatroomId: string, seq: number) => Promise<readonly RoomEvent[]>;
  log: Logger;
}

/** Maximum number of events that a tail keeps. A follower that lags further behind reads from the database. */
const MAX_RECENT_EVENTS = 256;
/**
 * How long a tail keeps an event after reading it, in milliseconds. If the read took longer, the tail keeps the event
 * for the duration of the read, because followers also lag further behind on a slow database. The data of a kept event
 * may be outdated, but each change of the data produces another event.
 */
export const MAX_AGE_MS = 500;
/**
 * How long followers wait while another follower of their group executes an event, in milliseconds. After this time
 * they are woken although the execution has not ended.
 */
const EXECUTION_TIMEOUT_MS = 100;

const NO_EVENTS: readonly RoomEvent[] = [];

/**
 * The end of one room's log in memory. A node reads each event and its data only once, regardless of the number of
 * followers.
 *
 * The tail is `idle`, `reading` new events, or `closed`. Notifications and the change poller raise the target, which is
 * the last event that the node knows of. An idle tail behind its target reads until it has reached the target.
 */
export class RoomTail {
  readonly chatroomId: string;
  readonly #options: TailOptions;
  #state: 'idle' | 'reading' | 'closed' = 'idle';
  #seq: number;
  #targetSeq: number;
  #isDeleted = false;
  /** Whether the first read has succeeded and the room's existence has been checked. */
  #existenceChecked = false;
  /** The latest events up to `seq`, without gaps, not older than {@link MAX_AGE_MS}. */
  readonly #recent: RoomEvent[] = [];
  /** The `seq` of the last event about each of the last {@link MAX_RECENT_EVENTS} messages that had one, by number. */
  readonly #lastAbout = new Map<number, number>();
  /** Events after `seq` that need not be read from the log, by their `seq`, with the time of their arrival. */
  readonly #offered = new Map<number, { event: RoomEvent; at: number }>();
  /**
   * Pages of older events, by the `seq` before their first event. Cached, because many subscribers may resume from the
   * same position at the same time.
   */
  readonly #pages = new Map<number, MaybePromise<readonly RoomEvent[]>>();
  /** The `seq` at which each user left, from the events read so far. Users who rejoined are removed. */
  readonly #left = new Map<string, number>();
  readonly #followers = new Set<TailFollower>();

  /** @param seq number of an event that is in the log, or 0. The tail reads the events after it. */
  constructor(chatroomId: string, seq: number, options: TailOptions) {
    [this.chatroomId, this.#options] = [chatroomId, options];
    [this.#seq, this.#targetSeq] = [seq, seq];
  }

  /** The `seq` of the last event that the node knows of. */
  get targetSeq(): number {
    return this.#targetSeq;
  }

  get isDeleted(): boolean {
    return this.#isDeleted;
  }

  /** Number of followers. */
  get size(): number {
    return this.#followers.size;
  }

  /** Returns whether the tail has read an event after `seq`, or the room has been deleted. */
  hasMore(seq: number): boolean {
    return this.#seq > seq || this.#isDeleted;
  }

  /**
   * Returns the `seq` at which a user left, from the events read so far. Undefined for a user who has not left or has
   * rejoined.
   */
  leftAt(userId: string): number | undefined {
    return this.#left.get(userId);
  }

  /** Returns the latest event about a message, if the event is in memory. */
  latestEventOf(number: number): RoomEvent | undefined {
    return this.#recent.findLast((event) => event.number === number);
  }

  /**
   * Returns whether no later event about the same message has been read. Unlike the events, this is known however long
   * ago the event was read: a result that is late must not be executed again for each subscriber of a busy node.
   */
  isLatest({ number, seq }: RoomEvent): boolean {
    return number !== null && this.#lastAbout.get(number) === seq;
  }

  /**
   * Returns events after `seq`, oldest first. Returns all of them if they are in memory, otherwise one page of the log.
   * Returns an empty list if the tail has read no event after `seq`.
   */
  read(seq: number): MaybePromise<readonly RoomEvent[]> {
    if (this.#seq <= seq) return NO_EVENTS;
    const [first] = this.#recent;
    if (first && first.seq <= seq + 1) return this.#recent.slice(seq + 1 - first.seq);
    return this.#pages.get(seq) ?? this.#readPage(seq);
  }

  #readPage(seq: number): Promise<readonly RoomEvent[]> {
    const began = performance.now();
    const evict = () => this.#pages.delete(seq);
    const page = this.#options.readPage(this.chatroomId, seq);
    this.#pages.set(seq, page);
    page.then((events) => {
      this.#pages.set(seq, events);
      setTimeout(evict, maxAgeSince(began)).unref();
    }, evict);
    return page;
  }

  add(follower: TailFollower): void {
    this.#followers.add(follower);
  }

  /** Removes a follower. Closes the tail if no follower is left. Returns whether the tail is closed. */
  remove(follower: TailFollower): boolean {
    this.#followers.delete(follower);
    if (this.#followers.size === 0) this.#state = 'closed';
    return this.#state === 'closed';
  }

  /** Returns whether the tail need not read an event: it has read it, or the event was offered. */
  has(seq: number): boolean {
    return seq <= this.#seq || this.#offered.has(seq);
  }

  /**
   * Stores events that the tail then need not read from the log. `advance` must follow. Events before the tail's position
   * are ignored. An event that does not follow the previous one is read from the log.
   */
  offer(events: readonly RoomEvent[]): void {
    const at = performance.now();
    for (const event of events)
      if (event.seq > this.#seq && this.#offered.size < MAX_RECENT_EVENTS) this.#offered.set(event.seq, { event, at });
  }

  /**
   * Raises the target to event `seq`, and starts to read if the tail is idle. Call it when the log contains that event.
   */
  advance(seq: number): void {
    // Other programs may publish to the same Redis, so the value can be anything.
    if (!Number.isSafeInteger(seq)) return;
    this.#targetSeq = Math.max(this.#targetSeq, seq);
    if (this.#state === 'idle' && this.#mustRead()) void this.#catchUp();
  }

  /**
   * Reads new events without a notification. Call it when the subscription to the bus has started or recovered, because
   * this node did not receive earlier notifications.
   */
  poll(): void {
    this.advance(this.#seq + 1);
  }

  /** Starts to read again if the last read failed. */
  retry(): void {
    this.advance(this.#seq);
  }

  /** Marks the room as deleted and wakes the followers. Call it when the room and its log have been deleted. */
  delete(): void {
    this.#isDeleted = true;
    void this.#wakeFollowers();
  }

  /** Returns whether the log is ahead of the tail, or the first read has not succeeded yet. */
  #mustRead(): boolean {
    return this.#targetSeq > this.#seq || !this.#existenceChecked;
  }

  async #catchUp(): Promise<void> {
    this.#state = 'reading';
    try {
      while (this.#mustRead() && this.#isReading()) {
        await this.#readNext();
        // The change poller does not report a deletion that happened before the tail was opened.
        if (!this.#existenceChecked) await this.#checkExistence();
        this.#existenceChecked = true;
      }
    } catch (error) {
      this.#options.log.warn(
        { error, chatroomId: this.chatroomId },
        'A room log could not be read. The next poll retries.',
      );
    } finally {
      if (this.#isReading()) this.#state = 'idle';
    }
  }

  /** Returns false if the tail was closed during an `await`. */
  #isReading(): boolean {
    return this.#state === 'reading';
  }

  async #readNext(): Promise<void> {
    const began = performance.now();
    const offered = this.#takeOffered();
    const events = offered.length > 0 ? offered : await this.#options.readPage(this.chatroomId, this.#seq);
    const last = events.at(-1);
    if (!last) {
      this.#targetSeq = this.#seq;
      return;
    }
    this.#append(events, last.seq, maxAgeSince(began));
    await this.#wakeFollowers(events[0]);
    // After a full page, the log may contain more events, for which no notification may come. Raises the target to read
    // them.
    if (events.length === LOG_PAGE_SIZE) this.#targetSeq = Math.max(this.#targetSeq, last.seq + 1);
  }

  /** Removes and returns the offered events that follow `seq` without a gap. Discards all others that are not ahead. */
  #takeOffered(): RoomEvent[] {
    const events: RoomEvent[] = [];
    const oldest = performance.now() - MAX_AGE_MS;
    for (let seq = this.#seq + 1; ; seq += 1) {
      const offered = this.#offered.get(seq);
      if (!offered || offered.at < oldest) break;
      events.push(offered.event);
    }
    const reached = this.#seq + Math.max(events.length, 1);
    for (const seq of this.#offered.keys()) if (seq <= reached) this.#offered.delete(seq);
    return events;
  }

  #append(events: readonly RoomEvent[], lastSeq: number, maxAgeMs: number): void {
    const recent = this.#recent;
    recent.push(...events);
    recent.splice(0, recent.length - MAX_RECENT_EVENTS);
    setTimeout(() => {
      while (recent[0] && recent[0].seq <= lastSeq) recent.shift();
    }, maxAgeMs).unref();
    this.#seq = lastSeq;
    for (const { kind, number, userId, seq } of events) {
      if (number !== null) this.#noteLast(number, seq);
      if (kind === 'MEMBER_LEFT' && userId !== null) this.#left.set(userId, seq);
      if (kind === 'MEMBER_JOINED' && userId !== null) this.#left.delete(userId);
    }
  }

  #noteLast(number: number, seq: number): void {
    this.#lastAbout.delete(number);
    this.#lastAbout.set(number, seq);
    const [oldest] = this.#lastAbout.keys();
    if (this.#lastAbout.size > MAX_RECENT_EVENTS && oldest !== undefined) this.#lastAbout.delete(oldest);
  }

  async #checkExistence(): Promise<void> {
    const members = await this.#options.database.query(
      sql`SELECT FROM members WHERE chatroom_id = ${this.chatroomId}::uuid LIMIT 1`,
    );
    if (members.length === 0) this.delete();
  }

  /**
   * Wakes the followers. In each group, followers are woken in order until one of them starts the execution of the
   * event. The others are woken when that execution has ended, or after {@link EXECUTION_TIMEOUT_MS}.
   *
   * Otherwise each of them would be woken twice: for the event, and for the result. With a thousand followers, their
   * data would leave the CPU cache between the two wake-ups.
   *
   * @param event the first new event
   */
  async #wakeFollowers(event?: RoomEvent): Promise<void> {
    const waiting = new Map<SubscriberGroup, { execution: Promise<unknown>; followers: TailFollower[] }>();
    for (const follower of this.#followers) {
      const { group } = follower;
      const others = group && waiting.get(group);
      if (others) {
        others.followers.push(follower);
        continue;
      }
      follower.wake();
      const execution = group && event ? group.pending(event) : null;
      if (group && execution) waiting.set(group, { execution, followers: [] });
    }
    await Promise.all(
      Array.from(waiting.values(), async ({ execution, followers }) => {
        await Promise.race([execution, delay(EXECUTION_TIMEOUT_MS, undefined, { ref: false })]);
        for (const follower of followers) follower.wake();
      }),
    );
  }
}

/**
 * Returns how long events are kept after a read, in milliseconds: as long as the read took, but at least MAX_AGE_MS.
 */
const maxAgeSince = (began: number) => Math.max(MAX_AGE_MS, performance.now() - began);
