-- Bots: users that belong to another user, the owner. A bot has a token in place of a password.
CREATE TABLE bots (
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  owner_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  scopes text[] COLLATE "C" NOT NULL,
  -- SHA-256 of the token. Null for a bot that was imported, until its owner rotates the token.
  token_hash bytea UNIQUE,
  -- Each token has its own session. The end of the session ends the token and its sockets.
  session_id uuid UNIQUE REFERENCES sessions ON DELETE SET NULL,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX bots_owner_id_idx ON bots (owner_id);

-- A suspended owner can use neither the account nor its bots.
CREATE FUNCTION suspend_bots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE sessions s SET ended_at = now() FROM bots b
    WHERE b.owner_id = NEW.id AND s.user_id = b.user_id AND s.ended_at IS NULL;
  RETURN NULL;
END
$$;
CREATE TRIGGER owner_suspended AFTER UPDATE OF suspended_at ON users
  FOR EACH ROW WHEN (NEW.suspended_at IS NOT NULL) EXECUTE FUNCTION suspend_bots();

-- Deletes the account of a bot that was deleted alone, or with its owner. Also runs if the previous release deletes the owner.
CREATE FUNCTION end_bot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- The row of the user is gone if the account itself is being deleted.
  IF EXISTS (SELECT FROM users u WHERE u.id = OLD.user_id) THEN
    UPDATE sessions s SET ended_at = now() WHERE s.user_id = OLD.user_id AND s.ended_at IS NULL;
    PERFORM graphile_worker.add_job('delete_account', json_build_object('userId', OLD.user_id), max_attempts => 12);
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER bot_deleted AFTER DELETE ON bots FOR EACH ROW EXECUTE FUNCTION end_bot();

-- A bot may do what its owner may do. It is therefore in a GROUP or OPEN room only while its owner is, and has no role there.
-- Checked after the statement, so that one statement can add both.
CREATE FUNCTION require_owners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM joined j JOIN bots b ON b.user_id = j.user_id
      JOIN chatrooms c ON c.id = j.chatroom_id AND c.kind <> 'DIRECT'
      WHERE NOT EXISTS (
        SELECT FROM members owner WHERE owner.chatroom_id = j.chatroom_id AND owner.user_id = b.owner_id))
  THEN
    RAISE EXCEPTION 'The owner of a bot must be a member of the chatroom.' USING ERRCODE = 'PB001';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER require_owners AFTER INSERT ON members
  REFERENCING NEW TABLE AS joined FOR EACH STATEMENT EXECUTE FUNCTION require_owners();

CREATE FUNCTION refuse_bot_role() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM bots b WHERE b.user_id = NEW.user_id) THEN
    RAISE EXCEPTION 'A bot has no role in a chatroom.' USING ERRCODE = 'PB002';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER refuse_bot_role BEFORE UPDATE OF role ON members
  FOR EACH ROW WHEN (NEW.role <> 'MEMBER') EXECUTE FUNCTION refuse_bot_role();

CREATE FUNCTION remove_bots_of_leavers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  left_behind record;
  room chatrooms;
  bot members;
BEGIN
  FOR left_behind IN
    SELECT g.chatroom_id, b.user_id, b.owner_id FROM gone g JOIN bots b ON b.owner_id = g.user_id
      ORDER BY g.chatroom_id, b.user_id
  LOOP
    SELECT * INTO room FROM chatrooms c WHERE c.id = left_behind.chatroom_id AND c.kind <> 'DIRECT';
    SELECT * INTO bot FROM members m WHERE m.chatroom_id = room.id AND m.user_id = left_behind.user_id;
    CONTINUE WHEN bot.user_id IS NULL;
    PERFORM end_membership(room, bot, left_behind.owner_id);
  END LOOP;
  RETURN NULL;
END
$$;
CREATE TRIGGER bots_leave_with_owner AFTER DELETE ON members
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION remove_bots_of_leavers();

-- As before, and a bot never inherits a room.
CREATE OR REPLACE FUNCTION end_membership(room chatrooms, leaver members, by_user uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  heir uuid;
BEGIN
  DELETE FROM members m WHERE m.chatroom_id = room.id AND m.user_id = leaver.user_id;
  SELECT m.user_id INTO heir FROM members m WHERE m.chatroom_id = room.id
    ORDER BY EXISTS (SELECT FROM bots b WHERE b.user_id = m.user_id), m.role = 'ADMIN' DESC, m.joined_at, m.user_id LIMIT 1;
  IF heir IS NULL THEN
    PERFORM end_room(room.id);
    RETURN room.last_seq;
  END IF;
  IF leaver.role = 'OWNER' THEN
    UPDATE members m SET role = 'OWNER' WHERE m.chatroom_id = room.id AND m.user_id = heir;
    UPDATE chatrooms c SET owner_id = heir WHERE c.id = room.id;
    PERFORM append_event(room.id, 'MEMBER_UPDATED', NULL, heir, by_user);
    PERFORM append_event(room.id, 'CHATROOM_UPDATED', NULL, NULL, by_user);
  END IF;
  IF room.kind <> 'DIRECT' THEN
    PERFORM append_system_message(room.id, 'MEMBER_LEFT', leaver.user_id, NULL);
  END IF;
  RETURN append_event(room.id, 'MEMBER_LEFT', NULL, leaver.user_id, by_user);
END
$$;

-- Returns whether a DIRECT room connects a bot with a user who has blocked its owner, or whom its owner has blocked.
CREATE FUNCTION is_owner_blocked(in_chatroom uuid, bot uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM bots b
      JOIN chatrooms c ON c.id = in_chatroom AND c.kind = 'DIRECT'
      JOIN members other ON other.chatroom_id = c.id AND other.user_id <> bot
      JOIN blocks x ON (x.blocker_id, x.blocked_id) IN ((other.user_id, b.owner_id), (b.owner_id, other.user_id))
      WHERE b.user_id = bot)
$$;

-- As before, and a bot may do only what its owner may do. Sends of bots are checked by store_bot_messages instead, so that
-- sends of people cost nothing more.
CREATE OR REPLACE FUNCTION may(room chatrooms, member members, action text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF member.user_id IS NULL THEN
    RETURN 'NOT_FOUND';
  ELSIF action IN ('SEND', 'EDIT_OWN', 'REACT') THEN
    IF room.kind = 'DIRECT' THEN
      PERFORM FROM members other JOIN blocks b
        ON (b.blocker_id, b.blocked_id) IN ((other.user_id, member.user_id), (member.user_id, other.user_id))
        WHERE other.chatroom_id = room.id;
      IF FOUND OR action <> 'SEND' AND is_owner_blocked(room.id, member.user_id) THEN
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

-- The latest messages of bots in a room, to end chains of bots that answer each other. Only sends of bots read or write it.
CREATE TABLE bot_runs (
  chatroom_id uuid PRIMARY KEY REFERENCES chatrooms ON DELETE CASCADE,
  -- Number of the last message of a bot.
  last_number integer NOT NULL,
  -- Times of the last messages of bots since the last message of a person, at most 10.
  sent_at timestamptz[] NOT NULL,
  -- Until then, bots cannot send to the room.
  limited_until timestamptz
);

-- Records a message of a bot. The 10th message within 60 s without one from a person stops all bots in the room for 60 s.
-- The caller has locked the room.
CREATE FUNCTION record_bot_message(sent messages) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  run bot_runs;
  times timestamptz[] := '{}';
  limited timestamptz;
BEGIN
  SELECT * INTO run FROM bot_runs r WHERE r.chatroom_id = sent.chatroom_id;
  -- A deleted account has no sender, and counts as a person.
  IF run.chatroom_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM messages m LEFT JOIN users u ON u.id = m.sender_id
      WHERE m.chatroom_id = sent.chatroom_id AND m.number > run.last_number AND m.number < sent.number
        AND m.kind = 'USER' AND u.is_bot IS NOT TRUE)
  THEN
    times := run.sent_at;
  END IF;
  times := (times || sent.created_at)[greatest(cardinality(times) - 8, 1):];
  IF cardinality(times) = 10 AND times[1] > sent.created_at - interval '60 s' THEN
    limited := sent.created_at + interval '60 s';
    times := '{}';
  END IF;
  INSERT INTO bot_runs (chatroom_id, last_number, sent_at, limited_until)
    VALUES (sent.chatroom_id, sent.number, times, limited)
    ON CONFLICT (chatroom_id) DO UPDATE
      SET last_number = excluded.last_number, sent_at = excluded.sent_at, limited_until = excluded.limited_until;
END
$$;

-- Stores messages of bots, as store_messages stores those of people. retry_after_ms is set with the outcome RATE_LIMITED.
CREATE FUNCTION store_bot_messages(sends jsonb, patience text)
RETURNS TABLE (place integer, outcome text, message messages, seen_after integer, retry_after_ms integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  send record;
  sent record;
  room uuid;
  bot uuid;
  limited timestamptz;
BEGIN
  PERFORM set_config('lock_timeout', patience, true);
  FOR send IN
    SELECT s.value, (s.ordinality - 1)::integer AS place FROM jsonb_array_elements(sends) WITH ORDINALITY s
      ORDER BY (s.value->>'chatroomId')::uuid, s.ordinality
  LOOP
    place := send.place;
    outcome := NULL;
    message := NULL;
    seen_after := NULL;
    retry_after_ms := NULL;
    room := send.value->>'chatroomId';
    bot := send.value->>'userId';
    -- Locked before the checks, as in store_message.
    PERFORM FROM chatrooms c WHERE c.id = room FOR NO KEY UPDATE;
    -- store_message refuses bots that are not members, and recognises retries.
    IF EXISTS (SELECT FROM members m WHERE m.chatroom_id = room AND m.user_id = bot) AND NOT EXISTS (
      SELECT FROM messages m
        WHERE m.chatroom_id = room AND m.sender_id = bot AND m.client_message_id = send.value->>'clientMessageId')
    THEN
      SELECT r.limited_until INTO limited FROM bot_runs r WHERE r.chatroom_id = room;
      IF is_owner_blocked(room, bot) THEN
        outcome := 'BLOCKED';
      ELSIF limited > clock_timestamp() THEN
        outcome := 'RATE_LIMITED';
        retry_after_ms := ceil(extract(epoch FROM limited - clock_timestamp()) * 1000);
      END IF;
    END IF;
    IF outcome IS NULL THEN
      sent := store_message(send.value);
      outcome := sent.outcome;
      message := sent.message;
      seen_after := sent.seen_after;
      IF outcome = 'SENT' THEN
        PERFORM record_bot_message(message);
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;
END
$$;
