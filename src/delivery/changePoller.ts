import type { Logger } from 'pino';
import type { FailureLog } from '../platform/observability/failureLog.ts';
import { type Database, sql } from '../platform/database/database.ts';
import { groupBy } from '../core/groupBy.ts';
import type { Bus } from '../platform/redis/bus.ts';

declare module '../core/context.ts' {
  interface ServerNode {
    changePoller: ChangePoller;
  }
}

/** Changes that one poll found and no earlier poll had reported. */
export interface ChangeSet {
  /**
   * The database snapshot that the poll read, a `pg_snapshot`. This change set or an earlier one contains every change
   * that the snapshot sees.
   */
  snapshot: string;
  /** The `seq` of the last event of each room whose log has grown, by room id. */
  rooms: ReadonlyMap<string, number>;
  /** Joins by user id. */
  joins: ReadonlyMap<string, readonly Join[]>;
  /** Changes that are in no room's log, by user id. */
  unlogged: ReadonlyMap<string, readonly UnloggedChange[]>;
  /** Ids of ended sessions and of deleted rooms. */
  ended: string[];
}

/** A `MEMBER_JOINED` event of a room's log. */
export interface Join {
  userId: string;
  chatroomId: string;
  seq: number;
}

/**
 * A change that is in no room's log: a user hides a DIRECT room, shows a hidden room again, blocks or unblocks another
 * user, or a friendship or friend request of the user changes. Does not include a hidden room that reappears because of a
 * new message. That message is in the log.
 *
 * `VIEWER_CHANGED` stands for changes that no event carries: of the user's profile, and of relationships that ended with
 * the account of the other user.
 *
 * `xid` is the id of the transaction, an `xid8`. A transaction that changes the same pair or room several times is reported
 * once, for example one that replaces a friend request with a friendship.
 */
export type UnloggedChange = { userId: string; xid: string } & (
  | { kind: 'HIDDEN' | 'SHOWN'; chatroomId: string }
  | { kind: 'BLOCK_CHANGED'; otherId: string }
  | { kind: 'FRIENDSHIP_CHANGED'; otherId: string }
  | { kind: 'VIEWER_CHANGED' }
);

/** Polls the database for changes once a second. A change is therefore reported even if its notification was lost. */
export interface ChangePoller {
  /** Calls a function after each poll. Returns a function that removes the listener. */
  listen(listener: (changes: ChangeSet) => void): () => void;
  /** Returns the snapshot of the latest poll. */
  snapshot(): string;
  /**
   * Returns the lag of the listeners, in milliseconds. They have received every change that was committed at least that
   * long ago. Infinity before the first poll. Also Infinity after a request to poll, until a poll that began later has
   * succeeded.
   */
  lag(): number;
  /**
   * Makes all nodes poll immediately. Call it after a user has joined a room, a session has ended, a room has been
   * deleted, or a block or friendship has changed. Call it after the commit, because a poll sees only committed
   * changes. On this node, `lag` is Infinity from the call until the poll has succeeded.
   */
  requestPoll(): void;
  /** Ends polling on this node. */
  stop(): void;
}

/** Time between two polls, in milliseconds. A lost notification delays its change by at most this time. */
const POLL_INTERVAL_MS = 1_000;
/** Bus topic of the requests to poll. Nodes of the previous release use the same topic. */
const POLL_REQUESTS = 'sweep';

/**
 * Starts the change poller of one node.
 *
 * Each poll takes a snapshot. The next poll reads the changes of transactions at or after the xmin of that snapshot,
 * and leaves out the changes that the snapshot saw. Each change is therefore reported exactly once, without a clock or
 * a safety margin.
 *
 * The cost of a poll depends on the number of changes, not on the number of subscribers.
 */
export async function startChangePoller(options: {
  database: Database;
  bus: Bus;
  log: Logger;
  failures: FailureLog;
}): Promise<ChangePoller> {
  const { database, bus, log, failures } = options;
  const listeners = new Set<(changes: ChangeSet) => void>();
  // Taken before any listener is added, so that the first poll reports every commit from here on.
  let snapshot = await currentSnapshot(database);
  let state: 'idle' | 'polling' | 'polling, and again' = 'idle';
  /** Number of requests to poll that this node has received. */
  let requests = 0;
  /** Start of the latest successful poll, and the number of requests that had been received by then. */
  let latest = { startedAt: -Infinity, requests: 0 };

  async function poll(): Promise<void> {
    // The lag is measured from the start, because a change that was committed during the poll may be missing. A
    // monotonic clock, because the system clock may be set back.
    const started = { startedAt: performance.now(), requests };
    try {
      const [found] = await database.query<{
        snapshot: string;
        rooms: ChangedRoom[];
        unlogged: UnloggedChange[];
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
          (SELECT coalesce(json_agg(DISTINCT jsonb_build_object(
              'userId', user_id, 'xid', xid::text, 'chatroomId', chatroom_id, 'otherId', other_id, 'kind', kind)), '[]')
            FROM membership_changes
            WHERE xid >= (SELECT xid FROM since) AND NOT pg_visible_in_snapshot(xid, (SELECT snapshot FROM since))
              AND kind IN ('HIDDEN', 'SHOWN', 'BLOCK_CHANGED', 'FRIENDSHIP_CHANGED', 'VIEWER_CHANGED')) AS unlogged,
          (SELECT coalesce(json_agg(id), '[]') FROM endings
            WHERE xid >= (SELECT xid FROM since) AND NOT pg_visible_in_snapshot(xid, (SELECT snapshot FROM since))) AS ended`);
      failures.succeeded('polling');
      if (!found) return;
      snapshot = found.snapshot;
      // Indexed here and not by each listener, because there may be thousands of listeners.
      const rooms = new Map(found.rooms.map(({ chatroomId, seq }) => [chatroomId, seq]));
      const joins = groupBy(found.rooms.flatMap(joinsOf), ({ userId }) => userId);
      const unlogged = groupBy(found.unlogged, ({ userId }) => userId);
      notifyListeners({ snapshot, rooms, joins, unlogged, ended: found.ended });
      latest = started;
    } catch (error) {
      failures.failed('polling', error);
    }
  }

  /** Calls all listeners, even if one of them fails, because no later poll reports these changes again. */
  function notifyListeners(changes: ChangeSet): void {
    for (const listener of [...listeners]) {
      try {
        listener(changes);
      } catch (error) {
        log.error({ err: error }, 'A listener of the change poller failed and has missed the changes of one poll.');
      }
    }
  }

  async function run(): Promise<void> {
    if (state !== 'idle') {
      // Polls again, because the running poll may have started before the requested change was committed.
      state = 'polling, and again';
      return;
    }
    do {
      state = 'polling';
      await poll();
    } while (wasRequestedAgain());
    state = 'idle';
  }
  const wasRequestedAgain = () => state === 'polling, and again';

  const timer = setInterval(() => void run(), POLL_INTERVAL_MS);
  timer.unref();
  const onRequest = () => {
    requests += 1;
    void run();
  };
  // The second callback runs when the bus has connected or reconnected. Requests to poll may have been lost before, so
  // this node polls at once.
  const unsubscribe = bus.subscribe(POLL_REQUESTS, onRequest, onRequest);
  return {
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    requestPoll() {
      bus.publish(POLL_REQUESTS, {});
    },
    snapshot: () => snapshot,
    lag: () => (latest.requests === requests ? performance.now() - latest.startedAt : Infinity),
    stop() {
      clearInterval(timer);
      unsubscribe();
    },
  };
}

/** Returns whether a snapshot sees a committed transaction, as `pg_visible_in_snapshot` does. */
export function isVisibleIn(snapshot: string, xid: string): boolean {
  const [, xmax = '', running = ''] = snapshot.split(':');
  return BigInt(xid) < BigInt(xmax) && !running.split(',').includes(xid);
}

interface ChangedRoom {
  chatroomId: string;
  seq: number;
  joined: { userId: string; seq: number }[] | null;
}

function joinsOf({ chatroomId, joined }: ChangedRoom): Join[] {
  return joined?.map((join) => ({ ...join, chatroomId })) ?? [];
}

async function currentSnapshot(database: Database): Promise<string> {
  const [found] = await database.query<{ snapshot: string }>(sql`SELECT flushed_snapshot()::text AS snapshot`);
  if (!found) throw new Error('PostgreSQL returned no snapshot.');
  return found.snapshot;
}
