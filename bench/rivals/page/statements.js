// Statements of the chat page's rivals: unread counts and read marks.

/**
 * Counts a message as unread for all members except its sender. Locks the members in one order, because two senders would
 * otherwise deadlock.
 */
export const COUNT_UNREAD = `
  UPDATE members m SET unread = CASE WHEN m.user_id = $2::int THEN m.unread ELSE m.unread + 1 END
    FROM (SELECT user_id FROM members WHERE room_id = $1::int ORDER BY user_id FOR UPDATE) locked
    WHERE m.room_id = $1::int AND m.user_id = locked.user_id
    RETURNING m.user_id, m.unread`;

/** Marks a message and all earlier ones as read. Returns nothing if they already were. */
export const MARK_READ = `
  UPDATE members SET last_read = $3::bigint, unread = (
      SELECT count(*) FROM messages WHERE room_id = $1::int AND id > $3::bigint AND sender_id <> $2::int
    )
    WHERE room_id = $1::int AND user_id = $2::int AND last_read < $3::bigint
    RETURNING unread`;

/** Returns up to which message all members have read. */
export const READ_BY_ALL = 'SELECT min(last_read) AS "upTo" FROM members WHERE room_id = $1::int';

/** Returns the senders of the messages between two others. */
export const SENDERS =
  'SELECT DISTINCT sender_id AS "senderId" FROM messages WHERE room_id = $1::int AND id > $2::bigint AND id <= $3::bigint';
