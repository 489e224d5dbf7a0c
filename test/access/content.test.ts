import { describe, expect, test } from 'vitest';
import { keyOf } from '../../src/core/globalIds.ts';
import { type Person, request } from '../support/client.ts';
import { fieldsOf, outcome } from '../support/operations.ts';
import { createRoom, JOIN, removedWorld, type Room } from '../support/rooms.ts';
import { startTestServer } from '../support/server.ts';
import { send, world } from '../support/world.ts';

describe('the content of a room', () => {
  /** Fields of a room, and their values for users who see an OPEN room without being members. */
  const fields: Record<string, { ask?: string; outside: 'visible' | null | 0 }> = {
    id: { outside: 'visible' },
    kind: { outside: 'visible' },
    name: { outside: 'visible' },
    title: { outside: 'visible' },
    topic: { outside: 'visible' },
    createdAt: { outside: 'visible' },
    updatedAt: { outside: 'visible' },
    owner: { ask: 'owner { username }', outside: 'visible' },
    memberCount: { outside: 'visible' },
    lastMessageAt: { outside: 'visible' },
    opponent: { ask: 'opponent { username }', outside: 'visible' },
    avatar: { ask: 'avatar { url }', outside: 'visible' },
    unreadCount: { outside: 0 },
    viewerMembership: { ask: 'viewerMembership { role }', outside: null },
    cursor: { outside: null },
    lastMessage: { ask: 'lastMessage { body }', outside: null },
    // Only services see external ids, and only the owner and admins see incoming webhooks.
    externalId: { outside: null },
    incomingWebhooks: { ask: 'incomingWebhooks { name }', outside: null },
    attachments: { ask: 'attachments { nodes { fileName } }', outside: null },
    members: { ask: 'members { nodes { user { username } } }', outside: null },
    message: { ask: 'message(number: 1) { body }', outside: null },
    messages: { ask: 'messages { nodes { body } }', outside: null },
    searchMessages: { ask: 'searchMessages(query: "word") { nodes { body } }', outside: null },
  };

  test('every field of a room has a row', () => {
    expect(
      fieldsOf('Chatroom')
        .map((field) => field.name)
        .sort(),
    ).toEqual(Object.keys(fields).sort());
  });

  test('of an OPEN room is hidden from strangers and removed members', async () => {
    const { server, ben, cem, eve, lost } = await removedWorld('OPEN');
    await ben.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }', lost.ofCem);
    const query = `query ($id: ID!) { chatroom(id: $id) { ${Object.entries(fields)
      .map(([name, { ask = name }]) => ask)
      .join(' ')} } }`;
    const { chatroom: seen } = await ben.ask(query, lost);
    expect(seen).toMatchObject({
      ...{ unreadCount: 1, memberCount: 2, viewerMembership: { role: 'MEMBER' }, message: { body: 'word of cem' } },
      ...{ searchMessages: { nodes: [{ body: 'word of ann' }, { body: 'word of cem' }] }, owner: { username: 'ann' } },
    });
    for (const name of Object.keys(fields))
      if (!['topic', 'opponent', 'avatar', 'externalId', 'incomingWebhooks'].includes(name))
        expect(seen[name], name).not.toBeNull();
    for (const person of [cem, eve]) {
      const { chatroom } = await person.ask(query, lost);
      for (const [name, { outside }] of Object.entries(fields))
        expect(chatroom[name], `${name} for ${person.username}`).toEqual(outside === 'visible' ? seen[name] : outside);
    }
    expect(await outcome(request(server.url, query, lost))).toBe('UNAUTHENTICATED');
    // After joining, eve sees everything.
    await eve.ask(JOIN, lost);
    expect((await eve.ask(query, lost)).chatroom.searchMessages).toEqual(seen.searchMessages);
  });

  /** All paths from Query to a room that is not OPEN and to its content. A lookup that finds nothing returns null. */
  const LOOKUPS = `query ($room: ID!, $message: ID!, $member: ID!, $ids: [ID!]!, $user: ID!) {
    chatroom(id: $room) { id } node(id: $room) { id } aMessage: node(id: $message) { id } aMember: node(id: $member) { id }
    nodes(ids: $ids) { id }
    viewer { chatroomWith(userId: $user) { id } chatrooms { nodes { id } } searchMessages(query: "word") { nodes { id } } unreadCount }
    openChatrooms(search: "A room") { nodes { id } } }`;

  test.each(['GROUP', 'DIRECT'])('of a %s room does not exist for strangers, by any path', async (kind) => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const room = await createRoom(ann, {
      kind,
      memberIds: [ben.id],
      ...(kind === 'GROUP' ? { name: 'A room of two' } : {}),
    });
    const { id: message } = await send(ann, room, 'word');
    const { chatroom } = await ben.ask('query ($id: ID!) { chatroom(id: $id) { members { nodes { id } } } }', {
      id: room,
    });
    const member = chatroom.members.nodes[0].id;
    const variables = { room, message, member, ids: [room, message, member], user: ann.id };
    const found = await ben.ask(LOOKUPS, variables);
    expect(found).toMatchObject({
      ...{ chatroom: { id: room }, node: { id: room }, aMessage: { id: message }, aMember: { id: member } },
      ...{ nodes: [{ id: room }, { id: message }, { id: member }], openChatrooms: { nodes: [] } },
      viewer: {
        searchMessages: { nodes: [{ id: message }] },
        unreadCount: 1,
        chatroomWith: kind === 'DIRECT' ? { id: room } : null,
      },
    });
    expect(await eve.ask(LOOKUPS, variables)).toEqual({
      ...{
        chatroom: null,
        node: null,
        aMessage: null,
        aMember: null,
        nodes: [null, null, null],
        openChatrooms: { nodes: [] },
      },
      viewer: { chatroomWith: null, chatrooms: { nodes: [] }, searchMessages: { nodes: [] }, unreadCount: 0 },
    });
    // Ids that never existed return the same result.
    const uuid = crypto.randomUUID();
    const madeUp = (type: string, key = uuid) => Buffer.from(`${type}:${key}`).toString('base64url');
    const nothing = {
      room: madeUp('Chatroom'),
      message: madeUp('Message', `${uuid}:1`),
      member: madeUp('ChatroomMember', `${uuid}:${uuid}`),
      user: madeUp('User'),
    };
    expect(await eve.ask(LOOKUPS, { ...nothing, ids: [nothing.room, nothing.message, nothing.member] })).toEqual(
      await eve.ask(LOOKUPS, variables),
    );
    expect(await outcome(request(server.url, LOOKUPS, variables))).toBe('UNAUTHENTICATED');
    expect(await eve.ask('{ user(username: "nobody") { id } }')).toEqual({ user: null });
  });

  test('does not exist for a removed member, by any path', async () => {
    const { cem, kept, lost } = await removedWorld();
    const member = async (person: Person, { id }: Room) =>
      (await person.ask('query ($id: ID!) { chatroom(id: $id) { viewerMembership { id } } }', { id })).chatroom
        .viewerMembership.id;
    const ask = (room: Room, memberId: string) =>
      cem.ask(LOOKUPS, {
        room: room.id,
        message: room.ofCem.id,
        member: memberId,
        ids: [room.ofAnn.id],
        user: room.id,
      });
    const mine = await member(cem, kept);
    expect(await ask(kept, mine)).toMatchObject({
      chatroom: { id: kept.id },
      aMessage: { id: kept.ofCem.id },
      nodes: [{ id: kept.ofAnn.id }],
    });
    // Cem does not find his own messages there either.
    const [, there] = Buffer.from(mine, 'base64url')
      .toString()
      .split(/:(?=[^:]+$)/);
    const gone = Buffer.from(`ChatroomMember:${keyOf('Chatroom', lost.id)}:${there}`).toString('base64url');
    expect(await ask(lost, gone)).toMatchObject({
      ...{ chatroom: null, node: null, aMessage: null, aMember: null, nodes: [null] },
      viewer: {
        chatrooms: { nodes: [{ id: kept.id }] },
        searchMessages: { nodes: [{ id: kept.ofAnn.id }, { id: kept.ofCem.id }] },
      },
    });
  });
});
