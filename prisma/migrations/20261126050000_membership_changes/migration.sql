-- Changes to the lists of rooms that users see. `viewerEvents(after: …)` reads from here which rooms appeared or vanished
-- since a cursor. A room's own log cannot say so: it ends with the room, and hiding a DIRECT room is in no log.
CREATE TYPE "MembershipChangeKind" AS ENUM ('JOINED', 'LEFT', 'HIDDEN', 'SHOWN');
CREATE TABLE membership_changes (
  -- Null in the row that marks how far the table was pruned: see prune_membership_changes.
  user_id uuid REFERENCES users ON DELETE CASCADE,
  -- No foreign key, because the row outlives the room.
  chatroom_id uuid,
  kind "MembershipChangeKind" NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  created_at timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX membership_changes_user_id_xid_idx ON membership_changes (user_id, xid);
CREATE INDEX membership_changes_xid_idx ON membership_changes (xid);

-- Returns whether changes that a snapshot did not see may have been pruned. The oldest row tells: pruning leaves one row, older
-- than all rows that follow, and every transaction up to that row's must have ended in the snapshot.
CREATE FUNCTION are_membership_changes_pruned(in_snapshot pg_snapshot, days integer) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT coalesce((
    SELECT c.created_at < now() - make_interval(days => days) AND c.xid >= pg_snapshot_xmin(in_snapshot)
      FROM membership_changes c ORDER BY c.xid LIMIT 1), false)
$$;

-- Deletes changes older than `days`, and everything that older transactions wrote. One row without a user remains as a mark.
CREATE FUNCTION prune_membership_changes(days integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  last_old membership_changes;
BEGIN
  SELECT * INTO last_old FROM membership_changes c WHERE c.created_at < now() - make_interval(days => days)
    ORDER BY c.xid DESC LIMIT 1;
  IF last_old.user_id IS NULL THEN
    RETURN;
  END IF;
  DELETE FROM membership_changes c WHERE c.xid <= last_old.xid;
  INSERT INTO membership_changes (kind, xid, created_at) VALUES (last_old.kind, last_old.xid, last_old.created_at);
END
$$;

-- As before, and: the last transaction may also be one of which something can be seen in `membership_changes`.
CREATE OR REPLACE FUNCTION flushed_snapshot() RETURNS pg_snapshot LANGUAGE plpgsql STABLE AS $$
DECLARE
  snapshot pg_snapshot := pg_current_snapshot();
  last bigint := greatest(
    (SELECT xid FROM events ORDER BY xid DESC LIMIT 1),
    (SELECT xid FROM endings ORDER BY xid DESC LIMIT 1),
    (SELECT xid FROM membership_changes ORDER BY xid DESC LIMIT 1))::text::bigint;
  after bigint := coalesce(last + 1, 1);
BEGIN
  IF pg_snapshot_xmax(snapshot)::text::bigint <= after THEN
    RETURN snapshot;
  END IF;
  RETURN concat(
    least(pg_snapshot_xmin(snapshot)::text::bigint, after), ':', after, ':',
    (SELECT string_agg(xip::text, ',' ORDER BY xip) FROM pg_snapshot_xip(snapshot) xip WHERE xip::text::bigint < after));
END
$$;
