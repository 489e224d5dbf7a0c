import { type Database, sql } from '../../platform/database/database.ts';

/** A webhook that a worker of this node delivers. */
export interface LeasedWebhook {
  id: string;
  leaseId: string;
  service: string;
  url: string;
  events: string[];
  /** The only room whose events are sent. Null for all rooms. */
  chatroomId: string | null;
  document: string | null;
  secret: string;
  /** Former secret, while it is valid. Null if there is none. */
  previousSecret: string | null;
}

/** A room with events that a webhook has not delivered. */
export interface PendingRoom {
  chatroomId: string;
  /** Position of the cursor: the last event that was delivered or left out. */
  seq: number;
  /** Last event of the room's log that is known. */
  lastSeq: number;
  /** Failed attempts of the event after `seq`. */
  attempts: number;
  /** Time until the next attempt in milliseconds; at most 0 if it is due. */
  waitMs: number;
  /** Whether the webhook has given up on the room. */
  failed: boolean;
}

/** What a delivery needs of a webhook (`w`). The former secret is null when its time is over. */
export const deliveryColumns = sql`
  w.service, w.url, w.events, w.document, w.secret,
  CASE WHEN w.previous_secret_until > now() THEN w.previous_secret END AS "previousSecret"`;
/** Columns of {@link LeasedWebhook}; the table alias is `w`. */
const leasedColumns = sql`w.id, w.lease_id AS "leaseId", w.chatroom_id AS "chatroomId", ${deliveryColumns}`;
/** Time until the next attempt of a cursor `k`. */
const waitMs = sql`coalesce(extract(epoch FROM k.next_attempt_at - now()) * 1000, 0)::float8 AS "waitMs"`;

/** Whether the service of a webhook (`w`) has a token that may have webhooks. Webhooks of other services wait. */
export const hasToken = sql`EXISTS (
  SELECT FROM service_tokens t WHERE t.name = w.service AND 'webhooks:write' = ANY (t.scopes))`;

/**
 * Renews the leases of a node, and takes leases that have expired.
 *
 * @param held ids of the leases of this node
 * @param wanted maximum number of leases to take
 * @returns all webhooks that this node now delivers, and whether any webhook is active
 */
export async function renewLeases(
  { query }: Database,
  held: readonly string[],
  { leaseMs, wanted }: { leaseMs: number; wanted: number },
): Promise<{ webhooks: LeasedWebhook[]; anyActive: boolean }> {
  const until = sql`now() + ${leaseMs}::float8 * interval '1 millisecond'`;
  const rows = await query<LeasedWebhook>(sql`
    WITH free AS (
      SELECT w.id FROM webhooks w
        WHERE w.state = 'ACTIVE' AND (w.lease_until IS NULL OR w.lease_until < now()) AND ${hasToken}
          AND (w.lease_id IS NULL OR w.lease_id <> ALL (${held}::uuid[]))
        ORDER BY w.id LIMIT ${wanted}::int FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE webhooks w
      SET lease_until = ${until},
          lease_id = CASE WHEN w.id IN (SELECT id FROM free) THEN gen_random_uuid() ELSE w.lease_id END
      WHERE w.state = 'ACTIVE' AND ${hasToken} AND (w.id IN (SELECT id FROM free) OR w.lease_id = ANY (${held}::uuid[]))
      RETURNING ${leasedColumns}`);
  if (rows.length > 0) return { webhooks: rows, anyActive: true };
  const [found] = await query<{ active: boolean }>(
    sql`SELECT EXISTS (SELECT FROM webhooks w WHERE w.state = 'ACTIVE') AS active`,
  );
  return { webhooks: rows, anyActive: found?.active === true };
}

/** Gives up leases, so that other nodes can take them at once. */
export async function releaseLeases({ query }: Database, held: readonly string[]): Promise<void> {
  await query(sql`UPDATE webhooks SET lease_id = NULL, lease_until = NULL WHERE lease_id = ANY (${held}::uuid[])`);
}

/**
 * Returns the rooms in which a webhook has undelivered events, as far as it has scanned the logs. Returns none if the
 * lease has been lost.
 *
 * @param chatroomId the only room to return; by default all rooms
 */
export function listPendingRooms(
  { query }: Database,
  { id, leaseId }: Pick<LeasedWebhook, 'id' | 'leaseId'>,
  chatroomId: string | null = null,
): Promise<PendingRoom[]> {
  return query<PendingRoom>(sql`
    SELECT k.chatroom_id AS "chatroomId", k.seq, c.last_seq AS "lastSeq", k.attempts, k.failed, ${waitMs}
      FROM webhooks w JOIN webhook_cursors k ON k.webhook_id = w.id JOIN chatrooms c ON c.id = k.chatroom_id
      WHERE w.id = ${id}::uuid AND w.lease_id = ${leaseId}::uuid AND k.seq < c.last_seq AND NOT k.failed
        AND (${chatroomId}::uuid IS NULL OR k.chatroom_id = ${chatroomId}::uuid)`);
}

/**
 * Finds the rooms whose logs have grown since the last scan of a webhook, and creates their cursors.
 *
 * Uses transaction ids, as the change poller does: reads the events at or after the xmin of the last scan, and leaves
 * out those that its snapshot saw. All parts of the statement read the same snapshot, which becomes the next `scanned`.
 * The statement does nothing if the lease has been lost.
 *
 * The start of a new cursor is the event before the first unseen one. Events of a room commit in order, so the unseen
 * events are the end of its log.
 */
export function scanLogs({ query }: Database, { id, leaseId }: LeasedWebhook): Promise<PendingRoom[]> {
  return query<PendingRoom>(sql`
    WITH w AS MATERIALIZED (
      SELECT id, chatroom_id, scanned, pg_snapshot_xmin(scanned) AS xmin FROM webhooks
        WHERE id = ${id}::uuid AND lease_id = ${leaseId}::uuid
    ), grown AS MATERIALIZED (
      SELECT chatroom_id, min(seq) - 1 AS before, max(seq) AS last_seq FROM events
        WHERE xid >= (SELECT xmin FROM w) AND NOT pg_visible_in_snapshot(xid, (SELECT scanned FROM w))
          AND coalesce(chatroom_id = (SELECT w.chatroom_id FROM w), (SELECT w.chatroom_id FROM w) IS NULL)
        GROUP BY chatroom_id
    ), moved AS (
      UPDATE webhooks SET scanned = flushed_snapshot(), scanned_at = now()
        WHERE id = (SELECT w.id FROM w) AND lease_id = ${leaseId}::uuid RETURNING id
    ), added AS (
      INSERT INTO webhook_cursors (webhook_id, chatroom_id, seq)
        SELECT moved.id, grown.chatroom_id, grown.before FROM grown, moved
          WHERE EXISTS (SELECT FROM chatrooms c WHERE c.id = grown.chatroom_id)
        ON CONFLICT DO NOTHING
    )
    SELECT g.chatroom_id AS "chatroomId", coalesce(k.seq, g.before) AS seq, g.last_seq AS "lastSeq",
        coalesce(k.attempts, 0) AS attempts, coalesce(k.failed, false) AS failed, ${waitMs}
      FROM moved CROSS JOIN grown g
      LEFT JOIN webhook_cursors k ON k.webhook_id = moved.id AND k.chatroom_id = g.chatroom_id`);
}

/** Move of a cursor past events that were delivered or left out. */
export interface Advance {
  webhookId: string;
  leaseId: string;
  chatroomId: string;
  /** Position of the cursor before. */
  from: number;
  to: number;
}

/**
 * Moves cursors. A cursor that is no longer at `from` stays: another worker or `resumeWebhook` has moved it. A cursor also
 * stays if the lease has been lost, because another worker may be sending the same event.
 *
 * @returns for each move, whether it was made
 */
export async function advanceCursors({ query }: Database, moves: readonly Advance[]): Promise<boolean[]> {
  const rows = await query<{ place: number }>(sql`
    WITH move AS (
      SELECT * FROM unnest(
        ${moves.map((_, place) => place)}::int[], ${moves.map((move) => move.webhookId)}::uuid[],
        ${moves.map((move) => move.leaseId)}::uuid[], ${moves.map((move) => move.chatroomId)}::uuid[],
        ${moves.map((move) => move.from)}::int[], ${moves.map((move) => move.to)}::int[])
        m (place, webhook_id, lease_id, chatroom_id, before, after)
      WHERE EXISTS (SELECT FROM webhooks w WHERE w.id = m.webhook_id AND w.lease_id = m.lease_id)
    )
    UPDATE webhook_cursors k
      SET seq = move.after, attempts = 0, next_attempt_at = NULL, failing_since = NULL, last_error = NULL, failed = false
      FROM move WHERE k.webhook_id = move.webhook_id AND k.chatroom_id = move.chatroom_id AND k.seq = move.before
      RETURNING move.place`);
  const made = new Set(rows.map(({ place }) => place));
  return moves.map((_, place) => made.has(place));
}

/** Records that a receiver has acknowledged an event. Called rarely, because the row is locked by each renewal. */
export async function recordSuccess({ query }: Database, webhookId: string): Promise<void> {
  await query(sql`UPDATE webhooks SET last_success_at = now() WHERE id = ${webhookId}::uuid`);
}

/** A failed attempt of the event after `seq`. */
export interface FailedAttempt {
  chatroomId: string;
  seq: number;
  error: string;
  /** Time until the next attempt. */
  delayMs: number;
  /** Time after which the webhook gives up. */
  giveUpMs: number;
}

/** What follows from a failed attempt: another attempt, the end of the room, or of the whole webhook. */
export type FailureOutcome = 'RETRY' | 'ROOM_FAILED' | 'WEBHOOK_FAILED' | 'MOVED';

/**
 * Records a failed attempt. Gives up on the room after `giveUpMs`. Gives up on the webhook if no event of any room has
 * been acknowledged since the room began to fail.
 */
export async function recordFailure(
  { query }: Database,
  webhookId: string,
  { chatroomId, seq, error, delayMs, giveUpMs }: FailedAttempt,
): Promise<FailureOutcome> {
  const [row] = await query<{ failed: boolean; isDown: boolean }>(sql`
    UPDATE webhook_cursors k
      SET attempts = k.attempts + 1, last_error = ${error}, failing_since = coalesce(k.failing_since, now()),
          next_attempt_at = now() + ${delayMs}::float8 * interval '1 millisecond',
          failed = k.failing_since < now() - ${giveUpMs}::float8 * interval '1 millisecond' IS TRUE
      FROM webhooks w
      WHERE k.webhook_id = ${webhookId}::uuid AND k.chatroom_id = ${chatroomId}::uuid AND k.seq = ${seq}::int
        AND w.id = k.webhook_id
      RETURNING k.failed, coalesce(w.last_success_at < k.failing_since, true) AS "isDown"`);
  if (!row) return 'MOVED';
  if (!row.failed) return 'RETRY';
  if (!row.isDown) return 'ROOM_FAILED';
  await failWebhook({ query }, webhookId, `The receiver has acknowledged nothing for too long. ${error}`);
  return 'WEBHOOK_FAILED';
}

/** Gives up on one room. */
export async function failRoom(
  { query }: Database,
  webhookId: string,
  { chatroomId, seq }: { chatroomId: string; seq: number },
  error: string,
): Promise<void> {
  await query(sql`
    UPDATE webhook_cursors
      SET failed = true, last_error = ${error}, failing_since = coalesce(failing_since, now()), next_attempt_at = NULL
      WHERE webhook_id = ${webhookId}::uuid AND chatroom_id = ${chatroomId}::uuid AND seq = ${seq}::int`);
}

/** Gives up on a webhook, and ends its lease. */
export async function failWebhook({ query }: Pick<Database, 'query'>, id: string, error: string): Promise<void> {
  await query(sql`
    UPDATE webhooks SET state = 'FAILED', error = ${error}, failed_at = now(), lease_id = NULL, lease_until = NULL
      WHERE id = ${id}::uuid AND state = 'ACTIVE'`);
}

/** Returns whether a room has ended. Its log is then being deleted. */
export async function hasEnded({ query }: Database, chatroomId: string): Promise<boolean> {
  const [found] = await query<{ ended: boolean }>(
    sql`SELECT NOT EXISTS (SELECT FROM members WHERE chatroom_id = ${chatroomId}::uuid) AS ended`,
  );
  return found?.ended !== false;
}

/**
 * Returns why a webhook cannot continue from its last scan, or null if it can.
 *
 * @param days age from which events are deleted from the logs
 */
export async function faultOfScan(
  { query }: Pick<Database, 'query'>,
  webhookId: string,
  databaseId: string,
  days: number,
): Promise<string | null> {
  const [row] = await query<{ isOther: boolean; isOld: boolean }>(sql`
    SELECT database_id <> ${databaseId} AS "isOther", scanned_at < now() - make_interval(days => ${days}::int) AS "isOld"
      FROM webhooks WHERE id = ${webhookId}::uuid`);
  if (row?.isOther)
    return 'The database was restored from a backup or replaced by a replica. Call resumeWebhook with `from`.';
  if (row?.isOld)
    return `Events have been deleted from the logs, because the webhook was not delivered for ${days} days. Call resumeWebhook with \`from\`.`;
  return null;
}
