-- Nodes of the previous release fail for events of a kind that they do not know. Events of previews therefore have a kind that
-- they know from now on. The value LINK_PREVIEWS_CHANGED of "EventKind" is no longer written.

-- As before, with append_content_event. Adds previews to a message that had this body when its links were read. STALE: the
-- message has another body by now. A repeated call adds nothing.
CREATE OR REPLACE FUNCTION add_link_previews(in_chatroom uuid, at_number integer, read_body text, page_ids uuid[])
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
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
      WHERE NOT EXISTS (SELECT FROM link_previews l WHERE l.chatroom_id = in_chatroom AND l.number = at_number);
  GET DIAGNOSTICS added = ROW_COUNT;
  RETURN QUERY SELECT 'CHANGED',
    CASE WHEN added > 0 THEN append_content_event(in_chatroom, 'LINK_PREVIEWS_CHANGED', at_number, NULL) END;
END
$$;

-- As before, with append_content_event. Removes a preview from a message. Whoever may delete the message may remove its
-- previews.
CREATE OR REPLACE FUNCTION remove_link_preview(in_chatroom uuid, at_number integer, by_user uuid, preview_id uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  remover members;
  stored messages;
  permission text;
  removed integer;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  SELECT * INTO remover FROM members m WHERE m.chatroom_id = in_chatroom AND m.user_id = by_user;
  SELECT * INTO stored FROM messages m WHERE m.chatroom_id = in_chatroom AND m.number = at_number;
  permission := may(room, remover, CASE
    WHEN stored.sender_id = by_user THEN 'DELETE_OWN'
    WHEN stored.kind = 'USER' THEN 'DELETE_OTHERS' END);
  IF permission = 'NOT_FOUND' OR stored.number IS NULL THEN
    RETURN QUERY SELECT 'NOT_FOUND', NULL::integer;
  ELSIF permission <> 'MAY' THEN
    RETURN QUERY SELECT permission, NULL::integer;
  ELSE
    DELETE FROM link_previews l WHERE l.id = preview_id AND l.chatroom_id = in_chatroom AND l.number = at_number;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN QUERY SELECT 'CHANGED',
      CASE WHEN removed > 0 THEN append_content_event(in_chatroom, 'LINK_PREVIEWS_CHANGED', at_number, by_user) END;
  END IF;
END
$$;
