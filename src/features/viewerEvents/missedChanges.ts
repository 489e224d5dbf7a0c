import { type Context, requireViewer } from '../../core/context.ts';
import { sql } from '../../platform/database/database.ts';
import { createLoader, SMALL_BATCHES } from '../../platform/database/loader.ts';
import { decodeAllRoomsCursor, resyncRequired } from '../../delivery/cursor.ts';

/** Reason why a room vanished from the viewer's list. */
export type VanishedReason = 'LEFT' | 'REMOVED' | 'DELETED' | 'HIDDEN';

/**
 * Rooms that may have appeared in the viewer's list or vanished from it, and blocks, friendships and unread counts that
 * may have changed. A room can be in both `appeared` and `vanished`.
 */
export interface MissedChanges {
  appeared: string[];
  vanished: { chatroomId: string; reason: VanishedReason | null }[];
  /** Ids of users whom the viewer may have blocked or unblocked. */
  blocks: string[];
  /** Ids of users whose friendship or request with the viewer may have changed. */
  friendships: string[];
  /** Ids of rooms whose read mark the viewer may have moved. */
  marked: string[];
  /** Whether data of the viewer has changed that no event carries. */
  viewerChanged: boolean;
}

/**
 * Maximum number of changes. A client with more changes must reload its data, because each change would need its own
 * query.
 */
const MAX_CHANGES = 1_000;
/**
 * Number of transactions before the cursor whose read marks are also reported. A read mark is in no log, so the cursor of
 * an event may cover a mark whose hint had not reached the stream. A hint takes milliseconds. A larger margin would send
 * more events that report no change, each of which costs a few statements.
 */
const HINT_MARGIN = 200;

/** `key` has the user and the snapshot, separated by a space. */
const changesSince = createLoader<MissedChanges & { key: string; known: boolean; pruned: boolean }>(
  ({ database, logDays }, keys) => {
    const [userIds, snapshots] = [0, 1].map((part) => keys.map((key) => key.split(' ')[part]));
    return database.prepared(sql`
      SELECT k.key, pg_snapshot_xmax(k.since) <= pg_snapshot_xmax(pg_current_snapshot()) AS known,
          are_membership_changes_pruned(k.since, ${logDays}::int) AS pruned, found.*
        FROM unnest(${keys}::text[], ${userIds}::uuid[], ${snapshots}::pg_snapshot[]) k (key, user_id, since)
        CROSS JOIN LATERAL (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) now
        CROSS JOIN LATERAL (SELECT pg_snapshot_xmin(k.since)::text::bigint AS xid) since
        CROSS JOIN LATERAL (
          WITH changes AS MATERIALIZED (
            SELECT DISTINCT chatroom_id, other_id, kind FROM membership_changes
              WHERE user_id = k.user_id AND xid >= pg_snapshot_xmin(k.since)
                AND NOT pg_visible_in_snapshot(xid, k.since)
          ), opened AS MATERIALIZED (
            SELECT c.id FROM members v JOIN chatrooms c ON c.id = v.chatroom_id
              JOIN messages m ON m.chatroom_id = c.id AND m.number = v.hidden_at_number + 1
              LEFT JOIN events e ON e.chatroom_id = c.id AND e.seq = m.seq
              WHERE v.user_id = k.user_id AND CASE
                WHEN e.xid IS NOT NULL THEN NOT pg_visible_in_snapshot(e.xid, k.since)
                -- The event was pruned from the log. A snapshot that has seen a later event of the room has seen this
                -- one too.
                ELSE coalesce(last_seen_seq(c.id, k.since, c.last_seq), 0) < m.seq END
          )
          SELECT
            ARRAY(SELECT chatroom_id FROM changes WHERE kind IN ('JOINED', 'SHOWN') UNION SELECT id FROM opened) AS appeared,
            ARRAY(SELECT other_id FROM changes WHERE kind = 'BLOCK_CHANGED') AS blocks,
            ARRAY(SELECT other_id FROM changes WHERE kind = 'FRIENDSHIP_CHANGED') AS friendships,
            EXISTS (SELECT FROM changes WHERE kind = 'VIEWER_CHANGED') AS "viewerChanged",
            -- xmin is the transaction that last changed the row, with the lower 32 bits of its id only. Its age follows from
            -- them, because every visible row is older than the current snapshot.
            ARRAY(SELECT v.chatroom_id FROM members v WHERE v.user_id = k.user_id
              AND (now.xid - v.xmin::text::bigint) & 4294967295 <= now.xid - since.xid + ${HINT_MARGIN}::int) AS marked,
            (SELECT coalesce(json_agg(json_build_object('chatroomId', v.chatroom_id, 'reason', CASE
                WHEN v.kind = 'HIDDEN' THEN 'HIDDEN'
                WHEN NOT EXISTS (SELECT FROM members m WHERE m.chatroom_id = v.chatroom_id) THEN 'DELETED'
                ELSE (SELECT CASE WHEN e.actor_id = e.user_id THEN 'LEFT' WHEN e.actor_id IS NOT NULL THEN 'REMOVED' END
                  FROM events e
                  WHERE e.user_id = k.user_id AND e.chatroom_id = v.chatroom_id AND e.kind = 'MEMBER_LEFT'
                  ORDER BY e.seq DESC LIMIT 1) END)), '[]')
              FROM changes v WHERE v.kind IN ('LEFT', 'HIDDEN')) AS vanished
        ) found`);
  },
  ({ key }) => key,
  SMALL_BATCHES,
);

/**
 * Finds the changes to the viewer's list of rooms, blocks, friendships, read marks and profile since an all-rooms cursor. The cursor
 * is a snapshot, so the changes include those of transactions that were open when the cursor was made.
 *
 * A hidden DIRECT room appears again with its next message. `membership_changes` does not contain this change, so the
 * statement looks for the message.
 *
 * @throws ChatError `BAD_USER_INPUT` for a cursor of another kind; `RESYNC_REQUIRED` for a cursor of another database,
 *   if changes after the cursor have been pruned, or if there are more than {@link MAX_CHANGES}
 */
export async function findChangesSince(context: Context, after: string): Promise<MissedChanges> {
  const { userId } = requireViewer(context);
  const since = decodeAllRoomsCursor(context.databaseId, after, 'after');
  const found = await changesSince(context, `${userId} ${since}`);
  if (!found?.known) throw resyncRequired('This database is older than the cursor.');
  if (found.pruned) throw resyncRequired('The changes after this cursor have been pruned.');
  const { appeared, vanished, blocks, friendships } = found;
  if (appeared.length + vanished.length + blocks.length + friendships.length > MAX_CHANGES)
    throw resyncRequired(`More than ${MAX_CHANGES} chatrooms, blocks and friendships have changed since the cursor.`);
  return found;
}
