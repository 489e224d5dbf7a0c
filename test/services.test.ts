import { expect, test } from 'vitest';
import { connect, request } from './support/client.ts';
import { startTestServer } from './support/server.ts';
import { backend, CREATE_ROOM, CREATE_TOKEN, REVOKE_TOKENS, SEND_AS, UPSERT } from './support/services.ts';

test('a backend takes an application from its users to the first message', async () => {
  const server = await startTestServer({ env: { SIGN_UP: 'off' } });
  const shop = await backend(server);
  const { users } = await shop.call(UPSERT, {
    users: [{ externalId: 'u1', username: 'ann', nickname: 'Ann' }, { externalId: 'u2' }],
  });
  expect(users).toMatchObject([
    { externalId: 'u1', username: 'ann', nickname: 'Ann' },
    { externalId: 'u2', username: expect.stringMatching(/^user-/) },
  ]);
  const room = { kind: 'GROUP', name: 'Order 7', externalId: 'o7', ownerExternalId: 'u1', memberExternalIds: ['u2'] };
  const { chatroom } = await shop.call(CREATE_ROOM, room);
  expect(chatroom).toMatchObject({ externalId: 'o7', memberCount: 2, owner: { externalId: 'u1' } });

  const { accessToken } = await shop.call(CREATE_TOKEN, { externalId: 'u2' });
  const socket = connect(server.url, accessToken);
  const stream = socket.subscribe(
    'subscription ($id: ID!) { messageAdded(chatroomId: $id) { message { body sender { username externalId } } } }',
    { id: chatroom.id },
  );
  await stream.ready();
  const sent = { chatroomExternalId: 'o7', asUserExternalId: 'u1', body: 'It is on its way.', clientMessageId: 'm1' };
  expect((await shop.call(SEND_AS, sent)).message).toMatchObject({ number: 1, sender: { externalId: 'u1' } });
  expect((await shop.call(SEND_AS, sent)).deduplicated).toBe(true);
  expect(await stream.next()).toEqual({
    message: { body: 'It is on its way.', sender: { username: 'ann', externalId: null } },
  });

  await shop.call(REVOKE_TOKENS, { externalId: 'u2' });
  expect(await socket.closed).toBe(4401);
  const { errors } = await request(
    server.url,
    '{ viewer { user { id } } }',
    {},
    { authorization: `Bearer ${accessToken}` },
  );
  expect(errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
});
