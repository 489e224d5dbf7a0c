-- Where the unread messages of a member begin, if markUnread moved that back: messages above this number. Null means
-- last_read_number. The mark that others see, last_read_number, never goes back.
ALTER TABLE members ADD COLUMN unread_after integer;

-- Reading on ends what markUnread did. A trigger, because sending, joining and hiding move the mark too.
CREATE FUNCTION clear_unread_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.unread_after = OLD.unread_after THEN
    NEW.unread_after := NULL;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER unread_mark_cleared BEFORE UPDATE OF last_read_number ON members
  FOR EACH ROW WHEN (OLD.unread_after IS NOT NULL) EXECUTE FUNCTION clear_unread_mark();
