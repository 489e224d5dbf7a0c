import './browser.mjs';

const [program, url, password, room] = process.argv.slice(2);
const { createApolloClient, followRooms, sendMessage, signIn, signOut, openRoom } = await import(program);
const session = await signIn(url, 'ben', password);
const client = createApolloClient(session);
const { close: stop } = await followRooms(client, () => {});
const shown = new Promise((resolve) => {
  void openRoom(client, room, (messages) => {
    const numbers = messages.map(({ number, body }) => `${number} ${body}`);
    if (numbers.includes('2 hello')) resolve(numbers);
  });
});
await sendMessage(client, session, room, 'hello');
console.log((await shown).join('\n'));
stop();
client.stop();
await signOut(session);
