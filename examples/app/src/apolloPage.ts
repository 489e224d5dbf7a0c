import { createApolloClient, followMessages, sendMessage, watchHistory } from './apollo.ts';
import { RoomsDocument } from './generated/graphql.ts';
import { resumeSession, signIn } from './session.ts';

const url = 'http://localhost:4000/graphql';
// A user of the demo. An application asks for the name and the password.
const session = resumeSession(url) ?? (await signIn(url, 'ann', 'parley-demo'));
const client = createApolloClient(session);
await followMessages(client);

const { data } = await client.query({ query: RoomsDocument });
const room = data?.viewer?.chatrooms.edges[0]?.node;
if (!room) throw new Error('The user is in no room.');

const list = document.createElement('ol');
const input = document.createElement('input');
input.placeholder = `Message to ${room.name ?? 'the room'}`;
document.body.append(list, input);

watchHistory(client, room.id, (messages) => {
  const items = messages.map(({ sender, body }) => {
    const item = document.createElement('li');
    item.textContent = `${sender?.username ?? ''}: ${body}`;
    return item;
  });
  list.replaceChildren(...items);
});

input.addEventListener('change', () => {
  const body = input.value.trim();
  input.value = '';
  if (body) sendMessage(client, session, room.id, body).catch((error: unknown) => alert(String(error)));
});
