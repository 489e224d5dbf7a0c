// node examples/listen.mjs TOKEN CHATROOM_ID [CURSOR]: prints new messages of a room, after those since the cursor.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [token, room, after] = process.argv.slice(2);
const client = createClient({
  url: process.env.PARLEY_WS ?? 'ws://localhost:4000/graphql',
  webSocketImpl: WebSocket,
  connectionParams: { authorization: `Bearer ${token}` },
});
const query = `subscription ($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) { cursor message { number body sender { username } } }
}`;
for await (const { data, errors } of client.iterate({ query, variables: { room, after } })) {
  if (errors) throw new Error(errors[0].message);
  const { cursor, message } = data.messageAdded;
  console.log(`${message.number} ${message.sender?.username ?? ''}: ${message.body}   ${cursor}`);
}
