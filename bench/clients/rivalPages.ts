import { openGraphQL, openParley, plain } from './graphql.ts';
import type { PageClient, PageListener } from './page.ts';
import { openSocketIO } from './socketio.ts';

const PERSON = '{ id username nickname }';
const MESSAGE = `{ id body createdAt seenByAll sender ${PERSON} }`;
const ROOM = `{ id name memberCount unreadCount lastMessage { id body sender { id nickname } } viewerMembership { lastRead } }`;

/** Subscriptions of the plain stack's page. The id of each on the socket is its index in this list. */
const SUBSCRIPTIONS = [
  'subscription { messageAdded { room { id } message { id } } }',
  `subscription { unreadChanged { room ${ROOM} } }`,
  'subscription { presenceChanged { user { id } } }',
  `subscription ($room: Int!) { roomMessageAdded(room: $room) { message ${MESSAGE} } }`,
  `subscription ($room: Int!) { typingChanged(room: $room) { user ${PERSON} } }`,
  'subscription ($room: Int!) { messageSeen(room: $room) { upTo } }',
  'subscription ($room: Int!) { readMarksChanged(room: $room) { userId lastRead } }',
];
const QUERIES = {
  rooms: `{ rooms ${ROOM} }`,
  history: `query ($room: Int!, $last: Int!) { room(id: $room) { id messages(last: $last) ${MESSAGE} } }`,
};
const MARK = 'mutation ($room: Int!, $message: ID!) { markRead(room: $room, message: $message) }';

/** The page of the plain stack. Events between its queries and its subscriptions are lost, because it has no cursors. */
export const plainPage: PageClient = {
  selects: [...SUBSCRIPTIONS, ...Object.values(QUERIES), MARK].map((text) => `  ${text}`).join('\n'),
  async open(url, user, { room, subscriptions, messages }, listener) {
    const http = await openParley(url, user, plain);
    await http.ask(QUERIES.rooms);
    await http.ask(QUERIES.history, { room, last: messages });
    const socket = await openGraphQL(plain, url, user, (bytes, start, end) => {
      readFrame(bytes.toString('utf8', start, end), listener);
    });
    for (const [index, query] of SUBSCRIPTIONS.slice(0, subscriptions).entries())
      socket.subscribe(query.includes('$room') ? { room } : {}, query, String(index));
    void socket.closed.then((why) => {
      listener.onFailed(new Error(`A page lost its connection: ${why}`));
    });
    return {
      markRead: (message) => http.ask(MARK, { room, message }),
      close() {
        for (const connection of [socket, http]) connection.close();
      },
    };
  },
};

function readFrame(text: string, listener: PageListener): void {
  if (!text.startsWith('","type":"next"', 8) || text.includes('"errors":')) {
    if (text.startsWith('{"id"')) listener.onFailed(new Error(`A page received: ${text.slice(0, 400)}`));
    return;
  }
  listener.onEvent();
  const index = Number(text[7]);
  if (index !== 0 && index !== 3) return;
  const [, id] = /"message":\{"id":"(\d+)"/.exec(text) ?? [];
  if (id !== undefined) listener.onMessage(index === 3 ? 'room' : 'list', { id, number: Number(id) }, text);
}

/**
 * The page of Socket.IO. It receives each message with the event of the room, and with the unread count of its list. The
 * server sends no membership, reactions or replies.
 */
export const socketioPage: PageClient = {
  selects:
    '  Events: message { id roomId body createdAt sender }, unread { room unread message { id body sender } }, marked { user lastRead }, seen { room upTo }',
  async open(url, user, { room, messages }, listener) {
    const { socket, emit } = await openSocketIO(url, user, (bytes, start, end) => {
      const text = bytes.toString('utf8', start, end);
      listener.onEvent();
      // An event begins with its name. An unread count that a mark has changed carries no message.
      const stream = text.startsWith('42["message"') ? 'room' : text.startsWith('42["unread"') ? 'list' : null;
      const [, id] = /"id":"(\d+)"/.exec(text) ?? [];
      if (stream && id !== undefined) listener.onMessage(stream, { id, number: Number(id) }, text);
    });
    await emit('open', { room, last: messages });
    void socket.closed.then((why) => {
      listener.onFailed(new Error(`A page lost its connection: ${why}`));
    });
    return { markRead: (message) => emit('mark', { room, message }), close: socket.close };
  },
};
