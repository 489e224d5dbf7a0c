-- The first thing that a room's log says of a user after some place. Two events per membership.
CREATE INDEX events_membership_idx ON events (user_id, chatroom_id, seq)
  WHERE kind IN ('MEMBER_JOINED', 'MEMBER_LEFT');
