-- URLs at which other programs send messages to a room.
CREATE TABLE incoming_webhooks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  chatroom_id uuid NOT NULL REFERENCES chatrooms ON DELETE CASCADE,
  name text NOT NULL,
  -- SHA-256 of the token in the URL. The token itself is not stored.
  token_hash bytea NOT NULL UNIQUE,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX incoming_webhooks_chatroom_id_idx ON incoming_webhooks (chatroom_id);

-- Creates an incoming webhook. by_user is null for a service.
CREATE FUNCTION create_incoming_webhook(in_chatroom uuid, by_user uuid, with_name text, with_hash bytea, max_count integer)
RETURNS TABLE (outcome text, webhook incoming_webhooks) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  made incoming_webhooks;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  outcome := CASE
    WHEN by_user IS NOT NULL THEN managing_outcome(room, by_user, 'ADMIN')
    WHEN NOT EXISTS (SELECT FROM members m WHERE m.chatroom_id = in_chatroom) THEN 'NOT_FOUND'
    ELSE 'MAY' END;
  IF outcome = 'MAY' AND (SELECT count(*) FROM incoming_webhooks w WHERE w.chatroom_id = in_chatroom) >= max_count THEN
    outcome := 'LIMIT_REACHED';
  END IF;
  IF outcome = 'MAY' THEN
    INSERT INTO incoming_webhooks (chatroom_id, name, token_hash) VALUES (in_chatroom, with_name, with_hash)
      RETURNING * INTO made;
    outcome := 'CHANGED';
    webhook := made;
  END IF;
  RETURN NEXT;
END
$$;

-- Deletes an incoming webhook, or replaces its token if a hash is given. by_user is null for a service.
CREATE FUNCTION change_incoming_webhook(of_webhook uuid, by_user uuid, with_hash bytea)
RETURNS TABLE (outcome text, webhook incoming_webhooks) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
BEGIN
  SELECT c.* INTO room FROM incoming_webhooks w JOIN chatrooms c ON c.id = w.chatroom_id
    WHERE w.id = of_webhook FOR NO KEY UPDATE OF c;
  outcome := CASE
    WHEN room.id IS NULL THEN 'NOT_FOUND'
    WHEN by_user IS NOT NULL THEN managing_outcome(room, by_user, 'ADMIN')
    ELSE 'MAY' END;
  IF outcome = 'MAY' THEN
    IF with_hash IS NULL THEN
      DELETE FROM incoming_webhooks w WHERE w.id = of_webhook RETURNING * INTO webhook;
    ELSE
      UPDATE incoming_webhooks w SET token_hash = with_hash WHERE w.id = of_webhook RETURNING * INTO webhook;
    END IF;
    -- Deleted by another call that waited for the lock first.
    outcome := CASE WHEN webhook.id IS NULL THEN 'NOT_FOUND' ELSE 'CHANGED' END;
  END IF;
  RETURN NEXT;
END
$$;
