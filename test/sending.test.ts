import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/ids.ts';
import { createSending, type Send } from '../src/messages/sending.ts';
import type { Person } from './support/client.ts';
import { holdTransaction, startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const makeRoom = async (person: Person): Promise<string> =>
  (await person.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [] } })).createChatroom.chatroom.id;
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('messages that are sent at once', () => {
  test('share statements and commits, and have each its own number and outcome', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    const rooms = [room, ...(await Promise.all(upTo(3).map(() => makeRoom(ann))))];
    const sending = createSending(server.node.database);
    server.statements();
    const sent = await Promise.all(
      upTo(120).map((i) => sending(asSend(i % 3 === 0 ? eve : ann, rooms[i % 4] ?? room, `word ${i}`))),
    );
    // At most fifty in each.
    expect(server.statements()).toHaveLength(3);
    for (const [i, { outcome }] of sent.entries()) expect(outcome).toBe(i % 3 === 0 ? 'NOT_FOUND' : 'SENT');
    for (const id of rooms) {
      const { chatroom } = await ann.ask(
        'query ($id: ID!) { chatroom(id: $id) { messages(first: 100) { nodes { number body } } } }',
        { id },
      );
      const own = sent.filter(({ chatroomId }) => chatroomId === key(id)).map(({ number, body }) => ({ number, body }));
      own.sort((one, other) => one.number - other.number);
      expect(own.map(({ number }) => number)).toEqual(upTo(20).map((n) => n + 1));
      expect(chatroom.messages.nodes).toEqual(own);
    }
  });

  test('a room that is locked holds up its own and no others’', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const free = await makeRoom(ann);
    const release = await holdTransaction(server, 'SELECT FROM chatrooms WHERE id = $1 FOR UPDATE', key(room));
    let released = false;
    const stuck = upTo(10).map(async (i) => ({ ...(await send(ann, room, `held ${i}`)), released }));
    const sent = await Promise.all(upTo(40).map((i) => send(ann, free, `free ${i}`)));
    expect(new Set(sent.map(({ number }) => number)).size).toBe(40);
    released = true;
    await release();
    expect((await Promise.all(stuck)).every((message) => message.released)).toBe(true);
  });

  test('twins with one clientMessageId are one message, also in one statement; others with it are in conflict', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const sending = createSending(server.node.database);
    const one = (body: string, person = ann, clientMessageId: string | null = 'c1') =>
      asSend(person, room, body, clientMessageId);
    server.statements();
    const outcomes = await Promise.all(
      [one('word'), one('word'), one('other'), one('word', ben)].map(async (twin) => (await sending(twin)).outcome),
    );
    expect(server.statements()).toHaveLength(1);
    expect(outcomes).toEqual(['SENT', 'REPEATED', 'CONFLICT', 'SENT']);
  });

  test('one send that the database refuses costs the others few statements', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const rooms = await Promise.all(upTo(5).map(() => makeRoom(ann)));
    const sending = createSending(server.node.database);
    server.statements();
    const results = await Promise.allSettled(
      upTo(50).map((i) => {
        const ask = asSend(ann, rooms[i % 5] ?? '', `word ${i}`);
        // No message has such a number; ids are checked before they come here.
        return sending(i === 7 ? { ...ask, replyToNumber: 2 ** 40 } : ask);
      }),
    );
    expect(results.flatMap(({ status }, i) => (status === 'fulfilled' ? [] : [i]))).toEqual([7]);
    // 1 + 2 · log₂ 50.
    expect(server.statements().length).toBeLessThanOrEqual(13);
  });

  test('what the database refuses of one fails alone', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const sending = createSending(server.node.database);
    const one = (body: string) => asSend(ann, room, body);
    // A NUL cannot be stored; it is refused before it comes here.
    const results = await Promise.allSettled([...['good', 'b\0d', 'good too'].map((body) => sending(one(body)))]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    const { chatroom } = await ann.ask(
      'query ($id: ID!) { chatroom(id: $id) { messages(first: 10) { nodes { body } } } }',
      { id: room },
    );
    const stored = chatroom.messages.nodes.map(({ body }: { body: string }) => body).sort();
    expect(stored).toEqual(['good', 'good too']);
  });
});

function asSend(person: Person, room: string, body: string, clientMessageId: string | null = null): Send {
  return { chatroomId: key(room), userId: keyOf('User', person.id) ?? '', body, clientMessageId, replyToNumber: null };
}

function key(room: string): string {
  return keyOf('Chatroom', room) ?? '';
}
