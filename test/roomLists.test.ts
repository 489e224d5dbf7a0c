import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { keyOf } from '../src/core/globalIds.ts';
import { sql } from '../src/platform/database/database.ts';
import { pruneLog } from '../src/delivery/roomLog.ts';
import type { Person, Stream } from './support/client.ts';
import { startTestServer, waitForPoll, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, send, world } from './support/world.ts';

const ROOMS = `query ($after: String) { viewer { cursor
  chatrooms(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } } }`;
const EVENTS = `subscription ($after: String) { viewerEvents(after: $after) {
  __typename
  ... on ChatroomAppeared { cursor chatroom { id } }
  ... on ChatroomVanished { cursor chatroomId reason }
  ... on UnreadChanged { cursor }
  ... on BlockChanged { cursor userId blocked }
} }`;
const HIDE = `mutation ($id: ID!) { deleteChatroom(input: { chatroomId: $id }) { deletedChatroomId } }`;
const blockCall = (name: 'blockUser' | 'unblockUser') =>
  `mutation ($id: ID!) { ${name}(input: { userId: $id }) { user { id } } }`;
const codeOf = (errors: unknown) => (errors as { extensions: { code: string } }[])[0]?.extensions.code;
const userKey = ({ id }: Person) => keyOf('User', id) ?? '';
const cursorOf = async (person: Person): Promise<string> => (await person.ask(ROOMS)).viewer.cursor;

/** Loads the viewer's room list, and a cursor that is not newer than the list. */
async function load(person: Person): Promise<{ rooms: Set<string>; cursor: string }> {
  const rooms = new Set<string>();
  let cursor: string | undefined;
  for (let after: string | null = null; ;) {
    const { viewer } = await person.ask(ROOMS, { after });
    cursor ??= viewer.cursor as string;
    for (const { id } of viewer.chatrooms.nodes) rooms.add(id);
    if (!viewer.chatrooms.pageInfo.hasNextPage) return { rooms, cursor };
    after = viewer.chatrooms.pageInfo.endCursor;
  }
}

/** Returns a client's list: the loaded rooms, updated by each event. */
function shown(rooms: ReadonlySet<string>, streams: Stream[]): string[] {
  const list = new Set(rooms);
  for (const event of streams.flatMap((stream) => stream.received)) {
    if (event.__typename === 'ChatroomAppeared') list.add(event.chatroom.id);
    if (event.__typename === 'ChatroomVanished') list.delete(event.chatroomId);
  }
  return [...list].sort();
}

async function expectTrue(ann: Person, rooms: ReadonlySet<string>, streams: Stream[]): Promise<void> {
  await expect.poll(() => shown(rooms, streams), { timeout: 10_000 }).toEqual([...(await load(ann)).rooms].sort());
}

/** An action that changes whether a room is in ann's list. It is done in SQL, so that a transaction can stay open. */
interface Deed {
  name: string;
  kind: 'GROUP' | 'OPEN' | 'DIRECT';
  isMember?: boolean;
  /** For a DIRECT room: the message number at which ann hid it. */
  hiddenAt?: number;
  sql: (room: string, ann: string, ben: string) => string;
}

const leave = (room: string, ann: string) => `SELECT leave_chatroom('${room}', '${ann}')`;
const join = (room: string, ann: string) => `SELECT join_chatroom('${room}', '${ann}')`;
const say = (room: string) => `SELECT append_system_message('${room}', 'NOTICE', NULL, 'hello')`;
const hide = (room: string, ann: string) => `SELECT delete_chatroom('${room}', '${ann}')`;
const show = (room: string, ann: string) =>
  `UPDATE members SET hidden_at_number = NULL WHERE chatroom_id = '${room}' AND user_id = '${ann}'`;

const deeds: Deed[] = [
  { name: 'add', kind: 'GROUP', sql: (r, a, b) => `SELECT add_members('${r}', '${b}', ARRAY['${a}']::uuid[])` },
  { name: 'join', kind: 'OPEN', sql: join },
  { name: 'leave', kind: 'OPEN', isMember: true, sql: leave },
  { name: 'leave and join', kind: 'OPEN', isMember: true, sql: (r, a) => `${leave(r, a)}; ${join(r, a)}` },
  { name: 'join and leave', kind: 'OPEN', sql: (r, a) => `${join(r, a)}; ${leave(r, a)}` },
  { name: 'remove', kind: 'GROUP', isMember: true, sql: (r, a, b) => `SELECT remove_member('${r}', '${b}', '${a}')` },
  { name: 'delete', kind: 'GROUP', isMember: true, sql: (r, _a, b) => `SELECT delete_chatroom('${r}', '${b}')` },
  { name: 'hide', kind: 'DIRECT', sql: hide },
  { name: 'show', kind: 'DIRECT', hiddenAt: 1, sql: show },
  { name: 'open', kind: 'DIRECT', hiddenAt: 1, sql: say },
  { name: 'open and hide', kind: 'DIRECT', hiddenAt: 1, sql: (r, a) => `${say(r)}; ${hide(r, a)}` },
  { name: 'hide and open', kind: 'DIRECT', sql: (r, a) => `${hide(r, a)}; ${say(r)}` },
];

/** Moments of a client's start. An action begins at one moment, and is committed at that moment or a later one. */
const MOMENTS = ['before the query', 'after the query', 'while the subscription starts', 'live'] as const;

async function openClient({ databaseUrl }: TestServer): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

/** Creates a transaction with every action for each pair of moments, each on separate rooms. */
async function prepare(server: TestServer, ann: Person, ben: Person) {
  const setUp = await openClient(server);
  const [annKey, benKey] = [userKey(ann), userKey(ben)];
  let users = 0;
  async function makeRoom({ kind, isMember = false, hiddenAt }: Deed): Promise<string> {
    let owner = benKey;
    if (kind === 'DIRECT') {
      const name = `other${(users += 1)}_${crypto.randomUUID().slice(0, 8)}`;
      const { rows } = await setUp.query<{ id: string }>(
        `INSERT INTO users (username, username_key, nickname, nickname_key) VALUES ($1, $1, $1, $1) RETURNING id`,
        [name],
      );
      owner = rows[0]?.id ?? '';
    }
    const { rows } = await setUp.query<{ id: string }>(
      `SELECT create_chatroom($1::"ChatroomKind", $2, NULL, $3, $4, $5) AS id`,
      [
        kind,
        kind === 'OPEN' ? 'Open' : null,
        kind === 'DIRECT' ? [owner, annKey].sort().join(':') : null,
        owner,
        kind === 'DIRECT' || isMember ? [annKey] : [],
      ],
    );
    const room = rows[0]?.id ?? '';
    if (kind === 'DIRECT') {
      await setUp.query(say(room));
      await setUp.query(`UPDATE members SET hidden_at_number = $3 WHERE chatroom_id = $1 AND user_id = $2`, [
        ...[room, annKey],
        hiddenAt ?? null,
      ]);
    }
    return room;
  }

  const transactions: { begins: number; ends: number; client: pg.Client; statements: string[] }[] = [];
  for (const begins of MOMENTS.keys()) {
    for (const ends of MOMENTS.keys()) {
      if (ends < begins) continue;
      const statements = [];
      for (const deed of deeds) statements.push(deed.sql(await makeRoom(deed), annKey, benKey));
      transactions.push({ begins, ends, client: await openClient(server), statements });
    }
  }
  return {
    /** Begins and commits the transactions that are due at a moment. */
    async reach(moment: (typeof MOMENTS)[number]): Promise<void> {
      const now = MOMENTS.indexOf(moment);
      for (const { begins, client, statements } of transactions) {
        if (begins !== now) continue;
        await client.query('BEGIN');
        for (const statement of statements) await client.query(statement);
      }
      for (const { ends, client } of transactions) if (ends === now) await client.query('COMMIT');
    },
  };
}

describe('viewerEvents after a cursor', () => {
  test('a list started at any moment matches the server’s list', { timeout: 60_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const changes = await prepare(server, ann, ben);
    await changes.reach('before the query');
    const { rooms, cursor } = await load(ann);
    await changes.reach('after the query');
    const stream = ann.connect().subscribe(EVENTS, { after: cursor });
    await changes.reach('while the subscription starts');
    await stream.ready();
    await changes.reach('live');
    await expectTrue(ann, rooms, [stream]);
    // Later events must not change the result.
    await waitForPoll(server);
    await send(
      ben,
      (await ben.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ann.id] } })).createChatroom.chatroom.id,
      'last',
    );
    await expectTrue(ann, rooms, [stream]);
  });

  test('a stream that was cut resumes after its last event', { timeout: 60_000 }, async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const changes = await prepare(server, ann, ben);
    await changes.reach('before the query');
    const { rooms, cursor } = await load(ann);
    const connection = ann.connect();
    const stream = connection.subscribe(EVENTS, { after: cursor });
    await ben.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ann.id, eve.id] } });
    await stream.next();
    connection.cut();
    await connection.closed;
    await changes.reach('after the query');
    const resumed = ann.connect().subscribe(EVENTS, { after: stream.received.at(-1)?.cursor ?? cursor });
    await changes.reach('while the subscription starts');
    await resumed.ready();
    await changes.reach('live');
    await expectTrue(ann, rooms, [stream, resumed]);
  });

  test('a DIRECT room without messages does not appear for the other member', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const { cursor } = await load(ann);
    const direct = { kind: 'DIRECT', memberIds: [ann.id] };
    const { createChatroom } = await ben.ask(CREATE_CHATROOM, { input: direct });
    const stream = ann.connect().subscribe(EVENTS, { after: cursor });
    await stream.ready();
    await ben.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ann.id] } });
    await expect.poll(() => stream.received.map(({ __typename }) => __typename)).toContain('ChatroomAppeared');
    expect(stream.received.flatMap((event) => [event.chatroom?.id, event.chatroomId])).not.toContain(
      createChatroom.chatroom.id,
    );
  });

  test('a room that vanished before the start reports why', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const make = async (kind: string) =>
      (await ann.ask(CREATE_CHATROOM, { input: { kind, memberIds: [ben.id] } })).createChatroom.chatroom.id as string;
    const rooms = {
      REMOVED: room,
      LEFT: await make('GROUP'),
      DELETED: await make('GROUP'),
      HIDDEN: await make('DIRECT'),
    };
    await send(ann, rooms.HIDDEN, 'hello');
    const { cursor } = await load(ben);
    await ann.ask(
      `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { __typename } }`,
      { id: rooms.REMOVED, user: ben.id },
    );
    await ben.ask(`mutation ($id: ID!) { leaveChatroom(input: { chatroomId: $id }) { chatroomId } }`, {
      id: rooms.LEFT,
    });
    await ann.ask(HIDE, { id: rooms.DELETED });
    await ben.ask(HIDE, { id: rooms.HIDDEN });
    const events = await ben.connect().subscribe(EVENTS, { after: cursor }).take(4);
    expect(Object.fromEntries(events.map(({ reason, chatroomId }) => [reason, chatroomId]))).toEqual(rooms);
  });

  test('hiding and showing a DIRECT room reaches the viewer’s other devices', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const direct = { input: { kind: 'DIRECT', memberIds: [ben.id] } };
    const { id } = (await ann.ask(CREATE_CHATROOM, direct)).createChatroom.chatroom;
    await send(ben, id, 'hello');
    const stream = ann.connect().subscribe(EVENTS);
    await stream.ready();
    await ann.ask(HIDE, { id });
    expect(await stream.next()).toMatchObject({ __typename: 'ChatroomVanished', chatroomId: id });
    await ann.ask(CREATE_CHATROOM, direct);
    expect(await stream.next()).toMatchObject({ __typename: 'ChatroomAppeared', chatroom: { id } });
  });

  test('a block that changed since the cursor reaches the blocker only', async () => {
    const server = await startTestServer();
    const { ann, ben, eve } = await world(server);
    await ann.ask(blockCall('blockUser'), { id: eve.id });
    const [cursor, ofBen] = [await cursorOf(ann), await cursorOf(ben)];
    const other = await openClient(server);
    await other.query('BEGIN');
    await other.query('INSERT INTO blocks (blocker_id, blocked_id) VALUES ($1, $2)', [userKey(ann), userKey(ben)]);
    await ann.ask(blockCall('unblockUser'), { id: eve.id });
    // The change of eve's block is older than this cursor. The block of ben is committed after it.
    const later = await cursorOf(ann);
    await other.query('COMMIT');
    const replay = async (person: Person, after: string) => {
      const stream = person.connect().subscribe(EVENTS, { after });
      await stream.ready();
      await eve.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [person.id] } });
      while ((await stream.next()).__typename !== 'ChatroomAppeared');
      const blocks = stream.received.filter(({ __typename }) => __typename === 'BlockChanged');
      return Object.fromEntries(blocks.map(({ userId, blocked }) => [userId, blocked]));
    };
    expect(await replay(ann, cursor)).toEqual({ [ben.id]: true, [eve.id]: false });
    expect(await replay(ann, later)).toEqual({ [ben.id]: true });
    expect(await replay(ben, ofBen)).toEqual({});
  });

  test('an outdated cursor or one of another kind is refused', async () => {
    const server = await startTestServer();
    const { ann, ben, room } = await world(server);
    const refusal = async (after: string) => codeOf(await ann.connect().subscribe(EVENTS, { after }).ended);
    const [old, other] = [await cursorOf(ann), await cursorOf(ben)];
    const { chatroom } = await ann.ask(`query ($id: ID!) { chatroom(id: $id) { cursor } }`, { id: room });
    expect(await refusal(chatroom.cursor)).toBe('BAD_USER_INPUT');
    expect(await refusal('junk')).toBe('BAD_USER_INPUT');
    await ben.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ann.id] } });
    const { database } = server.node;
    // While an older transaction is open in any database of the cluster, a cursor counts as older than the change.
    const isSettled = () =>
      database.query(sql`
        SELECT pg_snapshot_xmin(pg_current_snapshot()) > max(xid) AS settled FROM membership_changes`);
    await expect.poll(isSettled).toEqual([{ settled: true }]);
    const now = await cursorOf(ann);
    await database.query(sql`UPDATE membership_changes SET created_at = now() - interval '31 days'`);
    await pruneLog(database, 30);
    expect([await refusal(old), await refusal(other)]).toEqual(['RESYNC_REQUIRED', 'RESYNC_REQUIRED']);
    expect(await database.query(sql`SELECT user_id FROM membership_changes`)).toEqual([{ user_id: null }]);
    // This cursor is newer than everything that was pruned.
    const stream = ann.connect().subscribe(EVENTS, { after: now });
    await stream.ready();
    await send(ben, room, 'hello');
    expect((await stream.next()).__typename).toBe('UnreadChanged');
  });

  test('nothing remains of a deleted user', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const { database } = server.node;
    for (const name of ['blockUser', 'unblockUser', 'blockUser'] as const)
      await ann.ask(blockCall(name), { id: ben.id });
    await database.query(sql`DELETE FROM users WHERE id = ${userKey(ben)}::uuid`);
    const users = await database.query(sql`
      SELECT DISTINCT user_id, other_id FROM membership_changes WHERE user_id IS NOT NULL`);
    expect(users).toEqual([{ user_id: userKey(ann), other_id: null }]);
  });

  test('one statement finds the changes of all rooms', async () => {
    const server = await startTestServer();
    const { ann, ben } = await world(server);
    const { cursor } = await load(ann);
    for (let i = 0; i < 10; i += 1) await ben.ask(CREATE_CHATROOM, { input: { kind: 'GROUP', memberIds: [ann.id] } });
    server.statements();
    const stream = ann.connect().subscribe(EVENTS, { after: cursor });
    await expect
      .poll(() => stream.received.filter(({ __typename }) => __typename === 'ChatroomAppeared').length)
      .toBe(10);
    expect(server.statements().filter((text) => text.includes('membership_changes'))).toHaveLength(1);
  });
});
