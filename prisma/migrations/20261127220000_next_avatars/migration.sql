-- User or room whose avatar an image becomes when its processing ends. Until then, the former avatar stays. An image that is
-- rejected becomes nobody's avatar. The image of a deleted room is deleted with it.
ALTER TABLE attachments
  ADD COLUMN next_of_user uuid REFERENCES users ON DELETE CASCADE,
  ADD COLUMN next_of_chatroom uuid REFERENCES chatrooms ON DELETE CASCADE;
CREATE UNIQUE INDEX attachments_next_of_user_idx ON attachments (next_of_user) WHERE next_of_user IS NOT NULL;
CREATE UNIQUE INDEX attachments_next_of_chatroom_idx ON attachments (next_of_chatroom) WHERE next_of_chatroom IS NOT NULL;

-- As before, and: the attachment is not about to become an avatar.
CREATE OR REPLACE FUNCTION is_free_avatar(in_attachment uuid, of_user uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM FROM attachments a
    WHERE a.id = in_attachment AND a.user_id = of_user AND a.purpose = 'AVATAR' AND a.state IN ('PROCESSING', 'READY')
      AND a.next_of_user IS NULL AND a.next_of_chatroom IS NULL FOR UPDATE;
  RETURN FOUND AND NOT EXISTS (SELECT FROM users u WHERE u.avatar_id = in_attachment)
    AND NOT EXISTS (SELECT FROM chatrooms c WHERE c.avatar_id = in_attachment);
END
$$;

-- Sets or removes the avatar of a room. Appends an event unless the avatar is still being processed. Cancels an earlier change
-- that waits for the processing of its image.
CREATE OR REPLACE FUNCTION set_chatroom_avatar(in_chatroom uuid, by_user uuid, new_avatar uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
DECLARE
  room chatrooms;
  permission text;
  next_avatar uuid;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  permission := managing_outcome(room, by_user, 'ADMIN');
  IF permission <> 'MAY' THEN
    RETURN QUERY SELECT permission, NULL::integer;
    RETURN;
  END IF;
  SELECT a.id INTO next_avatar FROM attachments a WHERE a.next_of_chatroom = in_chatroom;
  IF new_avatar = next_avatar THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
    RETURN;
  END IF;
  IF new_avatar IS NOT NULL AND new_avatar IS DISTINCT FROM room.avatar_id AND NOT is_free_avatar(new_avatar, by_user) THEN
    RETURN QUERY SELECT 'ATTACHMENT_NOT_FOUND', NULL::integer;
    RETURN;
  END IF;
  DELETE FROM attachments a WHERE a.id = next_avatar;
  IF new_avatar IS NOT DISTINCT FROM room.avatar_id THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
    RETURN;
  END IF;
  UPDATE attachments a SET next_of_chatroom = in_chatroom WHERE a.id = new_avatar AND a.state = 'PROCESSING';
  IF FOUND THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
    RETURN;
  END IF;
  UPDATE chatrooms c SET avatar_id = new_avatar, updated_at = clock_timestamp() WHERE c.id = in_chatroom;
  RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL, by_user);
END
$$;

-- Sets or removes the avatar of a user. Returns false if the user has uploaded no such image, or if it is in use. Cancels an earlier
-- change that waits for the processing of its image.
CREATE OR REPLACE FUNCTION set_user_avatar(of_user uuid, new_avatar uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  current_avatar uuid;
  next_avatar uuid;
BEGIN
  SELECT u.avatar_id INTO current_avatar FROM users u WHERE u.id = of_user FOR NO KEY UPDATE;
  SELECT a.id INTO next_avatar FROM attachments a WHERE a.next_of_user = of_user;
  IF new_avatar = next_avatar THEN
    RETURN true;
  END IF;
  IF new_avatar IS NOT NULL AND new_avatar IS DISTINCT FROM current_avatar AND NOT is_free_avatar(new_avatar, of_user) THEN
    RETURN false;
  END IF;
  DELETE FROM attachments a WHERE a.id = next_avatar;
  IF new_avatar IS NOT DISTINCT FROM current_avatar THEN
    RETURN true;
  END IF;
  UPDATE attachments a SET next_of_user = of_user WHERE a.id = new_avatar AND a.state = 'PROCESSING';
  IF NOT FOUND THEN
    UPDATE users u SET avatar_id = new_avatar, updated_at = clock_timestamp() WHERE u.id = of_user;
  END IF;
  RETURN true;
END
$$;

-- Ends the processing of an attachment. If it belongs to a message, appends an event to the log of the room. If it is the next
-- avatar of a user or a room and was not rejected, replaces the former avatar, for a room with an event. The avatar of a room stays
-- if the uploader may no longer change it. `finished` is false if the attachment has been deleted or is no longer being processed.
--
-- A send, and a change of an avatar, locks the room or the user before the attachment, and so does this function. It starts again
-- if the attachment was sent or became the next avatar meanwhile.
CREATE OR REPLACE FUNCTION finish_attachment(
  in_attachment uuid, new_state "AttachmentState", new_rejection "AttachmentRejection", new_object text,
  new_media_type text, new_size integer, new_sha256 bytea, new_image jsonb
) RETURNS TABLE (finished boolean, chatroom_id uuid, seq integer) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
DECLARE
  former attachments;
  room chatrooms;
BEGIN
  LOOP
    SELECT * INTO former FROM attachments a WHERE a.id = in_attachment AND a.state = 'PROCESSING';
    finished := FOUND;
    EXIT WHEN NOT finished;
    PERFORM FROM chatrooms c WHERE c.id IN (former.chatroom_id, former.next_of_chatroom) FOR NO KEY UPDATE;
    PERFORM FROM users u WHERE u.id = former.next_of_user FOR NO KEY UPDATE;
    UPDATE attachments a
      SET state = new_state, rejection = new_rejection, object = new_object, media_type = new_media_type, byte_size = new_size,
          sha256 = new_sha256, image = new_image, next_of_user = NULL, next_of_chatroom = NULL
      WHERE a.id = in_attachment AND a.state = 'PROCESSING'
        AND (a.chatroom_id, a.next_of_chatroom, a.next_of_user)
          IS NOT DISTINCT FROM (former.chatroom_id, former.next_of_chatroom, former.next_of_user);
    EXIT WHEN FOUND;
  END LOOP;
  IF finished AND former.chatroom_id IS NOT NULL THEN
    chatroom_id := former.chatroom_id;
    seq := append_content_event(chatroom_id, 'ATTACHMENTS_CHANGED', former.number, NULL);
  ELSIF finished AND new_state = 'READY' AND former.next_of_chatroom IS NOT NULL THEN
    SELECT * INTO room FROM chatrooms c WHERE c.id = former.next_of_chatroom;
    IF managing_outcome(room, former.user_id, 'ADMIN') = 'MAY' THEN
      chatroom_id := room.id;
      UPDATE chatrooms c SET avatar_id = in_attachment, updated_at = clock_timestamp() WHERE c.id = room.id;
      seq := append_event(chatroom_id, 'CHATROOM_UPDATED', NULL, NULL, former.user_id);
    END IF;
  ELSIF finished AND new_state = 'READY' THEN
    UPDATE users u SET avatar_id = in_attachment, updated_at = clock_timestamp() WHERE u.id = former.next_of_user;
  END IF;
  RETURN NEXT;
END
$$;
