// A page without Parley's client library. Uses graphql-ws and fetch, and resumes by hand as docs/clients.md describes.
import { createClient } from 'graphql-ws';

const { accessToken } = JSON.parse(localStorage.getItem('parley tokens'));
const authorization = `Bearer ${accessToken}`;
const MESSAGE = `id number clientMessageId body editedAt deletedAt sender { username } reactions { emoji count }`;
const ROOM = 'id title createdAt lastMessageAt unreadCount';

const socket = createClient({
  url: `${location.origin.replace(/^http/, 'ws')}/graphql`,
  connectionParams: { authorization },
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: (retries) => pause(Math.min(100 * 2 ** retries, 2_000)),
});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Retries a request until there is a response. */
async function ask(query, variables) {
  for (;;) {
    const answer = await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ query, variables }),
    })
      .then((response) => response.json())
      .catch(() => null);
    if (answer?.data) return answer.data;
    await pause(300);
  }
}

/** Subscribes. After a cut, graphql-ws sends the same payload object again, which then contains the last event's cursor. */
function follow(query, variables, onEvent) {
  return socket.subscribe(
    { query, variables },
    {
      next({ data }) {
        const [event] = Object.values(data);
        variables.after = event.cursor ?? variables.after;
        onEvent(event);
      },
      error: console.error,
      complete: () => undefined,
    },
  );
}

const [title, list, history, input] = ['h1', 'nav', 'ol', 'input'].map((name) => document.createElement(name));
input.placeholder = 'Message';
document.body.append(title, list, history, input);

const rooms = new Map();
let unread = 0;
let messages = new Map();
let open = null;
let sending = Promise.resolve();

async function loadRooms() {
  const { viewer } = await ask(`{ viewer { cursor unreadCount chatrooms(first: 30) { nodes { ${ROOM} } } } }`);
  rooms.clear();
  for (const room of viewer.chatrooms.nodes) rooms.set(room.id, room);
  unread = viewer.unreadCount;
  showRooms();
  return viewer.cursor;
}

function showRooms() {
  title.textContent = `Rooms (${unread} unread)`;
  const active = (room) => room.lastMessageAt ?? room.createdAt;
  const sorted = [...rooms.values()].sort((a, b) => (active(a) < active(b) ? 1 : -1));
  list.replaceChildren(
    ...sorted.map((room) => {
      const button = document.createElement('button');
      button.textContent = `${room.title} ${room.unreadCount || ''}`.trim();
      button.addEventListener('click', () => void openRoom(room.id));
      return button;
    }),
  );
}

function showMessages() {
  const sorted = [...messages.values()].sort((a, b) => a.number - b.number);
  history.replaceChildren(
    ...sorted.map(({ sender, body, editedAt, deletedAt, reactions }) => {
      const item = document.createElement('li');
      const marks = [
        editedAt && !deletedAt ? '(edited)' : '',
        ...reactions.map(({ emoji, count }) => `${emoji} ${count}`),
      ];
      item.textContent = [`${sender.username}: ${deletedAt ? 'Message deleted' : body}`, ...marks.filter(Boolean)].join(
        ' ',
      );
      return item;
    }),
  );
}

let newest = null;
let marking = null;

/** Marks the newest message as read, one request at a time. */
async function markRead(id) {
  newest = id;
  if (marking !== null) return;
  while (marking !== newest) {
    marking = newest;
    await ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }', { id: marking });
  }
  marking = null;
}

async function openRoom(id) {
  open = id;
  messages = new Map();
  const { chatroom } = await ask(
    `query ($id: ID!) { chatroom(id: $id) { cursor messages(last: 50) { nodes { ${MESSAGE} } } } }`,
    { id },
  );
  for (const message of chatroom.messages.nodes) messages.set(message.id, message);
  showMessages();
  const query = `subscription ($room: ID!, $after: String) {
    chatroomEvents(chatroomId: $room, after: $after) {
      __typename cursor
      ... on MessageAdded { message { ${MESSAGE} } }
      ... on MessageEdited { message { ${MESSAGE} } }
      ... on MessageDeleted { message { ${MESSAGE} } }
      ... on ReactionsChanged { message { ${MESSAGE} } }
    }
  }`;
  follow(query, { room: id, after: chatroom.cursor }, ({ __typename, message }) => {
    if (!message) return;
    messages.set(message.id, message);
    showMessages();
    if (__typename === 'MessageAdded') markRead(message.id);
  });
}

input.addEventListener('change', () => {
  const variables = { input: { chatroomId: open, body: input.value, clientMessageId: crypto.randomUUID() } };
  input.value = '';
  // Sends one message after another, so that they are stored in order. The subscription delivers them.
  sending = sending.then(() =>
    ask('mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }', variables),
  );
});

const after = await loadRooms();
const VIEWER_EVENTS = `subscription ($after: String) {
  viewerEvents(after: $after) {
    __typename
    ... on ChatroomAppeared { cursor chatroom { ${ROOM} } }
    ... on ChatroomVanished { cursor chatroomId }
    ... on UnreadChanged { cursor totalUnreadCount chatroom { ${ROOM} } }
  }
}`;
follow(VIEWER_EVENTS, { after }, ({ chatroom, chatroomId, totalUnreadCount }) => {
  if (chatroom) rooms.set(chatroom.id, chatroom);
  else rooms.delete(chatroomId);
  unread = totalUnreadCount ?? unread;
  showRooms();
});
let connections = 0;
socket.on('connected', () => {
  connections += 1;
  // Unread counts are hints, which are not repeated after a cut.
  if (connections > 1) void loadRooms();
});
