import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { grantAdmin } from '../../src/auth/admins.ts';
import { type Database, sql, type Sql } from '../../src/platform/database/database.ts';
import { Prisma } from '../../src/platform/database/generated/client.ts';
import { exportUser } from '../../src/cli/export/export.ts';
import { exportedUser } from '../../src/cli/export/exportFormat.ts';
import { keyOf } from '../../src/core/globalIds.ts';
import { createProgress } from '../../src/cli/progressBar.ts';
import { ALL_SCOPES, createBot } from '../support/bots.ts';
import { PASSWORD, type Person, request } from '../support/client.ts';
import { attach, PNG, sendFile, textFile } from '../support/files.ts';
import { startFcm } from '../support/providers.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { CREATE_CHATROOM, send, world } from '../support/world.ts';

const SIGN_UP = `mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken refreshToken viewer { user { id username } } } }`;
const AGENT = 'The browser of Gerda/7.0';

/** Personal data to search for. */
const TRACES = {
  username: 'Gerda.of.the.Traces',
  nickname: 'Gerda the Traced',
  email: 'gerda@traces.example.org',
  bio: 'I keep bees in Graz',
};

/** Creates a user who leaves every kind of trace, among users who stay. */
async function tracedWorld() {
  const server = await startTestServer({ env: (await startFcm()).env });
  const { ann, ben, room } = await world(server);
  const { username, nickname, email } = TRACES;
  const { data } = await request(
    server.url,
    SIGN_UP,
    { input: { username, nickname, email, password: PASSWORD } },
    { 'user-agent': AGENT },
  );
  const { viewer, ...tokens } = data.signUp;
  const gerda: Person = { ...ann.on(tokens), id: viewer.user.id, username };
  const deed = (person: Person, text: string, variables: object = {}) => person.ask(text, variables);
  const id = keyOf('User', gerda.id) ?? '';

  await deed(gerda, 'mutation ($bio: String!) { updateProfile(input: { bio: $bio }) { viewer { id } } }', {
    bio: TRACES.bio,
  });
  await deed(gerda, 'mutation { requestEmailVerification { ok } }');
  await deed(
    gerda,
    'mutation ($token: String!) { registerPushDevice(input: { platform: FCM, token: $token }) { device { id } } }',
    {
      token: 'push-token-of-gerda-0123456789',
    },
  );
  const befriend = 'mutation ($id: ID!) { addFriend(input: { userId: $id }) { status } }';
  await deed(gerda, befriend, { id: ann.id });
  await deed(ben, 'mutation { updateProfile(input: { friendPolicy: APPROVAL }) { viewer { id } } }');
  await deed(gerda, befriend, { id: ben.id });
  const { eve } = await world(server, '.2');
  await deed(gerda, 'mutation ($id: ID!) { blockUser(input: { userId: $id }) { viewer { id } } }', { id: eve.id });

  await deed(
    ann,
    'mutation ($id: ID!, $users: [ID!]!) { addChatroomMembers(input: { chatroomId: $id, userIds: $users }) { chatroom { id } } }',
    {
      ...{ id: room, users: [gerda.id] },
    },
  );
  const said = await send(gerda, room, 'from her', { clientMessageId: `${id} 1` });
  await deed(
    gerda,
    'mutation ($id: ID!) { editMessage(input: { messageId: $id, body: "by her" }) { message { id } } }',
    { id: said.id },
  );
  await sendFile(gerda, room, textFile('her file', 'bees.txt'), { body: 'with a file' });
  const picture = { ...PNG, purpose: 'AVATAR' as const };
  await deed(gerda, 'mutation ($id: ID!) { setAvatar(input: { attachmentId: $id }) { user { id } } }', {
    id: (await attach(gerda, picture)).id,
  });
  const answer = await send(ann, room, 'to her');
  await deed(gerda, 'mutation ($id: ID!) { addReaction(input: { messageId: $id, emoji: "🐝" }) { message { id } } }', {
    id: answer.id,
  });
  await deed(gerda, 'mutation ($id: ID!) { markRead(input: { messageId: $id }) { chatroom { id } } }', {
    id: answer.id,
  });
  const direct = await gerda.ask(CREATE_CHATROOM, { input: { kind: 'DIRECT', memberIds: [ann.id] } });
  await send(gerda, direct.createChatroom.chatroom.id, 'between them');
  const own = await gerda.ask(CREATE_CHATROOM, { input: { kind: 'OPEN', name: 'Bees' } });
  await deed(ben, 'mutation ($id: ID!) { joinChatroom(input: { chatroomId: $id }) { chatroom { id } } }', {
    id: own.createChatroom.chatroom.id,
  });
  await createBot(gerda, 'her-bot');
  for (const admin of [gerda, ann]) await grantAdmin(server.node.database, keyOf('User', admin.id) ?? '');
  const RESTORE = `mutation ($input: AdminRestoreUserInput!) { adminRestoreUser(input: $input) { user { suspendedAt } } }`;
  await deed(gerda, RESTORE, { input: { userId: eve.id, reason: 'a beekeeper' } });
  await deed(ann, RESTORE, { input: { userId: gerda.id, reason: 'by mistake' } });
  // As if her application had created her. The grant would have ended the sessions of such a user.
  await server.node.database.query(sql`
    UPDATE users SET external_id = 'gerda at the shop', external_avatar_url = 'https://shop.example.org/bee.png'
      WHERE id = ${id}::uuid`);
  await gerda.connect().ask('{ viewer { id } }');
  const { database } = server.node;
  await database.query(
    sql`INSERT INTO identities (issuer, subject, user_id) VALUES ('https://id.example.org', 'gerda at the provider', ${id}::uuid)`,
  );
  await database.query(sql`
    WITH page AS (INSERT INTO web_pages (url, title) VALUES ('https://bees.example.org/', 'Bees') RETURNING id)
    INSERT INTO link_previews (page_id, user_id) SELECT id, ${id}::uuid FROM page`);
  const sessions = await database.prisma.session.findMany({ where: { userId: id } });
  return { server, gerda, ann, ben, id, sessionIds: sessions.map((session) => session.id) };
}

/** The audit log keeps the username of a deleted user, as an admin and as the subject of an action. */
const KEPT = ['public.audit_entries.actor_name: username', 'public.audit_entries.subject: username'];

/** Finds texts in every column of every table, the queue included, whatever its type. */
async function findTraces(database: Database, traces: Record<string, string>): Promise<string[]> {
  const columns = await database.query<{
    place: string;
    schema: string;
    table: string;
    column: string;
    type: string;
  }>(sql`
    SELECT table_schema || '.' || table_name || '.' || column_name AS place,
           table_schema AS schema, table_name AS table, column_name AS column, data_type AS type
      FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
      WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'`);
  expect(columns.length).toBeGreaterThan(100);
  const found = await Promise.all(
    columns.map(async ({ place, schema, table, column, type }) => {
      const name = (text: string): Sql => Prisma.raw(`"${text}"`);
      const value =
        type === 'bytea' ? sql`encode(searched.${name(column)}, 'hex')` : sql`searched.${name(column)}::text`;
      const rows = await database.query<{ trace: string }>(sql`
        SELECT DISTINCT sought.what AS trace FROM ${name(schema)}.${name(table)} searched,
          jsonb_each_text(${JSON.stringify(traces)}::jsonb) AS sought(what, how_it_looks)
          WHERE position(lower(sought.how_it_looks) IN lower(${value})) > 0`);
      return rows.map(({ trace }) => `${place}: ${trace}`);
    }),
  );
  return found.flat().sort();
}

const tracesOf = (w: { id: string; gerda: Person; sessionIds: string[] }): Record<string, string> => ({
  ...TRACES,
  id: w.id,
  'global id': w.gerda.id,
  'session id': w.sessionIds[0] ?? '',
  agent: AGENT,
  address: '127.0.0.1',
  'push token': 'push-token-of-gerda',
  'identity at the provider': 'gerda at the provider',
  'external id': 'gerda at the shop',
  'external avatar': 'shop.example.org/bee.png',
});

/** Changes the addresses of other users' sessions, because they come from the same machine. */
async function forgetAddresses({ node }: TestServer, id: string): Promise<void> {
  await node.database.query(sql`UPDATE sessions SET ip_address = '192.0.2.1' WHERE user_id <> ${id}::uuid`);
}

test('a deleted user leaves no trace once the log is pruned', { timeout: 120_000 }, async () => {
  const w = await tracedWorld();
  const { database } = w.server.node;
  const traces = tracesOf(w);
  const before = await findTraces(database, traces);
  // Precondition: the search finds each trace.
  expect([...new Set(before.map((place) => place.split(': ')[1]))].sort()).toEqual(
    Object.keys(traces)
      .filter((name) => name !== 'global id')
      .sort(),
  );
  expect(before).toContain('public.users.email: email');
  expect(before).toContain('public.messages.sender_id: id');
  expect(before).toContain('public.events.user_id: id');
  expect(before).toContain('public.events.actor_id: id');

  await forgetAddresses(w.server, w.id);
  await w.gerda.ask('mutation ($password: String!) { deleteAccount(input: { password: $password }) { ok } }', {
    password: PASSWORD,
  });
  // The queue deletes the job after its run. `endings` names ended sessions for a day, so that every node processes
  // them. The log names the leaver until LOG_DAYS have passed, because clients may resume from earlier cursors.
  await database.query(sql`UPDATE events SET created_at = now() - interval '31 days'`);
  await database.query(sql`UPDATE endings SET ended_at = now() - interval '2 days'`);
  await database.query(
    sql`SELECT graphile_worker.reschedule_jobs(array_agg(id), run_at => now()) FROM graphile_worker.jobs`,
  );
  await expect
    .poll(async () => (await database.query(sql`SELECT FROM graphile_worker.jobs`)).length, { timeout: 60_000 })
    .toBe(0);
  await database.query(sql`SELECT graphile_worker.add_job('prune', '{}')`);
  await expect.poll(() => findTraces(database, traces), { timeout: 60_000 }).toEqual(KEPT);
  expect(await database.query(sql`SELECT FROM users WHERE username = 'her-bot'`)).toEqual([]);
  // Her messages stay, without a sender.
  const bodies = await database.query<{ body: string }>(
    sql`SELECT body FROM messages WHERE sender_id IS NULL AND kind = 'USER' ORDER BY body`,
  );
  expect(bodies.map(({ body }) => body)).toEqual(['between them', 'by her', 'with a file']);
});

/** Columns that an export leaves out, with the reason. */
const LEFT_OUT: Record<string, string> = {
  username_key: 'the name, made comparable',
  nickname_key: 'the same',
  email_key: 'the same',
  pending_email_key: 'the same',
  username_skeleton: 'follows from the username',
  password_hash: 'opens the account to anyone who can guess it',
  token: 'of a device: worth something to its service alone, and it opens nothing to her',
  token_hash: 'the same',
  user_id: 'her own id, which is told once',
  actor_id: 'the same',
  id: 'of a row: names nothing outside',
  search: 'the words of the body',
  seq: 'a place in the log of the room',
  sender_id: 'her own id',
  kind: 'each is hers: USER',
  system_event: 'none is hers',
  counts_as_unread: 'none is hers',
  subject_id: 'what others did is theirs',
  sent_digest: 'of a text that she took back',
  reply_to_number: 'part of the export of a room',
  hidden_at_number: 'how far a list was tidied up',
  session_id: 'names nothing outside',
  friend_id: 'told with the name',
  blocked_id: 'told with the name',
  blocker_id: 'her own id',
  hash: 'proves something to the holder of the mail',
  purpose: 'of a mail that waits, or whether a file is an avatar',
  state: 'each is READY',
  place: 'the order of the files of a message',
  has_attachments: 'follows from the files',
  expires_at: 'of a mail that waits',
  page_id: 'of a page, which is exported by its URL',
  created_at: '',
};

/** Returns the values in a JSON value. */
function partsOf(value: unknown): unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(partsOf) : [value];
}

test('an export contains every stored value except documented omissions', { timeout: 120_000 }, async () => {
  const w = await tracedWorld();
  const { database } = w.server.node;
  const folder = await mkdtemp(join(tmpdir(), 'parley-traces-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'gerda.json');
  // The picture is exported once it is processed.
  await expect.poll(() => database.query(sql`SELECT FROM attachments WHERE state = 'PROCESSING'`)).toEqual([]);
  await exportUser({ database, progress: createProgress({ isTTY: false, write: () => true }) }, TRACES.username, file);
  const text = await readFile(file, 'utf8');
  const exported = exportedUser.parse(JSON.parse(text));
  expect(exported.user).toMatchObject({ ...TRACES, id: w.id });
  expect([exported.friends, exported.blockedUsers, exported.friendRequests].map((list) => list.length)).toEqual([
    1, 1, 1,
  ]);
  expect(exported.sessions).toMatchObject([{ userAgent: AGENT, ipAddress: '127.0.0.1' }]);
  expect(exported.identities).toMatchObject([{ subject: 'gerda at the provider' }]);
  expect(exported.pushDevices).toHaveLength(1);
  expect(exported.chatrooms.map(({ kind }) => kind).sort()).toEqual(['DIRECT', 'GROUP', 'OPEN']);
  expect(exported.reactions).toMatchObject([{ emoji: '🐝' }]);
  expect(exported.linkPreviews).toMatchObject([{ url: 'https://bees.example.org/' }]);
  // The file is grouped by room. The order of rooms is undefined.
  expect(exported.messages.map(({ body }) => body).sort()).toEqual(['between them', 'by her', 'with a file']);
  expect(exported.bots).toMatchObject([{ username: 'her-bot', scopes: ALL_SCOPES }]);
  expect(exported.auditEntries).toMatchObject([{ action: 'adminRestoreUser', reason: 'a beekeeper' }]);
  expect(exported.avatar).toMatchObject({ fileName: 'dot.png' });

  // Each value of each of her rows is in the file, or its column is listed as left out.
  const tables: Record<string, string> = {
    ...{ users: 'id', sessions: 'user_id', identities: 'user_id', push_devices: 'user_id', mail_tokens: 'user_id' },
    ...{ friendships: 'user_id', blocks: 'blocker_id', friend_requests: 'from_id', members: 'user_id' },
    ...{ reactions: 'user_id', messages: 'sender_id', attachments: 'user_id', link_previews: 'user_id' },
    ...{ bots: 'owner_id', admins: 'user_id', audit_entries: 'actor_id' },
  };
  const missing: string[] = [];
  for (const [table, owner] of Object.entries(tables)) {
    const rows = await database.query<{ row: Record<string, unknown> }>(
      sql`SELECT to_jsonb(t) AS row FROM ${Prisma.raw(table)} t WHERE ${Prisma.raw(owner)} = ${w.id}::uuid`,
    );
    for (const { row } of rows) {
      for (const [column, value] of Object.entries(row)) {
        if (value === null || column in LEFT_OUT) continue;
        // Dates have another format in the file. They are compared to the second.
        for (const part of partsOf(value)) {
          const shown =
            typeof part === 'string'
              ? part.replace(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d).*/, '$1').replace(/^\\x/, '')
              : JSON.stringify(part);
          if (!text.includes(JSON.stringify(shown).slice(1, -1))) missing.push(`${table}.${column} = ${shown}`);
        }
      }
    }
  }
  expect(missing).toEqual([]);

  // If another table references users, this test needs to include it.
  const referring = await database.query<{ table: string }>(sql`
    SELECT DISTINCT conrelid::regclass::text AS table FROM pg_constraint
      WHERE contype = 'f' AND confrelid = 'users'::regclass ORDER BY 1`);
  expect(referring.map(({ table }) => table).filter((table) => !(table in tables))).toEqual(['chatrooms']);
});
