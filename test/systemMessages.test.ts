import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildClientSchema, getIntrospectionQuery, type IntrospectionQuery } from 'graphql';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createServiceToken, listServiceTokens, revokeServiceToken } from '../src/auth/serviceTokens.ts';
import { sql } from '../src/platform/database/database.ts';
import { exportChatroom } from '../src/cli/export/export.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { connect, request } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { world } from './support/world.ts';

const SEND = `mutation ($input: SendSystemMessageInput!) { sendSystemMessage(input: $input) {
  onlineRecipients message { id number kind systemEvent body sender { id } subject { id } createdAt cursor }
} }`;
const SEND_ONCE = `mutation ($input: SendSystemMessageInput!) { sendSystemMessage(input: $input) {
  deduplicated message { id number clientMessageId noticeAuthor { service name } } } }`;
const NOTICES = `subscription { viewerEvents { __typename
  ... on SystemNotice { body sentAt clientMessageId author { service name } }
  ... on UnreadChanged { unreadCount viewer { unreadCount } } } }`;
const ROOM = `query ($id: ID!) { chatroom(id: $id) { unreadCount messages {
  nodes { id body clientMessageId noticeAuthor { service name } } } } }`;

/** Returns functions that send with a new service token. */
async function service(server: TestServer, name = 'billing') {
  const token = await createServiceToken(server.node.database, name);
  const headers = { authorization: `Bearer ${token}` };
  return {
    token,
    ask: (query: string, variables?: object) => request(server.url, query, variables, headers),
    once: async (input: object) =>
      (await request(server.url, SEND_ONCE, { input }, headers)).data.sendSystemMessage as {
        deduplicated: boolean;
        message: { id: string; number: number } | null;
      },
    code: async (input: object) =>
      (await request(server.url, SEND, { input }, headers)).errors?.[0]?.extensions.code ?? 'none',
  };
}

describe('system messages', () => {
  test('reach online users by id or name, otherwise RECIPIENT_OFFLINE', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const billing = await service(server);
    const stream = ann.connect().subscribe(NOTICES);
    await stream.ready();
    const { data } = await billing.ask(SEND, { input: { userId: ann.id, body: 'Your plan ends.' } });
    expect(data.sendSystemMessage).toEqual({ onlineRecipients: 1, message: null });
    expect(await stream.next()).toMatchObject({ __typename: 'SystemNotice', body: 'Your plan ends.' });
    await billing.ask(SEND, { input: { username: 'ANN', body: 'Today.' } });
    expect((await stream.next()).body).toBe('Today.');
    expect(await billing.code({ userId: ben.id, body: 'hi' })).toBe('RECIPIENT_OFFLINE');
    expect(await billing.code({ username: 'nobody', body: 'hi' })).toBe('NOT_FOUND');
    expect(await billing.code({ userId: 'junk', body: 'hi' })).toBe('NOT_FOUND');
  });

  test('in a room are stored in order for offline members', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const billing = await service(server);
    const socket = ann.connect();
    const stream = socket.subscribe(
      'subscription ($id: ID!) { messageAdded(chatroomId: $id) { message { kind systemEvent body sender { id } } } }',
      { id: room },
    );
    await stream.ready();
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
    // SYSTEM messages do not count as unread.
    expect(chatroom).toEqual({ unreadCount: 0, messages: { nodes: [{ body: 'Maintenance at noon.' }] } });
    expect(await billing.code({ chatroomId: 'junk', body: 'hi' })).toBe('NOT_FOUND');
  });

  test('require exactly one target and a body', async () => {
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

  test('come from services only, which may do nothing else', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const billing = await service(server);
    const input = { chatroomId: room, body: 'I am the server.' };
    expect(await ann.askForErrorCode(SEND, { input })).toBe('FORBIDDEN');
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

  test('a service has one hashed token, listed by its name', async () => {
    const server = await startTestServer();
    const { database } = server.node;
    const token = await createServiceToken(database, 'billing');
    await expect(createServiceToken(database, 'billing')).rejects.toThrow('Revoke it first');
    await expect(createServiceToken(database, 'a b')).rejects.toThrow('1 to 64 characters');
    await expect(revokeServiceToken(database, 'shipping')).rejects.toThrow('There is no service "shipping"');
    expect((await listServiceTokens(database)).map((made) => made.name)).toEqual(['billing']);
    expect(JSON.stringify(await database.prisma.serviceToken.findMany())).not.toContain(token.slice(-20));
  });

  test('a retry with the same clientMessageId stores one message', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const [billing, shipping] = [await service(server), await service(server, 'shipping')];
    const input = { chatroomId: room, body: 'Invoice 7', clientMessageId: 'invoice 7' };
    const sent = await Promise.all(Array.from({ length: 10 }, () => billing.once(input)));
    expect(new Set(sent.map(({ message }) => message?.id)).size).toBe(1);
    expect(sent.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(await billing.code({ ...input, body: 'Invoice 8' })).toBe('CONFLICT');
    // A clientMessageId is unique per service and room.
    expect((await shipping.once(input)).deduplicated).toBe(false);
    const CREATE = 'mutation { createChatroom(input: { kind: GROUP }) { chatroom { id } } }';
    const other = (await ann.ask(CREATE)).createChatroom.chatroom.id;
    expect((await billing.once({ ...input, chatroomId: other })).deduplicated).toBe(false);
    // Without a clientMessageId, no retry is recognised.
    const bare = { chatroomId: room, body: 'Invoice 7' };
    expect([await billing.once(bare), await billing.once(bare)].some(({ deduplicated }) => deduplicated)).toBe(false);
    expect((await ann.ask(ROOM, { id: room })).chatroom.messages.nodes).toHaveLength(4);
    for (const clientMessageId of ['', 'x'.repeat(101), 'a\0'])
      expect(await billing.code({ ...input, clientMessageId })).toBe('BAD_USER_INPUT');
  });

  test('a notice names its service and the given author', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const billing = await service(server);
    await billing.ask(SEND, { input: { chatroomId: room, body: 'one' } });
    await billing.ask(SEND, { input: { chatroomId: room, body: 'two', authorName: ' Accounts ' } });
    // A node of the previous release stores no author.
    await server.node.database.query(
      sql`SELECT append_system_message(${keyOf('Chatroom', room)}::uuid, 'NOTICE', NULL, 'three')`,
    );
    const { nodes } = (await ann.ask(ROOM, { id: room })).chatroom.messages;
    expect(nodes.map(({ noticeAuthor }: any) => noticeAuthor)).toEqual([
      { service: 'billing', name: 'billing' },
      { service: 'billing', name: 'Accounts' },
      null,
    ]);
    const stream = ann.connect().subscribe(NOTICES);
    await stream.ready();
    await billing.ask(SEND, {
      input: { userId: ann.id, body: 'Paid.', authorName: 'Accounts', clientMessageId: 'paid 1' },
    });
    expect(await stream.next()).toMatchObject({
      ...{ body: 'Paid.', clientMessageId: 'paid 1', author: { service: 'billing', name: 'Accounts' } },
    });
    for (const authorName of ['', 'x'.repeat(65), 'a\nb', '\u200b'])
      expect(await billing.code({ chatroomId: room, body: 'hi', authorName })).toBe('BAD_USER_INPUT');
  });

  test('a notice counts as unread only if the service requests it', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const billing = await service(server);
    const unread = async () => (await ann.ask(ROOM, { id: room })).chatroom.unreadCount;
    await billing.once({ chatroomId: room, body: 'quiet' });
    expect(await unread()).toBe(0);
    const stream = ann.connect().subscribe(NOTICES);
    await stream.ready();
    const { message } = await billing.once({ chatroomId: room, body: 'loud', countsAsUnread: true });
    expect(await stream.next()).toMatchObject({ unreadCount: 1, viewer: { unreadCount: 1 } });
    expect(await unread()).toBe(1);
    await ann.ask('mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }', {
      id: message?.id,
    });
    expect(await unread()).toBe(0);
  });

  test('a target has exactly one field and one user', async () => {
    const server = await startTestServer();
    const { ann, room } = await world(server);
    const billing = await service(server);
    ann.connect();
    await expect.poll(() => billing.code({ target: { userId: ann.id }, body: 'hi' })).toBe('none');
    expect(await billing.code({ target: { username: 'ann' }, body: 'hi' })).toBe('none');
    expect((await billing.once({ target: { chatroomId: room }, body: 'hi' })).message?.number).toBe(1);
    for (const input of [
      { target: {}, body: 'hi' },
      { target: { userId: null }, body: 'hi' },
      { target: { userId: ann.id, username: 'ann' }, body: 'hi' },
      { target: { userId: ann.id }, userId: ann.id, body: 'hi' },
    ])
      expect(await billing.code(input)).toBe('BAD_USER_INPUT');
    const literal = `mutation { sendSystemMessage(input: { target: { username: "ann", userId: "x" }, body: "hi" }) { onlineRecipients } }`;
    expect((await billing.ask(literal)).errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
  });

  test('introspection includes the one-of input for clients that request it', async () => {
    const server = await startTestServer();
    const query = '{ __type(name: "SystemMessageTarget") { isOneOf inputFields { name } } }';
    expect((await request(server.url, query)).data.__type.isOneOf).toBe(true);
    // Old clients send the standard query, whose result must build a schema.
    const { data } = await request(server.url, getIntrospectionQuery());
    expect(buildClientSchema(data as IntrospectionQuery).getType('SystemMessageTarget')).toBeDefined();
  });

  test('an export keeps sender and unread setting of a notice', async () => {
    const [here, there] = [await startTestServer(), await startTestServer()];
    const { room } = await world(here);
    const billing = await service(here);
    const notice = { chatroomId: room, body: 'hi', clientMessageId: '1', authorName: 'Accounts', countsAsUnread: true };
    await billing.once(notice);
    const folder = await mkdtemp(join(tmpdir(), 'parley-notices-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const progress = createProgress({ isTTY: false, write: () => true });
    await exportChatroom({ database: here.node.database, progress }, room, join(folder, 'room.json'));
    await importPath({ ...there.node, progress }, join(folder, 'room.json'), []);
    const stored = await there.node.database.prisma.message.findFirst();
    expect(stored).toMatchObject({
      ...{ service: 'billing', authorName: 'Accounts', clientMessageId: '1', countsAsUnread: true },
    });
  });
});
