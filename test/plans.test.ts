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

test('sending reads no table as a whole after the tables have been analyzed', async () => {
  // A single connection, which reports its own scans.
  const { node, url } = await startTestServer({ env: { DATABASE_POOL_SIZE: '1' } });
  const { ann, room } = await world({ url });
  await node.database.query(sql`
    INSERT INTO users (id, username, username_key, nickname, nickname_key)
      SELECT gen_random_uuid(), name, name, name, name FROM (SELECT 'user' || n FROM generate_series(1, 5000) n) u (name)`);
  await node.database.query(sql`ANALYZE`);
  const countRowsOfScans = async () => {
    await node.database.query(sql`SELECT pg_stat_force_next_flush()`);
    const [found] = await node.database.query<{ rows: number }>(
      sql`SELECT seq_tup_read::int AS rows FROM pg_stat_user_tables WHERE relname = 'users'`,
    );
    return found?.rows;
  };
  const before = await countRowsOfScans();
  await send(ann, room, 'hello');
  expect(await countRowsOfScans()).toBe(before);
});

test('PostgreSQL does not expect 1,000 rows of a function that returns one', async () => {
  const { node } = await startTestServer();
  const expected = await node.database.query(sql`
    SELECT p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
      WHERE p.pronamespace = current_schema()::regnamespace AND l.lanname = 'plpgsql' AND p.proretset AND p.prorows = 1000`);
  // A migration that creates such a function again must end with `ROWS 1`.
  expect(expected).toEqual([]);
});
