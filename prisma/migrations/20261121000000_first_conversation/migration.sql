CREATE TYPE "FriendPolicy" AS ENUM ('OPEN', 'APPROVAL');
CREATE TYPE "ChatroomKind" AS ENUM ('DIRECT', 'GROUP', 'OPEN');
CREATE TYPE "MemberRole" AS ENUM ('OWNER', 'ADMIN', 'MEMBER');
CREATE TYPE "MessageKind" AS ENUM ('USER', 'SYSTEM');
CREATE TYPE "SystemEvent" AS ENUM ('MEMBER_JOINED', 'MEMBER_LEFT', 'RENAMED', 'NOTICE');
CREATE TYPE "EventKind" AS ENUM (
  'MESSAGE_ADDED', 'MESSAGE_EDITED', 'MESSAGE_DELETED', 'REACTIONS_CHANGED',
  'MEMBER_JOINED', 'MEMBER_UPDATED', 'MEMBER_LEFT', 'CHATROOM_UPDATED'
);

-- The keys are normalised by the program; COLLATE "C" makes their order that of code points on every
-- server, and lets an index answer "begins with".
CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  username text NOT NULL,
  username_key text COLLATE "C" NOT NULL UNIQUE,
  nickname text NOT NULL,
  nickname_key text COLLATE "C" NOT NULL,
  bio text,
  email text,
  email_key text COLLATE "C" UNIQUE,
  email_verified_at timestamptz(3),
  password_hash text,
  friend_policy "FriendPolicy" NOT NULL DEFAULT 'OPEN',
  is_bot boolean NOT NULL DEFAULT false,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX users_nickname_key_idx ON users (nickname_key);

CREATE TABLE friendships (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  friend_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, friend_id),
  CHECK (user_id <> friend_id)
);
CREATE INDEX friendships_friend_id_idx ON friendships (friend_id);

-- Who does not want to hear from whom.
CREATE TABLE blocks (
  blocker_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  blocked_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (blocker_id, blocked_id),
  CHECK (blocker_id <> blocked_id)
);
CREATE INDEX blocks_blocked_id_idx ON blocks (blocked_id);

CREATE TABLE sessions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  last_seen_at timestamptz(3) NOT NULL DEFAULT now(),
  ended_at timestamptz(3),
  user_agent text,
  ip_address text
);
CREATE INDEX sessions_user_id_created_at_idx ON sessions (user_id, created_at);

CREATE TABLE refresh_tokens (
  hash bytea PRIMARY KEY,
  session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  expires_at timestamptz(3) NOT NULL,
  used_at timestamptz(3)
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

-- Every send updates its room's row: the free space keeps those updates on the page (HOT).
CREATE TABLE chatrooms (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  kind "ChatroomKind" NOT NULL,
  name text,
  topic text,
  owner_id uuid REFERENCES users ON DELETE SET NULL,
  direct_key text COLLATE "C" UNIQUE,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  last_number integer NOT NULL DEFAULT 0,
  last_seq integer NOT NULL DEFAULT 0,
  last_message_at timestamptz(3),
  active_at timestamptz(3) NOT NULL DEFAULT now(),
  CHECK ((kind = 'DIRECT') = (direct_key IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX chatrooms_owner_id_idx ON chatrooms (owner_id);

CREATE TABLE members (
  chatroom_id uuid NOT NULL REFERENCES chatrooms ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  role "MemberRole" NOT NULL DEFAULT 'MEMBER',
  joined_at timestamptz(3) NOT NULL DEFAULT now(),
  last_read_number integer NOT NULL DEFAULT 0,
  PRIMARY KEY (chatroom_id, user_id)
) WITH (fillfactor = 80);
CREATE INDEX members_user_id_idx ON members (user_id);
CREATE INDEX members_chatroom_id_joined_at_user_id_idx ON members (chatroom_id, joined_at, user_id);

CREATE TABLE messages (
  chatroom_id uuid NOT NULL REFERENCES chatrooms ON DELETE CASCADE,
  number integer NOT NULL,
  seq integer NOT NULL,
  kind "MessageKind" NOT NULL DEFAULT 'USER',
  sender_id uuid REFERENCES users ON DELETE SET NULL,
  body text,
  system_event "SystemEvent",
  subject_id uuid REFERENCES users ON DELETE SET NULL,
  client_message_id text COLLATE "C",
  -- Of the body that was first sent with client_message_id, once it has been edited: a retry is recognised for ever.
  sent_digest bytea,
  reply_to_number integer,
  created_at timestamptz(3) NOT NULL,
  edited_at timestamptz(3),
  deleted_at timestamptz(3),
  -- The words of the body, as search/words.ts cuts them; null for what is not to be found.
  search tsvector,
  PRIMARY KEY (chatroom_id, number)
);
CREATE INDEX messages_search_idx ON messages USING gin (search);
CREATE UNIQUE INDEX messages_client_message_id_idx
  ON messages (chatroom_id, sender_id, client_message_id) WHERE client_message_id IS NOT NULL;
CREATE INDEX messages_sender_id_idx ON messages (sender_id);
CREATE INDEX messages_subject_id_idx ON messages (subject_id) WHERE subject_id IS NOT NULL;

CREATE TABLE events (
  chatroom_id uuid NOT NULL REFERENCES chatrooms ON DELETE CASCADE,
  seq integer NOT NULL,
  kind "EventKind" NOT NULL,
  number integer,
  user_id uuid,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chatroom_id, seq)
);
CREATE INDEX events_xid_idx ON events (xid);

-- Notes what happened in a room. The room's row is locked by the counting, and stays so to the commit: commit order is
-- seq order. Whoever changes a room, its members or its messages calls this in the same transaction, after locking the
-- row with FOR NO KEY UPDATE and checking what it may do.
CREATE FUNCTION append_event(in_chatroom uuid, of_kind "EventKind", about_number integer, about_user uuid)
RETURNS integer LANGUAGE sql VOLATILE AS $$
  WITH counted AS (
    UPDATE chatrooms SET last_seq = last_seq + 1 WHERE id = in_chatroom RETURNING last_seq
  )
  INSERT INTO events (chatroom_id, seq, kind, number, user_id)
    SELECT in_chatroom, last_seq, of_kind, about_number, about_user FROM counted RETURNING seq
$$;

-- Says in the room what happened: a message of nobody's, about a user. Clients word it.
CREATE FUNCTION append_system_message(in_chatroom uuid, of_event "SystemEvent", about_user uuid, with_body text)
RETURNS messages LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  stored messages;
  sent_at timestamptz;
BEGIN
  SELECT * INTO STRICT room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  sent_at := greatest(clock_timestamp(), room.last_message_at);
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

CREATE FUNCTION text_digest(body text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256(convert_to(body, 'UTF8'))
$$;

-- Whether two who talk in a DIRECT room may not: one of them has blocked the other.
CREATE FUNCTION is_silenced(room chatrooms, from_user uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT room.kind = 'DIRECT' AND EXISTS (
    SELECT FROM members m JOIN blocks b
      ON (b.blocker_id, b.blocked_id) = (m.user_id, from_user) OR (b.blocker_id, b.blocked_id) = (from_user, m.user_id)
      WHERE m.chatroom_id = room.id)
$$;

-- Stores one message: number, log and read mark in one call and one commit.
--
-- The room's row is locked before anything is checked. In READ COMMITTED each statement of a volatile
-- function sees what was committed when that statement began, so whatever removed the sender or stored
-- the same client_message_id while this call waited for the lock is seen, and no number is ever burnt.
-- Because the lock is held to the commit, commit order is number order.
--
-- NO KEY UPDATE, because a plain FOR UPDATE would also wait for the foreign-key checks of other writers.
CREATE FUNCTION send_message(
  to_chatroom uuid, from_user uuid, new_body text, new_search tsvector, new_client_message_id text, new_reply_to integer
) RETURNS TABLE (outcome text, message messages) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  stored messages;
  sent_at timestamptz;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = to_chatroom FOR NO KEY UPDATE;
  IF NOT FOUND
    OR NOT EXISTS (SELECT FROM members m WHERE m.chatroom_id = to_chatroom AND m.user_id = from_user)
  THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::messages;
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
        ELSE 'REPEATED' END, stored;
      RETURN;
    END IF;
  END IF;

  IF is_silenced(room, from_user) THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::messages;
    RETURN;
  END IF;

  IF new_reply_to IS NOT NULL AND new_reply_to NOT BETWEEN 1 AND room.last_number THEN
    RETURN QUERY SELECT 'REPLY_NOT_FOUND', NULL::messages;
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
  RETURN QUERY SELECT 'SENT', stored;
END
$$;
