/** Every failure of the server has one of these codes. */
export type ErrorCode =
  /** An argument is not what the field takes; `extensions.path` names it. */
  | 'BAD_USER_INPUT'
  /** Nobody is signed in, or the token is not one of ours. Sign in and send it again. */
  | 'UNAUTHENTICATED'
  /** The access token has run out. Call refreshSession and send it again. */
  | 'TOKEN_EXPIRED'
  /** No account has this name and this password. */
  | 'INVALID_CREDENTIALS'
  /** Your role, or the kind of your token, does not allow this. */
  | 'FORBIDDEN'
  /** It does not exist, or not for you: the two look the same. */
  | 'NOT_FOUND'
  /** It contradicts something stored before, such as the same clientMessageId with another body. */
  | 'CONFLICT'
  /** Someone has this username, perhaps in other letter case, or one that looks like it. Choose another. */
  | 'USERNAME_TAKEN'
  /** Another account has verified this e-mail address. Sign in to it, or use another. */
  | 'EMAIL_TAKEN'
  /** One of the two has blocked the other. */
  | 'BLOCKED'
  /** The user is not online, and nothing keeps the message for later. */
  | 'RECIPIENT_OFFLINE'
  /** Too many requests. Wait for `extensions.retryAfterMs` milliseconds. */
  | 'RATE_LIMITED'
  /** The cursor cannot be honoured any more. Query again and subscribe from the new cursor. */
  | 'RESYNC_REQUIRED'
  /** The operation asks for too much at once. Ask for less, or page. */
  | 'QUERY_TOO_COMPLEX'
  /** Our fault. The log has the details under `extensions.requestId`. */
  | 'INTERNAL_SERVER_ERROR';

/** Which types an interface or union stands for. */
export const possibleTypes = {
  "ChatroomEvent": [
    "CaughtUp",
    "ChatroomUpdated",
    "MemberJoined",
    "MemberLeft",
    "MemberUpdated",
    "MessageAdded",
    "MessageDeleted",
    "MessageEdited",
    "ReactionsChanged"
  ],
  "Node": [
    "Chatroom",
    "ChatroomMember",
    "FriendRequest",
    "Message",
    "PushDevice",
    "Session",
    "User",
    "Viewer"
  ],
  "ViewerEvent": [
    "ChatroomAppeared",
    "ChatroomVanished",
    "FriendshipChanged",
    "SystemNotice",
    "UnreadChanged"
  ]
};

/** The types that are found by no id: parts of others. */
export const keyless = ["AuthPayload","CaughtUp","ChatroomAppeared","ChatroomConnection","ChatroomEdge","ChatroomMemberConnection","ChatroomMemberEdge","ChatroomPayload","ChatroomUpdated","ChatroomVanished","DeleteChatroomPayload","FriendRequestConnection","FriendRequestEdge","FriendshipChanged","FriendshipPayload","LeaveChatroomPayload","MarkReadPayload","MarkRoomsReadPayload","MarkUnreadPayload","MemberJoined","MemberLeft","MemberUpdated","MessageAdded","MessageConnection","MessageDeleted","MessageEdge","MessageEdited","MessagePayload","MessageSeen","NoticeAuthor","OkPayload","PageInfo","Presence","PresenceChanged","PushDevicePayload","ReactionGroup","ReactionsChanged","ReadMarksChanged","RevokeSessionPayload","SendMessagePayload","Server","SessionConnection","SessionEdge","SystemMessagePayload","SystemNotice","TypingChanged","UnreadChanged","UnregisterPushDevicePayload","UserConnection","UserEdge","UserPayload","ViewerPayload"];

/** The lists that are paged, by type, each with the arguments that make it another list. */
export const connections = {
  "Chatroom": {
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
