-- A block or its end is in no room's log. Other devices of the blocker read it from `membership_changes`, which is pruned together
-- with everything else that `viewerEvents(after: …)` replays.
ALTER TYPE "MembershipChangeKind" ADD VALUE 'BLOCK_CHANGED';
-- The blocked user. Null in changes of memberships.
ALTER TABLE membership_changes ADD COLUMN other_id uuid;
