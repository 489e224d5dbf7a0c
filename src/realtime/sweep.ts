import type { Logger } from 'pino';
import type { FailureLog } from '../failureLog.ts';
import { type Database, sql } from '../database/database.ts';
import { groupBy } from '../groupBy.ts';
import type { Bus } from './bus.ts';

/** What one look at the database found that those before it had not. */
export interface Swept {
  /** The `pg_snapshot` that was looked at: whatever it sees, this sweep or one before has told. */
  snapshot: string;
  /** The rooms in which something has happened, and how far their logs reach. */
  rooms: ReadonlyMap<string, number>;
  /** The rooms that each user has joined, and at which places of their logs. */
  joins: ReadonlyMap<string, readonly Join[]>;
  /** The DIRECT rooms that each user has hidden or shown again. */
  hidings: ReadonlyMap<string, readonly Hiding[]>;
  /** The sessions and rooms that are no more. */
  ended: string[];
}

/** The joining of a room. */
export interface Join {
  userId: string;
  chatroomId: string;
  seq: number;
}

/** A DIRECT room that a user has hidden, or shown again without a message. */
export interface Hiding {
  userId: string;
  chatroomId: string;
  kind: 'HIDDEN' | 'SHOWN';
}

/** Asks the database once a second what has changed, for whatever lost its nudge. */
export interface Sweep {
  /** Calls a function after each look. Answers a function that ends it. */
  listen(listener: (swept: Swept) => void): () => void;
  /** The snapshot of the latest look. */
  snapshot(): string;
  /** Tells all nodes, after the commit, to look at once: somebody has joined, or something has ended. */
  announce(): void;
  stop(): void;
}

const SWEEP_MS = 1_000;
const TOPIC = 'sweep';

/**
 * Starts the sweep of one node.
 *
 * What one look could not see, because it was not yet committed, belongs to transactions at or after its snapshot's
 * xmin: the next look begins there, and leaves out what the snapshot saw. Each thing is told once. No clock and no margin
 * is involved, and the cost follows what has changed, not what is watched.
 */
export async function startSweep(options: {
  database: Database;
  bus: Bus;
  log: Logger;
  failures: FailureLog;
}): Promise<Sweep> {
  const { database, bus, log, failures } = options;
  const listeners = new Set<(swept: Swept) => void>();
  // Before anything is watched: what is committed from here on, the first look sees.
  let snapshot = await currentSnapshot(database);
  let state: 'idle' | 'looking' | 'looking, and again' = 'idle';

  async function look(): Promise<void> {
    try {
      const [swept] = await database.query<{
        snapshot: string;
        rooms: SweptRoom[];
        hidings: Hiding[];
        ended: string[];
      }>(sql`
        WITH since AS (SELECT pg_snapshot_xmin(${snapshot}::pg_snapshot) AS xid, ${snapshot}::pg_snapshot AS snapshot)
        SELECT flushed_snapshot()::text AS snapshot,
          (SELECT coalesce(json_agg(room), '[]') FROM (
            SELECT chatroom_id AS "chatroomId", max(seq) AS seq,
                   json_agg(json_build_object('userId', user_id, 'seq', seq)) FILTER (WHERE kind = 'MEMBER_JOINED') AS joined
              FROM events
              WHERE xid >= (SELECT xid FROM since) AND NOT pg_visible_in_snapshot(xid, (SELECT snapshot FROM since))
              GROUP BY chatroom_id) room) AS rooms,
          (SELECT coalesce(json_agg(json_build_object('userId', user_id, 'chatroomId', chatroom_id, 'kind', kind)), '[]')
            FROM membership_changes
            WHERE xid >= (SELECT xid FROM since) AND NOT pg_visible_in_snapshot(xid, (SELECT snapshot FROM since))
              AND kind IN ('HIDDEN', 'SHOWN')) AS hidings,
          (SELECT coalesce(json_agg(id), '[]') FROM endings
            WHERE xid >= (SELECT xid FROM since) AND NOT pg_visible_in_snapshot(xid, (SELECT snapshot FROM since))) AS ended`);
      failures.worked('polling');
      if (!swept) return;
      snapshot = swept.snapshot;
      // Once for all listeners, of which there may be thousands.
      const rooms = new Map(swept.rooms.map(({ chatroomId, seq }) => [chatroomId, seq]));
      const joins = groupBy(swept.rooms.flatMap(joinsOf), ({ userId }) => userId);
      const hidings = groupBy(swept.hidings, ({ userId }) => userId);
      tell({ snapshot, rooms, joins, hidings, ended: swept.ended });
    } catch (error) {
      failures.failed('polling', error);
    }
  }

  /** A failing listener must not hide the changes from the others: the next look does not report them again. */
  function tell(swept: Swept): void {
    for (const listener of [...listeners]) {
      try {
        listener(swept);
      } catch (error) {
        log.error({ err: error }, 'A listener of the sweep failed. It has missed this sweep.');
      }
    }
  }

  async function run(): Promise<void> {
    if (state !== 'idle') {
      // The look under way may have begun before what it is now asked to find.
      state = 'looking, and again';
      return;
    }
    do {
      state = 'looking';
      await look();
    } while (wasAskedAgain());
    state = 'idle';
  }
  const wasAskedAgain = () => state === 'looking, and again';

  const timer = setInterval(() => void run(), SWEEP_MS);
  timer.unref();
  // When the bus comes back, what was said meanwhile is lost: it is looked for at once.
  const unsubscribe = bus.subscribe(
    TOPIC,
    () => void run(),
    () => void run(),
  );
  return {
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    announce() {
      bus.publish(TOPIC, {});
    },
    snapshot: () => snapshot,
    stop() {
      clearInterval(timer);
      unsubscribe();
    },
  };
}

interface SweptRoom {
  chatroomId: string;
  seq: number;
  joined: { userId: string; seq: number }[] | null;
}

function joinsOf({ chatroomId, joined }: SweptRoom): Join[] {
  return joined?.map((join) => ({ ...join, chatroomId })) ?? [];
}

async function currentSnapshot(database: Database): Promise<string> {
  const [found] = await database.query<{ snapshot: string }>(sql`SELECT flushed_snapshot()::text AS snapshot`);
  if (!found) throw new Error('PostgreSQL gave no snapshot.');
  return found.snapshot;
}
