-- Makes a user a member of an OPEN room. seq is null where they are one already.
CREATE FUNCTION join_chatroom(in_chatroom uuid, by_user uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  said messages;
BEGIN
  PERFORM FROM chatrooms c WHERE c.id = in_chatroom AND c.kind = 'OPEN' FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
    RETURN;
  END IF;
  INSERT INTO members (chatroom_id, user_id) VALUES (in_chatroom, by_user) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
    RETURN;
  END IF;
  PERFORM append_event(in_chatroom, 'MEMBER_JOINED', NULL, by_user);
  said := append_system_message(in_chatroom, 'MEMBER_JOINED', by_user, NULL);
  UPDATE members m SET last_read_number = said.number WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  RETURN QUERY SELECT 'CHANGED', said.seq;
END
$$;

-- Ends a membership. The owner hands the room to the longest-standing admin, else member; the last to leave ends it.
-- The member's leaving is the last thing that the log says of it: streams of theirs end there.
CREATE FUNCTION leave_chatroom(in_chatroom uuid, by_user uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  leaver members;
  heir uuid;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO leaver FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  IF room.id IS NULL OR leaver.user_id IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
    RETURN;
  ELSIF room.kind = 'DIRECT' THEN
    RETURN QUERY SELECT 'DIRECT', NULL::integer;
    RETURN;
  END IF;

  DELETE FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  SELECT m.user_id INTO heir FROM members m WHERE m.chatroom_id = in_chatroom
    ORDER BY m.role = 'ADMIN' DESC, m.joined_at, m.user_id LIMIT 1;
  IF heir IS NULL THEN
    DELETE FROM chatrooms c WHERE c.id = in_chatroom;
    RETURN QUERY SELECT 'CHANGED', room.last_seq + 1;
    RETURN;
  END IF;
  IF leaver.role = 'OWNER' THEN
    UPDATE members m SET role = 'OWNER' WHERE m.chatroom_id = in_chatroom AND m.user_id = heir;
    UPDATE chatrooms c SET owner_id = heir WHERE c.id = in_chatroom;
    PERFORM append_event(in_chatroom, 'MEMBER_UPDATED', NULL, heir);
    PERFORM append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL);
  END IF;
  PERFORM append_system_message(in_chatroom, 'MEMBER_LEFT', by_user, NULL);
  RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MEMBER_LEFT', NULL, by_user);
END
$$;
