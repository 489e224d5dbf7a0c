import { describe, expect, test } from 'vitest';
import { sql } from '../src/platform/database/database.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { type Person, signUp } from './support/client.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const TITLES = '{ viewer { chatrooms(first: 100) { nodes { id title } } } }';
const LIST = `query ($filter: ChatroomFilter, $first: Int, $after: String, $last: Int, $before: String) {
  viewer { chatrooms(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
    nodes { id title } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { viewer { id } } }`;
const NICKNAME = `mutation ($nickname: String) { updateProfile(input: { nickname: $nickname }) { viewer { id } } }`;
const RENAME = `mutation ($id: ID!, $name: String) { updateChatroom(input: { chatroomId: $id, name: $name }) { chatroom { title } } }`;

const make = async (person: Person, input: object): Promise<string> =>
  (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
const list = async (person: Person, variables: object) => (await person.ask(LIST, variables)).viewer.chatrooms;
const titles = async (person: Person, filter: object): Promise<string[]> =>
  (await list(person, { filter, first: 100 })).nodes.map(({ title }: { title: string }) => title).sort();

async function titleOf(person: Person, id: string): Promise<string | null> {
  return (await person.ask('query ($id: ID!) { chatroom(id: $id) { title } }', { id })).chatroom.title;
}

describe('Chatroom.title', () => {
  test('is the name, the other DIRECT member, or a member list', async () => {
    const server = await startTestServer();
    const { ann, ben, eve, room } = await world(server);
    await ben.ask(NICKNAME, { nickname: 'Benjamin' });
    const direct = await make(ann, { kind: 'DIRECT', memberIds: [ben.id] });
    const group = await make(ann, { kind: 'GROUP', memberIds: [ben.id, eve.id] });
    const alone = await make(ann, { kind: 'GROUP' });
    const open = await make(eve, { kind: 'OPEN', name: 'Square' });
    expect(await titleOf(ann, room)).toBe('A room');
    expect(await titleOf(ann, direct)).toBe('Benjamin');
    expect(await titleOf(ben, direct)).toBe('ann');
    expect((await titleOf(ann, group))?.split(', ').sort()).toEqual(['Benjamin', 'eve']);
    expect((await titleOf(eve, group))?.split(', ').sort()).toEqual(['Benjamin', 'ann']);
    expect(await titleOf(ann, alone)).toBeNull();
    expect(await titleOf(ann, open)).toBe('Square');
    expect((await ann.ask(RENAME, { id: group, name: 'Trio' })).updateChatroom.chatroom.title).toBe('Trio');
  });

  test('names at most five members, with one statement for all rooms', async () => {
    const server = await startTestServer();
    const { ann } = await world(server);
    const others = await Promise.all(Array.from({ length: 7 }, (_, i) => signUp(server.url, `friend${i}`)));
    const ids = others.map(({ id }) => id);
    const large = await make(ann, { kind: 'GROUP', memberIds: ids });
    expect(await titleOf(ann, large)).toMatch(/^(friend\d, ){5}…$/);
    server.statements();
    await ann.ask(TITLES);
    const few = server.statements().length;
    for (const id of ids) await make(ann, { kind: 'GROUP', memberIds: [id, ...ids.slice(0, 2)] });
    for (const id of ids) await make(ann, { kind: 'DIRECT', memberIds: [id] });
    server.statements();
    expect((await ann.ask(TITLES)).viewer.chatrooms.nodes).toHaveLength(16);
    expect(server.statements()).toHaveLength(few);
  });
});

describe('Viewer.chatrooms with a filter', () => {
  test('lists rooms of one kind, with or without unread messages', async () => {
    const { ann, ben, eve, room } = await namedRooms();
    await send(ben, room, 'hello');
    expect(await titles(ann, { kind: 'DIRECT' })).toEqual(['ben']);
    expect(await titles(ann, { kind: 'OPEN' })).toEqual(['50% off_', 'ПРИВЕТ']);
    expect(await titles(ann, { unread: true })).toEqual(['A room']);
    expect(await titles(ann, { unread: false })).toHaveLength(5);
    expect(await titles(ann, { unread: true, kind: 'OPEN' })).toEqual([]);
    expect(await titles(ann, {})).toHaveLength(6);
    expect(await titles(eve, { unread: true })).toEqual([]);
    const message = await send(ben, room, 'again');
    await ann.ask(READ, { id: message.id });
    expect(await titles(ann, { unread: true })).toEqual([]);
  });

  test('ignores case and width, and treats wildcards as text', async () => {
    const { ann } = await namedRooms();
    expect(await titles(ann, { name: 'ROOM' })).toEqual(['A room']);
    expect(await titles(ann, { name: 'ｒｏｏｍ ' })).toEqual(['A room']);
    expect(await titles(ann, { name: 'привет' })).toEqual(['ПРИВЕТ']);
    expect(await titles(ann, { name: 'straSSe' })).toEqual(['Straße']);
    expect(await titles(ann, { name: 'BEN' })).toEqual(['ben', 'ben, eve']);
    expect(await titles(ann, { name: '%' })).toEqual(['50% off_']);
    expect(await titles(ann, { name: '_' })).toEqual(['50% off_']);
    expect(await titles(ann, { name: '\\' })).toEqual([]);
    expect(await titles(ann, { name: '  ' })).toHaveLength(6);
    expect(await ann.askForErrorCode(LIST, { filter: { name: 'x'.repeat(101) } })).toBe('BAD_USER_INPUT');
    expect(await ann.askForErrorCode(LIST, { filter: { name: 'a\0' } })).toBe('BAD_USER_INPUT');
  });

  test('finds a renamed room by its new name, even while locked', async () => {
    const { server, ann, room } = await namedRooms();
    expect(await titles(ann, { name: 'a room' })).toEqual(['A room']);
    await ann.ask(RENAME, { id: room, name: 'Harbour' });
    await server.node.database.transaction(async (query) => {
      await query(sql`SELECT FROM chatrooms WHERE id = ${keyOf('Chatroom', room)}::uuid FOR NO KEY UPDATE`);
      expect(await titles(ann, { name: 'harb' })).toEqual(['Harbour']);
    });
    expect(await titles(ann, { name: 'a room' })).toEqual([]);
    expect(await titles(ann, { name: 'harb' })).toEqual(['Harbour']);
  });

  test('pages in both directions without a gap', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    await makeMany(server, ann, ben, 30);
    const filter = { name: 'even' };
    const forwards: string[] = [];
    for (let after: string | null = null, more = true; more;) {
      const { nodes, pageInfo } = await list(ann, { filter, first: 4, after });
      forwards.push(...nodes.map(({ title }: { title: string }) => title));
      ({ endCursor: after, hasNextPage: more } = pageInfo);
    }
    expect(forwards).toEqual(Array.from({ length: 15 }, (_, i) => `even ${28 - 2 * i}`));
    const { nodes, pageInfo } = await list(ann, { filter, last: 3 });
    expect(nodes.map(({ title }: { title: string }) => title)).toEqual(['even 4', 'even 2', 'even 0']);
    const before = await list(ann, { filter, last: 3, before: pageInfo.startCursor });
    expect(before.nodes.map(({ title }: { title: string }) => title)).toEqual(['even 10', 'even 8', 'even 6']);
    // A cursor is a position among all rooms, whatever the filter.
    const odd = await list(ann, { filter: { name: 'odd' }, first: 2, after: before.pageInfo.endCursor });
    expect(odd.nodes.map(({ title }: { title: string }) => title)).toEqual(['odd 5', 'odd 3']);
  });
});

/** Creates ann with six rooms, of every kind. */
async function namedRooms() {
  const server = await startTestServer();
  const { ann, ben, eve, room } = await world(server);
  await make(ann, { kind: 'DIRECT', memberIds: [ben.id] });
  await make(ann, { kind: 'OPEN', name: 'ПРИВЕТ' });
  await make(ann, { kind: 'OPEN', name: '50% off_' });
  await make(ann, { kind: 'GROUP', name: 'Straße' });
  const group = await make(ann, { kind: 'GROUP', memberIds: [ben.id] });
  const ADD = `mutation ($id: ID!, $user: ID!) { addChatroomMembers(input: { chatroomId: $id, userIds: [$user] }) { chatroom { id } } }`;
  await ann.ask(ADD, { id: group, user: eve.id });
  return { server, ann, ben, eve, room };
}

async function makeMany({ node }: TestServer, ann: Person, ben: Person, count: number): Promise<void> {
  await node.database.query(sql`
    WITH made AS (
      INSERT INTO chatrooms (kind, name, owner_id, active_at)
        SELECT 'GROUP', CASE WHEN i % 2 = 0 THEN 'even ' ELSE 'odd ' END || i, ${keyOf('User', ann.id)}::uuid,
               now() - make_interval(secs => 1000 - i)
          FROM generate_series(0, ${count - 1}::int) i RETURNING id
    )
    INSERT INTO members (chatroom_id, user_id)
      SELECT made.id, u.id FROM made, unnest(${[keyOf('User', ann.id), keyOf('User', ben.id)]}::uuid[]) u (id)`);
}
