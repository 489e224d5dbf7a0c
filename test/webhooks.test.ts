import { expect, test } from 'vitest';
import { startTestServer } from './support/server.ts';
import { ALLOW, bodiesOf, openShop, SHORT, startReceiver } from './support/webhooks.ts';
import { send, world } from './support/world.ts';

test('a message arrives signed, with the default document', async () => {
  const server = await startTestServer({ env: ALLOW, webhooks: SHORT });
  const { ann, room } = await world(server);
  const [shop, receiver] = [await openShop(server), await startReceiver()];
  await send(ann, room, 'before');
  await shop.create(receiver);
  const { id } = await send(ann, room, 'hello');
  await expect.poll(() => bodiesOf(receiver)).toEqual(['hello']);
  expect(receiver.invalid).toEqual([]);
  const [received] = receiver.received;
  expect(received?.id).toBe(`${room}:${received?.body.data.chatroomEvents.seq}`);
  expect(received?.body.data.chatroomEvents).toMatchObject({
    __typename: 'MessageAdded',
    chatroom: { id: room, name: 'A room' },
    message: { id, body: 'hello', sender: { username: 'ann' } },
  });
});
