/** Error codes of the server. */
export type ErrorCode =
  /** An argument is invalid; `extensions.path` names it. */
  | 'BAD_USER_INPUT'
  /** The request has no token, or the token is invalid. Sign in and send the new token. */
  | 'UNAUTHENTICATED'
  /** The access token has expired. Call refreshSession and send the new token. */
  | 'TOKEN_EXPIRED'
  /** The name, the password or the ID token is wrong. Correct the wrong value and try again. */
  | 'INVALID_CREDENTIALS'
  /** Your role or your type of token does not allow this, or your account is suspended. */
  | 'FORBIDDEN'
  /** The object does not exist, or you may not see it. Both cases return this error. */
  | 'NOT_FOUND'
  /** The request contradicts stored data. For example, its clientMessageId was sent before with other content. */
  | 'CONFLICT'
  /** Another account has this username or one that looks alike. Letter case is ignored. Choose another username. */
  | 'USERNAME_TAKEN'
  /** Another account has verified this e-mail address. Sign in to that account, or use another address. */
  | 'EMAIL_TAKEN'
  /** One of the two users has blocked the other. */
  | 'BLOCKED'
  /** You are muted in this chatroom until `extensions.until`. You can still read messages, and delete your own. */
  | 'MUTED'
  /** The recipient is not online. The notice was not delivered, and the server does not store notices to users. */
  | 'RECIPIENT_OFFLINE'
  /** Too many requests. Wait for `extensions.retryAfterMs` milliseconds. */
  | 'RATE_LIMITED'
  /** A limit is reached: `extensions.limit` is the maximum number of objects, or of bytes. Remove one first. */
  | 'LIMIT_REACHED'
  /** The cursor is no longer valid. Query the data again, and subscribe from the new cursor. */
  | 'RESYNC_REQUIRED'
  /** The operation selects too much. Select fewer fields, or load smaller pages. */
  | 'QUERY_TOO_COMPLEX'
  /** The server failed. The log of the server has the details under `extensions.requestId`. With `extensions.retryAfterMs`, the server is temporarily unavailable: try again after this number of milliseconds. */
  | 'INTERNAL_SERVER_ERROR';

/** Object types of each interface and union. */
export const possibleTypes = {
  "AppEvent": [
    "AppSnapshot",
    "AttachmentsChanged",
    "BlockChanged",
    "CaughtUp",
    "ChatroomAppeared",
    "ChatroomUpdated",
    "ChatroomVanished",
    "FriendshipChanged",
    "LinkPreviewsChanged",
    "MemberJoined",
    "MemberLeft",
    "MemberUpdated",
    "MessageAdded",
    "MessageDeleted",
    "MessageEdited",
    "ReactionsChanged",
    "RoomSnapshot",
    "SystemNotice",
    "UnreadChanged",
    "ViewerSnapshot"
  ],
  "ChatroomEvent": [
    "AttachmentsChanged",
    "CaughtUp",
    "ChatroomUpdated",
    "LinkPreviewsChanged",
    "MemberJoined",
    "MemberLeft",
    "MemberUpdated",
    "MessageAdded",
    "MessageDeleted",
    "MessageEdited",
    "ReactionsChanged",
    "RoomSnapshot"
  ],
  "Node": [
    "Attachment",
    "Chatroom",
    "ChatroomMember",
    "FriendRequest",
    "IncomingWebhook",
    "LinkPreview",
    "Message",
    "PushDevice",
    "Session",
    "Upload",
    "User",
    "Viewer"
  ],
  "ViewerEvent": [
    "BlockChanged",
    "ChatroomAppeared",
    "ChatroomVanished",
    "FriendshipChanged",
    "SystemNotice",
    "UnreadChanged",
    "ViewerSnapshot"
  ]
};

/** Types without an id. A cache stores them inside their parents. */
export const keyless = ["Admin","AdminChatroomConnection","AdminChatroomEdge","AdminCreateServiceTokenPayload","AdminCreateUserPayload","AdminUserConnection","AdminUserEdge","AdminUserPayload","AppSnapshot","AttachmentConnection","AttachmentEdge","AttachmentsChanged","AuditEntryConnection","AuditEntryEdge","AuthPayload","BlockChanged","Bot","BotPayload","CaughtUp","ChatroomAppeared","ChatroomConnection","ChatroomEdge","ChatroomHealth","ChatroomMemberConnection","ChatroomMemberEdge","ChatroomPayload","ChatroomUpdated","ChatroomVanished","CompleteUploadPayload","CreateAccessTokenPayload","CreateUploadPayload","DeleteBotPayload","DeleteChatroomPayload","DeleteIncomingWebhookPayload","DeleteUploadPayload","DeleteUserPayload","DeleteWebhookPayload","ExternalUserPayload","FileTicket","FriendRequestConnection","FriendRequestEdge","FriendshipChanged","FriendshipPayload","HealthFinding","HttpHeader","Image","IncomingWebhookPayload","LeaveChatroomPayload","LinkPreviewsChanged","MarkReadPayload","MarkRoomsReadPayload","MarkUnreadPayload","MemberJoined","MemberLeft","MemberUpdated","MessageAdded","MessageConnection","MessageDeleted","MessageEdge","MessageEdited","MessagePayload","MessageSeen","NoticeAuthor","OkPayload","PageInfo","Presence","PresenceChanged","PushDevicePayload","ReactionGroup","ReactionsChanged","ReadMarksChanged","RevokeSessionPayload","RoomSnapshot","SendMessagePayload","Server","ServiceToken","SessionConnection","SessionEdge","SetAvatarPayload","StorageUse","SystemMessagePayload","SystemNotice","TypingChanged","UnreadChanged","UnregisterPushDevicePayload","UpsertUsersPayload","UserConnection","UserEdge","UserPayload","ViewerPayload","ViewerSnapshot","WebhookAttempt","WebhookChatroom","WebhookPayload","WebhookSecretPayload"];

/** Paged lists by type, with the arguments that select another list. */
export const connections = {
  "Admin": {
    "auditEntries": [],
    "chatrooms": [
      "search"
    ],
    "users": [
      "search"
    ]
  },
  "Chatroom": {
    "attachments": [
      "kind"
    ],
    "members": [],
    "messages": [],
    "searchMessages": [
      "query"
    ]
  },
  "Message": {
    "seenBy": []
  },
  "Query": {
    "openChatrooms": [
      "search"
    ],
    "users": [
      "search"
    ]
  },
  "ReactionGroup": {
    "users": []
  },
  "Viewer": {
    "blockedUsers": [],
    "chatrooms": [
      "filter"
    ],
    "friendRequests": [
      "direction"
    ],
    "friends": [
      "status"
    ],
    "searchMessages": [
      "query"
    ],
    "sessions": []
  }
};
