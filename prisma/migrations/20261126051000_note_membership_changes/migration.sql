-- Triggers, because rows also go by cascade, and no path may be forgotten. One statement may delete all members of a large room.
CREATE FUNCTION note_joining() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO membership_changes (user_id, chatroom_id, kind) SELECT m.user_id, m.chatroom_id, 'JOINED' FROM joined m;
  RETURN NULL;
END
$$;
CREATE TRIGGER member_joined AFTER INSERT ON members
  REFERENCING NEW TABLE AS joined FOR EACH STATEMENT EXECUTE FUNCTION note_joining();

CREATE FUNCTION note_leaving() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Not for users who are deleted in the same statement.
  INSERT INTO membership_changes (user_id, chatroom_id, kind)
    SELECT m.user_id, m.chatroom_id, 'LEFT' FROM gone m JOIN users u ON u.id = m.user_id;
  RETURN NULL;
END
$$;
CREATE TRIGGER member_left AFTER DELETE ON members
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_leaving();

CREATE FUNCTION note_hiding() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO membership_changes (user_id, chatroom_id, kind)
    VALUES (NEW.user_id, NEW.chatroom_id,
            CASE WHEN NEW.hidden_at_number IS NULL THEN 'SHOWN' ELSE 'HIDDEN' END::"MembershipChangeKind");
  RETURN NULL;
END
$$;
CREATE TRIGGER room_hidden AFTER UPDATE OF hidden_at_number ON members
  FOR EACH ROW WHEN (OLD.hidden_at_number IS DISTINCT FROM NEW.hidden_at_number) EXECUTE FUNCTION note_hiding();

-- What changed before the triggers existed is not in the table. A cursor from before is refused, as if that had been pruned.
INSERT INTO membership_changes (kind, created_at) VALUES ('JOINED', 'epoch');
