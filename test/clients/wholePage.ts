// Operations of a page that shows everything. Events and responses select the fields of all objects that they change.

const INFO = 'pageInfo { __typename hasNextPage hasPreviousPage startCursor endCursor }';

const USER = '__typename id username viewerHasBlocked viewerIsFriend presence { __typename status lastSeenAt }';
const MESSAGE = `__typename id number cursor clientMessageId kind body createdAt editedAt deletedAt
  chatroom { __typename id } sender { ${USER} } subject { __typename id username }
  replyTo { __typename id number body }
  reactions { __typename emoji count viewerHasReacted }`;
const MEMBER = `__typename id role lastReadNumber user { ${USER} }`;
const ROOM = `__typename id kind name title topic createdAt lastMessageAt memberCount unreadCount
  owner { __typename id } viewerMembership { __typename id role lastReadNumber }
  lastMessage { ${MESSAGE} }`;
const listOf = (node: string) => `{
  __typename edges { __typename cursor node { ${node} } } ${INFO}
}`;
const MEMBERS = `members(first: 50) ${listOf(MEMBER)}`;
const MESSAGES = `messages(last: 50) ${listOf(MESSAGE)}`;
const USERS = `friends(first: 50) ${listOf(USER)} blockedUsers(first: 50) ${listOf(USER)}`;
const VIEWER = `__typename id unreadCount ${USERS} chatrooms(first: 50) ${listOf(ROOM)}`;

export const VIEWER_QUERY = `query Viewer { viewer { ${VIEWER} } }`;
export const ROOM_QUERY = `query Room($room: ID!) { chatroom(id: $room) { ${ROOM} ${MESSAGES} ${MEMBERS} } }`;

export const ROOM_EVENTS = `subscription RoomEvents($room: ID!, $after: String) {
  chatroomEvents(chatroomId: $room, after: $after, snapshot: true) {
    __typename cursor
    ... on RoomSnapshot { reason chatroom { ${ROOM} ${MESSAGES} ${MEMBERS} } }
    ... on MessageAdded { chatroom { ${ROOM} } message { ${MESSAGE} } }
    ... on MessageEdited { message { ${MESSAGE} } }
    ... on MessageDeleted { message { ${MESSAGE} } }
    ... on ReactionsChanged { message { ${MESSAGE} } }
    ... on MemberJoined { chatroom { ${ROOM} } member { ${MEMBER} } }
    ... on MemberUpdated { chatroom { ${ROOM} } member { ${MEMBER} } }
    ... on MemberLeft { chatroom { ${ROOM} } memberId }
    ... on ChatroomUpdated { chatroom { ${ROOM} } }
  }
}`;

export const VIEWER_EVENTS = `subscription ViewerEvents($after: String) {
  viewerEvents(after: $after, snapshot: true) {
    __typename
    ... on ViewerSnapshot { cursor viewer { ${VIEWER} } }
    ... on ChatroomAppeared { cursor chatroom { ${ROOM} } viewer { ${VIEWER} } }
    ... on ChatroomVanished { cursor chatroomId viewer { ${VIEWER} } }
    ... on FriendshipChanged { cursor user { ${USER} } viewer { ${VIEWER} } }
    ... on BlockChanged { cursor blocked user { ${USER} } viewer { ${VIEWER} } }
    ... on UnreadChanged { cursor unreadCount totalUnreadCount chatroom { ${ROOM} } viewer { __typename id unreadCount } }
  }
}`;

export const READ_MARKS = `subscription ReadMarks($room: ID!) {
  readMarksChanged(chatroomId: $room) { members { __typename id lastReadNumber } }
}`;

const mutation = (name: string, input: string, variables: string, payload: string) =>
  `mutation ${name}(${variables}) { ${name}(input: { ${input} }) { __typename ${payload} } }`;
const message = (name: string, input = '', variables = '') =>
  mutation(name, `messageId: $message ${input}`, `$message: ID! ${variables}`, `message { ${MESSAGE} }`);
const room = (name: string, payload: string, input = '', variables = '') =>
  mutation(name, `chatroomId: $room ${input}`, `$room: ID! ${variables}`, payload);
const mark = (name: string) =>
  mutation(
    ...([name, 'messageId: $message', '$message: ID!'] as const),
    `chatroom { ${ROOM} } viewer { __typename id unreadCount }`,
  );
const user = (name: string) => mutation(name, 'userId: $user', '$user: ID!', `user { ${USER} } viewer { ${VIEWER} }`);
const WHOLE_ROOM = `chatroom { ${ROOM} ${MEMBERS} } viewer { ${VIEWER} }`;

export const MUTATIONS = {
  send: `mutation Send($input: SendMessageInput!) {
    sendMessage(input: $input) { __typename message { ${MESSAGE} chatroom { ${ROOM} } } viewer { __typename id unreadCount } }
  }`,
  edit: message('editMessage', 'body: $body', '$body: String!'),
  delete: message('deleteMessage'),
  react: message('addReaction', 'emoji: $emoji', '$emoji: String!'),
  unreact: message('removeReaction', 'emoji: $emoji', '$emoji: String!'),
  markRead: mark('markRead'),
  markUnread: mark('markUnread'),
  rename: room('updateChatroom', WHOLE_ROOM, 'name: $name', '$name: String'),
  setRole: room('setMemberRole', WHOLE_ROOM, 'userId: $user role: $role', '$user: ID! $role: MemberRole!'),
  add: room('addChatroomMembers', WHOLE_ROOM, 'userIds: [$user]', '$user: ID!'),
  remove: room('removeChatroomMember', WHOLE_ROOM, 'userId: $user', '$user: ID!'),
  join: room('joinChatroom', WHOLE_ROOM),
  leave: room('leaveChatroom', `chatroomId viewer { ${VIEWER} }`),
  block: user('blockUser'),
  unblock: user('unblockUser'),
  befriend: user('addFriend'),
  unfriend: user('removeFriend'),
};

export type Action = keyof typeof MUTATIONS;
