// node examples/echo.mjs: a bot that is an ordinary client. It signs in as the demo user `echo`, receives the messages of all
// its rooms over one subscription, and repeats them. After a lost connection it reconnects and repeats the messages that it
// missed. `clientMessageId` prevents duplicates.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const url = process.env.PARLEY_URL ?? 'http://localhost:4000/graphql';
const username = process.env.PARLEY_USERNAME ?? 'echo';
const password = process.env.PARLEY_PASSWORD ?? 'parley-demo';

let session;

async function request(query, variables, token) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw Object.assign(new Error(errors[0].message), errors[0].extensions);
  return data;
}

async function signIn() {
  const query = `mutation ($usernameOrEmail: String!, $password: String!) {
    signIn(input: { usernameOrEmail: $usernameOrEmail, password: $password }) { accessToken viewer { cursor user { id } } }
  }`;
  ({ signIn: session } = await request(query, { usernameOrEmail: username, password }));
}

async function repeat({ chatroom, message }) {
  if (message.kind !== 'USER' || message.body === null || message.sender?.id === session.viewer.user.id) return;
  const query = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { deduplicated } }`;
  const input = { chatroomId: chatroom.id, body: message.body, clientMessageId: `echo ${message.number}` };
  try {
    await request(query, { input }, session.accessToken);
  } catch (error) {
    // Skips a message that would be refused again, for example because of a block. Other errors restart from the last cursor.
    if (['BLOCKED', 'CONFLICT', 'NOT_FOUND'].includes(error.code))
      return console.error(`${error.code}: ${error.message}`);
    if (error.code !== 'TOKEN_EXPIRED') throw error;
    await signIn();
    await repeat({ chatroom, message });
  }
}

await signIn();
const client = createClient({
  url: url.replace(/^http/, 'ws'),
  webSocketImpl: WebSocket,
  // 4403: the access token has expired. 4401: the session has ended. The next connection uses a new token.
  connectionParams: () => ({ authorization: `Bearer ${session.accessToken}` }),
  retryAttempts: Infinity,
  shouldRetry: () => true,
  on: { closed: (event) => [4401, 4403].includes(event.code) && signIn().catch(console.error) },
});
const subscription = `subscription ($after: String) {
  messageAdded(after: $after) { cursor chatroom { id } message { number kind body sender { id } } }
}`;
let after = session.viewer.cursor;
console.log(`${username} listens.`);
for (;;) {
  try {
    // graphql-ws reads `variables` for each connection. The getter makes it resume after the last cursor.
    const payload = {
      query: subscription,
      variables: {
        get after() {
          return after;
        },
      },
    };
    for await (const { data, errors } of client.iterate(payload)) {
      if (errors) throw new Error(errors[0].message);
      await repeat(data.messageAdded);
      after = data.messageAdded.cursor;
    }
  } catch (error) {
    console.error(error);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}
