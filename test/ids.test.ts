import { expect, test } from 'vitest';
import { grantAdmin } from '../src/auth/admins.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { fieldsOf, inputNames, isOfWebhooks, operation, outcomeFor, schema } from './support/operations.ts';
import { FRIEND } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

// Ids are opaque and unique across types.

/** Types of the objects that an argument identifies, by the name of the argument. */
const typeOf: Record<string, string> = {
  ...{
    chatroomId: 'Chatroom',
    messageId: 'Message',
    messageIds: 'Message',
    replyToId: 'Message',
    userId: 'User',
    userIds: 'User',
  },
  ...{ memberIds: 'User', sessionId: 'Session', deviceId: 'PushDevice' },
  ...{ botId: 'User', webhookId: 'IncomingWebhook' },
  ...{ linkPreviewId: 'LinkPreview', linkPreviewIds: 'LinkPreview' },
  ...{ uploadId: 'Upload', attachmentId: 'Attachment', attachmentIds: 'Attachment' },
};

test('ids of another type and altered ids are NOT_FOUND in every mutation', async () => {
  const server = await startTestServer();
  const { ann, ben, room } = await world(server);
  await grantAdmin(server.node.database, keyOf('User', ann.id) ?? '');
  await ben.ask('mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
  await ann.ask(FRIEND, { id: ben.id });
  const message = await send(ann, room, 'hello');
  const { viewer } =
    await ann.ask(`{ viewer { id user { id } sessions { nodes { id } } chatrooms { nodes { id viewerMembership { id } } }
    friendRequests(direction: OUTGOING) { nodes { id } } } }`);
  const ids: Record<string, string> = {
    ...{
      Viewer: viewer.id,
      User: viewer.user.id,
      Session: viewer.sessions.nodes[0].id,
      Chatroom: room,
      Message: message.id,
    },
    ...{
      ChatroomMember: viewer.chatrooms.nodes[0].viewerMembership.id,
      FriendRequest: viewer.friendRequests.nodes[0].id,
    },
    LinkPreview: Buffer.from(`LinkPreview:${crypto.randomUUID()}`).toString('base64url'),
    IncomingWebhook: Buffer.from(`IncomingWebhook:${crypto.randomUUID()}`).toString('base64url'),
    PushDevice: Buffer.from(`PushDevice:${crypto.randomUUID()}`).toString('base64url'),
    Upload: Buffer.from(`Upload:${crypto.randomUUID()}`).toString('base64url'),
    Attachment: Buffer.from(`Attachment:${crypto.randomUUID()}`).toString('base64url'),
  };
  const nodeTypes = schema.getPossibleTypes(schema.getType('Node') as never).map((type) => type.name);
  expect(Object.keys(ids).sort()).toEqual(nodeTypes.sort());
  expect(new Set(Object.values(ids)).size).toBe(nodeTypes.length);

  // Ids of other programs, and fields that only services may set.
  const foreign = /^clientMessageId$|externalIds?$|^asUserId$|^ownerId$/i;
  const idNames = (field: (typeof mutations)[number]) =>
    inputNames(field).filter((name) => /Ids?$/.test(name) && !foreign.test(name));
  // Outgoing webhooks belong to services: webhooks.test.ts covers their ids.
  const mutations = fieldsOf('Mutation').filter(({ name }) => !isOfWebhooks(name));
  const withIds = mutations.filter((field) => idNames(field).length > 0);
  expect(withIds.length).toBeGreaterThan(15);
  for (const field of withIds) {
    const { query, variables } = operation('mutation', field);
    const names = idNames(field);
    for (const name of names) {
      const type = typeOf[name];
      if (type === undefined) throw new Error(`${field.name} accepts ${name}: but its type is unknown.`);
      const wrong = Object.entries(ids).flatMap(([other, id]) => (other === type ? [] : [id]));
      const right = ids[type] ?? '';
      for (const id of [...wrong, `${right}=`, right.toLowerCase(), '', 'junk', '\0']) {
        const value = name.endsWith('s') ? [id] : id;
        // All other ids of the input exist.
        const others = names.filter(
          (other) =>
            other !== name && (Object.hasOwn(variables['input'], other) || /^(chatroomId|userIds?)$/.test(other)),
        );
        const rest = Object.fromEntries(
          others.map((other) => [other, other.endsWith('s') ? [ids[typeOf[other] ?? '']] : ids[typeOf[other] ?? '']]),
        );
        const input = {
          ...variables['input'],
          ...(name === 'replyToId' || name === 'attachmentIds' ? { chatroomId: room } : rest),
          [name]: value,
        };
        expect(await outcomeFor(ann, query, { input }), `${field.name} of ${name} ${JSON.stringify(id)}`).toBe(
          field.name === 'sendSystemMessage' ? 'FORBIDDEN' : 'NOT_FOUND',
        );
      }
    }
  }
  // Nothing has changed.
  expect(
    (
      await ann.ask('query ($id: ID!) { chatroom(id: $id) { memberCount messages { nodes { body } } } }', {
        id: room,
      })
    ).chatroom,
  ).toEqual({
    memberCount: 2,
    messages: { nodes: [{ body: 'hello' }] },
  });
});
