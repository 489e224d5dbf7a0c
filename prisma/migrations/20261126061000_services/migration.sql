-- Who sent a notice, and whether it counts as unread. Null and false for other messages, and for notices of earlier releases.
ALTER TABLE messages
  ADD COLUMN service text COLLATE "C",
  ADD COLUMN author_name text,
  ADD COLUMN counts_as_unread boolean NOT NULL DEFAULT false;
