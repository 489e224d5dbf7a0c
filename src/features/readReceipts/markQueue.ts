import pLimit from 'p-limit';
import { createBatcher } from '../../core/batcher.ts';
import { type Database, empty, type Sql, sql } from '../../platform/database/database.ts';

declare module '../../core/context.ts' {
  interface ServerNode {
    markQueue: MarkQueue;
  }
}

/** Request to mark a room as read by a user, up to a message. */
export interface Mark {
  userId: string;
  chatroomId: string;
  number: number;
}

/** A read mark that has moved. */
export interface MarkMove {
  userId: string;
  chatroomId: string;
  /** Number of the last message that the user had read before. */
  readBefore: number;
  /** Whether the mark that other members see has moved. False if the move only undid a `markUnread`. */
  isAhead: boolean;
}

/** Moves a read mark. Returns null if this call has not moved it, usually because the message was already read. */
export type MarkQueue = (mark: Mark) => Promise<MarkMove | null>;

/** Maximum number of marks in one statement. */
const MAX_BATCH_SIZE = 200;

/**
 * Time for which marks are collected, in milliseconds. The readers of a new message mark it at about the same time.
 * With the delay, one statement stores all these marks, and the resulting events share their queries.
 */
const DELAY_MS = 50;

/**
 * Number of marks that wait for the lock of their row at a time. Each occupies a connection. The row of a member is locked
 * while a message of that member is stored.
 */
const MAX_WAITING = 2;

/**
 * Creates the queue of one node. Marks that arrive together share one statement and one commit.
 *
 * A statement with several marks waits for no row. While it waited, it would lock the rows of other members. A statement
 * that stores messages of several members locks these rows in the order of the messages, so each of the two could wait
 * for the other. A mark whose row is locked is therefore stored by a statement of its own.
 */
export function createMarkQueue(database: Database): MarkQueue {
  const moveTogether = createBatcher<Mark, MarkMove | 'LOCKED' | null>(
    async (marks) => {
      const rows = new Map((await lockAndMove(database, marks, sql`SKIP LOCKED`)).map((row) => [keyOf(row), row]));
      return marks.map((mark) => {
        const row = rows.get(keyOf(mark));
        if (!row) return 'LOCKED';
        // Two devices of a user may mark the same room. The mark moves once, so only the first call returns the move.
        rows.set(keyOf(mark), { ...row, readBefore: null });
        return hasMoved(row) ? row : null;
      });
    },
    { concurrency: 1, maxBatchSize: MAX_BATCH_SIZE, delayMs: DELAY_MS },
  );
  const alone = pLimit(MAX_WAITING);
  return async (mark) => {
    const move = await moveTogether(mark);
    if (move !== 'LOCKED') return move;
    const [moved = null] = await alone(moveMarks, database, [mark]);
    return moved;
  };
}

const keyOf = ({ userId, chatroomId }: Pick<Mark, 'userId' | 'chatroomId'>) => `${userId}:${chatroomId}`;

/**
 * Moves read marks forward with one statement, so that either all are stored or none. Returns the marks that have
 * moved. A mark that was already at the message, or beyond, does not move.
 *
 * Waits for locked rows, so all marks must be of one user.
 */
export async function moveMarks(database: Database, marks: readonly Mark[]): Promise<MarkMove[]> {
  return (await lockAndMove(database, marks, empty)).filter(hasMoved);
}

/** A row of `members` that a statement has locked. `readBefore` is null if its mark has not moved. */
type LockedRow = Omit<MarkMove, 'readBefore'> & { readBefore: number | null };

const hasMoved = (row: LockedRow): row is MarkMove => row.readBefore !== null;

/**
 * Locks the rows of read marks, and moves those marks forward that are before their message. Returns the locked rows.
 *
 * @param policy `SKIP LOCKED` to leave out rows that another transaction has locked; empty to wait for them
 */
function lockAndMove({ prepared }: Database, marks: readonly Mark[], policy: Sql): Promise<LockedRow[]> {
  return prepared(sql`
    WITH target AS (
      SELECT user_id, chatroom_id, max(number) AS number
        FROM unnest(${marks.map(({ userId }) => userId)}::uuid[], ${marks.map(({ chatroomId }) => chatroomId)}::uuid[],
          ${marks.map(({ number }) => number)}::int[]) t (user_id, chatroom_id, number)
        GROUP BY user_id, chatroom_id
    ), before AS (
      -- Locks rooms in the same order as store_messages does.
      SELECT m.user_id, m.chatroom_id, m.last_read_number, coalesce(m.unread_after, m.last_read_number) AS mark
        FROM target t JOIN members m ON m.user_id = t.user_id AND m.chatroom_id = t.chatroom_id
        ORDER BY m.chatroom_id, m.user_id FOR NO KEY UPDATE OF m ${policy}
    ), moved AS (
      UPDATE members m SET last_read_number = greatest(b.last_read_number, t.number),
          unread_after = CASE WHEN t.number < b.last_read_number THEN t.number END
        FROM before b JOIN target t ON t.user_id = b.user_id AND t.chatroom_id = b.chatroom_id
        WHERE m.chatroom_id = b.chatroom_id AND m.user_id = b.user_id AND b.mark < t.number
        RETURNING m.user_id, m.chatroom_id, b.last_read_number AS read_before,
          m.last_read_number > b.last_read_number AS is_ahead
    )
    SELECT b.user_id AS "userId", b.chatroom_id AS "chatroomId", v.read_before AS "readBefore",
        coalesce(v.is_ahead, false) AS "isAhead"
      FROM before b LEFT JOIN moved v ON v.user_id = b.user_id AND v.chatroom_id = b.chatroom_id`);
}
