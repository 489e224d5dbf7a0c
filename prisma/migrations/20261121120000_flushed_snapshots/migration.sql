-- A snapshot that still says the truth after PostgreSQL has crashed.
--
-- A transaction that was rolled back need not be on the disk: after a crash its number is given to another. A snapshot from
-- before would take what that one writes for seen. This snapshot ends with the last transaction of which something can be
-- seen in `events` or `endings`. What can be seen is on the disk, and the numbers up to it are not given again.
CREATE FUNCTION flushed_snapshot() RETURNS pg_snapshot LANGUAGE plpgsql STABLE AS $$
DECLARE
  snapshot pg_snapshot := pg_current_snapshot();
  last bigint := greatest(
    (SELECT xid FROM events ORDER BY xid DESC LIMIT 1), (SELECT xid FROM endings ORDER BY xid DESC LIMIT 1))::text::bigint;
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
