-- A page that is too old for a new preview is deleted with the last preview that shows it, and so are the bytes of its image. The
-- hourly job deletes younger pages, which are a cache until then, and those whose last two previews were deleted concurrently.
CREATE FUNCTION delete_page_without_previews() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM web_pages p WHERE p.id = OLD.page_id AND p.fetched_at < now() - interval '25 hours'
    AND NOT EXISTS (SELECT FROM link_previews l WHERE l.page_id = p.id);
  RETURN NULL;
END
$$;
CREATE TRIGGER preview_deleted AFTER DELETE ON link_previews
  FOR EACH ROW EXECUTE FUNCTION delete_page_without_previews();
