-- When the last of a user's sockets closed.
ALTER TABLE users ADD COLUMN last_seen_at timestamptz(3);

-- What a mail proves: that whoever brings the token back reads what is sent to that address.
CREATE TYPE "MailPurpose" AS ENUM ('VERIFY_EMAIL', 'RESET_PASSWORD');
CREATE TABLE mail_tokens (
  hash bytea PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  purpose "MailPurpose" NOT NULL,
  -- The address that it was sent to: the user may have another by now.
  email_key text COLLATE "C" NOT NULL,
  expires_at timestamptz(3) NOT NULL
);
CREATE INDEX mail_tokens_user_id_idx ON mail_tokens (user_id);

-- Who a user is to an OpenID provider.
CREATE TABLE identities (
  issuer text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user_id_idx ON identities (user_id);

-- Other services that may send system messages.
CREATE TABLE service_tokens (
  name text COLLATE "C" PRIMARY KEY,
  hash bytea NOT NULL UNIQUE,
  created_at timestamptz(3) NOT NULL DEFAULT now()
);

-- Deletes an account whose messages have no sender any more: rooms that it owned are handed on, all else goes. The rooms
-- are locked in the order of their ids, as by whoever else takes several, and before the user's row.
CREATE FUNCTION delete_account(of_user uuid) RETURNS TABLE (chatroom_id uuid, seq integer)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  room chatrooms;
  leaver members;
BEGIN
  FOR room IN
    SELECT c.* FROM chatrooms c JOIN members m ON m.chatroom_id = c.id
      WHERE m.user_id = of_user ORDER BY c.id FOR NO KEY UPDATE OF c
  LOOP
    SELECT * INTO leaver FROM members m WHERE m.chatroom_id = room.id AND m.user_id = of_user;
    CONTINUE WHEN leaver.user_id IS NULL;
    RETURN QUERY SELECT room.id, end_membership(room, leaver);
  END LOOP;
  DELETE FROM users u WHERE u.id = of_user;
END
$$;
