import { getNamedType, isObjectType } from 'graphql';
import { expect, test } from 'vitest';
import { grantAdmin } from '../src/auth/admins.ts';
import { storeFriendships, storeUsers } from '../src/cli/import/bulkInsert.ts';
import { derivedId, keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { bearer, request, signUp } from './support/client.ts';
import { schema } from './support/operations.ts';
import { ADD, createRoom } from './support/rooms.ts';
import { startTestServer } from './support/server.ts';
import { send } from './support/world.ts';

/** Documents that select a field of each type that has lists. */
const documents: Record<string, (field: string) => string> = {
  Query: (field) =>
    `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } of: node(id: $message) { id } ${field} }`,
  Admin: (field) =>
    `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } of: node(id: $message) { id } admin { ${field} } }`,
  Viewer: (field) =>
    `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } of: node(id: $message) { id } viewer { ${field} } }`,
  Chatroom: (field) =>
    `query ($room: ID!, $message: ID!) { of: node(id: $message) { id } chatroom(id: $room) { ${field} } }`,
  Message: (field) =>
    `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } node(id: $message) { ... on Message { ${field} } } }`,
  ReactionGroup: (field) =>
    `query ($room: ID!, $message: ID!) { at: chatroom(id: $room) { id } node(id: $message) { ... on Message { reactions { ${field} } } } }`,
};
const lists = Object.values(schema.getTypeMap()).flatMap((type) =>
  isObjectType(type) && !type.name.startsWith('__')
    ? Object.values(type.getFields()).flatMap((field) =>
        getNamedType(field.type).name.endsWith('Connection') ? [[type.name, field] as const] : [],
      )
    : [],
);

/** Creates ann with at least 25 items in every list. */
async function worldWithLists() {
  const server = await startTestServer();
  const { database } = server.node;
  const ann = await signUp(server.url, 'ann');
  const me = keyOf('User', ann.id) ?? '';
  const crowd = (name: string) =>
    Array.from({ length: 25 }, (_, i) => ({
      id: derivedId('connections', `${name} ${i}`),
      name: `${name}${i}`,
      suffix: 'x',
    }));
  const [friends, asking, blocked] = [crowd('friend'), crowd('asking'), crowd('blocked')];
  await storeUsers(database, [...friends, ...asking, ...blocked]);
  await storeFriendships(
    database,
    friends.map(({ id }) => [me, id] as const),
  );
  await database.prisma.friendRequest.createMany({ data: asking.map(({ id }) => ({ fromId: id, toId: me })) });
  await database.prisma.block.createMany({ data: blocked.map(({ id }) => ({ blockerId: me, blockedId: id })) });
  await database.prisma.session.createMany({ data: asking.map(() => ({ userId: me })) });
  let room = '';
  for (let i = 0; i < 25; i += 1) room = await createRoom(ann, { kind: 'OPEN', name: `Room ${i}` });
  await ann.ask(ADD, { id: room, users: friends.map(({ id }) => Buffer.from(`User:${id}`).toString('base64url')) });
  for (let i = 0; i < 25; i += 1) await send(ann, room, `word ${i}`);
  const { id: message } = await send(ann, room, 'word for all');
  await database.query(sql`
    INSERT INTO attachments (user_id, state, file_name, media_type, byte_size, sha256, chatroom_id, number, place)
      SELECT ${me}::uuid, 'READY', 'a.txt', 'text/plain', 1, sha256('a'), m.chatroom_id, m.number, 1 FROM messages m
        WHERE m.chatroom_id = ${keyOf('Chatroom', room)}::uuid`);
  await database.query(sql`UPDATE members SET last_read_number = 1000 WHERE user_id <> ${me}::uuid`);
  await database.query(sql`
    INSERT INTO reactions (chatroom_id, number, user_id, emoji)
      SELECT m.chatroom_id, c.last_number, m.user_id, '👍' FROM members m JOIN chatrooms c ON c.id = m.chatroom_id
        WHERE c.id = ${keyOf('Chatroom', room)}::uuid AND m.user_id <> ${me}::uuid`);
  await grantAdmin(database, me);
  await database.query(sql`
    INSERT INTO audit_entries (actor_id, actor_name, action, reason)
      SELECT ${me}::uuid, 'ann', 'adminEndSessions', 'reason ' || i FROM generate_series(1, 25) i`);
  return { ann, variables: { room, message } };
}

test('every list follows the Relay cursor specification', { timeout: 60_000 }, async () => {
  const { ann, variables } = await worldWithLists();
  expect(lists.map(([type, { name }]) => `${type}.${name}`).sort()).toEqual([
    ...['Admin.auditEntries', 'Admin.chatrooms', 'Admin.users'],
    ...[
      'Chatroom.attachments',
      'Chatroom.members',
      'Chatroom.messages',
      'Chatroom.searchMessages',
      'Message.seenBy',
      'Query.openChatrooms',
      'Query.users',
      'ReactionGroup.users',
    ],
    ...[
      'Viewer.blockedUsers',
      'Viewer.chatrooms',
      'Viewer.friendRequests',
      'Viewer.friends',
      'Viewer.searchMessages',
      'Viewer.sessions',
    ],
  ]);
  for (const [type, { name }] of lists) {
    const listed = `${type}.${name}`;
    const documentFor = (args: object) => {
      const all = { ...(name === 'searchMessages' ? { query: 'word' } : {}), ...args };
      const passed = Object.entries(all)
        .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
        .join(', ');
      return (
        documents[type]?.(
          `list: ${name}${passed && `(${passed})`} { edges { cursor node { __typename id } } nodes { id } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } }`,
        ) ?? ''
      );
    };
    const ask = async (args: object) => {
      const data = await ann.ask(documentFor(args), variables);
      return (data.list ??
        data.viewer?.list ??
        data.admin?.list ??
        data.chatroom?.list ??
        data.node?.list ??
        data.node?.reactions[0].list) as {
        edges: { cursor: string; node: { id: string } }[];
        nodes: { id: string }[];
        pageInfo: { startCursor: string; endCursor: string; hasNextPage: boolean; hasPreviousPage: boolean };
      };
    };
    const byDefault = await ask({});
    expect(byDefault.nodes.length, listed).toBe(20);
    expect(byDefault.edges.map(({ node }) => node.id)).toEqual(byDefault.nodes.map(({ id }) => id));
    expect(byDefault.pageInfo, listed).toEqual({
      ...{ startCursor: byDefault.edges[0]?.cursor, endCursor: byDefault.edges[19]?.cursor },
      ...{ hasNextPage: true, hasPreviousPage: false },
    });
    const whole = (await ask({ first: 100 })).nodes.map(({ id }) => id);
    expect(whole.length, listed).toBeGreaterThanOrEqual(25);
    expect(new Set(whole).size).toBe(whole.length);
    const forwards: string[] = [];
    for (let after: string | undefined, more = true; more;) {
      const { nodes, pageInfo } = await ask({ first: 7, ...(after === undefined ? {} : { after }) });
      forwards.push(...nodes.map(({ id }) => id));
      ({ endCursor: after, hasNextPage: more } = pageInfo);
    }
    const backwards: string[] = [];
    for (let before: string | undefined, more = true; more;) {
      const { nodes, pageInfo } = await ask({ last: 7, ...(before === undefined ? {} : { before }) });
      backwards.unshift(...nodes.map(({ id }) => id));
      ({ startCursor: before, hasPreviousPage: more } = pageInfo);
    }
    expect([forwards, backwards], listed).toEqual([whole, whole]);
    for (const [path, args] of [
      ...([0, -1, 101].flatMap((size) => [
        ['first', { first: size }],
        ['last', { last: size }],
      ]) as [string, object][]),
      ['last', { first: 1, last: 1 }],
      ['after', { after: 'junk' }],
      ['before', { before: 'junk' }],
      ['after', { after: '' }],
      // A cursor of another list.
      [
        'after',
        {
          after:
            name === 'members'
              ? (await ann.ask('{ users { edges { cursor } } }')).users.edges[0].cursor
              : 'WyJtZW1iZXJzIiwiMjAyNi0wMS0wMVQwMDowMDowMC4wMDBaIiwieCJd',
        },
      ],
    ] as [string, object][]) {
      const { errors } = await request(ann.url, documentFor(args), variables, bearer(ann));
      expect(errors?.[0]?.extensions, `${listed} ${JSON.stringify(args)}`).toEqual({
        code: 'BAD_USER_INPUT',
        path: [path],
      });
    }
  }
});
