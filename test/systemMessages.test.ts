import { describe, expect, test } from 'vitest';
import { createServiceToken, listServiceTokens, revokeServiceToken } from '../src/auth/services.ts';
import { connect, request } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { world } from './support/world.ts';

const SEND = `mutation ($input: SendSystemMessageInput!) { sendSystemMessage(input: $input) {
  onlineRecipients message { id number kind systemEvent body sender { id } subject { id } createdAt cursor }
} }`;
const NOTICES = `subscription { viewerEvents { __typename ... on SystemNotice { body sentAt } } }`;

/** Sends as another service. */
async function service(server: TestServer) {
  const token = await createServiceToken(server.node.database, 'billing');
  const headers = { authorization: `Bearer ${token}` };
  return {
    token,
    ask: (query: string, variables?: object) => request(server.url, query, variables, headers),
    code: async (input: object) =>
      (await request(server.url, SEND, { input }, headers)).errors?.[0]?.extensions.code ?? 'none',
  };
}

describe('system messages', () => {
  test('another service tells a user who is online, by id or name; one who is not is RECIPIENT_OFFLINE', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const billing = await service(server);
    const stream = ann.connect().subscribe(NOTICES);
    await stream.taken();
    const { data } = await billing.ask(SEND, { input: { userId: ann.id, body: 'Your plan ends.' } });
    expect(data.sendSystemMessage).toEqual({ onlineRecipients: 1, message: null });
    expect(await stream.next()).toMatchObject({ __typename: 'SystemNotice', body: 'Your plan ends.' });
    await billing.ask(SEND, { input: { username: 'ANN', body: 'Today.' } });
    expect((await stream.next()).body).toBe('Today.');
    expect(await billing.code({ userId: ben.id, body: 'hi' })).toBe('RECIPIENT_OFFLINE');
    expect(await billing.code({ username: 'nobody', body: 'hi' })).toBe('NOT_FOUND');
    expect(await billing.code({ userId: 'junk', body: 'hi' })).toBe('NOT_FOUND');
  });

  test('a room keeps what another service says, in its order, for those who are not there too', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const billing = await service(server);
    const socket = ann.connect();
    const stream = socket.subscribe(
      'subscription ($id: ID!) { messageAdded(chatroomId: $id) { message { kind systemEvent body sender { id } } } }',
      { id: room },
    );
    await stream.taken();
    const { data } = await billing.ask(SEND, { input: { chatroomId: room, body: 'Maintenance at noon.' } });
    expect(data.sendSystemMessage).toMatchObject({
      onlineRecipients: 1,
      message: { number: 1, kind: 'SYSTEM', systemEvent: 'NOTICE', body: 'Maintenance at noon.', sender: null },
    });
    expect(await stream.next()).toEqual({
      message: { kind: 'SYSTEM', systemEvent: 'NOTICE', body: 'Maintenance at noon.', sender: null },
    });
    const { chatroom } = await ben.ask(
      'query ($id: ID!) { chatroom(id: $id) { unreadCount messages { nodes { body } } } }',
      { id: room },
    );
    // SYSTEM messages are not counted as unread.
    expect(chatroom).toEqual({ unreadCount: 0, messages: { nodes: [{ body: 'Maintenance at noon.' }] } });
    expect(await billing.code({ chatroomId: 'junk', body: 'hi' })).toBe('NOT_FOUND');
  });

  test('exactly one target, and a body', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const billing = await service(server);
    for (const input of [
      { body: 'hi' },
      { userId: ann.id, chatroomId: room, body: 'hi' },
      { userId: ann.id, username: 'ann', body: 'hi' },
      { chatroomId: room, body: '  ' },
    ])
      expect(await billing.code(input)).toBe('BAD_USER_INPUT');
  });

  test('users never send them; a service does nothing else; a revoked or unknown token counts nowhere', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const billing = await service(server);
    const input = { chatroomId: room, body: 'I am the server.' };
    expect(await ann.refused(SEND, { input })).toBe('FORBIDDEN');
    expect((await request(server.url, SEND, { input })).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    for (const query of [
      '{ users { nodes { id } } }',
      `{ chatroom(id: "${room}") { id } }`,
      `{ node(id: "${ann.id}") { id } }`,
    ])
      expect((await billing.ask(query)).errors?.[0]?.extensions.code).toBe('FORBIDDEN');
    expect((await billing.ask('{ viewer { id } }')).data).toEqual({ viewer: null });
    const socket = connect(server.url, billing.token);
    expect((await socket.ask(SEND, { input })).data.sendSystemMessage.message.number).toBe(1);
    await revokeServiceToken(server.node.database, 'billing');
    expect(await billing.code(input)).toBe('UNAUTHENTICATED');
    expect((await socket.ask(SEND, { input })).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  });

  test('a service has one token, which is stored hashed, and is listed by its name', async () => {
    const server = await startTestServer();
    const { database } = server.node;
    const token = await createServiceToken(database, 'billing');
    await expect(createServiceToken(database, 'billing')).rejects.toThrow('Revoke it first');
    await expect(createServiceToken(database, 'a b')).rejects.toThrow('1 to 64 letters');
    await expect(revokeServiceToken(database, 'shipping')).rejects.toThrow('There is no service "shipping"');
    expect((await listServiceTokens(database)).map((made) => made.name)).toEqual(['billing']);
    expect(JSON.stringify(await database.prisma.serviceToken.findMany())).not.toContain(token.slice(-20));
  });
});
