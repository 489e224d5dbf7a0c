-- Records a change of a friendship or request for both users. A friendship that ends because one of the two users is deleted is left
-- out, so that no id of a deleted user remains.
CREATE FUNCTION note_friendship() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed jsonb := to_jsonb(coalesce(NEW, OLD));
  one uuid := coalesce(changed ->> 'user_id', changed ->> 'from_id');
  other uuid := coalesce(changed ->> 'friend_id', changed ->> 'to_id');
BEGIN
  IF (SELECT count(*) FROM users u WHERE u.id IN (one, other)) = 2 THEN
    INSERT INTO membership_changes (user_id, other_id, kind)
      VALUES (one, other, 'FRIENDSHIP_CHANGED'), (other, one, 'FRIENDSHIP_CHANGED');
  END IF;
  RETURN NULL;
END
$$;
-- A friendship has a row for each of the two users. One of them is enough.
CREATE TRIGGER note_new_friendship AFTER INSERT ON friendships
  FOR EACH ROW WHEN (NEW.user_id < NEW.friend_id) EXECUTE FUNCTION note_friendship();
CREATE TRIGGER note_ended_friendship AFTER DELETE ON friendships
  FOR EACH ROW WHEN (OLD.user_id < OLD.friend_id) EXECUTE FUNCTION note_friendship();
CREATE TRIGGER note_friend_request AFTER INSERT OR DELETE ON friend_requests
  FOR EACH ROW EXECUTE FUNCTION note_friendship();
