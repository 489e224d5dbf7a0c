-- Users with access to the admin API.
CREATE TABLE admins (
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  granted_at timestamptz(3) NOT NULL DEFAULT now()
);

-- Actions of admins. The texts stay if an account is deleted: they are the operator's record.
CREATE TABLE audit_entries (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  actor_id uuid REFERENCES users ON DELETE SET NULL,
  actor_name text NOT NULL,
  action text COLLATE "C" NOT NULL,
  subject text,
  reason text NOT NULL
);
CREATE INDEX ON audit_entries (created_at, id);
CREATE INDEX ON audit_entries (actor_id);

-- The list of rooms in the admin API, newest first.
CREATE INDEX ON chatrooms (created_at, id);
