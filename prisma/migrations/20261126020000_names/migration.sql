-- What usernames that look alike have in common: no new user gets a name that looks like another's. Null for a user of an
-- earlier release until a node fills it, and for good where an earlier user already has the same one.
ALTER TABLE users ADD COLUMN username_skeleton text COLLATE "C" UNIQUE;
