-- A change of the viewer's own data that no event carries: a profile, or a relationship that ended with the account of the other
-- user. Streams send a snapshot instead. The record of such a relationship names only the remaining user.
ALTER TYPE "MembershipChangeKind" ADD VALUE 'VIEWER_CHANGED';
