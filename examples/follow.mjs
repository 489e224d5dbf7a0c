// node examples/follow.mjs TOKEN CHATROOM_ID: prints what is said, whatever the network and the server do meanwhile.
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
