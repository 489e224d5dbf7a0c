CREATE TABLE reactions (
  chatroom_id uuid NOT NULL,
  number integer NOT NULL,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  emoji text COLLATE "C" NOT NULL,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chatroom_id, number, user_id, emoji),
  FOREIGN KEY (chatroom_id, number) REFERENCES messages ON DELETE CASCADE
);
CREATE INDEX reactions_user_id_idx ON reactions (user_id);

-- Changes a stored message: its text, or (new_body null) its end. Locks the room first, checks afterwards, like
-- send_message; the event has its place in the room's order. seq is null where nothing changed.
CREATE FUNCTION change_message(in_chatroom uuid, at_number integer, by_user uuid, new_body text, new_search tsvector)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  editor members;
  stored messages;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO editor FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  SELECT * INTO stored FROM messages m WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
  IF room.id IS NULL OR editor.user_id IS NULL OR stored.number IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
  ELSIF stored.sender_id IS DISTINCT FROM by_user
    AND NOT (new_body IS NULL AND stored.kind = 'USER' AND room.kind <> 'DIRECT' AND editor.role IN ('OWNER', 'ADMIN'))
  THEN
    RETURN QUERY SELECT 'FORBIDDEN', NULL::integer;
  ELSIF stored.deleted_at IS NOT NULL THEN
    RETURN QUERY SELECT CASE WHEN new_body IS NULL THEN 'CHANGED' ELSE 'NOT_FOUND' END, NULL::integer;
  ELSIF new_body IS NULL THEN
    UPDATE messages m SET body = NULL, search = NULL, sent_digest = NULL, deleted_at = clock_timestamp()
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
    DELETE FROM reactions r WHERE r.chatroom_id = in_chatroom AND r.number = at_number;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MESSAGE_DELETED', at_number, NULL);
  ELSIF is_silenced(room, by_user) THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::integer;
  ELSIF stored.body = new_body THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
  ELSE
    UPDATE messages m
      SET body = new_body, search = new_search, edited_at = clock_timestamp(),
          sent_digest = CASE WHEN client_message_id IS NOT NULL THEN coalesce(sent_digest, text_digest(stored.body)) END
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MESSAGE_EDITED', at_number, NULL);
  END IF;
END
$$;

-- Adds or takes back one reaction. seq is null where nothing changed.
CREATE FUNCTION react(in_chatroom uuid, at_number integer, by_user uuid, with_emoji text, present boolean)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  changed integer;
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
    INSERT INTO reactions (chatroom_id, number, user_id, emoji) VALUES (in_chatroom, at_number, by_user, with_emoji)
      ON CONFLICT DO NOTHING;
  ELSE
    DELETE FROM reactions r
      WHERE r.chatroom_id = in_chatroom AND r.number = at_number AND r.user_id = by_user AND r.emoji = with_emoji;
  END IF;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN QUERY SELECT 'CHANGED',
    CASE WHEN changed > 0 THEN append_event(in_chatroom, 'REACTIONS_CHANGED', at_number, NULL) END;
END
$$;
