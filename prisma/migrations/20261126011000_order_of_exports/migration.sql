-- Locks one table only: a migration that locked several could deadlock with the nodes that are serving.

-- Exports read a user's messages in this order. The index also serves what messages_sender_id_idx served.
CREATE INDEX messages_sender_id_chatroom_id_number_idx ON messages (sender_id, chatroom_id, number);
DROP INDEX messages_sender_id_idx;
