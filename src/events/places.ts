import { type Context, requireViewer } from '../context.ts';
import { type Database, sql } from '../database/database.ts';
import { resyncRequired } from '../realtime/cursor.ts';

/** How far a stream over all rooms can be behind in one of them. */
const MOST_MISSED = 100_000;
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

/**
 * Where each of the viewer's rooms stood in the snapshot `since`. Who has joined a room since begins with that.
 *
 * Within a room commits follow `seq`, so that a snapshot has seen all up to some event and nothing after it.
 *
 * @throws ChatError `RESYNC_REQUIRED` where the log no longer holds what followed, or never did
 */
export async function findPlacesSince(context: Context, since: string): Promise<Places> {
  const { userId } = requireViewer(context);
  const [found] = await context.database.query<{
    snapshot: string;
    known: boolean;
    rooms: (Omit<Place, 'seq'> & { seen: number | null; next: number | null; joined: number | null })[];
  }>(sql`
    SELECT flushed_snapshot()::text AS snapshot,
      pg_snapshot_xmax(${since}::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
      (SELECT coalesce(json_agg(place), '[]') FROM (
        SELECT c.id AS "chatroomId", c.last_seq AS "lastSeq", seen.seq AS seen,
          (SELECT min(e.seq) FROM events e WHERE e.chatroom_id = c.id AND e.seq > coalesce(seen.seq, 0)) AS next,
          -- The first that is said of the viewer: if it is that they joined, they were no member before.
          (SELECT CASE e.kind WHEN 'MEMBER_JOINED' THEN e.seq END FROM events e
            WHERE e.chatroom_id = c.id AND e.seq > coalesce(seen.seq, c.last_seq - ${MOST_MISSED})
              AND e.kind IN ('MEMBER_JOINED', 'MEMBER_LEFT') AND e.user_id = v.user_id ORDER BY e.seq LIMIT 1) AS joined
          FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
          LEFT JOIN LATERAL (
            SELECT e.seq FROM events e
              WHERE e.chatroom_id = c.id AND e.seq > c.last_seq - ${MOST_MISSED}
                AND pg_visible_in_snapshot(e.xid, ${since}::pg_snapshot)
              ORDER BY e.seq DESC LIMIT 1
          ) seen ON true
          WHERE v.user_id = ${userId}::uuid
      ) place) AS rooms`);
  if (!found) throw new Error('PostgreSQL gave no snapshot.');
  if (!found.known) throw resyncRequired('This database is older than the cursor.');
  const rooms = found.rooms.map(({ chatroomId, seen, next, joined, lastSeq }) => {
    if (seen === null && joined === null && lastSeq > MOST_MISSED) throw resyncRequired('Too much has happened since.');
    const seq = joined === null ? (seen ?? (next === null ? lastSeq : 0)) : joined - 1;
    // The log goes on right after what the cursor has seen, or its beginning has been cleared away.
    if (joined === null && next !== null && next !== seq + 1) {
      throw resyncRequired('What followed this cursor has been cleared away.');
    }
    return { chatroomId, seq, lastSeq };
  });
  return { snapshot: found.snapshot, rooms };
}

/**
 * Snapshots between the places and the one in which they were seen, so that whoever is cut off on the way through a long
 * backlog does not begin it anew.
 *
 * Such a snapshot says "what had ended by then, of all before this transaction". It is one only if it parts no room: where
 * two sent at once, the one with the higher number may have come first.
 */
export async function findSteps(database: Database, { snapshot, rooms }: Places, step = STEP): Promise<Step[]> {
  const missed = rooms.reduce((sum, { seq, lastSeq }) => sum + lastSeq - seq, 0);
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
