import { describe, expect, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { createSendQueue, type Send } from '../src/features/messages/sendQueue.ts';
import type { Person } from './support/client.ts';
import { holdTransaction, startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const makeRoom = async (person: Person): Promise<string> =>
  (await person.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [] } })).createChatroom.chatroom.id;
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('messages sent in parallel', () => {
  test('share statements and commits, with a number and outcome each', async () => {
    const server = await startTestServer();
    const { ann, eve, room } = await world(server);
    const rooms = [room, ...(await Promise.all(upTo(3).map(() => makeRoom(ann))))];
    const sending = createSendQueue(server.node);
    server.statements();
    const sent = await Promise.all(
      upTo(120).map((i) => sending(asSend(i % 3 === 0 ? eve : ann, rooms[i % 4] ?? room, `word ${i}`))),
    );
    // Each statement has at most fifty messages.
    expect(server.statements()).toHaveLength(3);
    for (const [i, { outcome }] of sent.entries()) expect(outcome).toBe(i % 3 === 0 ? 'NOT_FOUND' : 'SENT');
    for (const id of rooms) {
      const { chatroom } = await ann.ask(
        'query ($id: ID!) { chatroom(id: $id) { messages(first: 100) { nodes { number body } } } }',
        { id },
      );
      const own = sent
        .filter(({ message }) => message.chatroomId === key(id))
        .map(({ message: { number, body } }) => ({ number, body }));
      own.sort((one, other) => one.number - other.number);
      expect(own.map(({ number }) => number)).toEqual(upTo(20).map((n) => n + 1));
      expect(chatroom.messages.nodes).toEqual(own);
    }
  });

  test('delay only their own room if it is locked', async () => {
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

  test('with one clientMessageId are one message, even in one statement', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const sending = createSendQueue(server.node);
    const one = (body: string, person = ann, clientMessageId: string | null = 'c1') =>
      asSend(person, room, body, clientMessageId);
    server.statements();
    const outcomes = await Promise.all(
      [one('word'), one('word'), one('other'), one('word', ben)].map(async (twin) => (await sending(twin)).outcome),
    );
    expect(server.statements()).toHaveLength(1);
    expect(outcomes).toEqual(['SENT', 'REPEATED', 'CONFLICT', 'SENT']);
  });

  test('take few statements if the database refuses one of them', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const rooms = await Promise.all(upTo(5).map(() => makeRoom(ann)));
    const sending = createSendQueue(server.node);
    server.statements();
    const results = await Promise.allSettled(
      upTo(50).map((i) => {
        const ask = asSend(ann, rooms[i % 5] ?? '', `word ${i}`);
        // No message has this number. Ids were validated earlier.
        return sending(i === 7 ? { ...ask, replyToNumber: 2 ** 40 } : ask);
      }),
    );
    expect(results.flatMap(({ status }, i) => (status === 'fulfilled' ? [] : [i]))).toEqual([7]);
    // The maximum is 1 + 2 · log₂ 50.
    expect(server.statements().length).toBeLessThanOrEqual(13);
  });

  test('fail alone if the database refuses one of them', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const sending = createSendQueue(server.node);
    const one = (body: string) => asSend(ann, room, body);
    // A NUL cannot be stored. The API refuses it earlier.
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
  return {
    chatroomId: key(room),
    userId: keyOf('User', person.id) ?? '',
    body,
    clientMessageId,
    replyToNumber: null,
    attachmentIds: null,
  };
}

function key(room: string): string {
  return keyOf('Chatroom', room) ?? '';
}
