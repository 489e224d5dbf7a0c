import { describe, expect, test } from 'vitest';
import { BLOCK, createRoom, DELETE_MESSAGE, JOIN, LEAVE, MARK_READ, REACT, REMOVE } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { SEND, send, world } from './support/world.ts';

const PAGE = `query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  chatroom(id: $id) { cursor messages(first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { number body cursor } } nodes { number }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`;

describe('sendMessage', () => {
  test('numbers concurrent messages of 32 users 1..n without a gap', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const sent = await Promise.all(
      Array.from({ length: 32 }, async (_, i) => {
        const numbers = [];
        for (let k = 0; k < 10; k += 1) numbers.push((await send(i % 2 ? ann : ben, room, `${i}.${k}`)).number);
        return numbers;
      }),
    );
    // Messages of one sender keep their order.
    for (const numbers of sent) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(sent.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 320 }, (_, i) => i + 1));
  });

  test('stores twenty parallel sends of one clientMessageId once', async () => {
    const server = await startTestServer();
    const other = await startTestServer({ databaseUrl: server.databaseUrl });
    const { ann, ben, room } = await world(server);
    const sendOnce = (i: number) =>
      ann
        .at(i % 2 ? server.url : other.url)
        .ask(SEND, { input: { chatroomId: room, body: 'once', clientMessageId: 'a' } });
    const results = (await Promise.all(Array.from({ length: 20 }, (_, i) => sendOnce(i)))).map(
      ({ sendMessage }) => sendMessage,
    );
    expect(results.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(new Set(results.map(({ message }) => message.id)).size).toBe(1);

    expect(await ann.askForErrorCode(SEND, { input: { chatroomId: room, body: 'twice', clientMessageId: 'a' } })).toBe(
      'CONFLICT',
    );
    // A clientMessageId is unique per sender and room, not globally.
    expect(await send(ben, room, 'once', { clientMessageId: 'a' })).toMatchObject({ number: 2 });
  });

  test('stores a body exactly as it was sent', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (const body of [
      '  spaces \n\t',
      '家族 👩‍👩‍👧‍👦 e\u0301',
      'שלום',
      "'; DROP TABLE messages; --",
      '\u202eturned round',
      '𝔞'.repeat(10_000),
    ]) {
      expect((await send(ann, room, body)).body).toBe(body);
    }
  });

  test.each([
    ['nothing', ''],
    ['white space', ' \n\t\u3000'],
    ['too much', '𝔞'.repeat(10_001)],
    ['U+0000', 'a\0b'],
    ['half of a surrogate pair', 'a\ud800b'],
  ])('refuses %s', async (_, body) => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    expect(await ann.askForErrorCode(SEND, { input: { chatroomId: room, body } })).toBe('BAD_USER_INPUT');
    expect((await send(ann, room, 'fine')).number).toBe(1);
  });

  test('returns the stored message to a sender who has lost the room', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    const open = await createRoom(ann, { kind: 'OPEN', name: 'Open' });
    await ben.ask(JOIN, { id: open });
    const direct = await createRoom(ann, { kind: 'DIRECT', memberIds: [ben.id] });
    const inputs = [room, open, direct].map((chatroomId) => ({ chatroomId, body: 'mine', clientMessageId: 'a' }));
    const first = [];
    for (const input of inputs) first.push((await ben.ask(SEND, { input })).sendMessage.message);
    await ann.ask(REMOVE, { id: room, user: ben.id });
    await ben.ask(LEAVE, { id: open });
    await ann.ask(BLOCK, { id: ben.id });
    for (const [i, input] of inputs.entries()) {
      const { sendMessage } = await ben.ask(SEND, { input });
      expect(sendMessage).toMatchObject({ deduplicated: true, message: { id: first[i].id, number: first[i].number } });
      const codes = ['CONFLICT', i === 2 ? 'BLOCKED' : 'NOT_FOUND'];
      for (const other of [{ body: 'another' }, { clientMessageId: 'b' }])
        expect(await ben.askForErrorCode(SEND, { input: { ...input, ...other } })).toBe(codes.shift());
    }
    // Another user cannot find the message by its clientMessageId.
    expect(await eve.askForErrorCode(SEND, { input: inputs[0] })).toBe('NOT_FOUND');
  });

  test('shows a removed sender nothing that happened in the room', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { id: replyToId } = await send(ann, room, 'to reply to');
    const input = { chatroomId: room, body: 'mine', clientMessageId: 'a', replyToId };
    const { id } = (await ben.ask(SEND, { input })).sendMessage.message;
    await ann.ask(MARK_READ, { id });
    await ann.ask(REACT, { id });
    await ann.ask(REMOVE, { id: room, user: ben.id });
    const retry = (selection: string) =>
      `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { edge { node { id } } message { ${selection} } } }`;
    const selection =
      'id body deletedAt sender { username } replyTo { id } reactions { emoji } seenByAll seenBy { nodes { id } }';
    const seen = {
      ...{ id, body: 'mine', deletedAt: null, sender: { username: 'ben' }, replyTo: null },
      ...{ reactions: [], seenByAll: false, seenBy: { nodes: [] } },
    };
    const look = async () => (await ben.ask(retry(selection), { input })).sendMessage.message;
    expect(await look()).toEqual(seen);
    await ann.ask(DELETE_MESSAGE, { id });
    expect(await look()).toEqual(seen);
    expect(await ben.askForErrorCode(retry('chatroom { id }'), { input })).toBe('NOT_FOUND');
  });

  test('is NOT_FOUND for strangers and foreign ids, and skips no number', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    const { id: messageId } = await send(ann, room, 'one');
    const to = (person: typeof ann, input: object) =>
      person.askForErrorCode(SEND, { input: { chatroomId: room, body: 'hi', ...input } });
    expect(await to(eve, {})).toBe('NOT_FOUND');
    expect(await to(ann, { chatroomId: 'junk' })).toBe('NOT_FOUND');
    expect(await to(ann, { chatroomId: ann.id })).toBe('NOT_FOUND');
    expect(await to(ann, { replyToId: 'junk' })).toBe('NOT_FOUND');
    expect(
      await to(ann, {
        replyToId: Buffer.from(Buffer.from(messageId, 'base64url').toString().replace(/\d+$/, '7')).toString(
          'base64url',
        ),
      }),
    ).toBe('NOT_FOUND');
    expect(await to(ann, { clientMessageId: '' })).toBe('BAD_USER_INPUT');
    expect(await send(ann, room, 'two', { replyToId: messageId })).toMatchObject({ number: 2 });
  });

  test('takes one statement besides the check of its session', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    server.statements();
    await send(ann, room, 'hi');
    expect(server.statements()).toHaveLength(1);
  });
});

describe('the messages of a room', () => {
  test('are paged in both directions, each once, with Relay cursors', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    for (let i = 1; i <= 7; i += 1) await send(ann, room, `${i}`);
    const page = async (args: object) => (await ann.ask(PAGE, { id: room, ...args })).chatroom.messages;
    const numbers = (list: any) => list.nodes.map((message: any) => message.number);

    const forwards = [await page({ first: 3 })];
    while (forwards.at(-1).pageInfo.hasNextPage)
      forwards.push(await page({ first: 3, after: forwards.at(-1).pageInfo.endCursor }));
    expect(forwards.map(numbers)).toEqual([[1, 2, 3], [4, 5, 6], [7]]);
    expect(forwards.map((list) => list.pageInfo.hasPreviousPage)).toEqual([false, true, true]);

    const backwards = [await page({ last: 3 })];
    while (backwards.at(-1).pageInfo.hasPreviousPage)
      backwards.push(await page({ last: 3, before: backwards.at(-1).pageInfo.startCursor }));
    expect(backwards.map(numbers)).toEqual([[5, 6, 7], [2, 3, 4], [1]]);
    expect(backwards.map((list) => list.pageInfo.hasNextPage)).toEqual([false, true, true]);

    const between = await page({ after: forwards[0].pageInfo.endCursor, before: backwards[0].edges[2].cursor });
    expect(numbers(between)).toEqual([4, 5, 6]);
    const all = await page({});
    expect(all.edges[3].cursor).toBe(all.edges[3].node.cursor);
    expect(numbers(await page({ after: all.pageInfo.endCursor }))).toEqual([]);
    const { chatroom } = await ann.ask(PAGE, { id: room });
    expect(numbers(await page({ before: chatroom.cursor }))).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('refuse cursors of another kind or room, and malformed ones', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const other = (
      await ann.ask(
        `mutation ($with: ID!) { createChatroom(input: { kind: DIRECT, memberIds: [$with] }) { chatroom { id cursor } } }`,
        { with: ben.id },
      )
    ).createChatroom.chatroom;
    const rooms = await ann.ask('{ viewer { chatrooms { pageInfo { endCursor } } } }');
    for (const after of ['', 'junk', other.cursor, rooms.viewer.chatrooms.pageInfo.endCursor]) {
      expect(await ann.askForErrorCode(PAGE, { id: room, after }), after).toBe('BAD_USER_INPUT');
    }
  });

  test('take the same number of statements for any page size', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    for (let i = 1; i <= 60; i += 1) await send(i % 2 ? ann : ben, room, `${i}`);
    const WITH_SENDERS = `query ($id: ID!, $last: Int) { chatroom(id: $id) { messages(last: $last) { nodes { body sender { username } replyTo { body } chatroom { name } } } } }`;
    server.statements();
    await ann.ask(WITH_SENDERS, { id: room, last: 2 });
    const forTwo = server.statements();
    await ann.ask(WITH_SENDERS, { id: room, last: 50 });
    expect(server.statements()).toHaveLength(forTwo.length);
    expect(forTwo).toHaveLength(3); // room, messages, senders
  });
});
