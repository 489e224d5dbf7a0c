import './browser.mjs';

const [program, url, password, room] = process.argv.slice(2);
const { signIn, signOut } = await import(program);
const session = await signIn(url, 'ben', password);
const { chatroom } = await session.chat.execute('query ($room: ID!) { chatroom(id: $room) { cursor } }', { room });
const added = session.chat.subscribe(
  'subscription ($room: ID!, $after: String) { messageAdded(chatroomId: $room, after: $after) { cursor message { body } } }',
  { room, after: chatroom.cursor },
);
const sending = session.chat.send({ chatroomId: room, body: 'hello' });
for await (const { messageAdded } of added) {
  console.log(messageAdded.message.body);
  if (messageAdded.message.body === 'hello') break;
}
await sending;
await signOut(session);
