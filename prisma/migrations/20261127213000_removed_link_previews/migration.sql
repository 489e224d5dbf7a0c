-- As before, and: does not bring back previews that were removed. A job is run again if its node was killed after it had added the
-- previews, up to hours later. An event after the send shows that previews were added or removed.
CREATE OR REPLACE FUNCTION add_link_previews(in_chatroom uuid, at_number integer, read_body text, page_ids uuid[])
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
DECLARE
  stored messages;
  added integer;
BEGIN
  PERFORM FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO stored FROM messages m WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
  IF stored.number IS NULL OR stored.deleted_at IS NOT NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
    RETURN;
  END IF;
  IF stored.body <> read_body THEN
    RETURN QUERY SELECT 'STALE', NULL::integer;
    RETURN;
  END IF;
  INSERT INTO link_previews (page_id, chatroom_id, number, position)
    SELECT p.id, in_chatroom, at_number, p.position FROM unnest(page_ids) WITH ORDINALITY p (id, position)
      WHERE NOT EXISTS (SELECT FROM link_previews l WHERE l.chatroom_id = in_chatroom AND l.number = at_number)
        AND NOT EXISTS (SELECT FROM events e WHERE e.chatroom_id = in_chatroom AND e.seq > stored.seq
          AND e.number = at_number AND e.detail = 'LINK_PREVIEWS_CHANGED');
  GET DIAGNOSTICS added = ROW_COUNT;
  RETURN QUERY SELECT 'CHANGED',
    CASE WHEN added > 0 THEN append_content_event(in_chatroom, 'LINK_PREVIEWS_CHANGED', at_number, NULL) END;
END
$$;
