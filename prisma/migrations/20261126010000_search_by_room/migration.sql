-- The migrations of this release lock one table each, and each lock once: a transaction that locked several tables, or raised
-- a lock, could deadlock with the nodes that are serving.

-- Search looks only into the viewer's rooms: each word of the index begins with a key of its room. A search costs what the
-- viewer's own rooms hold, and its duration says nothing about rooms that the viewer is not in.
--
-- The key is the end of the room's id. Two rooms with the same key cost a few more rows; the query compares the room too.
CREATE FUNCTION words_in_room(in_chatroom uuid, words tsvector) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  key text := right(in_chatroom::text, 8);
  separator text := chr(1);
BEGIN
  RETURN array_to_tsvector(string_to_array(
    key || array_to_string(tsvector_to_array(words), separator || key), separator));
END
$$;
-- Without a list of pending entries, which each search of each room would read from end to end.
--
-- messages_search_idx stays for nodes of the release before this one. The next release drops it.
CREATE INDEX messages_room_search_idx ON messages USING gin (words_in_room(chatroom_id, search)) WITH (fastupdate = off);
