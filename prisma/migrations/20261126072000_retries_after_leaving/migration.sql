-- As before, and: a repeated client_message_id is recognised after the sender has lost the room, because the first answer may have
-- been lost. The sender receives the message as it was first sent. What members have done to it since then is not returned.
CREATE OR REPLACE FUNCTION send_message(
  to_chatroom uuid, from_user uuid, new_body text, new_search tsvector, new_client_message_id text, new_reply_to integer
) RETURNS TABLE (outcome text, message messages, seen_after integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  stored messages;
  sent_at timestamptz;
  read_before integer;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = to_chatroom FOR NO KEY UPDATE;
  SELECT m.last_read_number INTO read_before FROM members m WHERE m.chatroom_id = to_chatroom AND m.user_id = from_user;
  IF new_client_message_id IS NOT NULL THEN
    SELECT * INTO stored FROM messages m
      WHERE m.chatroom_id = to_chatroom AND m.sender_id = from_user
        AND m.client_message_id = new_client_message_id;
    IF FOUND THEN
      -- A message that has been deleted keeps nothing by which another text could be told.
      outcome := CASE
        WHEN stored.deleted_at IS NULL
          AND coalesce(stored.sent_digest, text_digest(stored.body)) <> text_digest(new_body) THEN 'CONFLICT'
        ELSE 'REPEATED' END;
      IF read_before IS NULL THEN
        stored.body := new_body;
        stored.edited_at := NULL;
        stored.deleted_at := NULL;
      END IF;
      RETURN QUERY SELECT outcome, stored, NULL::integer;
      RETURN;
    END IF;
  END IF;

  IF room.id IS NULL OR read_before IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::messages, NULL::integer;
    RETURN;
  END IF;

  IF is_silenced(room, from_user) THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::messages, NULL::integer;
    RETURN;
  END IF;

  IF new_reply_to IS NOT NULL AND new_reply_to NOT BETWEEN 1 AND room.last_number THEN
    RETURN QUERY SELECT 'REPLY_NOT_FOUND', NULL::messages, NULL::integer;
    RETURN;
  END IF;

  sent_at := clock_timestamp();
  UPDATE chatrooms c
    SET last_number = room.last_number + 1, last_seq = room.last_seq + 1,
        last_message_at = sent_at, active_at = sent_at
    WHERE c.id = to_chatroom;
  INSERT INTO messages
      (chatroom_id, number, seq, sender_id, body, search, client_message_id, reply_to_number, created_at)
    VALUES (to_chatroom, room.last_number + 1, room.last_seq + 1, from_user, new_body, new_search,
            new_client_message_id, new_reply_to, sent_at)
    RETURNING * INTO stored;
  INSERT INTO events (chatroom_id, seq, kind, number)
    VALUES (to_chatroom, stored.seq, 'MESSAGE_ADDED', stored.number);
  UPDATE members m SET last_read_number = stored.number
    WHERE m.chatroom_id = to_chatroom AND m.user_id = from_user;
  PERFORM queue_push(stored);
  RETURN QUERY SELECT 'SENT', stored,
    CASE WHEN read_before < room.last_number AND may_be_seen_anew(to_chatroom, from_user, read_before)
      THEN read_before END;
END
$$;
