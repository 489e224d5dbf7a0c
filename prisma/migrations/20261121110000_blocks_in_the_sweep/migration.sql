-- Streams keep in memory who has blocked whom (blocks/blockers.ts). Of each change the blocked user's id stands in `endings`:
-- somebody's sight of them has ended, or is back.
CREATE FUNCTION note_block() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO endings (id) VALUES (coalesce(NEW.blocked_id, OLD.blocked_id));
  RETURN NULL;
END
$$;
CREATE TRIGGER block_changed AFTER INSERT OR DELETE ON blocks FOR EACH ROW EXECUTE FUNCTION note_block();

-- For clearing away what is old: the rows lie in the order in which they were written, for which a small index is enough.
CREATE INDEX events_created_at_idx ON events USING brin (created_at);
