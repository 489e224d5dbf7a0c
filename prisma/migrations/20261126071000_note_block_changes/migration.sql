-- For forget_membership_changes. A migration of its own: to build an index under the lock of the ALTER TABLE before would also
-- stop reads meanwhile.
CREATE INDEX membership_changes_other_id_idx ON membership_changes (other_id) WHERE other_id IS NOT NULL;

-- As before, and: `membership_changes` records the change for the blocker. A block that ends because one of the two users is
-- deleted is left out, so that no id of a deleted user remains.
CREATE OR REPLACE FUNCTION note_block() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed blocks := coalesce(NEW, OLD);
BEGIN
  INSERT INTO endings (id) VALUES (changed.blocked_id);
  IF (SELECT count(*) FROM users u WHERE u.id IN (changed.blocker_id, changed.blocked_id)) = 2 THEN
    INSERT INTO membership_changes (user_id, other_id, kind)
      VALUES (changed.blocker_id, changed.blocked_id, 'BLOCK_CHANGED');
  END IF;
  RETURN NULL;
END
$$;

-- As before, and: also deletes the changes of blocks of the user.
CREATE OR REPLACE FUNCTION forget_membership_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM membership_changes c USING gone g WHERE c.user_id = g.id;
  DELETE FROM membership_changes c USING gone g WHERE c.other_id = g.id;
  RETURN NULL;
END
$$;
