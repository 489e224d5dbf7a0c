import { describe, expect, test } from 'vitest';
import { createUuid, keyOf } from '../src/core/globalIds.ts';
import { createSendQueue, type Send } from '../src/features/messages/sendQueue.ts';
import { sql } from '../src/platform/database/database.ts';
import type { Person } from './support/client.ts';
import { mutationOf, outcomeFor } from './support/operations.ts';
import { DELETE_MESSAGE, REMOVE } from './support/rooms.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { SEND, send, world } from './support/world.ts';

const EDIT = `mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "edited" }) { message { id } } }`;
const key = (type: 'User' | 'Chatroom', id: string) => keyOf(type, id) ?? '';

describe('a retry with other content', () => {
  test('is a CONFLICT, whichever part of the content differs', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    await send(ann, room, 'to reply to');
    await send(ann, room, 'to reply to as well');
    const store = createSendQueue(server.node);
    const [one, other] = [createUuid(), createUuid()];
    await server.node.database.query(sql`
      INSERT INTO attachments (id, user_id, state, file_name, media_type, byte_size, sha256)
        SELECT id, ${key('User', ann.id)}::uuid, 'READY', 'x', 'text/plain', 1, '' FROM unnest(${[one, other]}::uuid[]) id`);
    const common = { chatroomId: key('Chatroom', room), userId: key('User', ann.id) };
    const bodies = ['word', 'another word'];
    const contents = bodies.flatMap((body) =>
      [null, 1, 2].flatMap((replyToNumber) =>
        [null, [one], [one, other], [other, one]].map((attachmentIds) => ({ body, replyToNumber, attachmentIds })),
      ),
    );
    for (const [i, content] of contents.entries()) {
      const retry = async (with_: Omit<Send, 'chatroomId' | 'userId' | 'clientMessageId'>) =>
        (await store({ ...common, clientMessageId: `id ${i}`, ...with_ })).outcome;
      // The next message may have the same attachments.
      await server.node.database.query(sql`UPDATE attachments SET chatroom_id = NULL, number = NULL, place = NULL`);
      expect(await retry(content)).toBe('SENT');
      const expected = contents.map((each) => (each === content ? 'REPEATED' : 'CONFLICT'));
      expect(await Promise.all(contents.map(retry)), JSON.stringify(content)).toEqual(expected);
    }
  });

  test('is a CONFLICT after an edit, and unknown after a deletion', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const { id: replyToId } = await send(ann, room, 'to reply to');
    const input = { chatroomId: room, body: 'word', clientMessageId: 'a', replyToId };
    const { message } = (await ann.ask(SEND, { input })).sendMessage;
    const retry = (changed: object) => outcomeFor(ann, mutationOf('sendMessage'), { input: { ...input, ...changed } });
    const changes = [{}, { body: 'edited' }, { replyToId: undefined }, { replyToId: message.id }];
    const retryAll = () => Promise.all(changes.map(retry));
    expect(await retryAll()).toEqual(['done', 'CONFLICT', 'CONFLICT', 'CONFLICT']);
    await ann.ask(EDIT, { id: message.id });
    expect(await retryAll()).toEqual(['done', 'CONFLICT', 'CONFLICT', 'CONFLICT']);
    await ann.ask(DELETE_MESSAGE, { id: message.id });
    expect(await retryAll()).toEqual(['done', 'done', 'done', 'done']);
  });
});

/** Sends a message as nodes of release 0.1.0 do. */
async function sendAsBefore({ node }: TestServer, person: Person, room: string, more: Partial<Send>): Promise<string> {
  const row = { chatroomId: key('Chatroom', room), userId: key('User', person.id), place: 0, search: '', ...more };
  const [sent] = await node.database.query<{ outcome: string; number: number }>(sql`
    SELECT s.outcome, (s.message).number FROM send_messages(${JSON.stringify([row])}::json, '0') s`);
  return `${sent?.outcome ?? ''} ${sent?.number ?? ''}`;
}

describe('during an upgrade', () => {
  test.each([
    { between: 'nothing', change: null, isRemoved: false },
    { between: 'an edit', change: EDIT, isRemoved: false },
    { between: 'a deletion', change: DELETE_MESSAGE, isRemoved: false },
    { between: 'a removal', change: null, isRemoved: true },
    { between: 'an edit and a removal', change: EDIT, isRemoved: true },
  ])('both releases recognise retries after $between', async ({ change, isRemoved }) => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const { id: replyToId } = await send(ann, room, 'to reply to');
    const cases = [1, 2, 3, 4].map((i) => ({ clientMessageId: `id ${i}`, isReply: i % 2 === 0, isFromBefore: i > 2 }));
    const retry = (body: string, { clientMessageId, isReply }: (typeof cases)[number]) => {
      const input = { chatroomId: room, body, clientMessageId, ...(isReply ? { replyToId } : {}) };
      return {
        before: () => sendAsBefore(server, ben, room, { body, clientMessageId, replyToNumber: isReply ? 1 : null }),
        now: async () => {
          const { deduplicated, message } = (await ben.ask(SEND, { input })).sendMessage;
          return `${deduplicated ? 'REPEATED' : 'SENT'} ${message.number}`;
        },
        outcome: () => outcomeFor(ben, mutationOf('sendMessage'), { input }),
      };
    };
    for (const [i, each] of cases.entries()) {
      const { before, now } = retry('word', each);
      expect(await (each.isFromBefore ? before() : now())).toBe(`SENT ${i + 2}`);
    }
    const { chatroom } = await ben.ask(
      'query ($id: ID!) { chatroom(id: $id) { messages(last: 4) { nodes { id } } } }',
      { id: room },
    );
    for (const { id } of chatroom.messages.nodes) if (change !== null) await ben.ask(change, { id });
    if (isRemoved) await ann.ask(REMOVE, { id: room, user: ben.id });
    for (const [i, each] of cases.entries()) {
      const [same, another] = [retry('word', each), retry('another word', each)];
      expect([await same.before(), await same.now()], JSON.stringify(each)).toEqual(Array(2).fill(`REPEATED ${i + 2}`));
      // A deleted message keeps nothing by which its content could be recognised.
      const isKnown = change !== DELETE_MESSAGE;
      expect(await another.before()).toBe(`${isKnown ? 'CONFLICT' : 'REPEATED'} ${i + 2}`);
      expect(await another.outcome()).toBe(isKnown ? 'CONFLICT' : 'done');
    }
  });
});
