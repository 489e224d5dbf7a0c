import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Database, sql } from '../database/database.ts';
import type { Bus } from './bus.ts';
import { type LogEvent, PAGE } from './log.ts';
import type { MaybePromise } from './pull.ts';
import type { Sharing } from './sharing.ts';
import type { Sweep } from './sweep.ts';

/**
 * The end of one room's log, followed once on this node however many subscribers it has.
 *
 * Nudges and the sweep tell it how far the log reaches; it reads what is new and keeps the latest events.
 */
interface Tail {
  /** The last event that was read. */
  seq: number;
  /** The latest events, without a hole, ending with `seq`. */
  recent: LogEvent[];
  /** How far the log reaches, as far as this node was told. */
  known: number;
  reading: boolean;
  /** It was there when its log was first looked at. */
  found: boolean;
  /** The room has been deleted, and its log with it. */
  deleted: boolean;
  /** Who has left since this was watched, and where the log says so; without those who came back. */
  left: Map<string, number>;
  /** Called when `seq` has grown, or the room has been deleted. */
  listeners: Set<() => void>;
  unsubscribe: () => void;
}

/** One subscriber's hold on a room's tail. */
export interface TailReader {
  /** The events after `seq`, oldest first, at most a page of them; none while there is nothing new. */
  read(seq: number): MaybePromise<readonly LogEvent[]>;
  /** Whether there is anything after `seq`, be it the end of the room. */
  hasMore(seq: number): boolean;
  /** Whether the room is no more. */
  deleted(): boolean;
  /** Where the log says that a user has left, as far as it has been read; undefined for who has not, or is back. */
  leftAt(userId: string): number | undefined;
  /** Lets go of the tail. */
  close(): void;
}

export interface Tails {
  /**
   * Watches a room.
   *
   * @param seq an event that the log has reached
   * @param onGrown called when there may be something to read
   */
  open(chatroomId: string, seq: number, onGrown: () => void): TailReader;
  /** Tells all nodes, after the commit, that a room's log reaches `seq`; what is said in one moment, as one. */
  nudge(chatroomId: string, seq: number): void;
  /** How many rooms are watched on this node. */
  size(): number;
  /** How many readers hold them. */
  readers(): number;
  close(): void;
}

/** How many events of a room are kept for those who are a little behind. */
const RECENT = 256;
/** The others are told after so long in any case. */
const LONGEST_WAIT_MS = 100;

/** The tails of one node. */
export function createTails(options: {
  database: Database;
  bus: Bus;
  sweep: Sweep;
  counts: { healed: number };
  sharing: Sharing;
  /** Reads a page of a room's log, as `readEvents` does, and makes ready what those will need who are told of it. */
  readEvents: (chatroomId: string, after: number) => Promise<LogEvent[]>;
  /** Told how long a nudge took to arrive. */
  onNudged: (seconds: number) => void;
  /** Follows a change to those who are told of it. */
  tracing?: {
    carrier(): string | undefined;
    note(event: { chatroomId: string; seq: number }, traceparent: unknown): void;
  } | null;
  log: Logger;
}): Tails {
  const { database, bus, counts, sharing, readEvents, log } = options;
  const tails = new Map<string, Tail>();
  /** What is to be told at the end of this turn of the event loop. */
  const unsaid = new Map<string, Nudge>();

  function advance(chatroomId: string, tail: Tail, known: number): void {
    // Redis may be shared with others, who say what they like.
    if (!Number.isSafeInteger(known)) return;
    tail.known = Math.max(tail.known, known);
    if (!tail.reading && hasNews(tail)) void readOn(chatroomId, tail);
  }

  /** What was committed before the nudges could be heard, or while they could not, is looked for unasked. */
  function lookOnce(chatroomId: string, tail: Tail): void {
    advance(chatroomId, tail, tail.seq + 1);
  }

  async function readOn(chatroomId: string, tail: Tail): Promise<void> {
    tail.reading = true;
    try {
      while (hasNews(tail) && tails.get(chatroomId) === tail) {
        const events = await readEvents(chatroomId, tail.seq);
        const last = events.at(-1);
        if (last) {
          tail.recent = [...tail.recent, ...events].slice(-RECENT);
          tail.seq = last.seq;
          for (const { kind, userId, seq } of events) {
            if (kind === 'MEMBER_LEFT' && userId !== null) tail.left.set(userId, seq);
            if (kind === 'MEMBER_JOINED' && userId !== null) tail.left.delete(userId);
          }
          await tell(tail, events);
          // Of what was missed long ago nobody tells any more: a full page is not the last one.
          if (events.length === PAGE) tail.known = Math.max(tail.known, tail.seq + 1);
        } else {
          tail.known = tail.seq;
        }
        // Of a room that was deleted before it was watched, no sweep tells any more.
        if (!tail.found) await find(chatroomId, tail);
        tail.found = true;
      }
    } catch (error) {
      log.warn({ error, chatroomId }, 'A room could not be read; the next sweep tries again.');
    } finally {
      tail.reading = false;
    }
  }

  async function find(chatroomId: string, tail: Tail): Promise<void> {
    const members = await database.query(sql`SELECT FROM members WHERE chatroom_id = ${chatroomId}::uuid LIMIT 1`);
    if (members.length > 0) return;
    tail.deleted = true;
    void tell(tail);
  }

  /**
   * Tells those who follow a room. Whoever is first has executed what the others ask too: these are told when it is there, or
   * each of them would come twice, and of a thousand subscribers nothing stays near the processor.
   */
  async function tell(tail: Tail, events: readonly LogEvent[] = []): Promise<void> {
    let hasWaited = false;
    for (const listener of tail.listeners) {
      listener();
      const underWay = hasWaited ? null : sharing.underWay(events);
      if (!underWay) continue;
      hasWaited = true;
      await Promise.race([underWay, setTimeout(LONGEST_WAIT_MS, undefined, { ref: false })]);
    }
  }

  function acquire(chatroomId: string, seq: number): Tail {
    const existing = tails.get(chatroomId);
    if (existing) {
      // The newcomer may have read of more than this tail was told.
      advance(chatroomId, existing, seq);
      return existing;
    }
    const tail: Tail = {
      ...{ seq, known: seq, recent: [], reading: false, found: false, deleted: false },
      left: new Map(),
      listeners: new Set(),
      unsubscribe: () => undefined,
    };
    tails.set(chatroomId, tail);
    tail.unsubscribe = bus.subscribe(
      topic(chatroomId),
      (nudge) => {
        const { seq = NaN, at = NaN, trace } = (nudge ?? {}) as Partial<Nudge>;
        // Before it is read, and whoever follows the room is told.
        options.tracing?.note({ chatroomId, seq }, trace);
        advance(chatroomId, tail, seq);
        if (Number.isFinite(at)) options.onNudged((Date.now() - at) / 1_000);
      },
      () => {
        lookOnce(chatroomId, tail);
      },
    );
    lookOnce(chatroomId, tail);
    return tail;
  }

  const stopListening = options.sweep.listen(({ rooms, ended }) => {
    for (const [chatroomId, seq] of rooms) {
      const tail = tails.get(chatroomId);
      if (!tail) continue;
      counts.healed += Math.max(seq - tail.known, 0);
      advance(chatroomId, tail, seq);
    }
    for (const id of ended) {
      const tail = tails.get(id);
      if (!tail) continue;
      tail.deleted = true;
      void tell(tail);
    }
    // What failed to be read before is tried again.
    for (const [chatroomId, tail] of tails) advance(chatroomId, tail, tail.seq);
  });

  /** A room in which many speak at once is nudged once: the last says it all. */
  function say(): void {
    const said = [...unsaid];
    unsaid.clear();
    for (const [chatroomId, each] of said) bus.publish(topic(chatroomId), each);
  }

  return {
    open(chatroomId, seq, onGrown) {
      const tail = acquire(chatroomId, seq);
      // Two holds of one subscriber are two.
      const listener = () => {
        onGrown();
      };
      tail.listeners.add(listener);
      return {
        read(after) {
          if (tail.seq <= after) return NOTHING;
          // Many come back at once to the same place, and a page that has been read for one is read for all.
          return recentAfter(tail, after) ?? sharing.once(tail, after, () => readEvents(chatroomId, after));
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
    nudge(chatroomId, seq) {
      if (unsaid.size === 0) setImmediate(say);
      const before = unsaid.get(chatroomId);
      if (before && before.seq >= seq) return;
      // When it was said is for those who watch over the nodes alone.
      unsaid.set(chatroomId, { seq, at: Date.now(), trace: options.tracing?.carrier() });
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

interface Nudge {
  seq: number;
  at: number;
  trace: unknown;
}

function topic(chatroomId: string): string {
  return `room:${chatroomId}`;
}

/** It was told of more than it has read; or has not been looked at yet, which may have failed. */
function hasNews(tail: Tail): boolean {
  return tail.known > tail.seq || !tail.found;
}

/** What the tail still holds after `seq`, or nothing if the reader is further behind than that. */
function recentAfter(tail: Tail, seq: number): readonly LogEvent[] | undefined {
  const first = tail.recent[0];
  return first && first.seq <= seq + 1 ? tail.recent.slice(seq + 1 - first.seq) : undefined;
}
