// node examples/clients/graphql-ws.mjs TOKEN CHATROOM_ID: resumes a subscription with graphql-ws's own client.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [token, room] = process.argv.slice(2);
const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const client = createClient({
  url: url.replace(/^http/, 'ws'),
  webSocketImpl: WebSocket,
  // Called for each connection. Return the newest access token.
  connectionParams: () => ({ authorization: `Bearer ${token}` }),
  retryAttempts: Infinity,
  shouldRetry: () => true,
});
const query = `subscription ($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) { cursor message { number body sender { username } } }
}`;
// When the client reconnects, it sends this object again, which then contains the cursor of the last event. Start with
// Chatroom.cursor instead of undefined, so that no message before the first event is missed.
const variables = { room, after: undefined };
client.subscribe(
  { query, variables },
  {
    next({ data }) {
      const { cursor, message } = data.messageAdded;
      variables.after = cursor;
      console.log(`${message.number} ${message.sender?.username ?? ''}: ${message.body}`);
    },
    error: console.error,
    complete: () => undefined,
  },
);
