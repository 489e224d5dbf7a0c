-- As before, and: a direct room that the other one keeps does not name who is gone.
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
    RETURN QUERY SELECT room.id, end_membership(room, leaver);
    UPDATE chatrooms c SET direct_key = c.id::text WHERE c.id = room.id AND c.direct_key IS NOT NULL;
  END LOOP;
  DELETE FROM users u WHERE u.id = of_user;
END
$$;
