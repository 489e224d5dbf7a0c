// A local store of everything that a chat application shows. It needs no query after the first snapshot.

const FRAGMENTS = `
  fragment Text on Message { number body editedAt deletedAt sender { id } reactions { emoji count viewerHasReacted } }
  fragment Room on Chatroom { id name memberCount unreadCount messages(last: 40) { nodes { ...Text } } }
  fragment State on Viewer {
    user { username nickname bio }
    friends(first: 100) { nodes { id } }
    blockedUsers(first: 100) { nodes { id } }
    chatrooms(first: 10) { nodes { ...Room } }
  }`;

export const QUERY = `query { viewer { ...State } } ${FRAGMENTS}`;
export const EVENTS = `subscription ($after: String, $snapshot: Boolean! = true) {
  events(after: $after, snapshot: $snapshot) {
    __typename cursor
    ... on AppSnapshot { viewer { ...State } }
    ... on ChatroomAppeared { chatroom { ...Room } }
    ... on ChatroomVanished { chatroomId }
    ... on UnreadChanged { chatroom { id } unreadCount }
    ... on FriendshipChanged { userId status }
    ... on BlockChanged { userId blocked }
    ... on ChatroomEvent { seq chatroom { id name memberCount } }
    ... on MessageAdded { message { ...Text } }
    ... on MessageEdited { message { ...Text } }
    ... on MessageDeleted { message { ...Text } }
    ... on ReactionsChanged { message { ...Text } }
  }
} ${FRAGMENTS}`;

export const emptyStore = () => ({ cursor: null, profile: null, friends: {}, blocked: {}, rooms: {} });

/** Returns the store that contains what a query of the viewer returned. */
export function storeOf({ user, friends, blockedUsers, chatrooms }, cursor = null) {
  const ids = ({ nodes }) => Object.fromEntries(nodes.map(({ id }) => [id, true]));
  const rooms = Object.fromEntries(chatrooms.nodes.map((room) => [room.id, roomOf(room)]));
  return { cursor, profile: user, friends: ids(friends), blocked: ids(blockedUsers), rooms };
}

const roomOf = ({ name, memberCount, unreadCount, messages }) => ({
  ...{ name, memberCount, unreadCount },
  messages: Object.fromEntries(messages.nodes.map((message) => [message.number, message])),
});

/** Applies an event. The same event may be applied again after a resume. */
export function apply(store, { __typename: type, cursor, ...event }) {
  store.cursor = cursor;
  if (type === 'AppSnapshot') Object.assign(store, storeOf(event.viewer, cursor));
  else if (type === 'FriendshipChanged') put(store.friends, event.userId, event.status === 'ACCEPTED');
  else if (type === 'BlockChanged') put(store.blocked, event.userId, event.blocked);
  else if (type === 'ChatroomAppeared') store.rooms[event.chatroom.id] = roomOf(event.chatroom);
  else if (type === 'ChatroomVanished') delete store.rooms[event.chatroomId];
  // A room that is not in the viewer's list appears with its first message.
  const room = store.rooms[event.chatroom?.id];
  if (!room || type === 'ChatroomAppeared') return;
  if (type === 'UnreadChanged') room.unreadCount = event.unreadCount;
  else Object.assign(room, { name: event.chatroom.name, memberCount: event.chatroom.memberCount });
  if (event.message) room.messages[event.message.number] = event.message;
}

function put(set, id, isIn) {
  if (isIn) set[id] = true;
  else delete set[id];
}
