import { createBatcher } from '../../core/batcher.ts';
import { type Database, sql } from '../../platform/database/database.ts';

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

/** Creates the queue of one node. Marks that arrive together share one statement and one commit. */
export function createMarkQueue(database: Database): MarkQueue {
  return createBatcher<Mark, MarkMove | null>(
    async (marks) => {
      const moves = new Map((await moveMarks(database, marks)).map((move) => [keyOf(move), move]));
      return marks.map((mark) => {
        const move = moves.get(keyOf(mark)) ?? null;
        // Two devices of a user may mark the same room. The mark moves once, so only the first call returns the move.
        moves.delete(keyOf(mark));
        return move;
      });
    },
    { concurrency: 1, maxBatchSize: MAX_BATCH_SIZE, delayMs: DELAY_MS },
  );
}

const keyOf = ({ userId, chatroomId }: Pick<Mark, 'userId' | 'chatroomId'>) => `${userId}:${chatroomId}`;

/**
 * Moves read marks forward with one statement, so that either all are stored or none. Returns the marks that have
 * moved. A mark that was already at the message, or beyond, does not move.
 */
export async function moveMarks({ prepared }: Database, marks: readonly Mark[]): Promise<MarkMove[]> {
  return prepared(sql`
    WITH target AS (
      SELECT user_id, chatroom_id, max(number) AS number
        FROM unnest(${marks.map(({ userId }) => userId)}::uuid[], ${marks.map(({ chatroomId }) => chatroomId)}::uuid[],
          ${marks.map(({ number }) => number)}::int[]) t (user_id, chatroom_id, number)
        GROUP BY user_id, chatroom_id
    ), before AS (
      -- Locks the rows in a fixed order, so that two statements cannot deadlock.
      SELECT m.user_id, m.chatroom_id, m.last_read_number, coalesce(m.unread_after, m.last_read_number) AS mark
        FROM target t JOIN members m ON m.user_id = t.user_id AND m.chatroom_id = t.chatroom_id
        ORDER BY m.chatroom_id, m.user_id FOR UPDATE OF m
    )
    UPDATE members m SET last_read_number = greatest(b.last_read_number, t.number),
        unread_after = CASE WHEN t.number < b.last_read_number THEN t.number END
      FROM before b JOIN target t ON t.user_id = b.user_id AND t.chatroom_id = b.chatroom_id
      WHERE m.chatroom_id = b.chatroom_id AND m.user_id = b.user_id AND b.mark < t.number
      RETURNING m.user_id AS "userId", m.chatroom_id AS "chatroomId", b.last_read_number AS "readBefore",
        m.last_read_number > b.last_read_number AS "isAhead"`);
}
