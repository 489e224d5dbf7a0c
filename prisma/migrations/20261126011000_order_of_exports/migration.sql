-- Exports read a user's messages in this order. The index also serves what messages_sender_id_idx served, which the next
-- migration drops: to create one index and drop another in a transaction would raise the lock on the table meanwhile.
CREATE INDEX messages_sender_id_chatroom_id_number_idx ON messages (sender_id, chatroom_id, number);
