-- Decides whether a member may do something in a room. Called after the room's lock, so that a block or a lost membership
-- that was committed while the caller waited for the lock counts.
--
-- Returns MAY, or the outcome of the refused call. `member` is null for users who are not members. The caller checks
-- everything that depends on a message, such as who sent it.
CREATE FUNCTION may(room chatrooms, member members, action text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF member.user_id IS NULL THEN
    RETURN 'NOT_FOUND';
  ELSIF action IN ('SEND', 'EDIT_OWN', 'REACT') THEN
    IF room.kind = 'DIRECT' THEN
      PERFORM FROM members other JOIN blocks b
        ON (b.blocker_id, b.blocked_id) IN ((other.user_id, member.user_id), (member.user_id, other.user_id))
        WHERE other.chatroom_id = room.id;
      IF FOUND THEN
        RETURN 'BLOCKED';
      END IF;
    END IF;
    RETURN 'MAY';
  ELSIF action = 'DELETE_OWN' THEN
    RETURN 'MAY';
  ELSIF action = 'DELETE_OTHERS' AND room.kind <> 'DIRECT' AND member.role IN ('OWNER', 'ADMIN') THEN
    RETURN 'MAY';
  END IF;
  RETURN 'FORBIDDEN';
END
$$;

-- Digest of everything that a sender has chosen, except the message to reply to. `rest` is the content besides the body. If
-- there is none, the digest is the one of earlier releases, so that retries are recognised during an upgrade.
CREATE FUNCTION content_digest(body text, rest jsonb) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE
    WHEN rest = '{}' THEN text_digest(body)
    -- A body contains no zero byte, so that no two contents have the same bytes.
    ELSE sha256(convert_to(body, 'UTF8') || '\x00'::bytea || convert_to(rest::text, 'UTF8')) END;
END
$$;

-- Stores one message with its number, its event, the sender's read mark and its push, in one transaction. Replaces
-- send_message, which nodes of the previous release call.
--
-- The room is locked before anything is checked. Each statement of a volatile function sees what was committed when that
-- statement began, so a removed sender or a second send with the same clientMessageId is noticed. The lock is held until the
-- commit, so commit order is number order. NO KEY UPDATE, because FOR UPDATE would wait for foreign-key checks of others.
--
-- `send` has one key for each property of a message. A key that is absent or null has no value. A new kind of content needs a
-- key, a check before the number is assigned, and a statement that stores it after the message.
CREATE FUNCTION store_message(send jsonb, OUT outcome text, OUT message messages, OUT seen_after integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  to_chatroom uuid := send->>'chatroomId';
  from_user uuid := send->>'userId';
  new_client_message_id text := send->>'clientMessageId';
  new_body text := send->>'body';
  new_reply_to integer := send->>'replyToNumber';
  -- Content that neither the body nor reply_to_number contains. Keys that identify the send or follow from its content are
  -- left out; all others count, also those of later releases.
  rest jsonb := jsonb_strip_nulls(
    send - '{chatroomId,userId,clientMessageId,body,search,replyToNumber}'::text[]);
  room chatrooms;
  sender members;
  sent_at timestamptz;
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

  sent_at := clock_timestamp();
  UPDATE chatrooms c
    SET last_number = room.last_number + 1, last_seq = room.last_seq + 1, last_message_at = sent_at, active_at = sent_at
    WHERE c.id = to_chatroom;
  INSERT INTO messages
      (chatroom_id, number, seq, sender_id, body, search, client_message_id, reply_to_number, created_at, sent_digest)
    VALUES (to_chatroom, room.last_number + 1, room.last_seq + 1, from_user, new_body, (send->>'search')::tsvector,
            new_client_message_id, new_reply_to, sent_at,
            CASE WHEN rest <> '{}' AND new_client_message_id IS NOT NULL THEN content_digest(new_body, rest) END)
    RETURNING * INTO message;
  INSERT INTO events (chatroom_id, seq, kind, number)
    VALUES (to_chatroom, message.seq, 'MESSAGE_ADDED', message.number);
  UPDATE members m SET last_read_number = message.number
    WHERE m.chatroom_id = to_chatroom AND m.user_id = from_user;
  PERFORM queue_push(message);
  outcome := 'SENT';
  IF sender.last_read_number < room.last_number
    AND may_be_seen_anew(to_chatroom, from_user, sender.last_read_number)
  THEN
    seen_after := sender.last_read_number;
  END IF;
END
$$;

-- Stores messages that arrive together, with one commit and an outcome each. `place` counts the elements of `sends` from 0.
--
-- Rooms are locked in the order of their ids, so that two such statements never wait for each other; send_messages of the
-- previous release has the same order. Within a room, the order is that of the array. If a lock is not granted within
-- `patience`, nothing is stored. '0' waits without a limit.
CREATE FUNCTION store_messages(sends jsonb, patience text)
RETURNS TABLE (place integer, outcome text, message messages, seen_after integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  send record;
  sent record;
BEGIN
  PERFORM set_config('lock_timeout', patience, true);
  FOR send IN
    SELECT s.value, (s.ordinality - 1)::integer AS place FROM jsonb_array_elements(sends) WITH ORDINALITY s
      ORDER BY (s.value->>'chatroomId')::uuid, s.ordinality
  LOOP
    -- Assigned one by one, because an assignment is cheaper than a query.
    sent := store_message(send.value);
    place := send.place;
    outcome := sent.outcome;
    message := sent.message;
    seen_after := sent.seen_after;
    RETURN NEXT;
  END LOOP;
END
$$;

-- The functions below are as before, and call may(). Nodes of the previous release call them too.

CREATE OR REPLACE FUNCTION change_message(
  in_chatroom uuid, at_number integer, by_user uuid, new_body text, new_search tsvector
) RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  editor members;
  stored messages;
  permission text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO editor FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  SELECT * INTO stored FROM messages m WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
  permission := may(room, editor, CASE
    WHEN stored.sender_id = by_user AND new_body IS NULL THEN 'DELETE_OWN'
    WHEN stored.sender_id = by_user THEN 'EDIT_OWN'
    WHEN stored.kind = 'USER' AND new_body IS NULL THEN 'DELETE_OTHERS' END);
  IF permission = 'NOT_FOUND' OR stored.number IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
  ELSIF permission = 'FORBIDDEN' THEN
    RETURN QUERY SELECT 'FORBIDDEN', NULL::integer;
  ELSIF stored.deleted_at IS NOT NULL THEN
    RETURN QUERY SELECT CASE WHEN new_body IS NULL THEN 'CHANGED' ELSE 'NOT_FOUND' END, NULL::integer;
  ELSIF permission <> 'MAY' THEN
    RETURN QUERY SELECT permission, NULL::integer;
  ELSIF new_body IS NULL THEN
    UPDATE messages m SET body = NULL, search = NULL, sent_digest = NULL, deleted_at = clock_timestamp()
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
    DELETE FROM reactions r WHERE r.chatroom_id = in_chatroom AND r.number = at_number;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MESSAGE_DELETED', at_number, NULL, by_user);
  ELSIF stored.body = new_body THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
  ELSE
    UPDATE messages m
      SET body = new_body, search = new_search, edited_at = clock_timestamp(),
          sent_digest = CASE WHEN client_message_id IS NOT NULL THEN coalesce(sent_digest, text_digest(stored.body)) END
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MESSAGE_EDITED', at_number, NULL, by_user);
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION react(in_chatroom uuid, at_number integer, by_user uuid, with_emoji text, present boolean)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  reactor members;
  permission text;
  changed integer;
  limited text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO reactor FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  permission := may(room, reactor, 'REACT');
  IF permission = 'NOT_FOUND' OR NOT EXISTS (
    SELECT FROM messages m
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number AND m.kind = 'USER' AND m.deleted_at IS NULL
        AND (room.kind = 'DIRECT' OR NOT EXISTS (
          SELECT FROM blocks b WHERE b.blocker_id = by_user AND b.blocked_id = m.sender_id)))
  THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
    RETURN;
  END IF;
  IF permission <> 'MAY' THEN
    RETURN QUERY SELECT permission, NULL::integer;
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
