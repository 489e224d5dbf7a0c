-- Search looks only into the viewer's rooms: each word of the index begins with a key of its room. A search costs what the
-- viewer's own rooms hold, and its duration says nothing about rooms that the viewer is not in.
--
-- The key is the end of the room's id. Two rooms with the same key cost a few more rows; the query compares the room too.
CREATE FUNCTION words_in_room(in_chatroom uuid, words tsvector) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  key text := right(in_chatroom::text, 8);
  separator text := chr(1);
BEGIN
  RETURN array_to_tsvector(string_to_array(
    key || array_to_string(tsvector_to_array(words), separator || key), separator));
END
$$;
-- Without a list of pending entries, which each search of each room would read from end to end.
--
-- messages_search_idx stays for nodes of the release before this one. The next release drops it.
CREATE INDEX messages_room_search_idx ON messages USING gin (words_in_room(chatroom_id, search)) WITH (fastupdate = off);

-- Exports read a user's messages in this order. The index also serves what messages_sender_id_idx served.
CREATE INDEX messages_sender_id_chatroom_id_number_idx ON messages (sender_id, chatroom_id, number);
DROP INDEX messages_sender_id_idx;

-- The first thing that a room's log says of a user after some place. Two events per membership.
CREATE INDEX events_membership_idx ON events (user_id, chatroom_id, seq)
  WHERE kind IN ('MEMBER_JOINED', 'MEMBER_LEFT');

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

-- What OPEN rooms are sorted and found by: `nameKey` of the name, which SQL cannot compute. Null in rows that the previous
-- release wrote, and until a node has filled it in.
ALTER TABLE chatrooms ADD COLUMN name_key text COLLATE "C";
CREATE INDEX chatrooms_name_key_id_idx ON chatrooms (name_key, id) WHERE kind = 'OPEN';
CREATE INDEX chatrooms_without_key_idx ON chatrooms (id) WHERE kind = 'OPEN' AND name_key IS NULL;

-- A node of the previous release renames a room without a new key.
CREATE FUNCTION forget_name_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.name_key := NULL;
  RETURN NEW;
END
$$;
CREATE TRIGGER chatroom_renamed BEFORE UPDATE OF name ON chatrooms FOR EACH ROW
  WHEN (NEW.name IS DISTINCT FROM OLD.name AND NEW.name_key IS NOT DISTINCT FROM OLD.name_key)
  EXECUTE FUNCTION forget_name_key();

-- A message is dated by the clock, never in the future: a date ahead of it, from an import or a clock that was set back, does
-- not pass on to the messages that follow. Their order is that of their numbers.
UPDATE messages SET created_at = now() WHERE created_at > now();
UPDATE chatrooms SET last_message_at = least(last_message_at, now()), active_at = least(active_at, now())
  WHERE last_message_at > now() OR active_at > now();

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

CREATE OR REPLACE FUNCTION append_system_message(in_chatroom uuid, of_event "SystemEvent", about_user uuid, with_body text)
RETURNS messages LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  stored messages;
  sent_at timestamptz;
BEGIN
  SELECT * INTO STRICT room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  sent_at := clock_timestamp();
  UPDATE chatrooms c SET last_number = room.last_number + 1, last_message_at = sent_at, active_at = sent_at
    WHERE c.id = in_chatroom;
  INSERT INTO messages (chatroom_id, number, seq, kind, system_event, subject_id, body, created_at)
    VALUES (in_chatroom, room.last_number + 1,
            append_event(in_chatroom, 'MESSAGE_ADDED', room.last_number + 1, NULL),
            'SYSTEM', of_event, about_user, with_body, sent_at)
    RETURNING * INTO stored;
  RETURN stored;
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
