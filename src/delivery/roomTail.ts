import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Database, sql } from '../platform/database/database.ts';
import type { Bus } from '../platform/redis/bus.ts';
import { type LogEvent, LOG_PAGE_SIZE } from './roomLog.ts';
import type { MaybePromise } from './source.ts';
import type { EventCache } from './eventCache.ts';
import type { ChangePoller } from './changePoller.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    roomTails: RoomTails;
  }
}

/**
 * The end of one room's log, cached in memory. A node reads each event once, however many subscribers the room has.
 *
 * Notifications and the change poller raise `targetSeq`. The tail then reads the new events and caches the latest ones.
 */
interface Tail {
  /** Last event that was read. */
  seq: number;
  /** The latest events up to `seq`, without gaps. At most {@link MAX_RECENT_EVENTS}. */
  recent: LogEvent[];
  /** Last event of the log that this node knows of. */
  targetSeq: number;
  reading: boolean;
  /** Whether the first read has succeeded and the room's existence has been checked. */
  existenceChecked: boolean;
  /** The room and its log have been deleted. */
  deleted: boolean;
  /** The `seq` at which each user left, from the events read so far. Users who rejoined are removed. */
  left: Map<string, number>;
  /** Called when `seq` has grown or the room has been deleted. */
  listeners: Set<() => void>;
  unsubscribe: () => void;
}

/** One subscriber's access to a room tail. */
export interface TailReader {
  /**
   * Returns events after `seq`, oldest first: all of them if they are cached, otherwise one page of the log. The list
   * is empty if there are no events.
   */
  read(seq: number): MaybePromise<readonly LogEvent[]>;
  /** Returns whether the log has an event after `seq`, or the room has been deleted. */
  hasMore(seq: number): boolean;
  /** Returns whether the room has been deleted. */
  deleted(): boolean;
  /** Returns the `seq` at which a user left, from the events read so far. Undefined for a user who has not left, or has rejoined. */
  leftAt(userId: string): number | undefined;
  /** Closes the reader. When the last reader of a room closes, the node unsubscribes from the room. */
  close(): void;
}

/** The room tails of one node. */
export interface RoomTails {
  /**
   * Opens a reader on the tail of a room.
   *
   * @param seq an event that the log is known to contain
   * @param onGrown called when there may be new events to read
   */
  open(chatroomId: string, seq: number, onGrown: () => void): TailReader;
  /**
   * Notifies all nodes that a room's log has grown to `seq`. Call it after the commit. Notifications about one room
   * within a turn of the event loop are merged.
   */
  notify(chatroomId: string, seq: number): void;
  /** Returns the number of rooms followed on this node. */
  size(): number;
  /** Returns the number of open readers. */
  readers(): number;
  close(): void;
}

/** Maximum number of events cached per room. A reader that lags further behind reads from the database. */
const MAX_RECENT_EVENTS = 256;
/** Maximum time to wait for a shared execution before the remaining readers are notified, in milliseconds. */
const SHARED_EXECUTION_TIMEOUT_MS = 100;

/** Creates the room tails of one node. */
export function createRoomTails(options: {
  database: Database;
  bus: Bus;
  changePoller: ChangePoller;
  counters: { recoveredByPoll: number };
  eventCache: EventCache;
  /** Reads a page of a room's log, like `readEvents`, and preloads data that the subscribers will need. */
  readEvents: (chatroomId: string, after: number) => Promise<LogEvent[]>;
  /** Called with the time that a notification took to arrive. */
  onNotificationLag: (seconds: number) => void;
  /** Connects the trace of a change with the traces of its deliveries. */
  tracing?: {
    traceparent(): string | undefined;
    noteCause(event: { chatroomId: string; seq: number }, traceparent: unknown): void;
  } | null;
  log: Logger;
}): RoomTails {
  const { database, bus, counters, eventCache, readEvents, log } = options;
  const tails = new Map<string, Tail>();
  /** Notifications to publish at the end of this turn of the event loop, by room. */
  const pendingNotifications = new Map<string, Notification>();

  function advance(chatroomId: string, tail: Tail, targetSeq: number): void {
    // Other programs may publish to the same Redis, so the value can be anything.
    if (!Number.isSafeInteger(targetSeq)) return;
    tail.targetSeq = Math.max(tail.targetSeq, targetSeq);
    if (!tail.reading && mustRead(tail)) void catchUp(chatroomId, tail);
  }

  /**
   * Reads new events without a notification. Needed because this node receives no notification of a commit before its
   * subscription, or during an outage of the bus.
   */
  function poll(chatroomId: string, tail: Tail): void {
    advance(chatroomId, tail, tail.seq + 1);
  }

  async function catchUp(chatroomId: string, tail: Tail): Promise<void> {
    tail.reading = true;
    try {
      while (mustRead(tail) && tails.get(chatroomId) === tail) {
        const events = await readEvents(chatroomId, tail.seq);
        const last = events.at(-1);
        if (last) {
          tail.recent = [...tail.recent, ...events].slice(-MAX_RECENT_EVENTS);
          tail.seq = last.seq;
          for (const { kind, userId, seq } of events) {
            if (kind === 'MEMBER_LEFT' && userId !== null) tail.left.set(userId, seq);
            if (kind === 'MEMBER_JOINED' && userId !== null) tail.left.delete(userId);
          }
          await notifyReaders(tail, events);
          // After a full page there may be another one, so read again. No notification will come for events that are
          // already in the log.
          if (events.length === LOG_PAGE_SIZE) tail.targetSeq = Math.max(tail.targetSeq, tail.seq + 1);
        } else {
          tail.targetSeq = tail.seq;
        }
        // The change poller does not report a deletion that happened before the tail was opened.
        if (!tail.existenceChecked) await checkExistence(chatroomId, tail);
        tail.existenceChecked = true;
      }
    } catch (error) {
      log.warn({ error, chatroomId }, 'A room log could not be read. The next poll retries.');
    } finally {
      tail.reading = false;
    }
  }

  async function checkExistence(chatroomId: string, tail: Tail): Promise<void> {
    const members = await database.query(sql`SELECT FROM members WHERE chatroom_id = ${chatroomId}::uuid LIMIT 1`);
    if (members.length > 0) return;
    tail.deleted = true;
    void notifyReaders(tail);
  }

  /**
   * Notifies the readers of a room. If a reader starts a shared execution, waits once for it, at most {@link
   * SHARED_EXECUTION_TIMEOUT_MS}, before notifying the rest. Otherwise each of the rest would be woken twice: for the
   * event, and for the result of the execution. With a thousand subscribers, their data would leave the CPU cache
   * between the two.
   */
  async function notifyReaders(tail: Tail, events: readonly LogEvent[] = []): Promise<void> {
    let hasWaited = false;
    for (const listener of tail.listeners) {
      listener();
      const pending = hasWaited ? null : eventCache.pending(events);
      if (!pending) continue;
      hasWaited = true;
      await Promise.race([pending, setTimeout(SHARED_EXECUTION_TIMEOUT_MS, undefined, { ref: false })]);
    }
  }

  function acquire(chatroomId: string, seq: number): Tail {
    const existing = tails.get(chatroomId);
    if (existing) {
      // The new reader may have read a later `seq` from the database than this tail has.
      advance(chatroomId, existing, seq);
      return existing;
    }
    const tail: Tail = {
      ...{ seq, targetSeq: seq, recent: [], reading: false, existenceChecked: false, deleted: false },
      left: new Map(),
      listeners: new Set(),
      unsubscribe: () => undefined,
    };
    tails.set(chatroomId, tail);
    tail.unsubscribe = bus.subscribe(
      topic(chatroomId),
      (received) => {
        const { seq = NaN, at = NaN, trace } = (received ?? {}) as Partial<Notification>;
        // Recorded before the event is read, so that the trace is known when the event is delivered.
        options.tracing?.noteCause({ chatroomId, seq }, trace);
        advance(chatroomId, tail, seq);
        if (Number.isFinite(at)) options.onNotificationLag((Date.now() - at) / 1_000);
      },
      () => {
        poll(chatroomId, tail);
      },
    );
    poll(chatroomId, tail);
    return tail;
  }

  const stopListening = options.changePoller.listen(({ rooms, ended }) => {
    for (const [chatroomId, seq] of rooms) {
      const tail = tails.get(chatroomId);
      if (!tail) continue;
      counters.recoveredByPoll += Math.max(seq - tail.targetSeq, 0);
      advance(chatroomId, tail, seq);
    }
    for (const id of ended) {
      const tail = tails.get(id);
      if (!tail) continue;
      tail.deleted = true;
      void notifyReaders(tail);
    }
    // Retries the tails whose last read failed.
    for (const [chatroomId, tail] of tails) advance(chatroomId, tail, tail.seq);
  });

  /**
   * Publishes the pending notifications. A room with many concurrent sends has only one notification, with the highest
   * `seq`.
   */
  function flush(): void {
    const batch = [...pendingNotifications];
    pendingNotifications.clear();
    for (const [chatroomId, each] of batch) bus.publish(topic(chatroomId), each);
  }

  return {
    open(chatroomId, seq, onGrown) {
      const tail = acquire(chatroomId, seq);
      // Wrapped in a new function, because the set would merge two readers that pass the same callback.
      const listener = () => {
        onGrown();
      };
      tail.listeners.add(listener);
      return {
        read(after) {
          if (tail.seq <= after) return NOTHING;
          // Many subscribers may resume at once from one position. The event cache reads the page once for all of them.
          return recentAfter(tail, after) ?? eventCache.load(tail, after, () => readEvents(chatroomId, after));
        },
        hasMore: (after) => tail.seq > after || tail.deleted,
        deleted: () => tail.deleted,
        leftAt: (userId) => tail.left.get(userId),
        close() {
          if (!tail.listeners.delete(listener) || tail.listeners.size > 0) return;
          tails.delete(chatroomId);
          tail.unsubscribe();
        },
      };
    },
    notify(chatroomId, seq) {
      if (pendingNotifications.size === 0) setImmediate(flush);
      const before = pendingNotifications.get(chatroomId);
      if (before && before.seq >= seq) return;
      // `at` only serves the metric of the notification delay.
      pendingNotifications.set(chatroomId, { seq, at: Date.now(), trace: options.tracing?.traceparent() });
    },
    size: () => tails.size,
    readers: () => [...tails.values()].reduce((sum, { listeners }) => sum + listeners.size, 0),
    close() {
      stopListening();
      for (const tail of tails.values()) tail.unsubscribe();
      tails.clear();
    },
  };
}

const NOTHING: readonly LogEvent[] = [];

interface Notification {
  seq: number;
  at: number;
  trace: unknown;
}

function topic(chatroomId: string): string {
  return `room:${chatroomId}`;
}

/** Returns whether the log is ahead of the tail, or the first read has not succeeded yet. */
function mustRead(tail: Tail): boolean {
  return tail.targetSeq > tail.seq || !tail.existenceChecked;
}

/** Returns the cached events after `seq`. Undefined if some of them are no longer cached. */
function recentAfter(tail: Tail, seq: number): readonly LogEvent[] | undefined {
  const first = tail.recent[0];
  return first && first.seq <= seq + 1 ? tail.recent.slice(seq + 1 - first.seq) : undefined;
}
