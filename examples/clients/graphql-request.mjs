// node examples/clients/graphql-request.mjs TOKEN CHATROOM_ID: sends a message and prints the last five messages.
import { GraphQLClient } from 'graphql-request';
import { isChatError } from '@parley/client';

const [token, room] = process.argv.slice(2);
const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const client = new GraphQLClient(url, { headers: { authorization: `Bearer ${token}` } });
const SEND = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { number } } }`;
const HISTORY = `query ($room: ID!) {
  chatroom(id: $room) { messages(last: 5) { nodes { number body sender { username } } } }
}`;

// A retry with the same clientMessageId stores no second message.
const input = { chatroomId: room, body: 'Hello from a script', clientMessageId: crypto.randomUUID() };
try {
  await client.request(SEND, { input });
} catch (error) {
  if (!isChatError(error, 'NOT_FOUND')) throw error;
  console.error('This chatroom does not exist, or you are not a member of it.');
}
const { chatroom } = await client.request(HISTORY, { room });
for (const { number, body, sender } of chatroom?.messages.nodes ?? [])
  console.log(`${number} ${sender?.username ?? ''}: ${body}`);
