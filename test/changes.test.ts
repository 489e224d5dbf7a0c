import { describe, expect, test } from 'vitest';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const EDIT = `mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { number body editedAt } edge { cursor } } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { number body deletedAt reactions { emoji } } } }`;
const REACT = `mutation ($id: ID!, $emoji: String!) { addReaction(input: { messageId: $id, emoji: $emoji }) { message { reactions { emoji count viewerHasReacted } } } }`;
const UNREACT = `mutation ($id: ID!, $emoji: String!) { removeReaction(input: { messageId: $id, emoji: $emoji }) { message { reactions { emoji count viewerHasReacted } } } }`;
const EVENTS = `subscription ($room: ID!, $after: String) { chatroomEvents(chatroomId: $room, after: $after) { __typename cursor
  ... on MessageAdded { message { number body } } ... on MessageEdited { message { number body } } ... on MessageDeleted { message { number body } } ... on ReactionsChanged { message { number reactions { emoji } } } } }`;

describe('editing', () => {
  test('senders edit their own messages, which keep their numbers', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { id } = await send(ann, room, 'helo');
    const { editMessage } = await ann.ask(EDIT, { id, body: 'hello' });
    expect(editMessage.message).toMatchObject({ number: 1, body: 'hello' });
    expect(editMessage.message.editedAt).not.toBeNull();
    expect((await send(ann, room, 'next')).number).toBe(2);
  });

  test('refuses other users, strangers, invalid bodies and deleted messages', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { id } = await send(ben, room, 'mine');
    expect(await ann.askForErrorCode(EDIT, { id, body: 'x' })).toBe('FORBIDDEN');
    expect(await eve.askForErrorCode(EDIT, { id, body: 'x' })).toBe('NOT_FOUND');
    expect(await ben.askForErrorCode(EDIT, { id: room, body: 'x' })).toBe('NOT_FOUND');
    expect(await ben.askForErrorCode(EDIT, { id, body: ' ' })).toBe('BAD_USER_INPUT');
    await ben.ask(DELETE, { id });
    expect(await ben.askForErrorCode(EDIT, { id, body: 'x' })).toBe('NOT_FOUND');
  });

  test('does not turn a retry into a second message', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { id } = await send(ann, room, 'first', { clientMessageId: 'a' });
    await ann.ask(EDIT, { id, body: 'second' });
    const { sendMessage } = await ann.ask(SEND, { input: { chatroomId: room, body: 'first', clientMessageId: 'a' } });
    expect(sendMessage).toMatchObject({ deduplicated: true, message: { id, body: 'second' } });
    expect(await ann.askForErrorCode(SEND, { input: { chatroomId: room, body: 'second', clientMessageId: 'a' } })).toBe(
      'CONFLICT',
    );
    await ann.ask(DELETE, { id });
    const again = await ann.ask(SEND, { input: { chatroomId: room, body: 'first', clientMessageId: 'a' } });
    expect(again.sendMessage).toMatchObject({ deduplicated: true, message: { id, body: null } });
  });
});

describe('deleting', () => {
  test('leaves a numbered tombstone; owners and admins delete any message', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const bens = await send(ben, room, 'of ben');
    const anns = await send(ann, room, 'of ann');
    expect(await ben.askForErrorCode(DELETE, { id: anns.id })).toBe('FORBIDDEN');
    expect(await eve.askForErrorCode(DELETE, { id: anns.id })).toBe('NOT_FOUND');
    await ben.ask(REACT, { id: bens.id, emoji: '👍' });
    const { deleteMessage } = await ann.ask(DELETE, { id: bens.id });
    expect(deleteMessage.message).toMatchObject({ number: 1, body: null, reactions: [] });
    expect(deleteMessage.message.deletedAt).not.toBeNull();
    expect((await ann.ask(DELETE, { id: bens.id })).deleteMessage.message.deletedAt).toBe(
      deleteMessage.message.deletedAt,
    );
    expect(await ben.askForErrorCode(REACT, { id: bens.id, emoji: '👍' })).toBe('NOT_FOUND');
    const { chatroom } = await ben.ask(
      'query ($id: ID!) { chatroom(id: $id) { messages { nodes { number body } } } }',
      { id: room },
    );
    expect(chatroom.messages.nodes).toEqual([
      { number: 1, body: null },
      { number: 2, body: 'of ann' },
    ]);
  });

  test('in a DIRECT room nobody deletes the other’s messages', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ben.id] } });
    const { id } = await send(ben, createChatroom.chatroom.id, 'hi');
    expect(await ann.askForErrorCode(DELETE, { id })).toBe('FORBIDDEN');
  });
});

const REACTORS = `query ($id: ID!, $first: Int) { chatroom(id: $id) { messages { nodes { reactions {
  emoji users(first: $first) { nodes { username } pageInfo { hasNextPage endCursor } } } } } } }`;

describe('reactions', () => {
  test('are unique per emoji and user, in order of creation', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const { id } = await send(ann, room, 'news');
    await ben.ask(REACT, { id, emoji: '🎉' });
    await Promise.all(Array.from({ length: 5 }, () => ann.ask(REACT, { id, emoji: '👩‍👩‍👧‍👦' })));
    const { addReaction } = await ann.ask(REACT, { id, emoji: '🎉' });
    expect(addReaction.message.reactions).toEqual([
      { emoji: '🎉', count: 2, viewerHasReacted: true },
      { emoji: '👩‍👩‍👧‍👦', count: 1, viewerHasReacted: true },
    ]);
    const { removeReaction } = await ann.ask(UNREACT, { id, emoji: '🎉' });
    expect(removeReaction.message.reactions[0]).toEqual({ emoji: '🎉', count: 1, viewerHasReacted: false });
    for (const emoji of ['', 'x', '👍👍', ':-)', '1'])
      expect(await ann.askForErrorCode(REACT, { id, emoji }), emoji).toBe('BAD_USER_INPUT');
    expect(await eve.askForErrorCode(REACT, { id, emoji: '👍' })).toBe('NOT_FOUND');
  });

  test('list their users in pages, with one statement for all messages', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const { createChatroom } = await ann.ask(CREATE_CHATROOM, {
      input: { kind: 'GROUP', memberIds: [ben.id, eve.id] },
    });
    const room = createChatroom.chatroom.id;
    const look = async (first: number) => {
      server.statements();
      const { chatroom } = await ann.ask(REACTORS, { id: room, first });
      const messages = chatroom.messages.nodes.map(({ reactions }: any) =>
        reactions.map(({ emoji, users }: any) => [emoji, ...users.nodes.map((user: any) => user.username)]),
      );
      return { messages, statements: server.statements().length, chatroom };
    };
    const first = await send(ann, room, 'news');
    for (const person of [eve, ann, ben]) await person.ask(REACT, { id: first.id, emoji: '🎉' });
    await ben.ask(REACT, { id: first.id, emoji: '👍' });
    const { statements, messages, chatroom } = await look(2);
    expect(messages).toEqual([
      [
        ['🎉', 'ann', 'ben'],
        ['👍', 'ben'],
      ],
    ]);
    const { pageInfo } = chatroom.messages.nodes[0].reactions[0].users;
    expect(pageInfo.hasNextPage).toBe(true);
    const rest = await ann.ask(
      `query ($id: ID!, $after: String) { node(id: $id) { ... on Message {
        reactions { users(first: 2, after: $after) { nodes { username } } } } } }`,
      { id: first.id, after: pageInfo.endCursor },
    );
    expect(rest.node.reactions[0].users.nodes).toEqual([{ username: 'eve' }]);
    for (let i = 0; i < 5; i += 1) {
      const { id } = await send(ann, room, `${i}`);
      for (const emoji of ['👍', '👎']) await eve.ask(REACT, { id, emoji });
    }
    expect(await look(2)).toMatchObject({ statements });
  });

  test('of fifty messages cost one statement', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    for (let i = 0; i < 20; i += 1) {
      const { id } = await send(ann, room, `${i}`);
      await ben.ask(REACT, { id, emoji: '👍' });
    }
    server.statements();
    const { chatroom } = await ann.ask(
      'query ($id: ID!) { chatroom(id: $id) { messages { nodes { reactions { count } seenByAll } } } }',
      { id: room },
    );
    expect(chatroom.messages.nodes.map((message: any) => message.reactions[0].count)).toEqual(Array(20).fill(1));
    expect(server.statements()).toHaveLength(4); // room, messages, reactions, readers
  });
});

test('chatroomEvents delivers all changes in order, missed ones before CaughtUp', async () => {
  const server = await startTestServer();
  const other = await startTestServer({ databaseUrl: server.databaseUrl });
  const { ann, ben, room } = await world(server);
  const { chatroom } = await ben.ask('query ($id: ID!) { chatroom(id: $id) { cursor } }', { id: room });
  const live = ben.at(other.url).connect().subscribe(EVENTS, { room, after: chatroom.cursor });
  expect((await live.next()).__typename).toBe('CaughtUp');
  const { id } = await send(ann, room, 'one');
  await ann.ask(EDIT, { id, body: 'uno' });
  await ann.ask(EDIT, { id, body: 'uno' }); // no change, so no event
  await ben.ask(REACT, { id, emoji: '👍' });
  await ann.ask(DELETE, { id });
  const story = ['MessageAdded', 'MessageEdited', 'ReactionsChanged', 'MessageDeleted'];
  const told = await live.take(4);
  expect(told.map((event) => event.__typename)).toEqual(story);
  const missed = await ben.connect().subscribe(EVENTS, { room, after: told[1].cursor }).take(3);
  expect(missed.map((event) => event.__typename)).toEqual(['ReactionsChanged', 'MessageDeleted', 'CaughtUp']);
  expect(missed[1].message).toEqual({ number: 1, body: null });
  const messages = await ben.connect().subscribe(MESSAGE_ADDED, { room, after: chatroom.cursor }).take(1);
  expect(messages[0].message).toMatchObject({ number: 1, body: null });
});
