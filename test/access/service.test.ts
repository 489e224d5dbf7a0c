import { getNamedType, isLeafType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, fieldsOf } from './asking.ts';
import { makePlace } from './place.ts';
import { openPremises, type Premises } from './premises.ts';

// A service reads the message that it sent, but neither the room nor its members.

let premises: Premises;
beforeAll(async () => {
  premises = await openPremises();
});
afterAll(() => premises.close());

const told = [
  ...['id', 'number', 'kind', 'systemEvent', 'body', 'clientMessageId', 'cursor'],
  ...['attachments', 'createdAt', 'editedAt', 'deletedAt', 'sender', 'subject', 'replyTo', 'noticeAuthor'],
];
const hidden = ['chatroom', 'linkPreviews', 'reactions', 'seenBy', 'seenByAll'];

test('every field of a message has a row', () => {
  expect([...told, ...hidden].sort()).toEqual(Object.keys(fieldsOf('Message')).sort());
});

describe.each(['HTTP', 'WebSocket'] as const)('over %s', (transport) => {
  test.each([...told, ...hidden])('reads %s of its own message', async (name) => {
    const { room } = await makePlace(premises, 'service');
    const field = fieldsOf('Message')[name];
    const composite = field && !isLeafType(getNamedType(field.type));
    const query = `mutation ($input: SendSystemMessageInput!) {
      sendSystemMessage(input: $input) { message { ${name} ${composite ? '{ __typename }' : ''} } } }`;
    const variables = { input: { chatroomId: room, body: 'hello' } };
    const question = { query, variables, token: premises.serviceToken };
    expect(await ask(premises.server, transport, question)).toBe(told.includes(name) ? 'done' : 'FORBIDDEN');
  });
});
