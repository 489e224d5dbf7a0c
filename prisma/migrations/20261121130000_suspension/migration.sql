-- Since when an account is suspended: nobody signs in to it, and its sessions have ended.
ALTER TABLE users ADD COLUMN suspended_at timestamptz(3);

-- Each time that this database was brought back from a backup. A copy of its files has the same name as what it was copied
-- from: the latest of these rows is part of the name that stands in cursors, so that none from before is honoured.
CREATE TABLE restorations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  restored_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);

-- Makes a message a tombstone, whosever it is, for those who run the server. Locks the room first, as whoever changes it.
CREATE FUNCTION erase_message(in_chatroom uuid, at_number integer) RETURNS TABLE (outcome text, seq integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  stored messages;
BEGIN
  PERFORM FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO stored FROM messages m WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
  IF stored.number IS NULL OR stored.kind <> 'USER' THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
  ELSIF stored.deleted_at IS NOT NULL THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
  ELSE
    UPDATE messages m SET body = NULL, search = NULL, sent_digest = NULL, deleted_at = clock_timestamp()
      WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
    DELETE FROM reactions r WHERE r.chatroom_id = in_chatroom AND r.number = at_number;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'MESSAGE_DELETED', at_number, NULL);
  END IF;
END
$$;
