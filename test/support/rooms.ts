import { keyOf } from '../../src/core/globalIds.ts';
import { type Person, signUp } from './client.ts';
import { startTestServer, type TestServer } from './server.ts';
import { CREATE_CHATROOM, send, world } from './world.ts';

export const SET_ROLE = `mutation ($id: ID!, $user: ID!, $role: MemberRole!) { setMemberRole(input: { chatroomId: $id, userId: $user, role: $role }) { chatroom { id } } }`;
export const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
export const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
export const JOIN = `mutation ($id: ID!) { joinChatroom(input: { chatroomId: $id }) { chatroom { id } } }`;
export const LEAVE = `mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }`;
export const DELETE_ROOM = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }`;
export const MARK_READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }`;
export const SET_TYPING = `mutation ($id: ID!) { setTyping(input: { chatroomId: $id, typing: true }) { ok } }`;
export const DELETE_MESSAGE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
export const REACT = `mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "👍" }) { message { id } } }`;
export const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
export const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;

/** Creates a room and returns its id. */
export async function createRoom(person: Person, input: object): Promise<string> {
  return (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
}

/** Creates a room that cem owns, with ann and ben as members, a message of cem and one of ann. */
async function createSharedRoom(cem: Person, ann: Person, ben: Person, kind = 'GROUP') {
  const id = await createRoom(cem, { kind, name: 'A room', memberIds: [ann.id, ben.id] });
  return { id, ofCem: await send(cem, id, 'word of cem'), ofAnn: await send(ann, id, 'word of ann') };
}

export type Room = Awaited<ReturnType<typeof createSharedRoom>>;

/**
 * Creates two rooms with the same content. Cem still owns the first. He handed the second over to ann, who removed him.
 * Eve is a member of neither.
 */
export async function removedWorld(kind = 'GROUP') {
  const server = await startTestServer();
  const { ann, ben, eve } = await world(server);
  const [cem, dora] = [await signUp(server.url, 'cem'), await signUp(server.url, 'dora')];
  const [kept, lost] = [await createSharedRoom(cem, ann, ben, kind), await createSharedRoom(cem, ann, ben, kind)];
  await cem.ask(SET_ROLE, { id: lost.id, user: ann.id, role: 'OWNER' });
  await ann.ask(REMOVE, { id: lost.id, user: cem.id });
  return { server, ann, ben, cem, dora, eve, kept, lost };
}

export type RemovedWorld = Awaited<ReturnType<typeof removedWorld>>;

/** Returns the number of events in a room's log. */
export const countEvents = ({ node }: TestServer, room: string) =>
  node.database.prisma.event.count({ where: { chatroomId: keyOf('Chatroom', room) ?? '' } });
