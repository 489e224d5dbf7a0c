-- Files that users upload. A row exists from createUpload until the file is deleted. The bytes are in the file store, in objects
-- that are never overwritten: `object` names the one to serve, and `image` those of the smaller variants.
CREATE TYPE "AttachmentPurpose" AS ENUM ('MESSAGE', 'AVATAR');
CREATE TYPE "AttachmentState" AS ENUM ('UPLOADING', 'PROCESSING', 'READY', 'REJECTED');
CREATE TYPE "AttachmentRejection" AS ENUM ('INFECTED', 'NOT_WHAT_IT_SAYS', 'TOO_LARGE', 'UNREADABLE');
CREATE TYPE "AttachmentKind" AS ENUM ('IMAGE', 'VIDEO', 'AUDIO', 'FILE');

CREATE TABLE attachments (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  purpose "AttachmentPurpose" NOT NULL DEFAULT 'MESSAGE',
  state "AttachmentState" NOT NULL DEFAULT 'UPLOADING',
  rejection "AttachmentRejection",
  file_name text NOT NULL,
  media_type text COLLATE "C" NOT NULL,
  byte_size integer NOT NULL,
  sha256 bytea NOT NULL,
  object text COLLATE "C",
  image jsonb,
  duration_ms integer,
  chatroom_id uuid,
  number integer,
  place smallint,
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  kind "AttachmentKind" NOT NULL GENERATED ALWAYS AS (CASE
    WHEN media_type IN ('image/jpeg', 'image/png', 'image/apng', 'image/gif', 'image/webp', 'image/avif') THEN 'IMAGE'::"AttachmentKind"
    WHEN media_type LIKE 'video/%' THEN 'VIDEO'::"AttachmentKind"
    WHEN media_type LIKE 'audio/%' THEN 'AUDIO'::"AttachmentKind"
    ELSE 'FILE'::"AttachmentKind" END) STORED,
  CHECK ((chatroom_id IS NULL) = (number IS NULL) AND (number IS NULL) = (place IS NULL)),
  FOREIGN KEY (chatroom_id, number) REFERENCES messages ON DELETE CASCADE
);
CREATE INDEX attachments_user_id_idx ON attachments (user_id);
CREATE INDEX attachments_message_idx ON attachments (chatroom_id, number, place);
CREATE INDEX attachments_kind_idx ON attachments (chatroom_id, kind, number, place);
-- Uploads that have not been sent, for the clean-up.
CREATE INDEX attachments_unsent_idx ON attachments (created_at) WHERE chatroom_id IS NULL;

-- Whether a message was sent with attachments. Messages without them then cost no read of attachments.
ALTER TABLE messages ADD COLUMN has_attachments boolean NOT NULL DEFAULT false;

ALTER TABLE users ADD COLUMN avatar_id uuid REFERENCES attachments ON DELETE SET NULL;
CREATE UNIQUE INDEX users_avatar_id_idx ON users (avatar_id) WHERE avatar_id IS NOT NULL;
ALTER TABLE chatrooms ADD COLUMN avatar_id uuid REFERENCES attachments ON DELETE SET NULL;
CREATE UNIQUE INDEX chatrooms_avatar_id_idx ON chatrooms (avatar_id) WHERE avatar_id IS NOT NULL;

-- Kind of an event for nodes of this release. Nodes of the previous release fail for a kind that they do not know, so `kind` has one
-- that they know.
ALTER TABLE events ADD COLUMN detail text COLLATE "C";

-- Appends an event about the content of a message, of a kind that the previous release does not know. Nodes of that release
-- send MessageEdited for it.
CREATE FUNCTION append_content_event(in_chatroom uuid, of_detail text, about_number integer, by_user uuid) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  appended integer := append_event(in_chatroom, 'MESSAGE_EDITED', about_number, NULL, by_user);
BEGIN
  UPDATE events e SET detail = of_detail WHERE e.chatroom_id = in_chatroom AND e.seq = appended;
  RETURN appended;
END
$$;

-- Queues the deletion of the bytes in the transaction that deletes the row, whichever way the row is deleted. The last of 21
-- attempts is about three days after the first.
CREATE FUNCTION queue_file_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM graphile_worker.add_job('delete_file', json_build_object('attachmentId', OLD.id), max_attempts => 21);
  RETURN NULL;
END
$$;
CREATE TRIGGER attachment_deleted AFTER DELETE ON attachments FOR EACH ROW EXECUTE FUNCTION queue_file_deletion();

-- A trigger, because nodes of the previous release delete messages too.
CREATE FUNCTION delete_attachments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM attachments a WHERE a.chatroom_id = NEW.chatroom_id AND a.number = NEW.number;
  RETURN NULL;
END
$$;
CREATE TRIGGER message_deleted AFTER UPDATE OF deleted_at ON messages
  FOR EACH ROW WHEN (NEW.has_attachments AND OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
  EXECUTE FUNCTION delete_attachments();

-- The avatar of a room ends with the room, and the avatar that another one replaces is deleted.
CREATE FUNCTION delete_former_avatar() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM attachments a WHERE a.id = OLD.avatar_id;
  RETURN NULL;
END
$$;
CREATE TRIGGER avatar_replaced AFTER UPDATE OF avatar_id ON users
  FOR EACH ROW WHEN (OLD.avatar_id IS NOT NULL AND OLD.avatar_id IS DISTINCT FROM NEW.avatar_id)
  EXECUTE FUNCTION delete_former_avatar();
CREATE TRIGGER avatar_replaced AFTER UPDATE OF avatar_id ON chatrooms
  FOR EACH ROW WHEN (OLD.avatar_id IS NOT NULL AND OLD.avatar_id IS DISTINCT FROM NEW.avatar_id)
  EXECUTE FUNCTION delete_former_avatar();
CREATE TRIGGER avatar_deleted AFTER DELETE ON chatrooms
  FOR EACH ROW WHEN (OLD.avatar_id IS NOT NULL) EXECUTE FUNCTION delete_former_avatar();

-- Ends the processing of an attachment. If it belongs to a message, appends an event to the log of the room. `finished` is false if
-- the attachment has been deleted or is no longer being processed.
--
-- A send, and a change of an avatar, locks the room before the attachment. The room of an avatar is therefore locked first, and
-- so is the room of a message. Once an attachment belongs to a message, it stays there.
CREATE FUNCTION finish_attachment(
  in_attachment uuid, new_state "AttachmentState", new_rejection "AttachmentRejection", new_object text,
  new_media_type text, new_size integer, new_sha256 bytea, new_image jsonb
) RETURNS TABLE (finished boolean, chatroom_id uuid, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room uuid;
  message_number integer;
BEGIN
  PERFORM FROM chatrooms c WHERE c.avatar_id = in_attachment FOR NO KEY UPDATE;
  UPDATE attachments a
    SET state = new_state, rejection = new_rejection, object = new_object, media_type = new_media_type, byte_size = new_size,
        sha256 = new_sha256, image = new_image
    WHERE a.id = in_attachment AND a.state = 'PROCESSING' AND a.chatroom_id IS NULL;
  IF FOUND THEN
    -- Members see the avatar of their room from now on.
    SELECT c.id INTO room FROM chatrooms c WHERE c.avatar_id = in_attachment FOR NO KEY UPDATE;
    RETURN QUERY SELECT true, room,
      CASE WHEN room IS NOT NULL THEN append_event(room, 'CHATROOM_UPDATED', NULL, NULL, NULL) END;
    RETURN;
  END IF;
  SELECT a.chatroom_id, a.number INTO room, message_number FROM attachments a
    WHERE a.id = in_attachment AND a.state = 'PROCESSING';
  PERFORM FROM chatrooms c WHERE c.id = room FOR NO KEY UPDATE;
  UPDATE attachments a
    SET state = new_state, rejection = new_rejection, object = new_object, media_type = new_media_type, byte_size = new_size,
        sha256 = new_sha256, image = new_image
    WHERE a.id = in_attachment AND a.state = 'PROCESSING';
  finished := FOUND;
  IF finished THEN
    chatroom_id := room;
    seq := append_content_event(room, 'ATTACHMENTS_CHANGED', message_number, NULL);
  END IF;
  RETURN NEXT;
END
$$;

-- Returns whether a user has uploaded an image as an avatar that is used nowhere, and locks it.
CREATE FUNCTION is_free_avatar(in_attachment uuid, of_user uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM FROM attachments a
    WHERE a.id = in_attachment AND a.user_id = of_user AND a.purpose = 'AVATAR' AND a.state IN ('PROCESSING', 'READY') FOR UPDATE;
  RETURN FOUND AND NOT EXISTS (SELECT FROM users u WHERE u.avatar_id = in_attachment)
    AND NOT EXISTS (SELECT FROM chatrooms c WHERE c.avatar_id = in_attachment);
END
$$;

-- Sets or removes the avatar of a room.
CREATE FUNCTION set_chatroom_avatar(in_chatroom uuid, by_user uuid, new_avatar uuid)
RETURNS TABLE (outcome text, seq integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  permission text;
BEGIN
  SELECT * INTO room FROM chatrooms c WHERE c.id = in_chatroom FOR NO KEY UPDATE;
  permission := managing_outcome(room, by_user, 'ADMIN');
  IF permission <> 'MAY' THEN
    RETURN QUERY SELECT permission, NULL::integer;
  ELSIF new_avatar IS NOT DISTINCT FROM room.avatar_id THEN
    RETURN QUERY SELECT 'CHANGED', NULL::integer;
  ELSIF new_avatar IS NOT NULL AND NOT is_free_avatar(new_avatar, by_user) THEN
    RETURN QUERY SELECT 'ATTACHMENT_NOT_FOUND', NULL::integer;
  ELSE
    UPDATE chatrooms c SET avatar_id = new_avatar, updated_at = clock_timestamp() WHERE c.id = in_chatroom;
    RETURN QUERY SELECT 'CHANGED', append_event(in_chatroom, 'CHATROOM_UPDATED', NULL, NULL, by_user);
  END IF;
END
$$;

-- Sets or removes the avatar of a user. Returns false if the user has uploaded no such image, or if it is in use.
CREATE FUNCTION set_user_avatar(of_user uuid, new_avatar uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  current uuid;
BEGIN
  SELECT u.avatar_id INTO current FROM users u WHERE u.id = of_user FOR NO KEY UPDATE;
  IF new_avatar IS NOT DISTINCT FROM current THEN
    RETURN true;
  END IF;
  IF new_avatar IS NOT NULL AND NOT is_free_avatar(new_avatar, of_user) THEN
    RETURN false;
  END IF;
  UPDATE users u SET avatar_id = new_avatar, updated_at = clock_timestamp() WHERE u.id = of_user;
  RETURN true;
END
$$;
