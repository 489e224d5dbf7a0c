import { createAccounts } from './accounts.ts';
import { type Person, signUp } from './client.ts';
import { nodes } from './server.ts';

export const CREATE_CHATROOM = `mutation ($input: CreateChatroomInput!) {
  createChatroom(input: $input) { chatroom { id kind name cursor memberCount } }
}`;

export const SEND = `mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { deduplicated message { id number body cursor clientMessageId } edge { cursor } }
}`;

export const MESSAGE_ADDED = `subscription ($room: ID!, $after: String) {
  messageAdded(chatroomId: $room, after: $after) { cursor message { id number body sender { username } } }
}`;

export interface World {
  ann: Person;
  ben: Person;
  /** A user without a relation to the others. */
  eve: Person;
  /** A GROUP room of ann and ben. */
  room: string;
}

/** Creates ann and ben with a room, and eve outside. `suffix` avoids a conflict with the names of the demo users. */
export async function world({ url }: { url: string }, suffix = ''): Promise<World> {
  const names = ['ann', 'ben', 'eve'].map((name) => name + suffix);
  // Null for a server that runs as a separate process.
  const node = nodes.get(url);
  const people = node ? createAccounts(node, url, names) : Promise.all(names.map((name) => signUp(url, name)));
  const [ann, ben, eve] = await people;
  if (!ann || !ben || !eve) throw new Error('Not everyone signed up.');
  const { createChatroom } = await ann.ask(CREATE_CHATROOM, {
    input: { kind: 'GROUP', name: 'A room', memberIds: [ben.id] },
  });
  return { ann, ben, eve, room: createChatroom.chatroom.id };
}

/** Sends a message and returns it. */
export async function send(person: Person, room: string, body: string, more: object = {}): Promise<any> {
  const { sendMessage } = await person.ask(SEND, { input: { chatroomId: room, body, ...more } });
  return sendMessage.message;
}

/** Returns a room's cursor for a member. */
export async function cursorOf(person: Person, room: string): Promise<string> {
  return (await person.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room })).chatroom.cursor;
}
