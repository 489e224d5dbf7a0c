const AUTH = 'accessToken accessTokenExpiresAt refreshToken viewer { user { id } }';
const MESSAGE = 'id number kind body createdAt editedAt deletedAt sender { id username nickname }';

export const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { ${AUTH} } }`;
export const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { ${AUTH} } }`;
export const REFRESH = `mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) { ${AUTH} } }`;
export const SIGN_OUT = 'mutation { signOut { ok } }';
export const DELETE_ACCOUNT = 'mutation ($input: DeleteAccountInput!) { deleteAccount(input: $input) { ok } }';

export const CREATE = `mutation ($input: CreateChatroomInput!) {
  createChatroom(input: $input) { chatroom { id kind name memberCount cursor } }
}`;
export const END_ROOM =
  'mutation ($input: ChatroomTargetInput!) { deleteChatroom(input: $input) { deletedChatroomId } }';
export const ADD = `mutation ($input: ChatroomMembersInput!) {
  addChatroomMembers(input: $input) { chatroom { id memberCount } }
}`;
export const REMOVE = `mutation ($input: RemoveChatroomMemberInput!) {
  removeChatroomMember(input: $input) { chatroom { id memberCount } }
}`;
export const JOIN =
  'mutation ($input: ChatroomTargetInput!) { joinChatroom(input: $input) { chatroom { id cursor } } }';
export const LEAVE = 'mutation ($input: ChatroomTargetInput!) { leaveChatroom(input: $input) { chatroomId } }';

export const BLOCK = 'mutation ($input: UserTargetInput!) { blockUser(input: $input) { user { id } } }';
export const UNBLOCK = 'mutation ($input: UserTargetInput!) { unblockUser(input: $input) { user { id } } }';
export const BEFRIEND = 'mutation ($input: UserTargetInput!) { addFriend(input: $input) { status user { id } } }';
export const UNFRIEND = 'mutation ($input: UserTargetInput!) { removeFriend(input: $input) { user { id } } }';

export const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { ${MESSAGE} } } }`;
export const EDIT = `mutation ($input: EditMessageInput!) { editMessage(input: $input) { message { ${MESSAGE} } } }`;
export const DELETE = `mutation ($input: DeleteMessageInput!) { deleteMessage(input: $input) { message { ${MESSAGE} } } }`;
export const REACT = `mutation ($input: ReactionInput!) {
  addReaction(input: $input) { message { id reactions { emoji count viewerHasReacted } } }
}`;
export const TAKE_BACK = `mutation ($input: ReactionInput!) {
  removeReaction(input: $input) { message { id reactions { emoji count viewerHasReacted } } }
}`;
export const MARK_READ = `mutation ($input: MarkReadInput!) {
  markRead(input: $input) { chatroom { id unreadCount } viewer { unreadCount } }
}`;
export const TYPE = 'mutation ($input: SetTypingInput!) { setTyping(input: $input) { ok } }';

export const ROOMS = `query {
  viewer {
    unreadCount cursor
    chatrooms(first: 20) {
      nodes { id name memberCount unreadCount cursor opponent { id username } lastMessage { ${MESSAGE} } }
    }
    friends(first: 20) { nodes { id username presence { status lastSeenAt } } }
    sessions(first: 10) { nodes { id current createdAt endedAt } }
  }
}`;
export const HISTORY = `query ($room: ID!, $before: String) {
  chatroom(id: $room) {
    id cursor
    messages(last: 20, before: $before) {
      pageInfo { hasPreviousPage startCursor }
      nodes { ${MESSAGE} seenByAll reactions { emoji count viewerHasReacted } }
    }
  }
}`;
export const MEMBERS = `query ($room: ID!) {
  chatroom(id: $room) {
    id members(first: 50) { nodes { id role joinedAt lastReadNumber user { id username nickname presence { status } } } }
  }
}`;
export const SEARCH = `query ($query: String!) {
  viewer { searchMessages(query: $query, first: 10) { nodes { ${MESSAGE} chatroom { id name } } } }
}`;

/** Subscriptions, with or without a room, and with or without a cursor for a resume. */
export const STREAMS = {
  messages: {
    ...{ inRoom: true, resumes: true },
    query: `subscription ($room: ID!, $after: String) {
      messageAdded(chatroomId: $room, after: $after) { cursor message { ${MESSAGE} } }
    }`,
  },
  'all messages': {
    ...{ inRoom: false, resumes: true },
    query: `subscription ($after: String) {
      messageAdded(after: $after) { cursor message { ${MESSAGE} chatroom { id name } } }
    }`,
  },
  events: {
    ...{ inRoom: true, resumes: true },
    query: `subscription ($room: ID!, $after: String) {
      chatroomEvents(chatroomId: $room, after: $after) {
        __typename cursor
        ... on MessageAdded { message { ${MESSAGE} } }
        ... on MessageEdited { message { ${MESSAGE} } }
        ... on MessageDeleted { message { id deletedAt } }
        ... on ReactionsChanged { message { id reactions { emoji count viewerHasReacted } } }
        ... on MemberJoined { user { id username } }
        ... on MemberLeft { user { id username } }
      }
    }`,
  },
  typing: {
    ...{ inRoom: true, resumes: false },
    query: 'subscription ($room: ID!) { typingChanged(chatroomId: $room) { typing user { id username } } }',
  },
  presence: {
    ...{ inRoom: false, resumes: false },
    query: 'subscription { presenceChanged { user { id username } presence { status lastSeenAt } } }',
  },
  'viewer events': {
    ...{ inRoom: false, resumes: false },
    query: `subscription {
      viewerEvents {
        __typename
        ... on ChatroomAppeared { chatroom { id name } }
        ... on ChatroomVanished { chatroomId }
        ... on FriendshipChanged { status user { id username } }
        ... on UnreadChanged { chatroom { id } unreadCount totalUnreadCount }
      }
    }`,
  },
} as const;
