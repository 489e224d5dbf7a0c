import { expect, test } from 'vitest';
import { bearer, PASSWORD, request } from './support/client.ts';
import { mutationOf } from './support/operations.ts';
import { startTestServer } from './support/server.ts';
import { CREATE_CHATROOM, SEND, send, world } from './support/world.ts';

test('BAD_USER_INPUT names the argument, over HTTP and WebSocket', async () => {
  const server = await startTestServer();
  const { ann, room } = await world(server);
  const { errorCodes } = (await ann.ask('{ server { errorCodes } }')).server;
  const message = await send(ann, room, 'hello');
  const cases: [string, object, string[]][] = [
    [SEND, { input: { chatroomId: room, body: ' ' } }, ['input', 'body']],
    [SEND, { input: { chatroomId: room, body: 'x'.repeat(10_001) } }, ['input', 'body']],
    [SEND, { input: { chatroomId: room, body: 'x', clientMessageId: '' } }, ['input', 'clientMessageId']],
    [CREATE_CHATROOM, { input: { kind: 'OPEN' } }, ['input', 'name']],
    [CREATE_CHATROOM, { input: { kind: 'GROUP', topic: 'x'.repeat(501) } }, ['input', 'topic']],
    [mutationOf('addReaction'), { input: { messageId: message.id, emoji: 'x' } }, ['input', 'emoji']],
    [mutationOf('updateProfile'), { input: { nickname: ' ' } }, ['input', 'nickname']],
    [
      mutationOf('changePassword'),
      { input: { currentPassword: PASSWORD, newPassword: 'short' } },
      ['input', 'newPassword'],
    ],
    ['query ($s: String) { users(search: $s) { nodes { id } } }', { s: 'x'.repeat(101) }, ['search']],
    ['query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: Array(101).fill('x') }, ['ids']],
  ];
  const socket = ann.connect();
  for (const [query, variables, path] of cases) {
    const { errors } = await request(server.url, query, variables, bearer(ann));
    expect(errors?.[0]?.extensions, query).toEqual({ code: 'BAD_USER_INPUT', path });
    expect(errorCodes).toContain('BAD_USER_INPUT');
    expect(errors?.[0]?.message).toMatch(/^[A-Z].+[.]$/);
    const overSocket = await socket.ask(query, variables);
    expect(overSocket.errors?.[0]).toMatchObject({
      message: errors?.[0]?.message,
      extensions: errors?.[0]?.extensions,
    });
  }
  // A body of the maximum length is accepted.
  expect((await send(ann, room, ` ${'x'.repeat(10_000)} `)).number).toBe(2);
});

test('BAD_USER_INPUT names the part of a variable that does not fit the schema', async () => {
  const server = await startTestServer();
  const { ann } = await world(server);
  const path = async (input: object) => {
    const { errors } = await request(server.url, mutationOf('createChatroom'), { input }, bearer(ann));
    expect(errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
    return errors?.[0]?.extensions['path'];
  };
  expect(await path({ kind: 'GROUP', name: 7 })).toEqual(['input', 'name']);
  expect(await path({ kind: 'GROUP', memberIds: ['x', { at: '"y"; ' }] })).toEqual(['input', 'memberIds', '1']);
  expect(await path({ name: 'without a kind' })).toEqual(['input']);
});
