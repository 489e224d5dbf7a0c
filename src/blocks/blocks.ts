import { sql, type Sql } from '../database/database.ts';

/** Whether one user has blocked another. */
export function hasBlocked(blockerId: Sql, blockedId: Sql): Sql {
  return sql`EXISTS (SELECT FROM blocks b WHERE b.blocker_id = ${blockerId} AND b.blocked_id = ${blockedId})`;
}

/** Whether either of two users has blocked the other. */
export function blockBetween(a: Sql, b: Sql): Sql {
  return sql`(${hasBlocked(a, b)} OR ${hasBlocked(b, a)})`;
}
