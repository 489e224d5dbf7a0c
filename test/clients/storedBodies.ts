import type { Person } from '../support/client.ts';

const STORED = `query ($room: ID!) {
  chatroom(id: $room) { messages(last: 100) { nodes { body kind } } }
}`;

/** Returns the bodies of the last 100 messages of a room, in order, without system messages. */
export async function storedBodies(person: Person, room: string): Promise<string[]> {
  const { chatroom } = await person.ask(STORED, { room });
  return chatroom.messages.nodes.filter(({ kind }: any) => kind === 'USER').map(({ body }: any) => body);
}
