-- Sends that arrive together share a statement and a commit, each with its own outcome.
--
-- In the order of the rooms, so that two such statements never wait for one another in a circle; in a room as they came.
-- Whoever waits for a room longer than `patience` gives up, and nothing of it is stored; '0' waits without end.
CREATE FUNCTION send_messages(sends json, patience text)
RETURNS TABLE (place integer, outcome text, message messages, seen_after integer) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  send record;
BEGIN
  PERFORM set_config('lock_timeout', patience, true);
  FOR send IN
    SELECT * FROM json_to_recordset(sends) AS s (
      place integer, "chatroomId" uuid, "userId" uuid, body text, search tsvector, "clientMessageId" text,
      "replyToNumber" integer
    ) ORDER BY s."chatroomId", s.place
  LOOP
    RETURN QUERY SELECT send.place, s.* FROM send_message(
      send."chatroomId", send."userId", send.body, send.search, send."clientMessageId", send."replyToNumber") s;
  END LOOP;
END
$$;
