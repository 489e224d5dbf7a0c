-- The user who caused an event. Null for events of earlier releases, and for changes by the operator.
ALTER TABLE events ADD COLUMN actor_id uuid;

-- As append_event with four arguments, and stores who caused the event. An overload, because functions that run while this
-- migration commits still call the former one.
CREATE FUNCTION append_event(
  in_chatroom uuid, of_kind "EventKind", about_number integer, about_user uuid, by_user uuid
) RETURNS integer LANGUAGE sql VOLATILE AS $$
  WITH counted AS (
    UPDATE chatrooms SET last_seq = last_seq + 1 WHERE id = in_chatroom RETURNING last_seq
  )
  INSERT INTO events (chatroom_id, seq, kind, number, user_id, actor_id)
    SELECT in_chatroom, last_seq, of_kind, about_number, about_user, by_user FROM counted RETURNING seq
$$;

-- As end_membership with two arguments, and stores who ended the membership.
CREATE FUNCTION end_membership(room chatrooms, leaver members, by_user uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
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
    PERFORM append_event(room.id, 'MEMBER_UPDATED', NULL, heir, by_user);
    PERFORM append_event(room.id, 'CHATROOM_UPDATED', NULL, NULL, by_user);
  END IF;
  IF room.kind <> 'DIRECT' THEN
    PERFORM append_system_message(room.id, 'MEMBER_LEFT', leaver.user_id, NULL);
  END IF;
  RETURN append_event(room.id, 'MEMBER_LEFT', NULL, leaver.user_id, by_user);
END
$$;

-- The functions below are as before, and store the actor of their events. Nodes of the previous release call them too.

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
    RETURN QUERY SELECT 'CHANGED', end_membership(room, leaver, by_user);
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION remove_member(in_chatroom uuid, by_user uuid, target uuid)
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
    RETURN QUERY SELECT 'CHANGED', end_membership(room, removed, by_user);
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION delete_account(of_user uuid) RETURNS TABLE (chatroom_id uuid, seq integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  leaver members;
BEGIN
  FOR room IN
    SELECT c.* FROM chatrooms c JOIN members m ON m.chatroom_id = c.id
      WHERE m.user_id = of_user ORDER BY c.id FOR NO KEY UPDATE OF c
  LOOP
    SELECT * INTO leaver FROM members m WHERE m.chatroom_id = room.id AND m.user_id = of_user;
    CONTINUE WHEN leaver.user_id IS NULL;
    RETURN QUERY SELECT room.id, end_membership(room, leaver, of_user);
    UPDATE chatrooms c SET direct_key = c.id::text WHERE c.id = room.id AND c.direct_key IS NOT NULL;
  END LOOP;
  DELETE FROM users u WHERE u.id = of_user;
END
$$;

CREATE OR REPLACE FUNCTION set_member_role(in_chatroom uuid, by_user uuid, target uuid, new_role "MemberRole")
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
      PERFORM append_event(in_chatroom, 'MEMBER_UPDATED', NULL, by_user, by_user);
      PERFORM append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL, by_user);
    END IF;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MEMBER_UPDATED', NULL, target, by_user);
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION update_chatroom(
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
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL, by_user);
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION change_message(
  in_chatroom uuid, at_number integer, by_user uuid, new_body text, new_search tsvector
) RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  editor members;
  stored messages;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO editor FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  SELECT * INTO stored FROM messages m WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
  IF room.id IS NULL OR editor.user_id IS NULL OR stored.number IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
  ELSIF stored.sender_id IS DISTINCT FROM by_user
    AND NOT (new_body IS NULL AND stored.kind = 'USER' AND room.kind <> 'DIRECT' AND editor.role IN ('OWNER', 'ADMIN'))
  THEN
    RETURN QUERY SELECT 'FORBIDDEN', NULL::integer;
  ELSIF stored.deleted_at IS NOT NULL THEN
    RETURN QUERY SELECT CASE WHEN new_body IS NULL THEN 'CHANGED' ELSE 'NOT_FOUND' END, NULL::integer;
  ELSIF new_body IS NULL THEN
    UPDATE messages m SET body = NULL, search = NULL, sent_digest = NULL, deleted_at = clock_timestamp()
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
    DELETE FROM reactions r WHERE r.chatroom_id = in_chatroom AND r.number = at_number;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MESSAGE_DELETED', at_number, NULL, by_user);
  ELSIF is_silenced(room, by_user) THEN
    RETURN QUERY SELECT 'BLOCKED', NULL::integer;
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
