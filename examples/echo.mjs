// PARLEY_TOKEN=parley-bot-… node examples/echo.mjs: a bot that repeats the messages of people. It receives the messages of all
// its rooms over one subscription. After a lost connection it reconnects and repeats the messages that it missed.
// `clientMessageId` prevents duplicates. docs/bots.md says how to create the bot; it needs messages:read and messages:write.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const authorization = `Bearer ${process.env.PARLEY_TOKEN ?? ''}`;

async function request(query, variables) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw Object.assign(new Error(errors[0].message), errors[0].extensions);
  return data;
}

const { viewer } = await request('{ viewer { cursor user { id username } } }');
if (!viewer) throw new Error('Set PARLEY_TOKEN to the token of the bot.');

async function repeat({ chatroom, message }) {
  if (message.kind !== 'USER' || message.body === null || message.sender?.id === viewer.user.id) return;
  const query = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { deduplicated } }`;
  const input = { chatroomId: chatroom.id, body: message.body, clientMessageId: `echo ${message.number}` };
  try {
    await request(query, { input });
  } catch (error) {
    // Skips a message that would be refused again, for example because of a block. RATE_LIMITED also ends a chain of bots
    // that answer each other, so a retry would continue the chain. Other errors restart from the last cursor.
    if (!['BLOCKED', 'CONFLICT', 'NOT_FOUND', 'RATE_LIMITED'].includes(error.code)) throw error;
    console.error(`${error.code}: ${error.message}`);
  }
}

const client = createClient({
  url: url.replace(/^http/, 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  retryAttempts: Infinity,
  shouldRetry: () => true,
});
const query = `subscription ($after: String) {
  messageAdded(after: $after) { cursor chatroom { id } message { number kind body sender { id } } }
}`;
// graphql-ws sends these variables on each connection. It therefore resumes after the last cursor.
const variables = { after: viewer.cursor };
console.log(`${viewer.user.username} listens.`);
for (;;) {
  try {
    for await (const { data, errors } of client.iterate({ query, variables })) {
      if (errors) throw new Error(errors[0].message);
      await repeat(data.messageAdded);
      variables.after = data.messageAdded.cursor;
    }
  } catch (error) {
    // The token was replaced, or the bot was deleted.
    if (error.code === 4401) throw new Error(error.reason);
    console.error(error);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}
