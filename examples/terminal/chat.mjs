// node examples/terminal/chat.mjs [room]: a chat in the terminal. After a lost connection it prints the missed messages, and
// sends the messages that were written while offline, once.
// PARLEY_URL, PARLEY_USERNAME and PARLEY_PASSWORD set the server and the user: by default the demo user ann on localhost.
import { createInterface } from 'node:readline/promises';
import { createChatClient, errorOf } from '@parley/client';
import WebSocket from 'ws';

const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const usernameOrEmail = process.env.PARLEY_USERNAME ?? 'ann';
const password = process.env.PARLEY_PASSWORD ?? 'parley-demo';

const SIGN_IN = `mutation ($input: SignInInput!) { signIn(input: $input) { accessToken refreshToken viewer { user { id } } } }`;
const REFRESH = `mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) { accessToken refreshToken } }`;
const ROOMS = `{ viewer { chatrooms(first: 20) { nodes { id name unreadCount opponent { nickname } } } } }`;
const MESSAGE = `number kind body systemEvent createdAt deletedAt sender { id nickname } subject { nickname }`;
const EVENTS = `subscription ($id: ID!, $after: String) {
  chatroomEvents(chatroomId: $id, after: $after, snapshot: true) {
    __typename
    cursor
    ... on RoomSnapshot { chatroom { messages(last: 15) { nodes { id ${MESSAGE} } } } }
    ... on MessageAdded { message { id ${MESSAGE} } }
    ... on MessageEdited { message { id ${MESSAGE} } }
    ... on MessageDeleted { message { id ${MESSAGE} } }
  }
}`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }`;

const SYSTEM = { MEMBER_JOINED: 'joined', MEMBER_LEFT: 'left', RENAMED: 'renamed the room' };
const STATES = { offline: 'offline', 'catching-up': 'catching up', live: 'live' };

let tokens = null;
const chat = createChatClient({
  url,
  webSocketImpl: WebSocket,
  getAccessToken: () => tokens?.accessToken ?? null,
  async refresh() {
    if (!tokens) return null;
    const input = { refreshToken: tokens.refreshToken };
    ({ refreshSession: tokens } = await chat.execute(REFRESH, { input }));
    return tokens.accessToken;
  },
  onState(state, reason) {
    if (STATES[state]) print(`-- ${STATES[state]}${state === 'offline' && reason ? `: ${reason.message}` : ''}`);
  },
});
const terminal = createInterface({ input: process.stdin, output: process.stdout });
terminal.on('close', () => chat.close());

/** Prints a line above the one that the user is typing. */
function print(line) {
  process.stdout.write(`\r\x1b[K${line}\n`);
  terminal.prompt(true);
}

function format({ createdAt, kind, systemEvent, subject, sender, body, deletedAt }) {
  const time = new Date(createdAt).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  if (kind === 'SYSTEM')
    return `${time}  ${systemEvent === 'NOTICE' ? body : `${subject?.nickname ?? 'Someone'} ${SYSTEM[systemEvent] ?? '…'}`}`;
  return `${time}  ${sender?.nickname ?? 'A deleted account'}: ${deletedAt ? '(deleted)' : body}`;
}

async function chooseRoom(wanted) {
  const { viewer } = await chat.execute(ROOMS, {});
  const rooms = viewer.chatrooms.nodes.map((room) => ({ ...room, title: room.name ?? room.opponent?.nickname ?? '?' }));
  const titled = (text) => rooms.find(({ title }) => title.toLowerCase().startsWith(text.toLowerCase()));
  if (wanted && titled(wanted)) return titled(wanted);
  rooms.forEach(({ title, unreadCount }, i) => {
    console.log(`${String(i + 1).padStart(3)}  ${title}${unreadCount ? ` (${unreadCount} unread)` : ''}`);
  });
  for (;;) {
    const answer = await terminal.question('Which room? ');
    const room = rooms[Number(answer) - 1] ?? (answer && titled(answer));
    if (room) return room;
  }
}

async function talk({ id, title }) {
  print(`== ${title} ==  Enter sends, Ctrl-D leaves.`);
  terminal.on('line', (line) => {
    if (line.trim()) chat.send({ chatroomId: id, body: line }).catch(complain);
    terminal.prompt();
  });
  for await (const { chatroomEvents: event } of chat.subscribe(EVENTS, { id })) {
    if (event.__typename === 'RoomSnapshot')
      for (const message of event.chatroom.messages.nodes) print(format(message));
    else if (event.__typename === 'MessageAdded') {
      print(format(event.message));
      chat.execute(READ, { id: event.message.id }).catch(() => undefined);
    } else if (event.message) print(`${format(event.message)}  (message ${event.message.number}, changed)`);
  }
}

function complain(error) {
  const failure = errorOf(error);
  if (failure?.code !== 'CLOSED') print(`!! ${failure?.message ?? error}`);
}

try {
  ({ signIn: tokens } = await chat.execute(SIGN_IN, { input: { usernameOrEmail, password } }));
  await talk(await chooseRoom(process.argv[2]));
} catch (error) {
  complain(error);
} finally {
  terminal.close();
}
