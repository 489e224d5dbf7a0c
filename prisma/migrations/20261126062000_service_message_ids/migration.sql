-- A migration of its own: to build an index under the lock of the ALTER TABLE before would also stop reads meanwhile.
CREATE UNIQUE INDEX messages_service_message_id_idx ON messages (chatroom_id, service, client_message_id)
  WHERE service IS NOT NULL AND client_message_id IS NOT NULL;

-- Stores the notice of a service, by the rules of send_message: the room's row is locked before anything is checked, and a
-- client_message_id is unique per service and room for ever. A room without members has ended.
CREATE FUNCTION send_notice(
  to_chatroom uuid, from_service text, new_author text, new_body text, new_client_message_id text, new_counts boolean
) RETURNS TABLE (outcome text, message messages) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  stored messages;
  sent_at timestamptz;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = to_chatroom FOR NO KEY UPDATE;
  IF room.id IS NULL OR NOT EXISTS (SELECT FROM members m WHERE m.chatroom_id = to_chatroom) THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::messages;
    RETURN;
  END IF;

  IF new_client_message_id IS NOT NULL THEN
    SELECT * INTO stored FROM messages m
      WHERE m.chatroom_id = to_chatroom AND m.service = from_service AND m.client_message_id = new_client_message_id;
    IF FOUND THEN
      RETURN QUERY SELECT CASE WHEN stored.body <> new_body THEN 'CONFLICT' ELSE 'REPEATED' END, stored;
      RETURN;
    END IF;
  END IF;

  sent_at := clock_timestamp();
  UPDATE chatrooms c
    SET last_number = room.last_number + 1, last_seq = room.last_seq + 1, last_message_at = sent_at, active_at = sent_at
    WHERE c.id = to_chatroom;
  INSERT INTO messages (chatroom_id, number, seq, kind, system_event, body, created_at,
                        service, author_name, client_message_id, counts_as_unread)
    VALUES (to_chatroom, room.last_number + 1, room.last_seq + 1, 'SYSTEM', 'NOTICE', new_body, sent_at,
            from_service, new_author, new_client_message_id, new_counts)
    RETURNING * INTO stored;
  INSERT INTO events (chatroom_id, seq, kind, number) VALUES (to_chatroom, stored.seq, 'MESSAGE_ADDED', stored.number);
  RETURN QUERY SELECT 'SENT', stored;
END
$$;
