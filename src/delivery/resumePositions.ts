import { type Context, requireViewer } from '../core/context.ts';
import { type Database, sql } from '../platform/database/database.ts';
import { createLoader, SMALL_BATCHES } from '../platform/database/loader.ts';
import { resyncRequired } from './cursor.ts';

/**
 * Maximum number of events that a resumed all-rooms stream may have missed, in all rooms together. A stream that missed
 * more fails with `RESYNC_REQUIRED`. Limited because a resume sorts the positions of all missed events.
 */
const MAX_MISSED = 50_000;
/**
 * Minimum number of missed events between two checkpoints. A stream that breaks off resumes from its last checkpoint.
 */
const CHECKPOINT_INTERVAL = 1_000;
/**
 * Maximum number of checkpoints of one resume. If `CHECKPOINT_INTERVAL` would produce more, the checkpoints are further
 * apart.
 */
const MAX_CHECKPOINTS = 100;

/** Position of a stream in one room. */
export interface RoomPosition {
  chatroomId: string;
  /** The `seq` of the last event that was delivered. */
  seq: number;
  /** The `seq` of the last event in the room's log. */
  lastSeq: number;
}

/** The viewer's rooms, and the database snapshot in which they were read. */
export interface RoomPositions {
  snapshot: string;
  rooms: RoomPosition[];
}

/**
 * An intermediate snapshot of a resume. The stream has reached the snapshot when it has delivered the events of each
 * listed room up to `seq`.
 */
export interface Checkpoint {
  snapshot: string;
  rooms: [chatroomId: string, seq: number][];
}

const positionsOfUser = createLoader<RoomPositions & { userId: string }>(
  ({ database }, userIds) =>
    database.prepared(sql`
      SELECT u.id AS "userId", (SELECT flushed_snapshot()::text) AS snapshot,
        (SELECT coalesce(json_agg(json_build_object('chatroomId', c.id, 'seq', c.last_seq, 'lastSeq', c.last_seq)), '[]')
          FROM members v JOIN chatrooms c ON c.id = v.chatroom_id WHERE v.user_id = u.id) AS rooms
        FROM unnest(${userIds}::uuid[]) u (id)`),
  ({ userId }) => userId,
  SMALL_BATCHES,
);

/** Returns the current positions of the viewer's rooms. */
export async function findPositions(context: Context): Promise<RoomPositions> {
  const found = await positionsOfUser(context, requireViewer(context).userId);
  if (!found) throw new Error('PostgreSQL returned no snapshot.');
  return found;
}

/** State of a room relative to the cursor's snapshot, as the query returns it. */
interface PositionSince {
  chatroomId: string;
  lastSeq: number;
  /** The `seq` of the last event that the snapshot sees. Null if the log contains no such event. */
  seen: number | null;
  /**
   * The `seq` of the viewer's first `MEMBER_JOINED` event after `seen`, if the viewer was not a member in the snapshot.
   * Null if the viewer was a member.
   */
  joined: number | null;
  /** The `seq` of the first event to deliver. Null if there is none. */
  next: number | null;
  /** Whether the event `next` is at most LOG_DAYS old. Null if there is no `next`. */
  recent: boolean | null;
}

/** Positions of a user's rooms relative to a snapshot. `key` has the user and the snapshot, separated by a space. */
interface PositionsSince {
  key: string;
  snapshot: string;
  /** Whether the database is at least as new as the cursor's snapshot. */
  known: boolean;
  rooms: PositionSince[];
}

const positionsSince = createLoader<PositionsSince>(
  ({ database, logDays }, keys) => {
    const [userIds, snapshots] = [0, 1].map((part) => keys.map((key) => key.split(' ')[part]));
    return database.prepared(sql`
      SELECT k.key, (SELECT flushed_snapshot()::text) AS snapshot,
        pg_snapshot_xmax(k.since) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
        (SELECT coalesce(json_agg(place), '[]') FROM (
          SELECT c.id AS "chatroomId", c.last_seq AS "lastSeq", s.seen, j.joined, n.seq AS next, n.recent
            FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
            CROSS JOIN LATERAL (
              -- Most rooms have no event since the snapshot. last_seen_seq would search for their last event.
              SELECT coalesce((
                SELECT e.seq FROM events e
                  WHERE e.chatroom_id = c.id AND e.seq = c.last_seq AND pg_visible_in_snapshot(e.xid, k.since)
              ), last_seen_seq(c.id, k.since, c.last_seq)) AS seen OFFSET 0
            ) s
            CROSS JOIN LATERAL (
              SELECT (SELECT CASE e.kind WHEN 'MEMBER_JOINED' THEN e.seq END FROM events e
                WHERE e.user_id = v.user_id AND e.chatroom_id = c.id AND e.seq > coalesce(s.seen, 0)
                  AND e.kind IN ('MEMBER_JOINED', 'MEMBER_LEFT') ORDER BY e.seq LIMIT 1) AS joined OFFSET 0
            ) j
            LEFT JOIN LATERAL (
              SELECT e.seq, e.created_at >= now() - make_interval(days => ${logDays}::int) AS recent FROM events e
                WHERE e.chatroom_id = c.id AND e.seq > coalesce(j.joined - 1, s.seen, 0) ORDER BY e.seq LIMIT 1
            ) n ON true
            WHERE v.user_id = k.user_id
        ) place) AS rooms
        FROM unnest(${keys}::text[], ${userIds}::uuid[], ${snapshots}::pg_snapshot[]) k (key, user_id, since)`);
  },
  ({ key }) => key,
  SMALL_BATCHES,
);

/**
 * Returns the position of each of the viewer's rooms in the snapshot `since`. For a room that the viewer joined later,
 * the position is the event before the viewer joined.
 *
 * Events of a room commit in `seq` order. A snapshot therefore sees all events of a room up to some event, and none
 * after that event.
 *
 * The snapshot comes from a client and may be forged, so its cost is limited. Each room takes a few index lookups, and
 * the number of missed events is checked before any missed event is read.
 *
 * @throws ChatError `RESYNC_REQUIRED` if a missed event is older than LOG_DAYS or has been deleted. Also if more than
 *   {@link MAX_MISSED} events were missed, or if the database is older than the snapshot.
 */
export async function findPositionsSince(context: Context, since: string): Promise<RoomPositions> {
  const found = await positionsSince(context, `${requireViewer(context).userId} ${since}`);
  if (!found) throw new Error('PostgreSQL returned no snapshot.');
  if (!found.known) throw resyncRequired('This database is older than the cursor.');
  const rooms = found.rooms.map(toPosition);
  if (countMissed(rooms) > MAX_MISSED) throw resyncRequired('Too many events have been added since this cursor.');
  return { snapshot: found.snapshot, rooms };
}

function toPosition({ chatroomId, lastSeq, seen, joined, next, recent }: PositionSince): RoomPosition {
  const seq = joined === null ? (seen ?? (next === null ? lastSeq : 0)) : joined - 1;
  // If the log does not continue directly after the position, missed events have been deleted. Missed events older than
  // LOG_DAYS are treated as deleted, because they soon will be.
  if (next !== null && (next !== seq + 1 || recent === false)) {
    throw resyncRequired('Events after this cursor have been deleted.');
  }
  return { chatroomId, seq, lastSeq };
}

function countMissed(rooms: readonly RoomPosition[]): number {
  return rooms.reduce((sum, { seq, lastSeq }) => sum + lastSeq - seq, 0);
}

/**
 * Returns the intermediate snapshots of a resume. Returns none if at most `interval` events were missed. A subscriber
 * that is disconnected during a long backlog resumes from the last checkpoint instead of the start.
 *
 * A checkpoint is a snapshot that sees the committed transactions before some transaction X. In each room, the events
 * that the checkpoint sees must have a lower `seq` than all other missed events. This is not the case for every X: of
 * two concurrent sends, the one with the higher `seq` may have the lower transaction id.
 *
 * @param interval minimum number of missed events between two checkpoints
 */
export async function findCheckpoints(
  database: Database,
  { snapshot, rooms }: RoomPositions,
  interval = CHECKPOINT_INTERVAL,
): Promise<Checkpoint[]> {
  const missed = countMissed(rooms);
  if (missed <= interval) return [];
  const size = Math.max(interval, Math.ceil(missed / MAX_CHECKPOINTS));
  const parts = await database.query<Part>(sql`
    WITH missed AS (
      SELECT e.chatroom_id, e.seq, e.xid::text::bigint AS xid, (rank() OVER (ORDER BY e.xid) - 1) / ${size}::int AS part
        FROM jsonb_to_recordset(${JSON.stringify(rooms)}::jsonb) AS p ("chatroomId" uuid, seq int, "lastSeq" int)
        JOIN events e ON e.chatroom_id = p."chatroomId" AND e.seq > p.seq AND e.seq <= p."lastSeq"
    ), parts AS (
      SELECT part, chatroom_id, min(seq) AS first, max(seq) AS last, min(min(xid)) OVER (PARTITION BY part) AS start
        FROM missed GROUP BY part, chatroom_id
    )
    SELECT part::int, chatroom_id AS "chatroomId", start::text,
           max(last) OVER earlier AS seq, min(first) OVER later < max(last) OVER earlier AS "isOutOfOrder",
           (lead(part) OVER earlier)::int AS "nextPart"
      FROM parts
      WINDOW earlier AS (PARTITION BY chatroom_id ORDER BY part),
             later AS (PARTITION BY chatroom_id ORDER BY part ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
      ORDER BY part`);
  return toCheckpoints(snapshot, parts);
}

/** Missed events of one room in one part. All missed events are sorted by transaction id and divided into parts. */
interface Part {
  part: number;
  chatroomId: string;
  /** Lowest transaction id of the part, over all rooms. */
  start: string;
  /** The highest `seq` of the room in this part and all earlier parts. */
  seq: number;
  /**
   * Whether a later part contains an event of the room with a lower `seq`. Null if no later part has events of the
   * room.
   */
  isOutOfOrder: boolean | null;
  /** Next part with events of the room. Null if there is none. */
  nextPart: number | null;
}

/**
 * Returns a checkpoint for each boundary between two parts of the missed events. Leaves out a boundary if, in any room,
 * an event after the boundary has a lower `seq` than an event before the boundary.
 */
function toCheckpoints(snapshot: string, parts: readonly Part[]): Checkpoint[] {
  const checkpoints: Checkpoint[] = [];
  let rooms: Checkpoint['rooms'] = [];
  /** Part up to which events of a room are out of order. The next checkpoint must come after this part. */
  let outOfOrderUntil = 0;
  let part = 0;
  for (const each of parts) {
    if (each.part > part && outOfOrderUntil < each.part) {
      checkpoints.push({ snapshot: snapshotBefore(BigInt(each.start), snapshot), rooms });
      rooms = [];
    }
    part = each.part;
    if (each.isOutOfOrder) outOfOrderUntil = Math.max(outOfOrderUntil, each.nextPart ?? part);
    rooms.push([each.chatroomId, each.seq]);
  }
  return checkpoints;
}

/** Returns a snapshot that sees only those transactions of `snapshot` that precede `transaction`. */
function snapshotBefore(transaction: bigint, snapshot: string): string {
  const [xmin = '', , running = ''] = snapshot.split(':');
  const open = running.split(',').filter((xid) => xid !== '' && BigInt(xid) < transaction);
  return `${BigInt(xmin) < transaction ? xmin : transaction}:${transaction}:${open.join(',')}`;
}
