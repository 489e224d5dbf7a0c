import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startSession } from '../src/auth/sessions.ts';
import { type Database, sql, type Sql } from '../src/platform/database/database.ts';
import { exportChatroom, exportUser } from '../src/cli/export/export.ts';
import { exportedChatroom, exportedUser } from '../src/cli/export/exportFormat.ts';
import { keyOf } from '../src/core/globalIds.ts';
import { importPath } from '../src/cli/import/importPath.ts';
import { storeMessages } from '../src/cli/import/bulkInsert.ts';
import { createContext } from '../src/graphql/operation.ts';
import { createProgress } from '../src/cli/progressBar.ts';
import { PASSWORD, type Person, request, signUp } from './support/client.ts';
import { createDataDir, runCommand } from './support/process.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { CREATE_CHATROOM, MESSAGE_ADDED, SEND, send, world } from './support/world.ts';

const ADD = `mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }`;
const REMOVE = `mutation ($id: ID!, $user: ID!) { removeChatroomMember(input: { chatroomId: $id, userId: $user }) { chatroom { id } } }`;
const RANK = `mutation ($id: ID!, $user: ID!, $role: MemberRole!) { setMemberRole(input: { chatroomId: $id, userId: $user, role: $role }) { chatroom { id } } }`;
const UPDATE = `mutation ($input: UpdateChatroomInput!) { updateChatroom(input: $input) { chatroom { id } } }`;
const EDIT = `mutation ($id: ID!, $body: String!) { editMessage(input: { messageId: $id, body: $body }) { message { id } } }`;
const DELETE = `mutation ($id: ID!) { deleteMessage(input: { messageId: $id }) { message { id } } }`;
const REACT = `mutation ($id: ID!, $emoji: String!) { addReaction(input: { messageId: $id, emoji: $emoji }) { message { id } } }`;
const READ = `mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }`;
const FRIEND = `mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }`;
const BLOCK = `mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }`;
const PROFILE = `mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { viewer { id } } }`;
const DELETE_ACCOUNT = `mutation { deleteAccount(input: { password: "${PASSWORD}" }) { ok } }`;

const quiet = createProgress({ isTTY: false, write: () => true });
const working = ({ node }: TestServer) => ({ database: node.database, passwords: node.passwords, progress: quiet });

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parley-export-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

async function direct(person: Person, other: Person): Promise<string> {
  const input = { kind: 'DIRECT', memberIds: [other.id] };
  return (await person.ask(CREATE_CHATROOM, { input })).createChatroom.chatroom.id;
}

/** Signs in an imported user at the server of the import. Imported users have no password there. */
async function arrived(there: TestServer, person: Person): Promise<Person> {
  const context = await createContext(there.node, { authorization: undefined });
  const { accessToken } = await startSession(context, { id: keyOf('User', person.id) ?? '', passwordHash: null });
  return person.at(there.url).on({ accessToken });
}

/** Reads the export of a room from its file. */
const readRoom = async (file: string) => exportedChatroom.parse(JSON.parse(await readFile(file, 'utf8')));
const readUser = async (file: string) => exportedUser.parse(JSON.parse(await readFile(file, 'utf8')));

/** Creates a room with every kind of change that a message can have, and with a deleted account. */
async function livelyRoom() {
  const server = await startTestServer();
  const { ann, ben, eve, room } = await world(server);
  const cem = await signUp(server.url, 'cem-of-the-name-of-32-characters');
  await ann.ask(ADD, { id: room, users: [cem.id] });
  const question = await send(ann, room, 'Who comes?\n“Quotes”, \\backslashes\\, \u2028 and 👨‍👩‍👧', {
    clientMessageId: 'a 1',
  });
  const answer = await send(ben, room, ' 私です ', { replyToId: question.id, clientMessageId: 'b 1' });
  for (const [person, emoji] of [
    [cem, '👍'],
    [ann, '🎉'],
    [ben, '👍'],
    [ann, '👍'],
  ] as const)
    await person.ask(REACT, { id: answer.id, emoji });
  await ann.ask(EDIT, { id: question.id, body: 'Who comes on Friday?' });
  await cem.ask(DELETE, await send(cem, room, 'never mind', { clientMessageId: 'c 1' }));
  await ann.ask(RANK, { id: room, user: ben.id, role: 'ADMIN' });
  await ann.ask(UPDATE, { input: { chatroomId: room, name: 'The "garden"', topic: 'Öffnungszeiten' } });
  await ann.ask(ADD, { id: room, users: [eve.id] });
  await send(eve, room, 'from somebody who goes');
  await ann.ask(REMOVE, { id: room, user: eve.id });
  const dora = await signUp(server.url, 'dora');
  await ann.ask(ADD, { id: room, users: [dora.id] });
  await send(dora, room, 'from an account that is deleted');
  await dora.ask(DELETE_ACCOUNT);
  await cem.ask(READ, answer);
  await server.node.database.query(sql`
    WITH page AS (INSERT INTO web_pages (url, title, description) VALUES ('https://example.org/', 'A "page"', NULL) RETURNING id)
    INSERT INTO link_previews (page_id, chatroom_id, number, position)
      SELECT id, ${keyOf('Chatroom', room)}::uuid, ${question.number}::int, 1 FROM page`);
  return { server, ann, ben, cem, eve, room, question, answer };
}

describe('a room', () => {
  test('of 2,500 messages of every kind is imported byte for byte', { timeout: 120_000 }, async () => {
    const { server, ann, ben, cem, eve, room } = await livelyRoom();
    const there = await startTestServer();
    const people = [ann, ben, cem].map(({ id }) => keyOf('User', id) ?? '');
    const { lastNumber } = await server.node.database.prisma.chatroom.findUniqueOrThrow({
      where: { id: keyOf('Chatroom', room) ?? '' },
    });
    const said = Array.from({ length: 2_500 - lastNumber }, (_, i) => ({
      senderId: people[i % 3] ?? '',
      body: `word ${i}`,
      createdAt: new Date(),
      clientMessageId: `old ${i}`,
    }));
    await storeMessages(server.node.database, keyOf('Chatroom', room) ?? '', said);
    const folder = await makeFolder();
    const [first, second] = [join(folder, 'first.json'), join(folder, 'second.json')];
    expect(await exportChatroom(working(server), room, first)).toBe(2_500);
    const { messages } = await readRoom(first);
    expect(messages.map(({ number }) => number)).toEqual(Array.from({ length: 2_500 }, (_, i) => i + 1));
    // Precondition: the room contains the features that the export must preserve.
    expect(messages.filter((message) => message.editedAt)).toHaveLength(1);
    expect(messages.filter((message) => message.deletedAt)).toHaveLength(1);
    expect(messages.filter((message) => message.replyToNumber)).toHaveLength(1);
    expect(messages.flatMap((message) => message.reactions)).toHaveLength(4);
    expect(messages.flatMap((message) => message.linkPreviews ?? [])).toHaveLength(1);
    expect(new Set(messages.flatMap((message) => message.systemEvent ?? []))).toEqual(
      new Set(['MEMBER_JOINED', 'MEMBER_LEFT', 'RENAMED']),
    );
    expect(messages.filter((message) => message.kind === 'USER' && message.senderId === null)).toHaveLength(1);

    expect(await importPath(working(there), first, [])).toMatchObject({
      users: 4,
      chatrooms: 1,
      messages: 2_500,
      skipped: {},
    });
    expect(await exportChatroom(working(there), room, second)).toBe(2_500);
    expect(await readFile(second, 'utf8')).toBe(await readFile(first, 'utf8'));

    // The imported room works: search finds its words, only members read it, and numbering continues.
    const [annThere, eveThere] = [await arrived(there, ann), await arrived(there, eve)];
    const LOOK = `query ($id: ID!) { chatroom(id: $id) { unreadCount searchMessages(query: "私") { nodes { number } } message(number: 2500) { cursor } } }`;
    const { chatroom } = await annThere.ask(LOOK, { id: room });
    expect(chatroom).toEqual(
      (await ann.ask(LOOK, { id: room })).chatroom && { ...chatroom, searchMessages: { nodes: [{ number: 3 }] } },
    );
    expect((await eveThere.ask(LOOK, { id: room })).chatroom).toBeNull();
    expect((await send(annThere, room, 'next')).number).toBe(2_501);
    const stream = annThere.connect().subscribe(MESSAGE_ADDED, { room, after: chatroom.message.cursor });
    expect((await stream.next()).message).toMatchObject({ number: 2_501, body: 'next' });
  });

  test('keeps the order of reactions and long, equal-dated names', async () => {
    const { server, ann, ben, cem, room, answer } = await livelyRoom();
    const there = await startTestServer();
    // Creation order differs from the order of any id.
    for (let i = 0; i < 12; i += 1) {
      const message = await send(ann, room, `vote ${i}`);
      const order = [
        [ann, ben, cem],
        [cem, ben, ann],
        [ben, cem, ann],
      ][i % 3];
      for (const person of order ?? []) await person.ask(REACT, { id: message.id, emoji: '👍' });
    }
    const folder = await makeFolder();
    const [first, second] = [join(folder, 'first.json'), join(folder, 'second.json')];
    await exportChatroom(working(server), room, first);
    await importPath(working(there), first, []);
    await exportChatroom(working(there), room, second);
    const [before, after] = [await readRoom(first), await readRoom(second)];
    expect(after.people).toEqual(before.people);
    expect(after.messages.map(({ reactions }) => reactions)).toEqual(before.messages.map(({ reactions }) => reactions));
    const GROUPS = 'query ($id: ID!) { node(id: $id) { ... on Message { reactions { emoji count } } } }';
    expect(await (await arrived(there, ann)).ask(GROUPS, answer)).toEqual(await ann.ask(GROUPS, answer));
  });

  test('still recognises a retry by clientMessageId after an import', async () => {
    const { server, ann, ben, room, question, answer } = await livelyRoom();
    const there = await startTestServer();
    const file = join(await makeFolder(), 'room.json');
    const edited = {
      chatroomId: room,
      body: 'Who comes?\n“Quotes”, \\backslashes\\, \u2028 and 👨‍👩‍👧',
      clientMessageId: 'a 1',
    };
    const plain = { chatroomId: room, body: ' 私です ', replyToId: question.id, clientMessageId: 'b 1' };
    // Precondition: the original server recognises the retries.
    for (const [person, input, message] of [
      [ann, edited, question],
      [ben, plain, answer],
    ] as const)
      expect((await person.ask(SEND, { input })).sendMessage).toMatchObject({
        deduplicated: true,
        message: { id: message.id },
      });
    await exportChatroom(working(server), room, file);
    await importPath(working(there), file, []);
    for (const [person, input, message] of [
      [ben, plain, answer],
      [ann, edited, question],
    ] as const)
      expect((await (await arrived(there, person)).ask(SEND, { input })).sendMessage).toMatchObject({
        deduplicated: true,
        message: { id: message.id },
      });
  });

  test('imported twice adds nothing and keeps later messages', async () => {
    const { server, ann, room } = await livelyRoom();
    const there = await startTestServer();
    const folder = await makeFolder();
    const [first, second, third] = ['1.json', '2.json', '3.json'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const count = await exportChatroom(working(server), room, first);
    const nothing = { users: 0, chatrooms: 0, messages: 0 };
    // The database of the export does not accept a second copy either.
    expect(await importPath(working(server), first, [])).toMatchObject({
      ...nothing,
      skipped: { 'a chatroom that already exists': 1 },
    });
    expect(await importPath(working(there), first, [])).toMatchObject({ chatrooms: 1, messages: count });
    expect(await importPath(working(there), first, [])).toMatchObject({
      ...nothing,
      skipped: { 'a chatroom that already exists': 1 },
    });
    await exportChatroom(working(there), room, second);
    expect(await readFile(second, 'utf8')).toBe(await readFile(first, 'utf8'));
    await send(await arrived(there, ann), room, 'since');
    expect(await importPath(working(there), first, [])).toMatchObject(nothing);
    expect(await exportChatroom(working(there), room, third)).toBe(count + 1);
  });

  test('is refused if a link preview names no web page', async () => {
    const { server, room } = await livelyRoom();
    const file = join(await makeFolder(), 'room.json');
    await exportChatroom(working(server), room, file);
    const altered = (await readFile(file, 'utf8')).replaceAll('https://example.org/', 'javascript:alert(1)');
    await writeFile(file, altered);
    const there = await startTestServer();
    await expect(importPath(working(there), file, [])).rejects.toThrow('is neither');
    expect(await there.node.database.prisma.webPage.count()).toBe(0);
  });

  test('is a snapshot of one moment, despite concurrent joins and messages', async () => {
    const { server, ann, room } = await livelyRoom();
    const there = await startTestServer();
    const fay = await signUp(server.url, 'fay');
    const { database } = server.node;
    let hasHappened = false;
    /** Wraps a query function so that a user joins and sends a message after the first result. */
    const interrupt = (query: Database['query']): Database['query'] =>
      async function <Row extends object>(statement: Sql) {
        const rows = await query<Row>(statement);
        if (rows.length > 0 && !hasHappened) {
          hasHappened = true;
          await ann.ask(ADD, { id: room, users: [fay.id] });
          await send(fay, room, 'I am new here');
        }
        return rows;
      };
    const interrupted: Database = {
      ...database,
      query: interrupt(database.query),
      transaction: (work) => database.transaction((query) => work(interrupt(query))),
    };
    const file = join(await makeFolder(), 'room.json');
    await exportChatroom({ database: interrupted, progress: quiet }, room, file);
    expect(hasHappened).toBe(true);
    const { people, members, messages } = await readRoom(file);
    const known = new Set(people.map(({ id }) => id));
    const named = messages.flatMap(({ senderId, subjectId, reactions }) => [
      senderId,
      subjectId,
      ...reactions.map(({ userId }) => userId),
    ]);
    expect(named.filter((id) => id !== null && !known.has(id))).toEqual([]);
    const mostRead = Math.max(...members.map(({ lastReadNumber }) => lastReadNumber));
    expect(mostRead).toBeLessThanOrEqual(messages.length);
    expect(await importPath(working(there), file, [])).toMatchObject({ chatrooms: 1, messages: messages.length });
  });

  test('for two people shows both, and keeps a deleted account deleted', async () => {
    const server = await startTestServer();
    const there = await startTestServer();
    const { ann, ben, eve } = await world(server);
    const rooms = [await direct(ann, ben), await direct(ann, eve)];
    for (const room of rooms) await send(ann, room, `in ${room}`);
    const folder = await makeFolder();
    const [whole, ...halves] = ['whole.json', 'half-1.json', 'half-2.json'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await exportChatroom(working(server), rooms[0] ?? '', whole);
    expect(await importPath(working(there), whole, [])).toMatchObject({ users: 2, chatrooms: 1, messages: 1 });
    expect(await direct(await arrived(there, ben), ann)).toBe(rooms[0]);
    // Ann is the only remaining member of both of her rooms.
    for (const person of [ben, eve]) await person.ask(DELETE_ACCOUNT);
    const last = await startTestServer();
    for (const [i, file] of halves.entries()) {
      await exportChatroom(working(server), rooms[i] ?? '', file);
      expect(await importPath(working(last), file, [])).toMatchObject({ chatrooms: 1, messages: 1 });
    }
    const { viewer } = await (
      await arrived(last, ann)
    ).ask('{ viewer { chatrooms { nodes { id opponent { username } lastMessage { body } } } } }');
    expect(viewer.chatrooms.nodes).toEqual(
      rooms.toReversed().map((id) => ({ id, opponent: null, lastMessage: { body: `in ${id}` } })),
    );
  });

  test('for an existing pair is skipped and reported', async () => {
    const server = await startTestServer();
    const there = await startTestServer();
    const { ann, ben } = await world(server);
    const folder = await makeFolder();
    for (const { username } of [ann, ben]) {
      await exportUser(working(server), username, join(folder, `${username}.json`));
      await importPath(working(there), join(folder, `${username}.json`), []);
    }
    const room = await direct(ann, ben);
    await send(ann, room, 'here');
    const annThere = await arrived(there, ann);
    const own = await direct(annThere, ben);
    await send(annThere, own, 'there');
    await exportChatroom(working(server), room, join(folder, 'room.json'));
    const { skipped, ...summary } = await importPath(working(there), join(folder, 'room.json'), []);
    expect(summary).toMatchObject({ users: 0, chatrooms: 0, messages: 0 });
    expect(Object.keys(skipped)).toHaveLength(1);
    expect(await direct(await arrived(there, ben), ann)).toBe(own);
  });
});

describe('a user', () => {
  /** Gives ann every kind of data that an export contains, among people who have the same kinds. */
  async function livelyUser() {
    const { server, ann, ben, cem, eve, room } = await livelyRoom();
    const { database } = server.node;
    for (const person of [ann, ben])
      await person.ask(PROFILE, {
        input: { email: `${person.username}@example.org`, currentPassword: PASSWORD, bio: `I am ${person.username}.` },
      });
    await ben.ask(PROFILE, { input: { friendPolicy: 'APPROVAL' } });
    await ann.ask(FRIEND, { id: cem.id });
    await ann.ask(FRIEND, { id: ben.id });
    await ann.ask(BLOCK, { id: eve.id });
    const talk = await direct(ann, cem);
    await send(cem, talk, 'secret of cem');
    await send(ann, talk, 'secret of ann', { clientMessageId: 'a 2' });
    await ann.ask(EDIT, { id: (await send(ann, talk, 'former words of ann')).id, body: 'later words of ann' });
    await ann.ask(DELETE, await send(ann, talk, 'deleted words of ann'));
    for (const person of [ann, ben]) {
      const { userId, sessionId } = await server.node.accessTokens.verify(person.accessToken);
      await database.query(sql`INSERT INTO push_devices (user_id, session_id, platform, token, token_hash)
        VALUES (${userId}::uuid, ${sessionId}::uuid, 'FCM', ${`the phone of ${person.username}`}, ${person.username}::bytea)`);
      await database.query(sql`INSERT INTO identities (issuer, subject, user_id)
        VALUES ('https://accounts.example.org', ${`subject of ${person.username}`}, ${userId}::uuid)`);
    }
    return { server, ann, ben, cem, eve, room, talk };
  }

  test('contains the user’s own data, no secrets and nothing of others', async () => {
    const { server, ann, ben, cem, room, talk } = await livelyUser();
    const file = join(await makeFolder(), 'ann.json');
    expect(await exportUser(working(server), 'ANN', file)).toBe(4);
    const text = await readFile(file, 'utf8');
    const exported = await readUser(file);
    const [annKey, benKey, cemKey] = [ann, ben, cem].map(({ id }) => keyOf('User', id));
    expect(exported).toMatchObject({
      user: {
        id: annKey,
        username: 'ann',
        email: 'ann@example.org',
        emailVerified: false,
        bio: 'I am ann.',
        friendPolicy: 'OPEN',
      },
      friends: [{ id: cemKey }],
      friendRequests: [{ fromId: annKey, toId: benKey }],
      blockedUsers: [{ username: 'eve' }],
      sessions: [{ endedAt: null, ipAddress: '127.0.0.1' }],
      identities: [{ issuer: 'https://accounts.example.org', subject: 'subject of ann' }],
      pushDevices: [{ platform: 'FCM' }],
    });
    expect(new Set(exported.chatrooms.map(({ id }) => id))).toEqual(
      new Set([room, talk].map((id) => keyOf('Chatroom', id))),
    );
    expect(exported.reactions.map(({ emoji }) => emoji).sort()).toEqual(['👍', '🎉'].sort());
    // The file is sorted by room and number; this test sorts by time.
    const said = exported.messages.toSorted((one, other) => one.createdAt.localeCompare(other.createdAt));
    expect(said.map(({ body, clientMessageId }) => [body, clientMessageId])).toEqual([
      ['Who comes on Friday?', 'a 1'],
      ['secret of ann', 'a 2'],
      ['later words of ann', null],
      [null, null],
    ]);

    for (const others of [
      'secret of cem',
      '私です',
      'from somebody',
      'former words',
      'deleted words',
      'ben@example.org',
      'I am ben',
      'the phone of',
      'subject of ben',
    ])
      expect(text).not.toContain(others);
    expect(text).not.toMatch(/password|hash|token|argon2/i);
    const secrets = await server.node.database.query<{ secret: string }>(sql`
      SELECT password_hash AS secret FROM users WHERE password_hash IS NOT NULL
      UNION ALL SELECT unnest(ARRAY[encode(hash, 'hex'), encode(hash, 'base64')]) FROM refresh_tokens
      UNION ALL SELECT unnest(ARRAY[encode(hash, 'hex'), encode(hash, 'base64')]) FROM mail_tokens
      UNION ALL SELECT token FROM push_devices UNION ALL SELECT encode(token_hash, 'hex') FROM push_devices
      UNION ALL SELECT id::text FROM sessions`);
    expect(secrets.length).toBeGreaterThan(12);
    for (const { secret } of [...secrets, { secret: ann.accessToken }, { secret: ann.refreshToken }])
      expect(text).not.toContain(secret);
  });

  test('does not reveal users who have blocked them', async () => {
    const { server, ann, eve } = await livelyUser();
    const folder = await makeFolder();
    const written = async (name: string) => {
      await exportUser(working(server), 'eve', join(folder, name));
      return readFile(join(folder, name), 'utf8');
    };
    const blocked = await written('blocked.json');
    expect(blocked).toContain('from somebody who goes');
    await ann.ask('mutation ($id: ID!) { unblockUser(input: { userId: $id }) { viewer { id } } }', { id: eve.id });
    expect(await written('unblocked.json')).toBe(blocked);
  });

  test('is imported once, with available friends and blocks, without a password', async () => {
    const { server, ann, cem, eve } = await livelyUser();
    const there = await startTestServer();
    const folder = await makeFolder();
    const names = [cem.username, eve.username, 'ann'];
    for (const name of names) await exportUser(working(server), name, join(folder, `${name}.json`));
    for (const name of names)
      expect(await importPath(working(there), join(folder, `${name}.json`), [])).toMatchObject({
        users: 1,
        skipped: {},
      });
    for (const name of names)
      expect(await importPath(working(there), join(folder, `${name}.json`), [])).toMatchObject({
        users: 0,
        skipped: { 'a user who already exists': 1 },
      });
    const ME =
      '{ viewer { email friendPolicy user { id username nickname bio } friends { nodes { id username } } blockedUsers { nodes { username } } friendRequests { nodes { id } } } }';
    const { viewer } = await (await arrived(there, ann)).ask(ME);
    expect(viewer).toEqual((await ann.ask(ME)).viewer);
    expect((await (await arrived(there, cem)).ask(ME)).viewer.friends.nodes).toEqual([{ id: ann.id, username: 'ann' }]);
    const SIGN_IN = `mutation { signIn(input: { usernameOrEmail: "ann", password: "${PASSWORD}" }) { accessToken } }`;
    expect((await request(server.url, SIGN_IN)).errors).toBeUndefined();
    expect((await request(there.url, SIGN_IN)).errors?.[0]?.extensions.code).toBe('INVALID_CREDENTIALS');
  });

  test('whose name is taken gets another name and stays separate', async () => {
    const { server, ann } = await livelyUser();
    const there = await startTestServer();
    const other = await signUp(there.url, 'ANN');
    await other.ask(PROFILE, { input: { email: 'ann@example.org', currentPassword: PASSWORD } });
    const file = join(await makeFolder(), 'ann.json');
    await exportUser(working(server), 'ann', file);
    expect(await importPath(working(there), file, [])).toMatchObject({ users: 1 });
    const ME = '{ viewer { email user { username nickname } } }';
    expect((await (await arrived(there, ann)).ask(ME)).viewer).toEqual({
      email: null,
      user: { username: 'ann.import', nickname: 'ann' },
    });
    expect((await other.ask(ME)).viewer).toMatchObject({ email: 'ann@example.org', user: { username: 'ANN' } });
  });
});

describe('the file', () => {
  test('is private to its owner, even if it replaces a public file', async () => {
    const { server, room } = await livelyRoom();
    const folder = await makeFolder();
    const mode = async (file: string) => ((await stat(file)).mode & 0o777).toString(8);
    for (const [name, write] of [
      ['room.json', (file: string) => exportChatroom(working(server), room, file)],
      ['user.json', (file: string) => exportUser(working(server), 'ann', file)],
    ] as const) {
      await write(join(folder, name));
      expect(await mode(join(folder, name))).toBe('600');
      const old = join(folder, `old ${name}`);
      await writeFile(old, 'x'.repeat(1_000_000));
      await chmod(old, 0o644);
      await write(old);
      expect(await readFile(old, 'utf8')).toBe(await readFile(join(folder, name), 'utf8'));
      expect(await mode(old)).toBe('600');
    }
  });

  test('is not written for an unknown room or user', async () => {
    const { server, ann, room } = await livelyRoom();
    const file = join(await makeFolder(), 'nothing.json');
    for (const id of ['junk', '', ann.id, crypto.randomUUID(), `${room}=`, "' OR true --"])
      await expect(exportChatroom(working(server), id, file), id).rejects.toThrow(`There is no chatroom ${id}.`);
    for (const name of ['nobody', '', ann.id, 'ann@example.org'])
      await expect(exportUser(working(server), name, file), name).rejects.toThrow(`There is no user "${name}".`);
    await expect(stat(file)).rejects.toThrow('ENOENT');
    // A room is accepted by its public id and by its database id.
    expect(await exportChatroom(working(server), keyOf('Chatroom', room) ?? '', file)).toBeGreaterThan(5);
  });

  test('is refused whole if it was changed or truncated', async () => {
    const { server, room } = await livelyRoom();
    const there = await startTestServer();
    const folder = await makeFolder();
    const [whole, broken] = [join(folder, 'whole.json'), join(folder, 'broken.json')];
    await exportChatroom(working(server), room, whole);
    const text = await readFile(whole, 'utf8');
    for (const bad of [
      text.slice(0, -20),
      text.replace('"version":1', '"version":2'),
      text.replace('"number":2', '"number":"2"'),
      '',
      'null',
      '[]',
      '"x"',
    ]) {
      await writeFile(broken, bad);
      await expect(importPath(working(there), broken, []), bad.slice(0, 30)).rejects.toThrow(broken);
    }
    const { user, chatroom, message } = there.node.database.prisma;
    expect(await Promise.all([user.count(), chatroom.count(), message.count()])).toEqual([0, 0, 0]);
    expect(await importPath(working(there), whole, [])).toMatchObject({ chatrooms: 1 });
  });
});

test('npm run export prints its result or its usage', { timeout: 180_000 }, async () => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
  expect(scripts['export']).toMatch(/ dist\/main\.js export$/);
  const dataDir = await createDataDir();
  const folder = await makeFolder();
  expect(await runCommand(dataDir, 'seed')).toMatchObject({ code: 0 });
  const file = join(folder, 'ann.json');
  const user = await runCommand(dataDir, 'export', 'user', 'ann', file);
  const { messages, chatrooms } = await readUser(file);
  expect(user).toMatchObject({ code: 0 });
  expect(user.output).toContain(`Wrote ${messages.length.toLocaleString('en')} messages to ${file}.`);
  const garden = chatrooms.find(({ name }) => name === 'The garden');
  const room = await runCommand(dataDir, 'export', 'chatroom', garden?.id ?? '', join(folder, 'garden.json'));
  expect(room).toMatchObject({ code: 0 });
  expect(room.output).toContain('Wrote 2,000 messages to ');
  expect((await readRoom(join(folder, 'garden.json'))).messages).toHaveLength(2_000);
  const again = await runCommand(dataDir, 'import', join(folder, 'garden.json'));
  expect(again).toMatchObject({ code: 0 });
  expect(again.output).toMatch(/messages +0\n/);
  for (const [args, sentence] of [
    [['user', 'nobody', file], 'There is no user "nobody".\n'],
    [['user', 'ann'], 'The arguments are invalid. Usage: npm run export -- user USERNAME FILE, or chatroom ID FILE\n'],
    [
      ['nonsense', 'ann', file],
      'The arguments are invalid. Usage: npm run export -- user USERNAME FILE, or chatroom ID FILE\n',
    ],
    [[], 'The arguments are invalid. Usage: npm run export -- user USERNAME FILE, or chatroom ID FILE\n'],
  ] as const) {
    const { code, output } = await runCommand(dataDir, 'export', ...args);
    expect([code, output.endsWith(sentence)], output).toEqual([1, true]);
  }
});
