-- What has ended: sessions and rooms, so that every node hears of it from the sweep although the row is gone. Nothing
-- else is known of them here, and it is cleared away after a day.
CREATE TABLE endings (
  id uuid NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  ended_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX endings_xid_idx ON endings (xid);

-- Triggers, because rows also go by cascade, and no path may be forgotten.
CREATE FUNCTION note_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO endings (id) VALUES (OLD.id);
  RETURN NULL;
END
$$;
CREATE TRIGGER session_ended AFTER UPDATE OF ended_at ON sessions
  FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION note_ending();
CREATE TRIGGER session_deleted AFTER DELETE ON sessions
  FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION note_ending();
CREATE TRIGGER chatroom_deleted AFTER DELETE ON chatrooms FOR EACH ROW EXECUTE FUNCTION note_ending();

-- Every membership begins with MEMBER_JOINED in the room's log: streams over all rooms of a user take a new room up at
-- that place, also when they hear of it from the sweep alone.
CREATE FUNCTION create_chatroom(
  of_kind "ChatroomKind", with_name text, with_topic text, with_direct_key text, by_user uuid, others uuid[]
) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  made uuid;
BEGIN
  INSERT INTO chatrooms (kind, name, topic, direct_key, owner_id)
    VALUES (of_kind, with_name, with_topic, with_direct_key, by_user)
    -- Both of a pair may ask at once: the second waits here, and then takes what the first has made.
    ON CONFLICT (direct_key) DO NOTHING RETURNING id INTO made;
  IF made IS NULL THEN
    RETURN (SELECT id FROM chatrooms WHERE direct_key = with_direct_key);
  END IF;
  INSERT INTO members (chatroom_id, user_id, role, hidden_at_number)
    SELECT made, u.id,
           CASE WHEN u.id = by_user AND of_kind <> 'DIRECT' THEN 'OWNER' ELSE 'MEMBER' END::"MemberRole",
           -- For the other, a direct room begins with its first message.
           CASE WHEN u.id <> by_user AND of_kind = 'DIRECT' THEN 0 END
      FROM users u WHERE u.id = by_user OR u.id = ANY(others);
  WITH joined AS (
    INSERT INTO events (chatroom_id, seq, kind, user_id)
      SELECT made, row_number() OVER (ORDER BY m.user_id <> by_user, m.user_id), 'MEMBER_JOINED', m.user_id
        FROM members m WHERE m.chatroom_id = made RETURNING seq
  )
  UPDATE chatrooms c SET last_seq = (SELECT max(seq) FROM joined) WHERE c.id = made;
  RETURN made;
END
$$;

ALTER TABLE members ADD COLUMN hidden_at_number integer;
COMMENT ON COLUMN members.hidden_at_number IS
  'Of a direct room that this member does not see in lists: the last message then. The next one shows it again.';
