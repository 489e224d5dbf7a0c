-- What OPEN rooms are sorted and found by: `nameKey` of the name, which SQL cannot compute. Null in rows that the previous
-- release wrote, and until a node has filled it in.
ALTER TABLE chatrooms ADD COLUMN name_key text COLLATE "C";
CREATE INDEX chatrooms_name_key_id_idx ON chatrooms (name_key, id) WHERE kind = 'OPEN';
CREATE INDEX chatrooms_without_key_idx ON chatrooms (id) WHERE kind = 'OPEN' AND name_key IS NULL;

-- A node of the previous release renames a room without a new key.
CREATE FUNCTION forget_name_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.name_key := NULL;
  RETURN NEW;
END
$$;
CREATE TRIGGER chatroom_renamed BEFORE UPDATE OF name ON chatrooms FOR EACH ROW
  WHEN (NEW.name IS DISTINCT FROM OLD.name AND NEW.name_key IS NOT DISTINCT FROM OLD.name_key)
  EXECUTE FUNCTION forget_name_key();
