import './browser.mjs';

const [program, url, password, room] = process.argv.slice(2);
const { createUrqlClient, followRooms, sendMessage, signIn, signOut, openRoom } = await import(program);
const session = await signIn(url, 'ben', password);
const client = createUrqlClient(url, session);
const { close: stop } = await followRooms(client, () => {});
const shown = new Promise((resolve) => {
  void openRoom(client, room, (messages) => {
    const numbers = messages.map(({ number, body }) => `${number} ${body}`);
    if (numbers.includes('2 hello')) resolve(numbers);
  });
});
await sendMessage(client, room, 'hello');
console.log((await shown).join('\n'));
stop();
await signOut(session);
