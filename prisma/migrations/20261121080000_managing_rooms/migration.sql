-- Ends a room. At once it has no members, and so is seen by nobody, and no name; streams of it are told to end. What was said
-- in it is cleared away by a job, in batches, since it may be much.
CREATE FUNCTION end_room(in_chatroom uuid) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  DELETE FROM members m WHERE m.chatroom_id = in_chatroom;
  UPDATE chatrooms c SET kind = 'GROUP', name = NULL, topic = NULL, owner_id = NULL, direct_key = NULL
    WHERE c.id = in_chatroom;
  INSERT INTO endings (id) VALUES (in_chatroom);
  PERFORM graphile_worker.add_job('clear_chatroom', json_build_object('chatroomId', in_chatroom), max_attempts => 12);
END
$$;

-- Ends a membership, of whatever kind of room, under the room's lock. The owner hands the room to the longest-standing
-- admin, else member; with the last member it ends. The member's leaving is the last thing that the log says of it:
-- streams of theirs end there.
CREATE FUNCTION end_membership(room chatrooms, leaver members) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  heir uuid;
BEGIN
  DELETE FROM members m WHERE m.chatroom_id = room.id AND m.user_id = leaver.user_id;
  SELECT m.user_id INTO heir FROM members m WHERE m.chatroom_id = room.id
    ORDER BY m.role = 'ADMIN' DESC, m.joined_at, m.user_id LIMIT 1;
  IF heir IS NULL THEN
    PERFORM end_room(room.id);
    RETURN room.last_seq;
  END IF;
  IF leaver.role = 'OWNER' THEN
    UPDATE members m SET role = 'OWNER' WHERE m.chatroom_id = room.id AND m.user_id = heir;
    UPDATE chatrooms c SET owner_id = heir WHERE c.id = room.id;
    PERFORM append_event(room.id, 'MEMBER_UPDATED', NULL, heir);
    PERFORM append_event(room.id, 'CHATROOM_UPDATED', NULL, NULL);
  END IF;
  IF room.kind <> 'DIRECT' THEN
    PERFORM append_system_message(room.id, 'MEMBER_LEFT', leaver.user_id, NULL);
  END IF;
  RETURN append_event(room.id, 'MEMBER_LEFT', NULL, leaver.user_id);
END
$$;

CREATE OR REPLACE FUNCTION leave_chatroom(in_chatroom uuid, by_user uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  leaver members;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO leaver FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  IF room.id IS NULL OR leaver.user_id IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
  ELSIF room.kind = 'DIRECT' THEN
    RETURN QUERY SELECT 'DIRECT', NULL::integer;
  ELSE
    RETURN QUERY SELECT 'CHANGED', end_membership(room, leaver);
  END IF;
END
$$;

-- What a member may do who wants to manage a room; the room's row is locked already.
CREATE FUNCTION managing_outcome(room chatrooms, by_user uuid, needed "MemberRole") RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
  their "MemberRole";
BEGIN
  SELECT m.role INTO their FROM members m WHERE m.chatroom_id = room.id AND m.user_id = by_user;
  RETURN CASE
    WHEN room.id IS NULL OR their IS NULL THEN 'NOT_FOUND'
    WHEN room.kind = 'DIRECT' THEN 'DIRECT'
    -- The roles are declared from the most to the least.
    WHEN their > needed THEN 'FORBIDDEN'
    ELSE 'MAY' END;
END
$$;

-- Adds users to a room, all or none. Who is a member already stays one. seq is null where nothing changed.
CREATE FUNCTION add_members(in_chatroom uuid, by_user uuid, new_users uuid[])
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  newcomer uuid;
  added uuid[] := '{}';
  may text;
  said messages;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  may := managing_outcome(room, by_user, 'ADMIN');
  IF may <> 'MAY' THEN
    RETURN QUERY SELECT may, NULL::integer;
    RETURN;
  END IF;
  IF (SELECT count(*) FROM users u WHERE u.id = ANY(new_users)) < cardinality(new_users) THEN
    RETURN QUERY SELECT 'USER_NOT_FOUND', NULL::integer;
    RETURN;
  END IF;
  IF EXISTS (
    SELECT FROM blocks b
      WHERE (b.blocker_id = by_user AND b.blocked_id = ANY(new_users))
        OR (b.blocked_id = by_user AND b.blocker_id = ANY(new_users)))
  THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::integer;
    RETURN;
  END IF;
  FOREACH newcomer IN ARRAY new_users LOOP
    INSERT INTO members (chatroom_id, user_id) VALUES (in_chatroom, newcomer) ON CONFLICT DO NOTHING;
    CONTINUE WHEN NOT FOUND;
    added := added || newcomer;
    PERFORM append_event(in_chatroom, 'MEMBER_JOINED', NULL, newcomer);
    said := append_system_message(in_chatroom, 'MEMBER_JOINED', newcomer, NULL);
  END LOOP;
  UPDATE members m SET last_read_number = said.number
    WHERE m.chatroom_id = in_chatroom AND m.user_id = ANY(added);
  RETURN QUERY SELECT 'CHANGED', said.seq;
END
$$;

-- Removes a member: admins remove members, the owner admins too.
CREATE FUNCTION remove_member(in_chatroom uuid, by_user uuid, target uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  removed members;
  may text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  may := managing_outcome(room, by_user, 'ADMIN');
  SELECT * INTO removed FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = target;
  IF may <> 'MAY' THEN
    RETURN QUERY SELECT may, NULL::integer;
  ELSIF removed.user_id IS NULL THEN
    RETURN QUERY SELECT 'USER_NOT_FOUND', NULL::integer;
  ELSIF removed.role <> 'MEMBER' AND managing_outcome(room, by_user, 'OWNER') <> 'MAY' THEN
    RETURN QUERY SELECT 'FORBIDDEN', NULL::integer;
  ELSE
    RETURN QUERY SELECT 'CHANGED', end_membership(room, removed);
  END IF;
END
$$;

-- Gives a member another role. OWNER hands the room over; who had it stays as an admin.
CREATE FUNCTION set_member_role(in_chatroom uuid, by_user uuid, target uuid, new_role "MemberRole")
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  old_role "MemberRole";
  may text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  may := managing_outcome(room, by_user, 'OWNER');
  SELECT m.role INTO old_role FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = target;
  IF may <> 'MAY' THEN
    RETURN QUERY SELECT may, NULL::integer;
  ELSIF old_role IS NULL THEN
    RETURN QUERY SELECT 'USER_NOT_FOUND', NULL::integer;
  ELSIF old_role = new_role THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
  ELSIF target = by_user THEN
    RETURN QUERY SELECT 'OWNER_STAYS', NULL::integer;
  ELSE
    UPDATE members m SET role = new_role WHERE m.chatroom_id = in_chatroom AND m.user_id = target;
    IF new_role = 'OWNER' THEN
      UPDATE members m SET role = 'ADMIN' WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
      UPDATE chatrooms c SET owner_id = target WHERE c.id = in_chatroom;
      PERFORM append_event(in_chatroom, 'MEMBER_UPDATED', NULL, by_user);
      PERFORM append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL);
    END IF;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MEMBER_UPDATED', NULL, target);
  END IF;
END
$$;

-- Gives a room another name or topic. seq is null where nothing changed.
CREATE FUNCTION update_chatroom(
  in_chatroom uuid, by_user uuid, with_name boolean, new_name text, with_topic boolean, new_topic text
) RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  may text;
  renamed boolean;
  retold boolean;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  may := managing_outcome(room, by_user, 'ADMIN');
  renamed := with_name AND new_name IS DISTINCT FROM room.name;
  retold := with_topic AND new_topic IS DISTINCT FROM room.topic;
  IF may <> 'MAY' THEN
    RETURN QUERY SELECT may, NULL::integer;
  ELSIF room.kind = 'OPEN' AND with_name AND new_name IS NULL THEN
    RETURN QUERY SELECT 'NAMELESS', NULL::integer;
  ELSIF NOT renamed AND NOT retold THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
  ELSE
    UPDATE chatrooms c
      SET name = CASE WHEN with_name THEN new_name ELSE name END,
          topic = CASE WHEN with_topic THEN new_topic ELSE topic END,
          updated_at = clock_timestamp()
      WHERE c.id = in_chatroom;
    IF renamed THEN
      PERFORM append_system_message(in_chatroom, 'RENAMED', by_user, NULL);
    END IF;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL);
  END IF;
END
$$;

-- Ends a room, with all that was said in it; a DIRECT one is only hidden from the one who asks.
CREATE FUNCTION delete_chatroom(in_chatroom uuid, by_user uuid) RETURNS TABLE (outcome text, seq integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  may text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  may := managing_outcome(room, by_user, 'OWNER');
  IF may = 'DIRECT' THEN
    UPDATE members m SET hidden_at_number = room.last_number, last_read_number = room.last_number
      WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
    RETURN QUERY SELECT 'HIDDEN', NULL::integer;
  ELSIF may = 'MAY' THEN
    PERFORM end_room(in_chatroom);
    RETURN QUERY SELECT 'CHANGED', room.last_seq;
  ELSE
    RETURN QUERY SELECT may, NULL::integer;
  END IF;
END
$$;

-- As before, and: the event knows who has reacted, so that nobody is told of the reactions of somebody they have blocked.
CREATE OR REPLACE FUNCTION react(in_chatroom uuid, at_number integer, by_user uuid, with_emoji text, present boolean)
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
    CASE WHEN changed > 0 THEN append_event(in_chatroom, 'REACTIONS_CHANGED', at_number, by_user) END;
END
$$;
