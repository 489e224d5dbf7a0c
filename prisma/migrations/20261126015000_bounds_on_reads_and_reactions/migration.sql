-- The last event of a room up to `up_to` that a snapshot saw; null if it saw none. Commits within a room follow seq, so a
-- binary search finds it in as many steps as the number of events has binary digits. Events may have been cleared away.
CREATE FUNCTION last_seen_seq(in_chatroom uuid, in_snapshot pg_snapshot, up_to integer) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
  low integer := 0;
  high integer := up_to;
  middle integer;
  candidate integer;
  is_seen boolean;
  last_seen integer;
BEGIN
  WHILE low < high LOOP
    middle := low + (high - low + 1) / 2;
    SELECT e.seq, pg_visible_in_snapshot(e.xid, in_snapshot) INTO candidate, is_seen FROM events e
      WHERE e.chatroom_id = in_chatroom AND e.seq > low AND e.seq <= middle ORDER BY e.seq DESC LIMIT 1;
    IF NOT FOUND THEN
      low := middle;
    ELSIF is_seen THEN
      last_seen := candidate;
      low := middle;
    ELSE
      high := candidate - 1;
    END IF;
  END LOOP;
  RETURN last_seen;
END
$$;

-- Why a user may not put one more emoji on a message; null if they may. At most 20 emoji of one user, and 50 kinds in all.
-- The room's row is locked already.
CREATE FUNCTION reaction_limit(in_chatroom uuid, at_number integer, by_user uuid, with_emoji text) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN bool_or(r.user_id = by_user AND r.emoji = with_emoji) THEN NULL
    WHEN count(*) FILTER (WHERE r.user_id = by_user) >= 20 THEN 'TOO_MANY_OF_USER'
    WHEN count(DISTINCT r.emoji) >= 50 AND NOT bool_or(r.emoji = with_emoji) THEN 'TOO_MANY_KINDS'
  END FROM reactions r WHERE r.chatroom_id = in_chatroom AND r.number = at_number
$$;

CREATE OR REPLACE FUNCTION react(in_chatroom uuid, at_number integer, by_user uuid, with_emoji text, present boolean)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  changed integer;
  limited text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user)
    OR NOT EXISTS (
      SELECT FROM messages m
        WHERE m.chatroom_id = in_chatroom AND m.number = at_number AND m.kind = 'USER' AND m.deleted_at IS NULL
          AND (room.kind = 'DIRECT' OR NOT EXISTS (
            SELECT FROM blocks b WHERE b.blocker_id = by_user AND b.blocked_id = m.sender_id)))
  THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
    RETURN;
  END IF;
  IF is_silenced(room, by_user) THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::integer;
    RETURN;
  END IF;
  IF present THEN
    limited := reaction_limit(in_chatroom, at_number, by_user, with_emoji);
    IF limited IS NOT NULL THEN
      RETURN QUERY SELECT limited, NULL::integer;
      RETURN;
    END IF;
    INSERT INTO reactions (chatroom_id, number, user_id, emoji) VALUES (in_chatroom, at_number, by_user, with_emoji)
      ON CONFLICT DO NOTHING;
  ELSE
    DELETE FROM reactions r
      WHERE r.chatroom_id = in_chatroom AND r.number = at_number AND r.user_id = by_user AND r.emoji = with_emoji;
  END IF;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN QUERY SELECT 'CHANGED',
    CASE WHEN changed > 0 THEN append_event(in_chatroom, 'REACTIONS_CHANGED', at_number, by_user) END;
END
$$;
