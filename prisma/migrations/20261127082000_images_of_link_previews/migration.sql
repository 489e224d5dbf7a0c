-- Image of a page: its size, and the object in the file store whose key is `<id of the page>/<object>`. Null if there is none.
ALTER TABLE web_pages ADD COLUMN image jsonb;

-- The job takes the ids of pages too: it deletes the objects whose keys begin with the id.
CREATE TRIGGER page_deleted AFTER DELETE ON web_pages
  FOR EACH ROW WHEN (OLD.image IS NOT NULL) EXECUTE FUNCTION queue_file_deletion();
