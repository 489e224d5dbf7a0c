-- Time at which a user deleted an upload that was still open. An object store accepts its bytes until the URL has expired, so the row
-- stays and counts until then.
ALTER TABLE attachments ADD COLUMN deleted_at timestamptz(3);
