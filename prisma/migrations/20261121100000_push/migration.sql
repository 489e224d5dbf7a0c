CREATE TYPE "PushPlatform" AS ENUM ('FCM', 'WEB_PUSH');
CREATE TABLE push_devices (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  -- Whoever ends the session of a lost phone also ends what it is told.
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  platform "PushPlatform" NOT NULL,
  token text NOT NULL,
  -- A device belongs to whoever registered it last. The token itself is too long for an index.
  token_hash bytea NOT NULL UNIQUE,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX push_devices_user_id_idx ON push_devices (user_id);
CREATE INDEX push_devices_session_id_idx ON push_devices (session_id);

-- Whether nobody but the reader holds back what the room's senders may be told of: that all others have read it. A
-- member whom no block concerns, and who has not read on either, settles it for all senders at once: it costs one look
-- in most rooms.
CREATE FUNCTION may_be_seen_anew(in_chatroom uuid, by_reader uuid, read_before integer) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (
    SELECT FROM members r
      WHERE r.chatroom_id = in_chatroom AND r.user_id <> by_reader AND r.last_read_number <= read_before
        AND NOT EXISTS (SELECT FROM blocks b WHERE b.blocker_id = r.user_id OR b.blocked_id = r.user_id))
$$;

-- Queues the push of a message in its own transaction, where any other member has a device.
CREATE FUNCTION queue_push(of_message messages) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF EXISTS (
    SELECT FROM members m JOIN push_devices d ON d.user_id = m.user_id
      WHERE m.chatroom_id = of_message.chatroom_id AND m.user_id <> of_message.sender_id)
  THEN
    PERFORM graphile_worker.add_job('push_message',
      json_build_object('chatroomId', of_message.chatroom_id, 'number', of_message.number), max_attempts => 12);
  END IF;
END
$$;

-- As before, and: it tells up to where the sender had read, if that may be news to other senders; and pushes.
DROP FUNCTION send_message(uuid, uuid, text, tsvector, text, integer);
CREATE FUNCTION send_message(
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
  IF room.id IS NULL OR read_before IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::messages, NULL::integer;
    RETURN;
  END IF;

  IF new_client_message_id IS NOT NULL THEN
    SELECT * INTO stored FROM messages m
      WHERE m.chatroom_id = to_chatroom AND m.sender_id = from_user
        AND m.client_message_id = new_client_message_id;
    IF FOUND THEN
      -- A message that has been deleted keeps nothing by which another text could be told.
      RETURN QUERY SELECT CASE
        WHEN stored.deleted_at IS NULL
          AND coalesce(stored.sent_digest, text_digest(stored.body)) <> text_digest(new_body) THEN 'CONFLICT'
        ELSE 'REPEATED' END, stored, NULL::integer;
      RETURN;
    END IF;
  END IF;

  IF is_silenced(room, from_user) THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::messages, NULL::integer;
    RETURN;
  END IF;

  IF new_reply_to IS NOT NULL AND new_reply_to NOT BETWEEN 1 AND room.last_number THEN
    RETURN QUERY SELECT 'REPLY_NOT_FOUND', NULL::messages, NULL::integer;
    RETURN;
  END IF;

  -- A clock that was set back must not date a message before the one that precedes it.
  sent_at := greatest(clock_timestamp(), room.last_message_at);
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
