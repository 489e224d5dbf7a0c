-- Metadata of web pages that users have linked to. A row is not changed after it was written, because messages show it. A later
-- request adds a row.
CREATE TABLE web_pages (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  url text NOT NULL,
  -- All are null if the page has no metadata, or if the request failed.
  title text,
  description text,
  site_name text,
  fetched_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX web_pages_url_fetched_at_idx ON web_pages (url, fetched_at);
CREATE INDEX web_pages_fetched_at_idx ON web_pages (fetched_at);

-- A preview belongs to the user who requested it until that user sends it, and to exactly one message from then on.
CREATE TABLE link_previews (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  page_id uuid NOT NULL REFERENCES web_pages (id),
  user_id uuid REFERENCES users (id) ON DELETE CASCADE,
  chatroom_id uuid,
  number integer,
  -- Place among the previews of the message, from 1.
  position integer,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (chatroom_id, number) REFERENCES messages (chatroom_id, number) ON DELETE CASCADE,
  CHECK ((user_id IS NULL) = (number IS NOT NULL) AND (number IS NULL) = (chatroom_id IS NULL)
    AND (number IS NULL) = (position IS NULL))
);
CREATE UNIQUE INDEX link_previews_chatroom_id_number_page_id_key ON link_previews (chatroom_id, number, page_id)
  WHERE number IS NOT NULL;
CREATE UNIQUE INDEX link_previews_user_id_page_id_key ON link_previews (user_id, page_id) WHERE user_id IS NOT NULL;
CREATE INDEX link_previews_page_id_idx ON link_previews (page_id);

-- A deleted message has no previews. A trigger, because nodes of the previous release delete messages too.
CREATE FUNCTION remove_previews_of_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM link_previews l WHERE l.chatroom_id = NEW.chatroom_id AND l.number = NEW.number;
  RETURN NULL;
END
$$;
CREATE TRIGGER remove_previews_of_deleted AFTER UPDATE OF deleted_at ON messages
  FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION remove_previews_of_deleted();

-- Returns whether a user may send all of these previews. Called after the room's lock. Locks the previews, so that only one of
-- two sends can have them.
CREATE FUNCTION may_send_previews(preview_ids uuid[], by_user uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM FROM link_previews l WHERE l.id = ANY (preview_ids) AND l.user_id = by_user ORDER BY l.id FOR UPDATE;
  RETURN (SELECT count(*) FROM link_previews l WHERE l.id = ANY (preview_ids) AND l.user_id = by_user)
    = cardinality(preview_ids);
END
$$;

-- Moves previews from their user to a message, in the given order.
CREATE FUNCTION send_previews(of_message messages, preview_ids uuid[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE link_previews l
    SET user_id = NULL, chatroom_id = of_message.chatroom_id, number = of_message.number, position = p.position
    FROM unnest(preview_ids) WITH ORDINALITY p (id, position) WHERE l.id = p.id;
END
$$;

-- Queues the job that finds previews for the links of a message.
CREATE FUNCTION queue_previews(of_message messages) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF of_message.body ~* 'https?://' THEN
    PERFORM graphile_worker.add_job('preview_links',
      json_build_object('chatroomId', of_message.chatroom_id, 'number', of_message.number), max_attempts => 4);
  END IF;
END
$$;

-- Adds previews to a message that had this body when its links were read. STALE: the message has another body by now. A
-- repeated call adds nothing.
CREATE FUNCTION add_link_previews(in_chatroom uuid, at_number integer, read_body text, page_ids uuid[])
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
    CASE WHEN added > 0 THEN append_event(in_chatroom, 'LINK_PREVIEWS_CHANGED', at_number, NULL, NULL) END;
END
$$;

-- Removes a preview from a message. Whoever may delete the message may remove its previews.
CREATE FUNCTION remove_link_preview(in_chatroom uuid, at_number integer, by_user uuid, preview_id uuid)
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
      CASE WHEN removed > 0 THEN append_event(in_chatroom, 'LINK_PREVIEWS_CHANGED', at_number, NULL, by_user) END;
  END IF;
END
$$;
