import { describe, expect, test } from 'vitest';
import { connect, signUp } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const SEEN = `subscription ($room: ID) { messageSeen(chatroomId: $room) { message { number seenByAll } } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }`;
const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const LEAVE = `mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;

/** Creates a room of ann, ben and cem, in which ann subscribes to messageSeen. */
async function readingRoom() {
  const server = await startTestServer();
  const w = await world(server);
  const cem = await signUp(server.url, 'cem');
  await w.ann.ask(ADD, { id: w.room, users: [cem.id] });
  const stream = w.ann.connect().subscribe(SEEN, { room: w.room });
  await stream.ready();
  return { server, ...w, cem, stream };
}

describe('messageSeen', () => {
  test('reports to the sender once all others have read', async () => {
    const { ann, ben, cem, room, stream } = await readingRoom();
    const one = await send(ann, room, 'one');
    const two = await send(ann, room, 'two');
    await ben.ask(READ, { id: two.id });
    await cem.ask(READ, { id: one.id });
    expect(await stream.next()).toEqual({ message: { number: one.number, seenByAll: true } });
    await cem.ask(READ, { id: two.id });
    expect(await stream.next()).toEqual({ message: { number: two.number, seenByAll: true } });
  });

  test('counts a member who sends as having read', async () => {
    const { ann, ben, cem, room, stream } = await readingRoom();
    const question = await send(ann, room, 'Who comes?');
    await send(ben, room, 'I do.');
    await send(cem, room, 'So do I.');
    expect(await stream.next()).toEqual({ message: { number: question.number, seenByAll: true } });
  });

  test('reports when the last unread member leaves', async () => {
    const { ann, ben, cem, room, stream } = await readingRoom();
    const one = await send(ann, room, 'one');
    await ben.ask(READ, { id: one.id });
    await cem.ask(LEAVE, { id: room });
    expect(await stream.next()).toEqual({ message: { number: one.number, seenByAll: true } });
  });

  test('neither counts nor reaches users across a block', async () => {
    const { ann, ben, cem, room, stream } = await readingRoom();
    await cem.ask(BLOCK, { id: ann.id });
    const one = await send(ann, room, 'one');
    await ben.ask(READ, { id: one.id });
    // Cem, who has blocked ann, has not read the message and does not count.
    expect(await stream.next()).toEqual({ message: { number: one.number, seenByAll: true } });
  });

  test('covers all rooms without an id, and refuses strangers', async () => {
    const { server, ann, ben, cem, eve, room, stream } = await readingRoom();
    const everywhere = ann.connect().subscribe(SEEN);
    const ofBen = ben.connect().subscribe(SEEN, { room });
    await ofBen.ready();
    const one = await send(ann, room, 'one');
    for (const person of [ben, cem]) await person.ask(READ, { id: one.id });
    for (const listening of [stream, everywhere]) expect((await listening.next()).message.number).toBe(one.number);
    await ann.ask(REMOVE, { id: room, user: ben.id });
    expect(codeOf(await ofBen.ended)).toBe('NOT_FOUND');
    expect(codeOf(await eve.connect().subscribe(SEEN, { room }).ended)).toBe('NOT_FOUND');
    expect(codeOf(await connect(server.url).subscribe(SEEN, { room }).ended)).toBe('UNAUTHENTICATED');
  });
});
