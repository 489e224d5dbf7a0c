-- An unverified e-mail address belongs to nobody: several accounts may have it. Only one can have verified it.
-- The previous release inserts with ON CONFLICT DO NOTHING without a target, which needs no particular index.
ALTER TABLE users DROP CONSTRAINT users_email_key_key;
CREATE UNIQUE INDEX users_verified_email_key_idx ON users (email_key) WHERE email_verified_at IS NOT NULL;
CREATE INDEX users_email_key_idx ON users (email_key);

-- The address that replaces a verified one once it is verified itself. Until then the verified one stays in use.
ALTER TABLE users ADD COLUMN pending_email text;
ALTER TABLE users ADD COLUMN pending_email_key text COLLATE "C";
