import { withFragments } from '../../client/fragments.ts';

// Operations of a page that shows everything. All of them select the fragments of the client.

export const VIEWER_QUERY = withFragments('query Viewer { viewer { ...ChatViewer } }');
export const ROOM_QUERY = withFragments('query Room($room: ID!) { chatroom(id: $room) { ...ChatOpenRoom } }');

export const ROOM_EVENTS = withFragments(`subscription RoomEvents($room: ID!, $after: String) {
  chatroomEvents(chatroomId: $room, after: $after, snapshot: true) { ...ChatRoomEvent }
}`);

export const VIEWER_EVENTS = withFragments(`subscription ViewerEvents($after: String) {
  viewerEvents(after: $after, snapshot: true) { ...ChatViewerEvent }
}`);

export const READ_MARKS = `subscription ReadMarks($room: ID!) {
  readMarksChanged(chatroomId: $room) { members { __typename id lastReadNumber } }
}`;

const mutation = (name: string, input: string, variables: string, payload: string) =>
  withFragments(`mutation ${name}(${variables}) { ${name}(input: { ${input} }) { ...${payload} } }`);
const message = (name: string, input = '', variables = '') =>
  mutation(name, `messageId: $message ${input}`, `$message: ID! ${variables}`, 'ChatMessagePayload');
const room = (name: string, input = '', variables = '', payload = 'ChatRoomPayload') =>
  mutation(name, `chatroomId: $room ${input}`, `$room: ID! ${variables}`, payload);
const mark = (name: string, payload: string) => mutation(name, 'messageId: $message', '$message: ID!', payload);
const user = (name: string, payload = 'ChatUserPayload') => mutation(name, 'userId: $user', '$user: ID!', payload);

export const MUTATIONS = {
  send: withFragments(
    'mutation Send($input: SendMessageInput!) { sendMessage(input: $input) { ...ChatSendMessagePayload } }',
  ),
  edit: message('editMessage', 'body: $body', '$body: String!'),
  delete: message('deleteMessage'),
  react: message('addReaction', 'emoji: $emoji', '$emoji: String!'),
  unreact: message('removeReaction', 'emoji: $emoji', '$emoji: String!'),
  removePreview: message('removeLinkPreview', 'linkPreviewId: $preview', '$preview: ID!'),
  markRead: mark('markRead', 'ChatMarkReadPayload'),
  markUnread: mark('markUnread', 'ChatMarkUnreadPayload'),
  rename: room('updateChatroom', 'name: $name', '$name: String'),
  setRole: room('setMemberRole', 'userId: $user role: $role', '$user: ID! $role: MemberRole!'),
  avatar: room('setChatroomAvatar', 'attachmentId: $image', '$image: ID'),
  direct: withFragments(`mutation Direct($user: ID!) {
    createChatroom(input: { kind: DIRECT, memberIds: [$user] }) { ...ChatRoomPayload }
  }`),
  deleteRoom: room('deleteChatroom', '', '', 'ChatDeleteRoomPayload'),
  add: room('addChatroomMembers', 'userIds: [$user]', '$user: ID!'),
  remove: room('removeChatroomMember', 'userId: $user', '$user: ID!'),
  join: room('joinChatroom'),
  leave: room('leaveChatroom', '', '', 'ChatLeaveRoomPayload'),
  block: user('blockUser'),
  unblock: user('unblockUser'),
  befriend: user('addFriend', 'ChatFriendshipPayload'),
  unfriend: user('removeFriend'),
};

/**
 * The mutations; sends with a file, with the preview of a link, with a link whose preview the server finds, and to a DIRECT room;
 * hiding a DIRECT room; and a user without a page who deletes their account.
 */
export type Action =
  | keyof typeof MUTATIONS
  | 'sendFile'
  | 'sendPreview'
  | 'sendLink'
  | 'sendDirect'
  | 'hide'
  | 'deleteAccount';
