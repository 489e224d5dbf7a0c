import { expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { startTestServer } from './support/server.ts';
import { send, world } from './support/world.ts';

const LISTEN = 'subscription ($room: ID!) { messageAdded(chatroomId: $room) { message { body sender { username } } } }';
const READ = `query ($id: ID!, $after: String) {
  chatroom(id: $id) { lastMessage { body } messages(first: 5, after: $after) { nodes { cursor sender { username } } } }
  viewer { chatrooms(first: 20) { nodes { name lastMessage { body } } } } }`;
/** Number of calls. PostgreSQL chooses between both kinds of plans after five. */
const CALLS = 20;

test('frequent statements are planned once', async () => {
  // A single connection, so that its prepared statements are visible.
  const { node, url } = await startTestServer({ env: { DATABASE_POOL_SIZE: '1', SHARED_EXECUTION: 'on' } });
  const { ann, ben, room } = await world({ url });
  const stream = ben.connect().subscribe(LISTEN, { room });
  await stream.ready();
  for (let i = 0; i < CALLS; i += 1) {
    await send(i % 2 ? ann : ben, room, `${i}`);
    expect((await stream.next()).message.body).toBe(`${i}`);
    const { chatroom } = await ann.ask(READ, { id: room });
    await ann.ask(READ, { id: room, after: chatroom.messages.nodes[0].cursor });
  }
  const often = await node.database.query<{ statement: string; kept: boolean }>(sql`
    SELECT statement, generic_plans >= custom_plans AS kept FROM pg_prepared_statements
      WHERE generic_plans + custom_plans >= ${CALLS}`);
  expect(often.length).toBeGreaterThanOrEqual(6);
  expect(often.filter(({ kept }) => !kept)).toEqual([]);
});
