-- Access tokens of external users that were issued before a revocation or a deletion. A token of the company's own issuer
-- is valid until it expires, and it creates its user on first use. Without these rows, the token of a deleted user would
-- create the user again.
CREATE TABLE external_token_cutoffs (
  -- SHA-256 of the external id, so that no id of a deleted user remains.
  external_id_hash bytea PRIMARY KEY,
  -- Tokens issued at this time or earlier are refused.
  refused_until timestamptz(3) NOT NULL,
  -- The user was deleted. No token creates the user again; `upsertUsers` does.
  is_deleted boolean NOT NULL DEFAULT false
);

-- URL of the last avatar that was downloaded for a user.
ALTER TABLE users ADD COLUMN external_avatar_url text;

CREATE FUNCTION refuse_external_tokens(of_external_id text, deleted boolean) RETURNS void LANGUAGE sql VOLATILE AS $$
  INSERT INTO external_token_cutoffs (external_id_hash, refused_until, is_deleted)
    VALUES (sha256(convert_to(of_external_id, 'UTF8')), clock_timestamp(), deleted)
    ON CONFLICT (external_id_hash) DO UPDATE
      SET refused_until = excluded.refused_until, is_deleted = external_token_cutoffs.is_deleted OR excluded.is_deleted
$$;

-- A trigger, because nodes of the previous release delete accounts, too.
CREATE FUNCTION note_lost_external_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM refuse_external_tokens(OLD.external_id, true);
  RETURN NULL;
END
$$;
CREATE TRIGGER note_cleared_external_id AFTER UPDATE OF external_id ON users
  FOR EACH ROW WHEN (OLD.external_id IS NOT NULL AND NEW.external_id IS NULL) EXECUTE FUNCTION note_lost_external_id();
CREATE TRIGGER note_deleted_external_id AFTER DELETE ON users
  FOR EACH ROW WHEN (OLD.external_id IS NOT NULL) EXECUTE FUNCTION note_lost_external_id();

-- A room that has ended gives its external id free.
CREATE OR REPLACE FUNCTION end_room(in_chatroom uuid) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  DELETE FROM members m WHERE m.chatroom_id = in_chatroom;
  UPDATE chatrooms c
    SET kind = 'GROUP', name = NULL, topic = NULL, owner_id = NULL, direct_key = NULL, external_id = NULL
    WHERE c.id = in_chatroom;
  INSERT INTO endings (id) VALUES (in_chatroom);
  PERFORM graphile_worker.add_job('clear_chatroom', json_build_object('chatroomId', in_chatroom), max_attempts => 12);
END
$$;

-- Creates a room, or returns the one that has the external id. `by_user` is the owner. Without an owner, only services
-- manage the room.
CREATE FUNCTION create_external_chatroom(
  with_external_id text, of_kind "ChatroomKind", with_name text, with_topic text, with_direct_key text, by_user uuid,
  others uuid[]
) RETURNS TABLE (outcome text, chatroom_id uuid) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  known chatrooms;
  made uuid;
BEGIN
  -- Two nodes may create the room at the same time. The second waits here, and then finds the room of the first.
  PERFORM pg_advisory_xact_lock(hashtextextended('chatroom ' || with_external_id, 1));
  SELECT * INTO known FROM chatrooms c WHERE c.external_id = with_external_id;
  IF known.id IS NOT NULL THEN
    RETURN QUERY SELECT
      CASE WHEN known.kind = of_kind AND known.direct_key IS NOT DISTINCT FROM with_direct_key
        THEN 'EXISTS' ELSE 'CONFLICT' END,
      known.id;
    RETURN;
  END IF;
  made := create_chatroom(of_kind, with_name, with_topic, with_direct_key, by_user, others);
  -- The DIRECT room of the two users may exist already, with another external id.
  UPDATE chatrooms c SET external_id = with_external_id WHERE c.id = made AND c.external_id IS NULL;
  RETURN QUERY SELECT CASE WHEN FOUND THEN 'CREATED' ELSE 'CONFLICT' END, made;
END
$$;

-- NULL as `by_user` is a service, which manages the members of every room that has no fixed members.
CREATE OR REPLACE FUNCTION managing_outcome(room chatrooms, by_user uuid, needed "MemberRole") RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
  their "MemberRole";
BEGIN
  SELECT m.role INTO their FROM members m WHERE m.chatroom_id = room.id AND m.user_id = by_user;
  RETURN CASE
    WHEN room.id IS NULL OR (their IS NULL AND by_user IS NOT NULL) THEN 'NOT_FOUND'
    WHEN room.kind = 'DIRECT' THEN 'DIRECT'
    -- The roles are declared from the most to the least.
    WHEN their > needed THEN 'FORBIDDEN'
    ELSE 'MAY' END;
END
$$;
