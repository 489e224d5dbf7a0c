import type { Logger } from 'pino';
import { type Database, sql } from '../database/database.ts';
import { notFound } from '../errors.ts';
import type { Bus } from './bus.ts';
import { type LogEvent, readEvents } from './log.ts';

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
  /** Called when `seq` has grown. */
  waiting: Set<() => void>;
  followers: number;
  /** The room has been deleted, and its log with it. */
  gone: boolean;
  unsubscribe: () => void;
}

export interface Tails {
  /**
   * Everything that happens in a room after `seq`, in order and each thing once, first what was missed,
   * then what comes; there is no seam, since both are read from the one log.
   *
   * The iterator holds a position and no queue: one that is not pulled costs nothing.
   */
  follow(chatroomId: string, seq: number): AsyncIterableIterator<LogEvent, undefined>;
  /** Tells all nodes, after the commit, that a room's log reaches `seq`. */
  nudge(chatroomId: string, seq: number): void;
  /** How many rooms are followed on this node. */
  size(): number;
  /** Ends all streams. */
  close(): void;
}

/** How many events of a room are kept for those who are a little behind. */
const RECENT = 256;
const SWEEP_MS = 1_000;

/** The tails of one node. */
export async function createTails({
  database,
  bus,
  log,
}: {
  database: Database;
  bus: Bus;
  log: Logger;
}): Promise<Tails> {
  const tails = new Map<string, Tail>();
  const state = { closed: false };

  function advance(chatroomId: string, tail: Tail, known: number): void {
    // Redis may be shared with others, who say what they like.
    if (!Number.isSafeInteger(known)) return;
    tail.known = Math.max(tail.known, known);
    if (!tail.reading && tail.known > tail.seq) void readOn(chatroomId, tail);
  }

  /** What was committed before the nudges could be heard, or while they could not, is looked for unasked. */
  function lookOnce(chatroomId: string, tail: Tail): void {
    advance(chatroomId, tail, tail.seq + 1);
  }

  async function readOn(chatroomId: string, tail: Tail): Promise<void> {
    tail.reading = true;
    try {
      while (tail.known > tail.seq && tails.get(chatroomId) === tail) {
        const events = await readEvents(database, chatroomId, tail.seq);
        const last = events.at(-1);
        if (!last) {
          // Nothing new after all; or the log went with its room.
          tail.known = tail.seq;
          tail.gone = !(await exists(database, chatroomId));
          if (tail.gone) wake(tail);
        } else {
          tail.recent = [...tail.recent, ...events].slice(-RECENT);
          tail.seq = last.seq;
          wake(tail);
        }
      }
    } catch (error) {
      log.warn({ error, chatroomId }, 'A room could not be read; the next sweep tries again.');
    } finally {
      tail.reading = false;
    }
  }

  function acquire(chatroomId: string, seq: number): Tail {
    const existing = tails.get(chatroomId);
    if (existing) {
      existing.followers += 1;
      // The newcomer may have read of more than this tail was told.
      advance(chatroomId, existing, seq);
      return existing;
    }
    const tail: Tail = {
      seq,
      recent: [],
      known: seq,
      reading: false,
      waiting: new Set(),
      followers: 1,
      gone: false,
      unsubscribe: () => undefined,
    };
    tails.set(chatroomId, tail);
    tail.unsubscribe = bus.subscribe(
      topic(chatroomId),
      (nudge) => {
        advance(chatroomId, tail, (nudge as { seq?: number } | null)?.seq ?? NaN);
      },
      () => {
        lookOnce(chatroomId, tail);
      },
    );
    lookOnce(chatroomId, tail);
    return tail;
  }

  function release(chatroomId: string, tail: Tail): void {
    tail.followers -= 1;
    if (tail.followers > 0) return;
    tails.delete(chatroomId);
    tail.unsubscribe();
  }

  const sweep = await startSweep({
    database,
    log,
    onReached(chatroomId, seq) {
      const tail = tails.get(chatroomId);
      if (tail) advance(chatroomId, tail, seq);
    },
    // What failed to be read before is tried again.
    onSwept() {
      for (const [chatroomId, tail] of tails) advance(chatroomId, tail, tail.seq);
    },
  });

  return {
    follow(chatroomId, start) {
      const tail = acquire(chatroomId, start);
      let position = start;
      let page: LogEvent[] = [];
      let ended = false;
      const end = () => {
        if (ended) return;
        ended = true;
        release(chatroomId, tail);
        wake(tail);
      };

      async function next(): Promise<IteratorResult<LogEvent, undefined>> {
        while (!ended && !state.closed) {
          if (page.length === 0 && tail.seq > position) {
            page = recentAfter(tail, position) ?? (await readEvents(database, chatroomId, position));
          }
          const event = page.shift();
          if (event) {
            position = event.seq;
            return { value: event, done: false };
          }
          if (tail.gone) throw notFound('chatroom');
          if (tail.seq <= position) await new Promise<void>((resolve) => tail.waiting.add(resolve));
        }
        return { value: undefined, done: true };
      }

      // A plain object: return() of an async generator waits for a pending next(), which may never come.
      let turn: Promise<unknown> = Promise.resolve();
      return {
        [Symbol.asyncIterator]() {
          return this;
        },
        next() {
          const result = turn.then(next, next);
          turn = result.catch(end);
          return result;
        },
        return() {
          end();
          return Promise.resolve({ value: undefined, done: true });
        },
      };
    },
    nudge(chatroomId, seq) {
      bus.publish(topic(chatroomId), { seq });
    },
    size: () => tails.size,
    close() {
      sweep.stop();
      state.closed = true;
      for (const tail of tails.values()) {
        tail.unsubscribe();
        wake(tail);
      }
      tails.clear();
    },
  };
}

function topic(chatroomId: string): string {
  return `room:${chatroomId}`;
}

function wake(tail: Tail): void {
  const waiting = [...tail.waiting];
  tail.waiting.clear();
  for (const resolve of waiting) resolve();
}

async function exists(database: Database, chatroomId: string): Promise<boolean> {
  return (await database.query(sql`SELECT FROM chatrooms WHERE id = ${chatroomId}::uuid`)).length > 0;
}

/** What the tail still holds after `seq`, or nothing if the follower is further behind than that. */
function recentAfter(tail: Tail, seq: number): LogEvent[] | undefined {
  const first = tail.recent[0];
  return first && first.seq <= seq + 1 ? tail.recent.slice(seq + 1 - first.seq) : undefined;
}

/**
 * Asks the database once a second what has changed, so that even the last message of a quiet room is found
 * when its nudge was lost.
 *
 * What one sweep could not see, because it was not yet committed, belongs to transactions at or after its
 * snapshot's xmin: the next sweep begins there. No clock and no margin is involved.
 */
async function startSweep(options: {
  database: Database;
  log: Logger;
  onReached: (chatroomId: string, seq: number) => void;
  onSwept: () => void;
}): Promise<{ stop(): void }> {
  // Before there are tails: what is committed from here on, the first sweep sees.
  let since = await snapshotXmin(options.database);
  let sweeping = false;

  async function sweep(): Promise<void> {
    if (sweeping) return;
    sweeping = true;
    try {
      const rows = await options.database.query<{ xmin: string; chatroomId: string | null; seq: number }>(sql`
        SELECT s.xmin, e.chatroom_id AS "chatroomId", e.seq
          FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin) s
          LEFT JOIN (
            SELECT chatroom_id, max(seq) AS seq FROM events
              WHERE xid >= ${since}::text::xid8 GROUP BY chatroom_id
          ) e ON true`);
      since = rows[0]?.xmin ?? since;
      for (const row of rows) if (row.chatroomId !== null) options.onReached(row.chatroomId, row.seq);
      options.onSwept();
    } catch (error) {
      options.log.warn({ error }, 'The database cannot be asked what has changed; trying again in a second.');
    } finally {
      sweeping = false;
    }
  }

  const timer = setInterval(() => void sweep(), SWEEP_MS);
  timer.unref();
  return {
    stop() {
      clearInterval(timer);
    },
  };
}

async function snapshotXmin(database: Database): Promise<string> {
  const [snapshot] = await database.query<{ xmin: string }>(
    sql`SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin`,
  );
  if (!snapshot) throw new Error('PostgreSQL gave no snapshot.');
  return snapshot.xmin;
}
