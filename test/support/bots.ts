import { type Person, person } from './client.ts';

export const CREATE_BOT = `mutation ($input: CreateBotInput!) {
  createBot(input: $input) { token bot { id username nickname isBot } }
}`;
export const ROTATE_BOT_TOKEN = `mutation ($id: ID!) {
  rotateBotToken(input: { botId: $id }) { token bot { id } }
}`;
export const ADD_MEMBERS = `mutation ($room: ID!, $users: [ID!]!) {
  addChatroomMembers(input: { chatroomId: $room, userIds: $users }) { chatroom { id } }
}`;

export const ALL_SCOPES = ['messages:read', 'messages:write', 'reactions:write', 'rooms:join'];

/** Creates a bot, and returns it as a person who uses the token of the bot. */
export async function createBot(owner: Person, name: string, scopes = ALL_SCOPES): Promise<Person> {
  const { bot, token } = (await owner.ask(CREATE_BOT, { input: { name, scopes } })).createBot;
  return person(owner.url, { ...bot, accessToken: token, refreshToken: '' });
}

/** Adds users to a room of which `by` is the owner or an admin. */
export async function addMembers(by: Person, room: string, ...users: readonly Person[]): Promise<void> {
  await by.ask(ADD_MEMBERS, { room, users: users.map(({ id }) => id) });
}
