import { type Context, requireViewer } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import { resyncRequired } from '../realtime/cursor.ts';

/** Events that a stream over all rooms can be behind, in all of them together. Their places are sorted when it resumes. */
const MAX_MISSED = 50_000;
/** After how many missed events a stream can say how far it has come, and how many such steps there are at most. */
const STEP = 1_000;
const MOST_STEPS = 100;

/** Where a stream stands in one room. */
export interface Place {
  chatroomId: string;
  /** What has been handed on. */
  seq: number;
  /** What there is. */
  lastSeq: number;
}

/** The viewer's rooms, and the snapshot in which they were seen. */
export interface Places {
  snapshot: string;
  rooms: Place[];
}

/** A snapshot on the way, and how far each of these rooms must be read for it. */
export interface Step {
  snapshot: string;
  rooms: [chatroomId: string, seq: number][];
}

/** The viewer's rooms as they stand now. */
export async function findPlaces(context: Context): Promise<Places> {
  const { userId } = requireViewer(context);
  const [found] = await context.database.query<Places>(sql`
    SELECT flushed_snapshot()::text AS snapshot,
      (SELECT coalesce(json_agg(json_build_object('chatroomId', c.id, 'seq', c.last_seq, 'lastSeq', c.last_seq)), '[]')
        FROM members v JOIN chatrooms c ON c.id = v.chatroom_id WHERE v.user_id = ${userId}::uuid) AS rooms`);
  if (!found) throw new Error('PostgreSQL gave no snapshot.');
  return found;
}

/** Where a room stood in a snapshot, as the database tells it. */
interface PlaceSince {
  chatroomId: string;
  lastSeq: number;
  /** The last event that the snapshot saw; null if it saw none that the log still holds. */
  seen: number | null;
  /** The event of the viewer's joining, if the log says after `seen` first that they joined: they were no member before. */
  joined: number | null;
  /** The first event that follows, and whether it is not older than LOG_DAYS; null if there is none. */
  next: number | null;
  recent: boolean | null;
}

/**
 * Where each of the viewer's rooms stood in the snapshot `since`. In a room that the viewer has joined since, that is the
 * event before the joining.
 *
 * Within a room commits follow `seq`, so that a snapshot has seen all up to some event and nothing after it. The snapshot
 * comes from a client and may be forged: each room is looked at by a few index lookups, and the total that follows is checked
 * before any of it is read.
 *
 * @throws ChatError `RESYNC_REQUIRED` if what followed is older than LOG_DAYS, has been cleared away or is too much, or if the
 *   log never held it
 */
export async function findPlacesSince(context: Context, since: string): Promise<Places> {
  const { userId } = requireViewer(context);
  const [found] = await context.database.query<{ snapshot: string; known: boolean; rooms: PlaceSince[] }>(sql`
    SELECT flushed_snapshot()::text AS snapshot,
      pg_snapshot_xmax(${since}::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
      (SELECT coalesce(json_agg(place), '[]') FROM (
        SELECT c.id AS "chatroomId", c.last_seq AS "lastSeq", s.seen, j.joined, n.seq AS next, n.recent
          FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
          CROSS JOIN LATERAL (
            SELECT last_seen_seq(c.id, ${since}::pg_snapshot, c.last_seq) AS seen OFFSET 0
          ) s
          CROSS JOIN LATERAL (
            SELECT (SELECT CASE e.kind WHEN 'MEMBER_JOINED' THEN e.seq END FROM events e
              WHERE e.user_id = v.user_id AND e.chatroom_id = c.id AND e.seq > coalesce(s.seen, 0)
                AND e.kind IN ('MEMBER_JOINED', 'MEMBER_LEFT') ORDER BY e.seq LIMIT 1) AS joined OFFSET 0
          ) j
          LEFT JOIN LATERAL (
            SELECT e.seq, e.created_at >= now() - make_interval(days => ${context.logDays}) AS recent FROM events e
              WHERE e.chatroom_id = c.id AND e.seq > coalesce(j.joined - 1, s.seen, 0) ORDER BY e.seq LIMIT 1
          ) n ON true
          WHERE v.user_id = ${userId}::uuid
      ) place) AS rooms`);
  if (!found) throw new Error('PostgreSQL gave no snapshot.');
  if (!found.known) throw resyncRequired('This database is older than the cursor.');
  const rooms = found.rooms.map(placeOf);
  if (countMissed(rooms) > MAX_MISSED) throw resyncRequired('Too much has happened since.');
  return { snapshot: found.snapshot, rooms };
}

function placeOf({ chatroomId, lastSeq, seen, joined, next, recent }: PlaceSince): Place {
  const seq = joined === null ? (seen ?? (next === null ? lastSeq : 0)) : joined - 1;
  // The log continues right after what the cursor has seen, or its beginning has been cleared away or is about to be.
  if (next !== null && (next !== seq + 1 || recent === false)) {
    throw resyncRequired('What followed this cursor has been cleared away.');
  }
  return { chatroomId, seq, lastSeq };
}

function countMissed(rooms: readonly Place[]): number {
  return rooms.reduce((sum, { seq, lastSeq }) => sum + lastSeq - seq, 0);
}

/**
 * Snapshots between the places and the one in which they were seen, so that whoever is cut off on the way through a long
 * backlog does not begin it anew.
 *
 * Such a snapshot says "what had ended by then, of all before this transaction". It is one only if it parts no room: where
 * two sent at once, the one with the higher number may have come first.
 */
export async function findSteps(database: Database, { snapshot, rooms }: Places, step = STEP): Promise<Step[]> {
  const missed = countMissed(rooms);
  if (missed <= step) return [];
  const size = Math.max(step, Math.ceil(missed / MOST_STEPS));
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
           max(last) OVER earlier AS seq, min(first) OVER later < max(last) OVER earlier AS "isParted",
           (lead(part) OVER earlier)::int AS "nextPart"
      FROM parts
      WINDOW earlier AS (PARTITION BY chatroom_id ORDER BY part),
             later AS (PARTITION BY chatroom_id ORDER BY part ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
      ORDER BY part`);
  return toSteps(snapshot, parts);
}

/** What was missed in one room among the events of a part, which are of transactions that follow one another. */
interface Part {
  part: number;
  chatroomId: string;
  /** The part's first transaction. */
  start: string;
  /** Up to where the room is read with this part, and whether something of a later part lies before that. */
  seq: number;
  isParted: boolean | null;
  /** The next part in which there is something of the room. */
  nextPart: number | null;
}

function toSteps(snapshot: string, parts: readonly Part[]): Step[] {
  const steps: Step[] = [];
  let due: Step['rooms'] = [];
  let partedUpTo = 0;
  let part = 0;
  for (const each of parts) {
    if (each.part > part && partedUpTo < each.part) {
      steps.push({ snapshot: before(BigInt(each.start), snapshot), rooms: due });
      due = [];
    }
    part = each.part;
    if (each.isParted) partedUpTo = Math.max(partedUpTo, each.nextPart ?? part);
    due.push([each.chatroomId, each.seq]);
  }
  return steps;
}

/** What a snapshot has seen of the transactions before one that it has seen. */
function before(transaction: bigint, snapshot: string): string {
  const [xmin = '', , running = ''] = snapshot.split(':');
  const open = running.split(',').filter((xid) => xid !== '' && BigInt(xid) < transaction);
  return `${BigInt(xmin) < transaction ? xmin : transaction}:${transaction}:${open.join(',')}`;
}
