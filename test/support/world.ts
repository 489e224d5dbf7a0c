import { type Person, signUp } from './client.ts';

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
  const [ann, ben, eve] = await Promise.all(['ann', 'ben', 'eve'].map((name) => signUp(url, name + suffix)));
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
