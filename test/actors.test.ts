import { describe, expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import type { Person } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const EVENTS = `subscription ($id: ID!, $after: String) { chatroomEvents(chatroomId: $id, after: $after) {
  __typename
  ... on ChatroomUpdated { actor { username } }
  ... on MessageDeleted { actor { username } message { number } }
  ... on MemberUpdated { user { username } member { role } }
} }`;
const REMOVE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const RENAME = `mutation ($id: ID!, $topic: String) { updateChatroom(input: { chatroomId: $id, topic: $topic }) { chatroom { id } } }`;
const RANK = `mutation ($id: ID!, $user: ID!, $role: MemberRole!) {
  setMemberRole(input: { chatroomId: $id, userId: $user, role: $role }) { chatroom { id } } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;

const cursorOf = async (person: Person, id: string): Promise<string> =>
  (await person.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id })).chatroom.cursor;

describe('actor', () => {
  test('is the user who deleted a message or changed a room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const message = await send(ben, room, 'spam');
    const events = ben.connect().subscribe(EVENTS, { id: room });
    await events.ready();
    await ann.ask(REMOVE, { id: message.id });
    expect(await events.next()).toMatchObject({ __typename: 'MessageDeleted', actor: { username: 'ann' } });
    await ann.ask(RENAME, { id: room, topic: 'Everything' });
    expect(await events.next()).toMatchObject({ __typename: 'ChatroomUpdated', actor: { username: 'ann' } });
    await ann.ask(RANK, { id: room, user: ben.id, role: 'OWNER' });
    expect(await events.take(3)).toMatchObject([
      { __typename: 'MemberUpdated', user: { username: 'ann' }, member: { role: 'ADMIN' } },
      { __typename: 'ChatroomUpdated', actor: { username: 'ann' } },
      { __typename: 'MemberUpdated', user: { username: 'ben' }, member: { role: 'OWNER' } },
    ]);
  });

  test('is null for a viewer who blocked the actor, live and resumed', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    await ben.ask(BLOCK, { id: ann.id });
    const after = await cursorOf(ben, room);
    const live = ben.connect().subscribe(EVENTS, { id: room });
    await live.ready();
    await ann.ask(RENAME, { id: room, topic: 'Everything' });
    const resumed = ben.connect().subscribe(EVENTS, { id: room, after });
    const owner = ann.connect().subscribe(EVENTS, { id: room, after });
    for (const stream of [live, resumed])
      expect(await stream.next()).toEqual({ __typename: 'ChatroomUpdated', actor: null });
    // The event must not reveal the block to the blocked user.
    expect(await owner.next()).toEqual({ __typename: 'ChatroomUpdated', actor: { username: 'ann' } });
  });

  test('is null for a deletion by the operator', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const message = await send(ann, room, 'unlawful');
    const events = ann.connect().subscribe(EVENTS, { id: room });
    await events.ready();
    await server.node.database.query(
      sql`SELECT erase_message(${keyOf('Chatroom', room)}::uuid, ${message.number}::int)`,
    );
    expect(await events.next()).toMatchObject({ __typename: 'MessageDeleted', actor: null });
  });
});
