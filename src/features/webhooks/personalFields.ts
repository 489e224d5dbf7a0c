/**
 * Fields below the events of a room that depend on the viewer. A webhook has no viewer, so its document must not select
 * them. A test executes all other fields.
 */
export const personalFields: ReadonlySet<string> = new Set([
  ...[
    'attachments',
    'cursor',
    'incomingWebhooks',
    'lastMessage',
    'members',
    'message',
    'messages',
    'opponent',
    'searchMessages',
  ].map((field) => `Chatroom.${field}`),
  ...['title', 'unreadCount', 'viewerMembership'].map((field) => `Chatroom.${field}`),
  ...['seenBy', 'seenByAll'].map((field) => `Message.${field}`),
  ...['MemberJoined.member', 'MemberUpdated.member'],
  ...['ReactionGroup.users', 'ReactionGroup.viewerHasReacted'],
  ...['User.presence', 'User.viewerHasBlocked', 'User.viewerIsFriend'],
]);
