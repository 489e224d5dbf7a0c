-- Returns whether a user may send these attachments: the user has uploaded them for a message, and they belong to none yet. Locks
-- them until the commit, so that of two sends with the same attachment, one fails.
--
-- The rows are locked in the order of their ids, so that two sends with the same attachments never wait for each other.
CREATE FUNCTION lock_attachments(of_user uuid, ids uuid[]) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked integer;
BEGIN
  PERFORM FROM attachments a
    WHERE a.id = ANY (ids) AND a.user_id = of_user AND a.purpose = 'MESSAGE' AND a.chatroom_id IS NULL
      AND a.state IN ('PROCESSING', 'READY')
    ORDER BY a.id FOR UPDATE;
  GET DIAGNOSTICS locked = ROW_COUNT;
  RETURN locked = cardinality(ids);
END
$$;

-- As before, and binds the attachments to the message.
CREATE OR REPLACE FUNCTION store_message(send jsonb, OUT outcome text, OUT message messages, OUT seen_after integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  to_chatroom uuid := send->>'chatroomId';
  from_user uuid := send->>'userId';
  new_client_message_id text := send->>'clientMessageId';
  new_body text := send->>'body';
  new_reply_to integer := send->>'replyToNumber';
  new_previews uuid[] := ARRAY(SELECT p.value::uuid FROM jsonb_array_elements_text(
    CASE WHEN send->'linkPreviewIds' <> 'null' THEN send->'linkPreviewIds' ELSE '[]' END) p);
  -- Content that neither the body nor reply_to_number contains. Keys that identify the send or follow from its content are
  -- left out; all others count, also those of later releases.
  rest jsonb := jsonb_strip_nulls(
    send - '{chatroomId,userId,clientMessageId,body,search,replyToNumber}'::text[]);
  room chatrooms;
  sender members;
  sent_at timestamptz;
  -- Null for a message without attachments.
  new_attachments uuid[] := CASE WHEN send->>'attachmentIds' IS NOT NULL
    THEN ARRAY(SELECT jsonb_array_elements_text(send->'attachmentIds')::uuid) END;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = to_chatroom FOR NO KEY UPDATE;
  SELECT * INTO sender FROM members m WHERE m.chatroom_id = to_chatroom AND m.user_id = from_user;

  -- A retry is recognised after the sender has lost the room, because the first response may have been lost.
  IF new_client_message_id IS NOT NULL THEN
    SELECT * INTO message FROM messages m
      WHERE m.chatroom_id = to_chatroom AND m.sender_id = from_user AND m.client_message_id = new_client_message_id;
    IF FOUND THEN
      -- The content of a deleted message is unknown.
      outcome := CASE
        WHEN message.deleted_at IS NULL AND (
          message.reply_to_number IS DISTINCT FROM new_reply_to
            OR coalesce(message.sent_digest, text_digest(message.body)) <> content_digest(new_body, rest)) THEN 'CONFLICT'
        ELSE 'REPEATED' END;
      -- Such a sender receives the message as sent. Changes by members are not returned.
      IF sender.user_id IS NULL THEN
        message.body := new_body;
        message.edited_at := NULL;
        message.deleted_at := NULL;
      END IF;
      RETURN;
    END IF;
  END IF;

  outcome := may(room, sender, 'SEND');
  IF outcome <> 'MAY' THEN
    RETURN;
  END IF;
  IF new_reply_to NOT BETWEEN 1 AND room.last_number THEN
    outcome := 'REPLY_NOT_FOUND';
    RETURN;
  END IF;
  IF new_previews <> '{}' AND NOT may_send_previews(new_previews, from_user) THEN
    outcome := 'LINK_PREVIEW_NOT_FOUND';
    RETURN;
  END IF;
  IF new_attachments IS NOT NULL AND NOT lock_attachments(from_user, new_attachments) THEN
    outcome := 'ATTACHMENT_NOT_FOUND';
    RETURN;
  END IF;

  sent_at := clock_timestamp();
  UPDATE chatrooms c
    SET last_number = room.last_number + 1, last_seq = room.last_seq + 1, last_message_at = sent_at, active_at = sent_at
    WHERE c.id = to_chatroom;
  INSERT INTO messages
      (chatroom_id, number, seq, sender_id, body, search, client_message_id, reply_to_number, created_at, sent_digest,
       has_attachments)
    VALUES (to_chatroom, room.last_number + 1, room.last_seq + 1, from_user, new_body, (send->>'search')::tsvector,
            new_client_message_id, new_reply_to, sent_at,
            CASE WHEN rest <> '{}' AND new_client_message_id IS NOT NULL THEN content_digest(new_body, rest) END,
            new_attachments IS NOT NULL)
    RETURNING * INTO message;
  IF new_attachments IS NOT NULL THEN
    UPDATE attachments a SET chatroom_id = to_chatroom, number = message.number, place = given.place - 1
      FROM unnest(new_attachments) WITH ORDINALITY given (id, place) WHERE a.id = given.id;
  END IF;
  INSERT INTO events (chatroom_id, seq, kind, number)
    VALUES (to_chatroom, message.seq, 'MESSAGE_ADDED', message.number);
  UPDATE members m SET last_read_number = message.number
    WHERE m.chatroom_id = to_chatroom AND m.user_id = from_user;
  PERFORM queue_push(message);
  IF new_previews <> '{}' THEN
    PERFORM send_previews(message, new_previews);
  ELSIF send->>'linkPreviews' = 'AUTO' THEN
    PERFORM queue_previews(message);
  END IF;
  outcome := 'SENT';
  IF sender.last_read_number < room.last_number
    AND may_be_seen_anew(to_chatroom, from_user, sender.last_read_number)
  THEN
    seen_after := sender.last_read_number;
  END IF;
END
$$;
