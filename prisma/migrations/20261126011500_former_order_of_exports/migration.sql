-- Superseded by messages_sender_id_chatroom_id_number_idx.
DROP INDEX messages_sender_id_idx;
