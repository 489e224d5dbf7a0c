-- A friendship or friend request is in no room's log. Devices that were disconnected read its changes from `membership_changes`.
ALTER TYPE "MembershipChangeKind" ADD VALUE 'FRIENDSHIP_CHANGED';
