// node examples/follow.mjs TOKEN CHATROOM_ID: prints each message once, even if the network fails or the server restarts.
import { createChatClient } from '@parley/client';
import WebSocket from 'ws';

const [token, room] = process.argv.slice(2);
const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const client = createChatClient({ url, getAccessToken: () => token, webSocketImpl: WebSocket });
const messages = client.subscribe(
  `subscription ($room: ID!, $after: String) {
    messageAdded(chatroomId: $room, after: $after) { cursor message { number body sender { username } } }
  }`,
  { room },
);
for await (const { messageAdded } of messages) {
  const { number, body, sender } = messageAdded.message;
  if (sender) console.log(`${number} ${sender.username}: ${body}`);
}
