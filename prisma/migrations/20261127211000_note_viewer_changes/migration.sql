-- Records a changed profile for its own user. Does not run when a socket closes, which changes only `last_seen_at`.
CREATE FUNCTION note_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO membership_changes (user_id, kind) VALUES (NEW.id, 'VIEWER_CHANGED');
  RETURN NULL;
END
$$;
CREATE TRIGGER note_changed_profile
  AFTER UPDATE OF username, nickname, bio, email, email_verified_at, pending_email, friend_policy, avatar_id ON users
  FOR EACH ROW WHEN (
    (OLD.username, OLD.nickname, OLD.bio, OLD.email, OLD.email_verified_at, OLD.pending_email, OLD.friend_policy, OLD.avatar_id)
    IS DISTINCT FROM
    (NEW.username, NEW.nickname, NEW.bio, NEW.email, NEW.email_verified_at, NEW.pending_email, NEW.friend_policy, NEW.avatar_id))
  EXECUTE FUNCTION note_profile();

-- As before, and: if one of the two users is deleted, the record of the other one does not name the deleted user.
CREATE OR REPLACE FUNCTION note_friendship() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed jsonb := to_jsonb(coalesce(NEW, OLD));
  one uuid := coalesce(changed ->> 'user_id', changed ->> 'from_id');
  other uuid := coalesce(changed ->> 'friend_id', changed ->> 'to_id');
BEGIN
  IF (SELECT count(*) FROM users u WHERE u.id IN (one, other)) = 2 THEN
    INSERT INTO membership_changes (user_id, other_id, kind)
      VALUES (one, other, 'FRIENDSHIP_CHANGED'), (other, one, 'FRIENDSHIP_CHANGED');
  ELSE
    INSERT INTO membership_changes (user_id, kind) SELECT u.id, 'VIEWER_CHANGED' FROM users u WHERE u.id IN (one, other);
  END IF;
  RETURN NULL;
END
$$;

-- As before, and: if the blocked user is deleted, the record of the blocker does not name the deleted user.
CREATE OR REPLACE FUNCTION note_block() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed blocks := coalesce(NEW, OLD);
BEGIN
  INSERT INTO endings (id) VALUES (changed.blocked_id);
  IF (SELECT count(*) FROM users u WHERE u.id IN (changed.blocker_id, changed.blocked_id)) = 2 THEN
    INSERT INTO membership_changes (user_id, other_id, kind)
      VALUES (changed.blocker_id, changed.blocked_id, 'BLOCK_CHANGED');
  ELSE
    INSERT INTO membership_changes (user_id, kind)
      SELECT u.id, 'VIEWER_CHANGED' FROM users u WHERE u.id = changed.blocker_id;
  END IF;
  RETURN NULL;
END
$$;
